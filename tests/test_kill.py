"""A run that is killed at any moment goes on with the same command, and ends with the same."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from podium.run_folder import RunFolder
from small_competitions import make_project

RECIPE = """
competition = "{competition}"
backbone = "resnet-small"
weights = "none"
train_batchnorm = true
image_size = 16
batch_size = 4
shares = [0.5, 0.5]
views = 2
keep = "last"
checkpoints = 3
head = {{ width = 8 }}
stages = [
    {{ unfreeze = "head", epochs = 20, learning_rate = 0.001 }},
    {{ unfreeze = 2, epochs = 20, learning_rate = 0.0001 }},
]
"""
COMMAND = "import sys; from podium.cli import main; sys.argv = ['podium', *sys.argv[1:]]; main()"
PATIENCE = 240.0  # seconds until something that a test waits for must have happened


def start(project: Path) -> subprocess.Popen[bytes]:
    with (project / "log.txt").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-u", "-c", COMMAND, "train", "tiny"],
            cwd=project, stdout=log, stderr=log, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
        )  # fmt: skip


def finish(project: Path) -> RunFolder:
    process = start(project)
    assert process.wait(PATIENCE) == 0, (project / "log.txt").read_text()[-3000:]
    return RunFolder(project / "weights" / "tiny")


def kill_when(project: Path, happened: Callable[[Path], bool]) -> None:
    """Start the run, and kill it as soon as that has happened to its fold's folder."""
    process = start(project)
    fold = project / "weights" / "tiny" / "fold-0"
    until = time.monotonic() + PATIENCE
    while not happened(fold):
        assert process.poll() is None, (project / "log.txt").read_text()[-3000:]
        assert time.monotonic() < until, "it never came to where it was to be killed"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was over before it could be killed"


def rows(fold: Path) -> list[tuple[int, int]]:
    """Stage and epoch of each row of the history."""
    path = fold / "history.csv"
    if not path.is_file():
        return []
    table = pd.read_csv(path)
    return list(zip(table["stage"], table["epoch"], strict=True))


def writing(name: str) -> Callable[[Path], bool]:
    """While the file is being written: its temporary one is there."""
    return lambda fold: any(fold.glob(f".part-*-{name}"))


# In the order of a run; the same run is killed at all of them.
MOMENTS: dict[str, Callable[[Path], bool]] = {
    "before anything is trained": lambda fold: (fold.parent / "pictures.csv").is_file(),
    "after the first epoch of the head": lambda fold: len(rows(fold)) >= 1,
    "writing the state of the head": lambda fold: (
        len(rows(fold)) >= 6 and writing("state.npz")(fold)
    ),
    "as the second stage begins": lambda fold: len(rows(fold)) >= 20,
    "writing weights": lambda fold: len(rows(fold)) >= 24 and writing("best.weights.h5")(fold),
    "writing a checkpoint": lambda fold: (
        len(rows(fold)) >= 28 and writing("*.weights.h5")(fold / "checkpoints")
    ),
    "after the last epoch": lambda fold: len(rows(fold)) >= 40,
    "predicting": lambda fold: (fold / "validation.csv").is_file(),
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    project = tmp_path_factory.mktemp("undisturbed")
    make_project(project, "dogs-vs-cats", RECIPE)
    return finish(project)


def test_a_run_killed_again_and_again_ends_like_an_undisturbed_one(
    undisturbed: RunFolder, tmp_path: Path
) -> None:
    make_project(tmp_path, "dogs-vs-cats", RECIPE)
    for moment, happened in MOMENTS.items():
        kill_when(tmp_path, happened)
        print("killed", moment)
    killed = finish(tmp_path)

    assert not list(tmp_path.rglob(".part-*")), "nothing is left of killed writers"
    names = {path.relative_to(killed.path) for path in killed.path.rglob("*")}
    assert names == {path.relative_to(undisturbed.path) for path in undisturbed.path.rglob("*")}
    fold, other = killed.fold(0), undisturbed.fold(0)
    expected = [(stage, epoch) for stage in range(2) for epoch in range(20)]
    assert rows(fold.path) == expected, "each epoch once"
    for column in ("loss", "val_loss", "learning_rate"):
        np.testing.assert_allclose(
            fold.read_history()[column], other.read_history()[column], rtol=1e-3, atol=1e-6
        )
    assert fold.checkpoints() == [18, 19, 20]
    for name in ("out_of_fold", "test"):
        mine, theirs = killed.read_probabilities(name), undisturbed.read_probabilities(name)
        assert mine.index.tolist() == theirs.index.tolist()
        np.testing.assert_allclose(mine, theirs, atol=1e-5)
    mine, theirs = (
        pd.read_csv(run.path.parents[1] / "submissions" / "tiny.csv")
        for run in (killed, undisturbed)
    )
    assert mine["id"].tolist() == theirs["id"].tolist() == list(range(1, 12))
    np.testing.assert_allclose(mine["label"], theirs["label"], atol=1e-5)
    assert killed.read_score()["score"] == pytest.approx(undisturbed.read_score()["score"])
