"""Any image through the networks of a run, and the predictions as lines, CSV and JSON."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from json import dumps
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from podium.competitions.boxes import PIXEL_COLUMNS, box_table, to_pixels
from podium.files.atomic_write import write_csv, write_json
from podium.files.image_io import SizedImage, UnreadableImage
from podium.predictions.image_sources import find_images, load_image
from podium.predictions.ood import OODDetector, load_or_fit_detector
from podium.predictions.predictor import Predictor
from podium.predictions.tta import VIEWS
from podium.runs.run import Run
from podium.runs.run_folder import RunFolder
from podium.text import defused, single_line

AT_ONCE = 512  # images in memory
TOP_CLASSES = 3  # in a line
STDOUT = Path("-")


@dataclass(frozen=True)
class ImagePrediction:
    """The prediction for an image, or the problem that prevents one."""

    file: str
    problem: str | None = None
    probabilities: dict[str, float] | None = None  # by the network's output
    said: list[tuple[str, float]] | None = None  # see `Task.said`; None: the likeliest class
    box: dict[str, float] | None = None  # `PIXEL_COLUMNS` of the upright image; None: no box head
    ood: bool | None = None
    ood_score: float | None = None

    @property
    def ranking(self) -> list[tuple[str, float]]:
        """The classes and their probabilities, the likeliest first."""
        return sorted((self.probabilities or {}).items(), key=lambda item: -item[1])

    def __str__(self) -> str:
        shown = self.ranking[:TOP_CLASSES] if self.said is None else self.said
        likeliest = ", ".join(f"{name} {value:.3f}" for name, value in shown)
        line = f"{self.file}: {likeliest or 'no label'}"
        if self.box:
            line += "; box " + " ".join(f"{edge:.0f}" for edge in self.box.values())
        line += f"; out-of-distribution (score {self.ood_score:.3g})" if self.ood else ""
        return single_line(line)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        name, probability = self.ranking[0] if self.probabilities else (None, None)
        if self.said is not None:  # of several labels the least sure one
            name = ", ".join(label for label, _ in self.said)
            probability = min((value for _, value in self.said), default=None)
        return {
            "file": self.file,
            "class": name,
            "probability": probability,
            "box": self.box,
            "ood": self.ood,
            "ood_score": self.ood_score,
            "problem": self.problem,
            "probabilities": self.probabilities,
        }


@dataclass(frozen=True)
class Predictions:
    """The predictions for all images that were named, in their order."""

    run: Run
    folds: list[int]
    ood_detector: OODDetector | None  # None: no image could be read
    images: list[ImagePrediction]

    def table(self) -> pd.DataFrame:
        """Return a row per image; the probability of a class is in the column `p_<class>`."""
        boxes = PIXEL_COLUMNS if self.run.recipe.box else ()
        classes = [f"p_{name}" for name in self.run.competition.outputs]
        first = ["file", "class", "probability", *boxes, "ood", "ood_score", "problem"]
        rows = []
        for image in self.images:
            probabilities = {f"p_{name}": value for name, value in image.ranking}
            rows.append(image.as_dict() | (image.box or {}) | probabilities)
        table = pd.DataFrame(rows, columns=[*first, *classes])
        for name in ("file", "problem"):
            table[name] = table[name].map(lambda cell: defused(single_line(cell)), "ignore")
        return table

    def as_dict(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        return {
            "run": self.run.name,
            "folds": self.folds,
            "out_of_distribution": self.ood_detector.as_dict() if self.ood_detector else None,
            "images": [image.as_dict() for image in self.images],
        }

    def write(self, csv: Path | None = None, json: Path | None = None) -> None:
        """Print a line per image, and write CSV and JSON; "-" prints one of them alone."""
        if STDOUT not in (csv, json):
            for image in self.images:
                if image.probabilities:
                    print(image)
            if self.ood_detector:
                print(f"out-of-distribution: {self.ood_detector}")
        if csv == STDOUT:
            self.table().to_csv(sys.stdout, index=False, float_format="%.9g", lineterminator="\n")
        elif csv:
            write_csv(csv, self.table(), index=False)
        if json == STDOUT:
            print(dumps(self.as_dict(), indent=2))
        elif json:
            write_json(json, self.as_dict())


def classify(folder: RunFolder, names: Sequence[str | Path], views: int = 2) -> Predictions:
    """Classify images of any size, mode and format; one that cannot be read stops no other.

    Args:
        names: files, folders and addresses on the web.
        views: how many of `VIEWS` are averaged.

    Raises:
        RunError: no trained network, or a blend, which has none of its own.
    """
    predictor = Predictor(folder)
    files = find_images(names)
    detector = None
    predictions: list[ImagePrediction] = []
    for start in range(0, len(files), AT_ONCE):
        part, images = [], []
        for file in tqdm(files[start : start + AT_ONCE], "reading", delay=2, leave=False):
            problem = None
            try:
                images.append(load_image(file, predictor.run.recipe.cache_size))
            except UnreadableImage as error:
                problem = single_line(str(error))
            except Exception as error:  # whatever one name brings, the others are answered
                problem = single_line(f"{file}: cannot be read ({error or type(error).__name__})")
            # What is not UTF-8 could not be printed.
            part.append(ImagePrediction(single_line(file), problem))
        if images and detector is None:  # the first time takes minutes: not for a misspelled name
            predictor.load(predictor.folds[0])
            detector = load_or_fit_detector(predictor, predictor.folds[0])
        found = iter(_predict(predictor, detector, images, views) if images else [])
        predictions += [image if image.problem else replace(image, **next(found)) for image in part]
    return Predictions(predictor.run, predictor.folds, detector, predictions)


def _predict(
    predictor: Predictor, detector: OODDetector, images: Sequence[SizedImage], views: int
) -> Iterator[dict[str, Any]]:
    """Average the folds and views; the first fold's plain view is scored for OOD."""
    pixels = [image.pixels for image in images]
    first, probabilities, shares = predictor.predict_by_all(pixels, VIEWS[:views])
    scores = detector.scores(first.features, first.probabilities[:, 0])
    boxes, said = [None] * len(images), [None] * len(images)
    if shares is not None:
        ids = [str(number) for number in range(len(images))]
        sides = [(image.size.width, image.size.height) for image in images]
        sizes = pd.DataFrame(sides, ids, ["width", "height"])
        boxes = to_pixels(box_table(ids, shares), sizes).to_dict("records")
    competition = predictor.run.competition
    if not competition.task.sums_to_one:
        thresholds = predictor.run.folder.read_thresholds()
        said = competition.task.said(probabilities, competition.classes, thresholds)
    for row, answer, box, score in zip(probabilities, said, boxes, scores, strict=True):
        yield {
            "probabilities": dict(zip(competition.outputs, row.tolist(), strict=True)),
            "said": answer,
            "box": box,
            "ood": bool(score > detector.limit),
            "ood_score": float(score),
        }
