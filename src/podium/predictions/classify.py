"""Any image from anywhere, through the networks of a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from podium.competitions import get_competition
from podium.competitions.boxes import box_table, to_pixels
from podium.files.image_io import SizedImage, UnreadableImage
from podium.predictions.answers import ImagePrediction, Predictions
from podium.predictions.image_sources import Source, find_sources
from podium.predictions.ood import OODDetector
from podium.predictions.ood_fitting import load_or_fit_detector
from podium.predictions.predictor import Predictor
from podium.predictions.tta import VIEWS
from podium.runs.fold_folder import RunError
from podium.runs.run_folder import RunFolder

AT_ONCE = 512  # images in memory


def answer(folder: RunFolder, words: Sequence[str | Path], views: int = 2) -> Predictions:
    """Say what is on images, and which of them are unlike anything that the run has learned.

    Args:
        words: files, folders and addresses on the web; images of any size, mode and format.
        views: how many of `VIEWS` are averaged.

    Returns:
        An answer for each image; one that cannot be read hides no other.

    Raises:
        RunError: no trained network, or a blend, which has none of its own.
    """
    looker, folds = open_run(folder)
    sources = find_sources(words)
    ood_detector = None
    answers: list[ImagePrediction] = []
    for start in range(0, len(sources), AT_ONCE):
        part = sources[start : start + AT_ONCE]
        read = [_try(source, looker) for source in tqdm(part, "reading", delay=2, leave=False)]
        images = [one for one in read if isinstance(one, SizedImage)]
        if images and ood_detector is None:  # it may take minutes, which no misspelled name costs
            looker.open(folds[0])
            ood_detector = load_or_fit_detector(folder, looker.competition, looker, folds[0])
        found = iter(_found(looker, folds, images, views, ood_detector) if images else [])
        answers += [
            ImagePrediction(source.name, problem=str(one))
            if isinstance(one, UnreadableImage)
            else ImagePrediction(source.name, **next(found))
            for source, one in zip(part, read, strict=True)
        ]
    classes = looker.competition.classes
    return Predictions(folder.name, folds, classes, looker.finds_boxes, ood_detector, answers)


def classify(folder: RunFolder, files: Sequence[Path], views: int = 2) -> pd.DataFrame:
    """Probabilities of each file's image, the mean over the run's folds and some views.

    Args:
        files: images of any size and format.
        views: how many of `VIEWS`.

    Returns:
        float32, a row per file in their order, a column per class.

    Raises:
        UnreadableImage: a file is no image.
        RunError: as for `answer`.
    """
    looker, folds = open_run(folder)
    images = [Source(str(file)).read(looker.side) for file in files]
    seen = _look(looker, folds, images, views)
    index = pd.Index([str(path) for path in files], name="file")
    return pd.DataFrame(seen.probabilities, index=index, columns=list(looker.competition.classes))


def open_run(folder: RunFolder) -> tuple[Predictor, list[int]]:
    """The network of a run, and the folds that have weights for it."""
    recipe = folder.read_recipe()  # refuses a blend: a mean of ranks needs all images at once
    folds = [fold for fold in folder.scored_folds() if folder.fold(fold).can_predict]
    if not folds:
        raise RunError(
            f"{folder.path} has no trained fold yet, or none whose weights were kept: train it to "
            "its end first"
        )
    return Predictor(folder, recipe, get_competition(recipe.competition)), folds


def _try(source: Source, looker: Predictor) -> SizedImage | UnreadableImage:
    try:
        return source.read(looker.side)
    except UnreadableImage as error:
        return error


def _found(
    looker: Predictor,
    folds: Sequence[int],
    images: Sequence[SizedImage],
    views: int,
    ood_detector: OODDetector,
) -> list[dict[str, Any]]:
    """What is answered for each image."""
    seen = _look(looker, folds, images, views)
    scores, limit = ood_detector.scores(seen.features, seen.plain), ood_detector.limit
    names = looker.competition.classes
    boxes = [None] * len(images) if seen.boxes is None else _in_pixels(seen.boxes, images)
    return [
        {
            "probabilities": dict(zip(names, map(float, row), strict=True)),
            "box": box,
            "score": float(score),
            "unlike": bool(score > limit),
        }
        for row, box, score in zip(seen.probabilities, boxes, scores, strict=True)
    ]


def _in_pixels(boxes: np.ndarray, images: Sequence[SizedImage]) -> list[dict[str, float]]:
    """Boxes (images, 4) in pixels of the images, as they were before they were shrunk."""
    numbers = [str(number) for number in range(len(images))]
    sizes = [(one.size.width, one.size.height) for one in images]
    sides = pd.DataFrame(sizes, numbers, ["width", "height"])
    return to_pixels(box_table(numbers, boxes), sides).to_dict("records")


@dataclass(frozen=True)
class _Seen:
    """What the networks of a run say of some images, all float32."""

    probabilities: np.ndarray  # (images, classes), by all folds
    boxes: np.ndarray | None  # (images, 4), by all folds, in shares; None: no box head
    plain: np.ndarray  # (images, classes), by the first fold in the plain view
    features: np.ndarray  # (images, channels), as it saw them


def _look(
    looker: Predictor, folds: Sequence[int], images: Sequence[SizedImage], views: int
) -> _Seen:
    """Each image through the networks of all folds; the mean over these and the views."""
    pixels = [one.pixels for one in images]
    probabilities = np.zeros((len(images), len(looker.competition.classes)))
    boxes = np.zeros((len(images), 4))
    first = None
    for fold in tqdm(folds, "classifying", unit=" networks", delay=2, leave=False):
        looker.open(fold)
        looked = looker.predict(pixels, VIEWS[:views])
        probabilities += looked.probabilities.mean(axis=1)
        if looked.boxes is not None:
            boxes += looked.boxes.mean(axis=1)
        first = first or looked
    return _Seen(
        (probabilities / len(folds)).astype(np.float32),
        (boxes / len(folds)).astype(np.float32) if looker.finds_boxes else None,
        first.probabilities[:, 0],
        first.features,
    )
