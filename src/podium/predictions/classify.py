"""Any picture from anywhere, through the networks of a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from podium.competitions import get_competition
from podium.competitions.boxes import box_table, to_pixels
from podium.files.images import SizedPicture, UnreadablePicture
from podium.predictions.answers import Answer, Answers
from podium.predictions.image_sources import Source, find_sources
from podium.predictions.ood import Unlikeness
from podium.predictions.ood_fitting import find_unlikeness
from podium.predictions.predictor import Looker
from podium.predictions.tta import VIEWS
from podium.runs.fold_folder import RunError
from podium.runs.run_folder import RunFolder

AT_ONCE = 512  # pictures in memory


def answer(folder: RunFolder, words: Sequence[str | Path], views: int = 2) -> Answers:
    """Say what is on pictures, and which of them are unlike anything that the run has learnt.

    Args:
        words: files, folders and addresses on the web; pictures of any size, mode and format.
        views: how many of `VIEWS` are averaged.

    Returns:
        An answer for each picture; one that cannot be read hides no other.

    Raises:
        RunError: no trained network, or a blend, which has none of its own.
    """
    looker, folds = open_run(folder)
    sources = find_sources(words)
    unlikeness = None
    answers: list[Answer] = []
    for start in range(0, len(sources), AT_ONCE):
        part = sources[start : start + AT_ONCE]
        read = [_try(source, looker) for source in tqdm(part, "reading", delay=2, leave=False)]
        pictures = [one for one in read if isinstance(one, SizedPicture)]
        if pictures and unlikeness is None:  # it may take minutes, which no misspelt name costs
            looker.open(folds[0])
            unlikeness = find_unlikeness(folder, looker.competition, looker, folds[0])
        found = iter(_found(looker, folds, pictures, views, unlikeness) if pictures else [])
        answers += [
            Answer(source.name, problem=str(one))
            if isinstance(one, UnreadablePicture)
            else Answer(source.name, **next(found))
            for source, one in zip(part, read, strict=True)
        ]
    classes = looker.competition.classes
    return Answers(folder.name, folds, classes, looker.finds_boxes, unlikeness, answers)


def classify(folder: RunFolder, files: Sequence[Path], views: int = 2) -> pd.DataFrame:
    """Probabilities of each file's picture, the mean over the run's folds and some views.

    Args:
        files: pictures of any size and format.
        views: how many of `VIEWS`.

    Returns:
        float32, a row per file in their order, a column per class.

    Raises:
        UnreadablePicture: a file is no picture.
        RunError: as for `answer`.
    """
    looker, folds = open_run(folder)
    pictures = [Source(str(file)).read(looker.side) for file in files]
    seen = _look(looker, folds, pictures, views)
    index = pd.Index([str(path) for path in files], name="file")
    return pd.DataFrame(seen.probabilities, index=index, columns=list(looker.competition.classes))


def open_run(folder: RunFolder) -> tuple[Looker, list[int]]:
    """The network of a run, and the folds that have weights for it."""
    recipe = folder.read_recipe()  # refuses a blend: a mean of ranks needs all pictures at once
    folds = [fold for fold in folder.scored_folds() if folder.fold(fold).can_predict]
    if not folds:
        raise RunError(
            f"{folder.path} has no trained fold yet, or none whose weights were kept: train it to "
            "its end first"
        )
    return Looker(folder, recipe, get_competition(recipe.competition)), folds


def _try(source: Source, looker: Looker) -> SizedPicture | UnreadablePicture:
    try:
        return source.read(looker.side)
    except UnreadablePicture as error:
        return error


def _found(
    looker: Looker,
    folds: Sequence[int],
    pictures: Sequence[SizedPicture],
    views: int,
    unlikeness: Unlikeness,
) -> list[dict[str, Any]]:
    """What is answered for each picture."""
    seen = _look(looker, folds, pictures, views)
    scores, limit = unlikeness.scores(seen.features, seen.plain), unlikeness.limit
    names = looker.competition.classes
    boxes = [None] * len(pictures) if seen.boxes is None else _in_pixels(seen.boxes, pictures)
    return [
        {
            "probabilities": dict(zip(names, map(float, row), strict=True)),
            "box": box,
            "score": float(score),
            "unlike": bool(score > limit),
        }
        for row, box, score in zip(seen.probabilities, boxes, scores, strict=True)
    ]


def _in_pixels(boxes: np.ndarray, pictures: Sequence[SizedPicture]) -> list[dict[str, float]]:
    """Boxes (pictures, 4) in pixels of the pictures, as they were before they were shrunk."""
    numbers = [str(number) for number in range(len(pictures))]
    sizes = [(one.size.width, one.size.height) for one in pictures]
    sides = pd.DataFrame(sizes, numbers, ["width", "height"])
    return to_pixels(box_table(numbers, boxes), sides).to_dict("records")


@dataclass(frozen=True)
class _Seen:
    """What the networks of a run say of some pictures, all float32."""

    probabilities: np.ndarray  # (pictures, classes), by all folds
    boxes: np.ndarray | None  # (pictures, 4), by all folds, in shares; None: no box head
    plain: np.ndarray  # (pictures, classes), by the first fold in the plain view
    features: np.ndarray  # (pictures, channels), as it saw them


def _look(
    looker: Looker, folds: Sequence[int], pictures: Sequence[SizedPicture], views: int
) -> _Seen:
    """Each picture through the networks of all folds; the mean over these and the views."""
    pixels = [one.pixels for one in pictures]
    probabilities = np.zeros((len(pictures), len(looker.competition.classes)))
    boxes = np.zeros((len(pictures), 4))
    first = None
    for fold in tqdm(folds, "classifying", unit=" networks", delay=2, leave=False):
        looker.open(fold)
        looked = looker.look(pixels, VIEWS[:views])
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
