"""`podium export`: a run's networks as a file that other tools open, checked against the run."""

import runpy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from podium.data.batches import ImageCache
from podium.data.table import read_table
from podium.files.atomic_write import atomic_folder, write_json
from podium.predictions.predictor import Predictor, open_network
from podium.predictions.score import paired_gain
from podium.predictions.tta import VIEWS
from podium.recipes.recipe import CACHED_DETAIL
from podium.runs.prune import size_of
from podium.runs.run import Run
from podium.runs.run_folder import RunFolder
from podium.runs.table import HELD_OUT
from podium.serving.export.agreement import LIMIT, Agreement, Outputs, difference
from podium.serving.export.card import model_card
from podium.serving.export.formats import FORMATS, example
from podium.serving.export.portable import portable_model
from podium.text import duration

ALL = "all"
CHECKED = 200  # validation images, of which a quantized file's score can be told as well
AT_ONCE = 16  # images
SAMPLED = 100  # training images, by whose activations the ranges of 8-bit integers are set


@dataclass(frozen=True)
class Export:
    """An export as it was written."""

    folder: Path
    agreement: Agreement

    def __str__(self) -> str:
        return (
            f"export      {self.folder} ({size_of(self.folder) / 1e6:.1f} MB)\n{self.agreement}\n"
            f"next        python {self.folder / 'example.py'} IMAGE"
        )


def export(folder: RunFolder, to: str, folds: str | None = None, quantize: bool = False) -> Export:
    """Write a run's networks to <run>/export/<to>, in the place of an earlier export.

    Args:
        to: one of `FORMATS`.
        folds: the number of one, or "all" for the mean of all networks; the first by default.
        quantize: to 8-bit integers; LiteRT only.

    Raises:
        ValueError: there is no such format or fold, a package is missing, the images are not here,
            a layer cannot be exported, or the file's outputs differ from the run's.
    """
    form = FORMATS[to]
    predictor = Predictor(folder)
    run, chosen = predictor.run, _chosen(predictor, folds)
    size = run.image_size(chosen[0])
    train = read_table(run.competition, folder).train
    unseen = _some(train[train["fold"].isin([*chosen, HELD_OUT])], CHECKED)
    with _timed(f"reading {len(unseen)} validation images"):
        images = _squares(run, unseen, size)
    with _timed("predicting them by the run"):
        expected = _predicted(predictor, chosen, images)
    trained_on = train[~train["fold"].isin([HELD_OUT, *(chosen if len(chosen) == 1 else [])])]
    sample = [_squares(run, _some(trained_on, SAMPLED), size)] if quantize else []
    with _timed(f"rebuilding {len(chosen)} network{'s' * (len(chosen) > 1)} of Keras' own layers"):
        model = portable_model([open_network(run, fold) for fold in chosen], size)
    target = folder.path / "export" / (f"{to}-int8" if quantize else to)
    with atomic_folder(target, replace=True) as part:
        with _timed(f"writing {to}{', in 8-bit integers' * quantize}"):
            form.write(model, size, part / form.file, *sample)
        write_json(part / "labels.json", _labels(run, chosen, to, form.file, size))
        (part / "example.py").write_text(example(to), encoding="utf-8")
        with _timed("checking it by its own example"):
            agreement = _checked(run, unseen, images, expected, part / "example.py", quantize)
        write_json(part / "agreement.json", asdict(agreement))
        card = model_card(run, chosen, form.library, form.opened_with, agreement)
        (part / "README.md").write_text(card, encoding="utf-8")
    return Export(target, agreement)


def _checked(
    run: Run,
    unseen: pd.DataFrame,
    images: np.ndarray,
    expected: Outputs,
    example: Path,
    quantized: bool,
) -> Agreement:
    """Compare what an export's own example predicts with what the run expects of the images.

    Raises:
        ValueError: more than rounding is between them, and the network is not quantized.
    """
    opened = runpy.run_path(str(example))
    found = _in_batches(opened["predict"], images)
    read = np.stack([opened["read_image"](path) for path in unseen["path"]])
    own = difference(run, expected, found)
    reading = difference(run, expected, _in_batches(opened["predict"], read))
    if quantized:
        truth = run.competition.truth(unseen["label"]).to_numpy()
        both = (one["probabilities"] for one in (found, expected))
        gain = paired_gain(run.competition.metric, truth, *both, unseen["group"])
        return Agreement(len(images), None, own, reading, gain)
    if not own.largest <= LIMIT:  # false of NaN, too
        raise ValueError(
            f"the file is not the run's network: {own} on {len(images)} images, expected at most "
            f"{LIMIT:g}; nothing was written. Try another format, and report this with the recipe"
        )
    return Agreement(len(images), LIMIT, own, reading, None)


def _chosen(predictor: Predictor, folds: str | None) -> list[int]:
    """The folds to export.

    Raises:
        ValueError: there is no such fold, or they predict images of several sizes.
    """
    known = predictor.folds
    if folds == ALL:
        sizes = {predictor.run.image_size(fold) for fold in known}
        if len(sizes) > 1:
            told = " and ".join(map(str, sorted(sizes)))
            raise ValueError(f"--folds all: the folds predict at {told} px; export one of them")
        return known
    if folds is not None and folds not in map(str, known):
        listed = ", ".join(map(str, known))
        raise ValueError(f"--folds {folds}: expected all, or one of the trained folds: {listed}")
    return known[:1] if folds is None else [int(folds)]


def _some(images: pd.DataFrame, most: int) -> pd.DataFrame:
    return images.sample(min(most, len(images)), random_state=0)


def _squares(run: Run, images: pd.DataFrame, size: int) -> np.ndarray:
    """The images as a network of the run sees them: uint8 (images, size, size, 3)."""
    cache = ImageCache(list(images["path"]), round(size * CACHED_DETAIL), run.recipe.memory_share)
    return np.stack([VIEWS[0](image, size) for image in cache])


def _predicted(predictor: Predictor, folds: Sequence[int], images: np.ndarray) -> Outputs:
    """The mean outputs of the run's own networks, named as an export's."""
    found = []
    for fold in folds:
        predictor.load(fold)
        found.append(predictor.predict(images, VIEWS[:1]))
    outputs = {"probabilities": [one.probabilities[:, 0] for one in found]}
    if found[0].boxes is not None:
        outputs["boxes"] = [one.boxes[:, 0] for one in found]
    return {name: np.mean(each, axis=0) for name, each in outputs.items()}


def _in_batches(predict: Callable, images: np.ndarray) -> Outputs:
    parts = [predict(images[start : start + AT_ONCE]) for start in range(0, len(images), AT_ONCE)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _labels(run: Run, folds: list[int], to: str, file: str, size: int) -> dict[str, Any]:
    """The content of labels.json: what comes in, and what the outputs mean."""
    competition, thresholds = run.competition, run.folder.read_thresholds()
    if thresholds is None:  # as `Task.decide` has them then
        ends = np.arange(len(competition.outputs)) if competition.task.ordered else 0
        thresholds = ends + np.full(len(competition.outputs), 0.5)
    return {
        "run": run.name,
        "folds": folds,
        "format": to,
        "file": file,
        "input": "uint8 (batch, height, width, 3) RGB, upright, stretched to a square",
        "image_size": size,
        "task": competition.task.name,
        "classes": list(competition.classes),
        "outputs": competition.outputs,  # of "probabilities", by their number
        "thresholds": [] if competition.task.sums_to_one else thresholds.tolist(),
    }


@contextmanager
def _timed(what: str) -> Iterator[None]:
    """Say what begins, and how long it took."""
    begun = time.monotonic()
    print(f"{what} ...", flush=True)
    yield
    print(f"    {duration(time.monotonic() - begun)}", flush=True)
