"""Leakage: whether a fold's network has been trained on images that another fold is scored on."""

import pandas as pd

from podium.competitions import get_competition
from podium.runs.run_folder import RunFolder
from podium.runs.table import HELD_OUT, Table, stored_table


def scored_by(table: Table, fold: int) -> pd.Index:
    """Ids of the training images that a fold is scored on."""
    folds = table.train["fold"]
    return folds.index[folds.isin([fold, HELD_OUT])]


def split_leak(run: RunFolder, fold: int, scored: pd.Index) -> str:
    """Why the split of a run lets its fold train on these images, or on copies; "" if it does not.

    The fold must score each of them: of an image that the run merely lacks, it may have a copy.
    """
    folds = stored_table(run).train["fold"].reindex(scored)
    trained = len(scored) - int(folds.isin([fold, HELD_OUT]).sum())
    if not trained:
        return ""
    return (
        f"{run.name} has another split: {trained} of the {len(scored)} images that are scored here "
        "are not scored by that fold there"
    )


def leak_reason(run: RunFolder, fold: int, scored: pd.Index, competition: str) -> str:
    """Why a fold's network may know labels of these training images; "" if it does not."""
    recipe, folder, images = run.read_recipe(), run.fold(fold), _image_source(competition)
    lineage = folder.read_start()
    if _image_source(recipe.competition) == images:
        # Its lineage was checked against what it scores itself, among which these images are.
        if leak := split_leak(run, fold, scored):
            return leak
        unknown = recipe.pseudo_runs and folder.read_pseudo() is None
        leaky = unknown or folder.pseudo_label_leak
        return f"{run.name} was itself trained on leaky pseudo-labels" if leaky else ""
    if recipe.started_from and not lineage:
        return f"{run.name} does not say what its fold {fold} was started from"
    related = [row["run"] for row in lineage if _image_source(row["competition"]) == images]
    return f"{run.name} was started from {related[0]}, which knows these images" if related else ""


def _image_source(competition: str) -> str:
    """The competition whose training images these are."""
    return get_competition(competition).same_images_as or competition
