"""What is unlike anything in a run's training: fitted once, to images that it has, and kept.

Warnings go to the error stream: the other one may be a CSV.
"""

import sys
from dataclasses import asdict

import numpy as np
from tqdm import tqdm

from podium.competitions import Competition
from podium.competitions.base import MissingData
from podium.data.table import read_table
from podium.files.image_io import UnreadableImage, read_image
from podium.predictions.ood import MahalanobisScore, OODDetector, fit_mahalanobis, uncertainty
from podium.predictions.predictor import Predictor
from podium.predictions.tta import VIEWS
from podium.recipes.recipe import Recipe
from podium.runs.fold_folder import FoldFolder, RunError
from podium.runs.run_folder import RunFolder
from podium.runs.table import HELD_OUT, Table

REFERENCE = 1000  # training images that distances are measured from
JUDGED = 600  # images out of fold: the interval of 5 % is then 3.4 to 6.9 %
AT_ONCE = 128  # images in memory


def load_or_fit_detector(
    folder: RunFolder, competition: Competition, looker: Predictor, fold: int
) -> OODDetector:
    """What a fold's network finds unlike: as it was kept, or fitted now.

    Args:
        looker: with the weights of this fold.
    """
    recipe = folder.read_recipe()
    if recipe.head.centers:
        # Measured: features that were not learned tell the known kind from others hardly at all.
        return _by_doubt(folder, fold, "its features are not learned")
    place = folder.fold(fold)
    kept = _read(place, fold)
    if kept is not None:
        return kept
    try:
        table = read_table(competition, folder)
        fitted = _fit(table, recipe, looker, fold)
    except (MissingData, RunError, UnreadableImage) as error:
        return _by_doubt(folder, fold, f"the training images are not at hand: {error}")
    _keep(place, fitted)
    return fitted


def _by_doubt(folder: RunFolder, fold: int, remark: str) -> OODDetector:
    """From the kept predictions, which need no image."""
    predicted = folder.fold(fold).read_predictions("validation")
    plain = predicted[predicted.index.get_level_values("view") == VIEWS[0].name]
    return OODDetector(fold, uncertainty(plain.to_numpy()), remark=remark)


def _fit(table: Table, recipe: Recipe, looker: Predictor, fold: int) -> OODDetector:
    """Measure distances from images of the training to others that the network has not seen."""
    folds = table.train["fold"].to_numpy()
    seen = _some(np.flatnonzero((folds != fold) & (folds != HELD_OUT)), REFERENCE)
    unseen = _some(np.flatnonzero((folds == fold) | (folds == HELD_OUT)), JUDGED)
    chosen = np.concatenate([seen, unseen])
    paths = table.train["path"].to_numpy()[chosen]
    parts = []
    with tqdm(
        total=len(chosen), desc="what is known, once", unit=" images", delay=2, leave=False
    ) as bar:
        for start in range(0, len(chosen), AT_ONCE):
            some = paths[start : start + AT_ONCE]
            images = [looker.shrink(read_image(path, looker.side)) for path in some]
            parts.append(looker.predict(images, VIEWS[:1]).features)
            bar.update(len(some))
    features = np.concatenate(parts)
    distance = fit_mahalanobis(features[: len(seen)], table.train["label"].to_numpy()[seen])
    return OODDetector(fold, distance(features[len(seen) :]), distance)


def _some(positions: np.ndarray, most: int) -> np.ndarray:
    """Up to so many of them, evenly chosen: the table is in the order of ids, often by class."""
    chosen = np.linspace(0, len(positions) - 1, min(most, len(positions)))
    return positions[chosen.round().astype(int)]


def _read(place: FoldFolder, fold: int) -> OODDetector | None:
    """What was kept, if the weights are still those that it was fitted to."""
    try:
        kept = place.read_ood()
    except ValueError as error:
        print(f"warning: {error}: it is fitted again", file=sys.stderr)
        return None
    if kept is None:
        return None
    known = kept.pop("known")
    return OODDetector(fold, known, MahalanobisScore(**{**kept, "rest": float(kept["rest"])}))


def _keep(place: FoldFolder, fitted: OODDetector) -> None:
    try:
        place.write_ood({"known": fitted.known, **asdict(fitted.distance)})
    except OSError as error:  # a run may be attached to a kernel, where nothing can be written
        remark = f"what is unlike cannot be kept, and is fitted again next time ({error})"
        print(f"warning: {remark}", file=sys.stderr)
