"""How alike two runs end that should end alike."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from podium.runs.run_folder import RunFolder

SAME_BYTES = ("best.weights.h5", "out_of_fold.csv", "test.csv", "validation.csv", "pictures.csv")


@dataclass
class Ending:
    """A run beside another.

    Args:
        difference: the largest between two probabilities; infinite where it cannot be told.
        wrong: what else is not alike, in words.
        other_bytes: files of `SAME_BYTES` and submissions that are not the same bytes.
    """

    difference: float = np.inf
    wrong: list[str] = field(default_factory=list)
    other_bytes: list[str] = field(default_factory=list)


def compare(project: Path, undisturbed: Path, run: str) -> Ending:
    """The run of that name in one project beside that in another."""
    mine, theirs = (RunFolder(one / "weights" / run) for one in (project, undisturbed))
    ending = Ending()
    names, others = (_names(one / "weights" / run) for one in (project, undisturbed))
    for name in sorted(names ^ others):
        ending.wrong.append(f"{name} is there only {'here' if name in names else 'undisturbed'}")
    if others - names:
        return ending
    submissions = [one / "submissions" / f"{run}.csv" for one in (project, undisturbed)]
    tables = [(one, mine.path / one, theirs.path / one) for one in sorted(names)]
    for name, one, other in [*tables, ("the submission", *submissions)]:
        same_kind = one.name in SAME_BYTES or "checkpoints/" in name or name == "the submission"
        if same_kind and one.read_bytes() != other.read_bytes():
            ending.other_bytes.append(name)
    _compare_submissions(*submissions, ending)
    _compare_histories(mine, theirs, ending)
    _compare_probabilities(mine, theirs, ending)
    return ending


def _names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def _compare_submissions(one: Path, other: Path, ending: Ending) -> None:
    mine, theirs = pd.read_csv(one, dtype=str), pd.read_csv(other, dtype=str)
    key = mine.columns[0]
    if list(mine.columns) != list(theirs.columns) or mine[key].tolist() != theirs[key].tolist():
        ending.wrong.append("the submission has other ids")


def _compare_histories(mine: RunFolder, theirs: RunFolder, ending: Ending) -> None:
    """Each epoch once, with about the same losses."""
    for fold in theirs.scored_folds():
        one, other = mine.fold(fold).read_history(), theirs.fold(fold).read_history()
        if one[["stage", "epoch"]].to_numpy().tolist() != other[["stage", "epoch"]].values.tolist():
            ending.wrong.append(f"fold {fold} has another history")
            continue
        for column in ("loss", "val_loss", "learning_rate"):
            if not np.allclose(one[column], other[column], rtol=1e-3, atol=1e-6):
                ending.wrong.append(f"fold {fold}: another {column}")


def _compare_probabilities(mine: RunFolder, theirs: RunFolder, ending: Ending) -> None:
    differences = []
    for name in ("out_of_fold", "test"):
        one, other = mine.read_probabilities(name), theirs.read_probabilities(name)
        if one.index.tolist() != other.index.tolist():
            ending.wrong.append(f"{name}.csv has other ids")
            return
        differences.append(float(np.abs(one.to_numpy() - other.to_numpy()).max()))
    ending.difference = max(differences)
