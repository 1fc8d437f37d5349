"""What the network of a fold has seen, so that nothing of it leaks into the score of another."""

import pandas as pd

from podium.runs.run_folder import RunFolder
from podium.runs.table import HELD_OUT, Table, stored_table


def scored_by(table: Table, fold: int) -> pd.Index:
    """Ids of the training images that a fold is scored on."""
    folds = table.train["fold"]
    return folds.index[folds.isin([fold, HELD_OUT])]


def leak_reason(run: RunFolder, fold: int, scored: pd.Index) -> str:
    """Why the network of a run's fold knows labels of these images, or may; "" if it does not.

    It must have scored each of them itself: of one that it merely lacks, it may have seen a copy.
    """
    theirs = stored_table(run).train["fold"].reindex(scored)
    seen = len(scored) - int(theirs.isin([fold, HELD_OUT]).sum())
    if seen:
        return (
            f"{run.name} has another split: {seen} of the {len(scored)} images that are scored "
            "here are not scored by that fold there"
        )
    its_own = run.fold(fold)
    if run.read_recipe().pseudo_runs and (
        its_own.read_pseudo() is None or its_own.pseudo_label_leak
    ):
        return f"{run.name} was itself trained on pseudo-labels that know them"
    return ""
