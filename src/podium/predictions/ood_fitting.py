"""What is unlike anything in a run's training: fitted once, to pictures that it has, and kept.

Warnings go to the error stream: the other one may be a CSV.
"""

import sys
from dataclasses import asdict

import numpy as np
from tqdm import tqdm

from podium.competitions import Competition
from podium.competitions.base import MissingData
from podium.data.splits import HELD_OUT
from podium.data.table import Table, read_table
from podium.files.images import UnreadablePicture, read_picture
from podium.predictions.ood import Distance, Unlikeness, doubt, fit_distance
from podium.predictions.predictor import Looker
from podium.predictions.tta import VIEWS
from podium.recipes.recipe import Recipe
from podium.runs.fold_folder import FoldFolder, RunError
from podium.runs.run_folder import RunFolder

REFERENCE = 1000  # training pictures that distances are measured from
JUDGED = 600  # pictures out of fold: the interval of 5 % is then 3.4 to 6.9 %
AT_ONCE = 128  # pictures in memory


def find_unlikeness(
    folder: RunFolder, competition: Competition, looker: Looker, fold: int
) -> Unlikeness:
    """What a fold's network finds unlike: as it was kept, or fitted now.

    Args:
        looker: with the weights of this fold.
    """
    recipe = folder.read_recipe()
    if recipe.head.centres:
        # Measured: features that were not learnt tell the known kind from others hardly at all.
        return _by_doubt(folder, fold, "its features are not learnt")
    place = folder.fold(fold)
    kept = _read(place, fold)
    if kept is not None:
        return kept
    try:
        table = read_table(competition, folder)
        fitted = _fit(table, recipe, looker, fold)
    except (MissingData, RunError, UnreadablePicture) as error:
        return _by_doubt(folder, fold, f"the training pictures are not at hand: {error}")
    _keep(place, fitted)
    return fitted


def _by_doubt(folder: RunFolder, fold: int, remark: str) -> Unlikeness:
    """From the kept predictions, which need no picture."""
    predicted = folder.fold(fold).read_predictions("validation")
    plain = predicted[predicted.index.get_level_values("view") == VIEWS[0].name]
    return Unlikeness(fold, doubt(plain.to_numpy()), remark=remark)


def _fit(table: Table, recipe: Recipe, looker: Looker, fold: int) -> Unlikeness:
    """Measure distances from pictures of the training to others that the network has not seen."""
    folds = table.train["fold"].to_numpy()
    seen = _some(np.flatnonzero((folds != fold) & (folds != HELD_OUT)), REFERENCE)
    unseen = _some(np.flatnonzero((folds == fold) | (folds == HELD_OUT)), JUDGED)
    chosen = np.concatenate([seen, unseen])
    paths = table.train["path"].to_numpy()[chosen]
    parts = []
    with tqdm(
        total=len(chosen), desc="what is known, once", unit=" pictures", delay=2, leave=False
    ) as bar:
        for start in range(0, len(chosen), AT_ONCE):
            some = paths[start : start + AT_ONCE]
            pictures = [looker.shrink(read_picture(path, looker.side)) for path in some]
            parts.append(looker.look(pictures, VIEWS[:1]).features)
            bar.update(len(some))
    features = np.concatenate(parts)
    distance = fit_distance(features[: len(seen)], table.train["label"].to_numpy()[seen])
    return Unlikeness(fold, distance(features[len(seen) :]), distance)


def _some(positions: np.ndarray, most: int) -> np.ndarray:
    """Up to so many of them, evenly chosen: the table is in the order of ids, often by class."""
    chosen = np.linspace(0, len(positions) - 1, min(most, len(positions)))
    return positions[chosen.round().astype(int)]


def _read(place: FoldFolder, fold: int) -> Unlikeness | None:
    """What was kept, if the weights are still those that it was fitted to."""
    try:
        kept = place.read_unlikeness()
    except ValueError as error:
        print(f"warning: {error}: it is fitted again", file=sys.stderr)
        return None
    if kept is None:
        return None
    known = kept.pop("known")
    return Unlikeness(fold, known, Distance(**{**kept, "rest": float(kept["rest"])}))


def _keep(place: FoldFolder, fitted: Unlikeness) -> None:
    try:
        place.write_unlikeness({"known": fitted.known, **asdict(fitted.distance)})
    except OSError as error:  # a run may be attached to a kernel, where nothing can be written
        remark = f"what is unlike cannot be kept, and is fitted again next time ({error})"
        print(f"warning: {remark}", file=sys.stderr)
