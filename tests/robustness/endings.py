"""Two runs that should end alike, compared."""

from pathlib import Path

import numpy as np
import pandas as pd

from robustness.projects import RUN

SAME_BYTES = ("best.weights.h5", "out_of_fold.csv", "test.csv", "validation.csv", "pictures.csv")


def compare(project: Path, undisturbed: Path) -> tuple[list[str], list[str]]:
    """The run of one project beside that of another.

    Returns:
        What is not alike, in words; and the weights, tables and submissions with other bytes.
    """
    runs = [folder / "weights" / RUN for folder in (project, undisturbed)]
    names, expected = ({p.relative_to(r) for p in r.rglob("*") if p.is_file()} for r in runs)
    wrong = [f"{name} is there only in one of them" for name in sorted(names ^ expected)]
    pairs = {str(name): [run / name for run in runs] for name in sorted(names & expected)}
    pairs["the submission"] = [
        folder / "submissions" / f"{RUN}.csv" for folder in (project, undisturbed)
    ]
    other_bytes = []
    for name, (path, other) in pairs.items():
        if path.name == "history.csv" and not _are_alike(pd.read_csv(path), pd.read_csv(other)):
            wrong.append(f"{name} has other epochs or losses")
        must_be_same = name == "the submission" or path.name in SAME_BYTES or "checkpoints/" in name
        if must_be_same and path.read_bytes() != other.read_bytes():
            other_bytes.append(name)
    return wrong, other_bytes


def _are_alike(history: pd.DataFrame, expected: pd.DataFrame) -> bool:
    """Whether each epoch is there once, with about the same losses."""
    place, values = ["stage", "epoch"], ["loss", "val_loss", "learning_rate"]
    return history[place].equals(expected[place]) and np.allclose(
        history[values], expected[values], rtol=1e-3, atol=1e-6
    )
