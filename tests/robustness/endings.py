"""Two runs that should end alike, compared."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from robustness.projects import RUN

SAME_BYTES = ("best.weights.h5", "out_of_fold.csv", "test.csv", "validation.csv", "pictures.csv")


@dataclass
class Ending:
    """A run beside another.

    Args:
        difference: the largest between two probabilities; infinite where it cannot be told.
        wrong: what else is not alike, in words.
        other_bytes: weights, tables and submissions that are not the same bytes.
    """

    difference: float = np.inf
    wrong: list[str] = field(default_factory=list)
    other_bytes: list[str] = field(default_factory=list)


def compare(project: Path, undisturbed: Path) -> Ending:
    """The run of one project beside that of another."""
    ending = Ending()
    runs = [folder / "weights" / RUN for folder in (project, undisturbed)]
    names, expected = ({p.relative_to(r) for p in r.rglob("*") if p.is_file()} for r in runs)
    ending.wrong += [f"{name} is there only in one of them" for name in sorted(names ^ expected)]
    if expected - names:
        return ending
    pairs = {str(name): [run / name for run in runs] for name in sorted(names & expected)}
    pairs["the submission"] = [
        folder / "submissions" / f"{RUN}.csv" for folder in (project, undisturbed)
    ]
    differences = [0.0]
    for name, (path, other) in pairs.items():
        if path.name == "history.csv":
            _compare_histories(name, pd.read_csv(path), pd.read_csv(other), ending)
        must_be_same = name == "the submission" or path.name in SAME_BYTES or "checkpoints/" in name
        if must_be_same and path.read_bytes() != other.read_bytes():
            ending.other_bytes.append(name)
        if name in ("out_of_fold.csv", "test.csv", "the submission"):
            differences.append(_difference(name, path, other, ending))
    ending.difference = max(differences)
    return ending


def _compare_histories(
    name: str, history: pd.DataFrame, expected: pd.DataFrame, ending: Ending
) -> None:
    """Each epoch once, with about the same losses."""
    place = ["stage", "epoch"]
    if not history[place].equals(expected[place]):
        ending.wrong.append(f"{name} has other epochs")
        return
    for column in ("loss", "val_loss", "learning_rate"):
        if not np.allclose(history[column], expected[column], rtol=1e-3, atol=1e-6):
            ending.wrong.append(f"{name}: another {column}")


def _difference(name: str, path: Path, other: Path, ending: Ending) -> float:
    """The largest difference of a probability; the rows must be the same."""
    table, expected = (pd.read_csv(one, index_col=0) for one in (path, other))
    if not table.index.equals(expected.index) or not table.columns.equals(expected.columns):
        ending.wrong.append(f"{name} has other ids")
        return np.inf
    if name == "the submission":  # of classes
        return 0.0
    return float(np.abs(table.to_numpy() - expected.to_numpy()).max())
