"""Projects with one entry, `tiny`, on drawn images; Podium's commands in them; what they leave."""

import csv
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from PIL import Image

from podium.competitions.sample_drawing import draw_sample
from robustness.figures import ROOT
from small_competitions import write_entry
from small_runs import files

RUN = "tiny"
SMALL = "backbone='resnet-8'"  # traced in a fraction of the time
# A run of seconds, which writes files of most kinds.
TINY = """
competition = "sample"
backbone = "resnet-small"
weights = "none"
train_batchnorm = true
image_size = 16
batch_size = 8
shares = [0.5, 0.5]
views = 2
cached_views = 2
cached_gb = 0.0 # on the disk
checkpoints = 1
head = { width = 8 }
stages = [{ unfreeze = "head", epochs = 2, learning_rate = 0.001 }]
"""
PATIENCE = 1800  # seconds that a command may take, on a machine that others use too
PODIUM = (sys.executable, "-c", "from podium.cli import main; main()")
# Files and folders with times in them. Of histories the EPOCH is compared all the same.
TIMES = {
    *("run.json", "cost.json", "score.json", "report.html"),
    *("experiments", "experiments.csv", "studies.db"),
}
EPOCH = ["stage", "epoch", "loss", "val_loss", "learning_rate"]


def sample_recipe() -> str:
    """The recipe of the entry `sample-b0`, but for a key of EfficientNet alone."""
    text = (ROOT / "kernels" / "sample-b0" / "recipe.toml").read_text(encoding="utf-8")
    return re.sub("\ndrop_connect.*", "", text)  # the package's own: each step is random


def make_project(
    project: Path, recipe: str, train: int = 48, test: int = 9, size: tuple[int, int] = (32, 24)
) -> None:
    """A project with this recipe, and so many small images of the sample competition."""
    write_entry(project, RUN, recipe)
    draw_sample(project / "input" / "podium-sample", train, test, size=size)


def train(changes: Iterable[str] = (), run: str = RUN) -> list[str]:
    """Words of a command that trains the entry, with these changes of its recipe."""
    return ["train", RUN, "--run", run, *(word for one in changes for word in ("--set", one))]


def podium(
    project: Path, *words: str, cores: int | None = None, check: bool = False
) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, which finds nothing but the project.

    Raises:
        RuntimeError: it had to end well and did not; with the end of what it said.
    """
    chosen = sorted(os.sched_getaffinity(0))[:cores]
    done = subprocess.run(
        [*PODIUM, *words],
        cwd=project,
        env=environment(),
        preexec_fn=lambda: os.sched_setaffinity(0, chosen),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    if check and done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return done


def environment() -> dict[str, str]:
    """This process' variables without Podium's; its sources and this package can be imported."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("PODIUM_")}
    paths = (ROOT / "src", ROOT / "tests")
    return {**inherited, "PYTHONPATH": os.pathsep.join(map(str, paths))}


def compare(project: Path, undisturbed: Path) -> tuple[list[str], list[str]]:
    """The files that only one of the projects has, and those of other content, but for TIMES."""
    came, expected = (
        {
            name: _epochs(data) if name.endswith("/history.csv") else data
            for name, data in files(folder).items()
            if "__pycache__" not in name
        }
        for folder in (project, undisturbed)
    )
    both = sorted(name for name in came.keys() & expected if TIMES.isdisjoint(Path(name).parts))
    only = sorted(came.keys() ^ expected)
    return only, [name for name in both if came[name] != expected[name]]


def _epochs(history: bytes) -> str:
    return pd.read_csv(BytesIO(history))[EPOCH].to_csv()


def broken_files(project: Path, leftovers: bool = False) -> Iterator[str]:
    """The files of weights/ and submissions/ that are incomplete.

    Args:
        leftovers: files under a temporary name may be there.
    """
    for path in (*project.glob("weights/**/*"), *project.glob("submissions/*")):
        if ".locks" in path.parts or (leftovers and path.name.startswith(".")):
            continue
        try:
            if path.name.startswith("."):
                raise ValueError("is a leftover")
            if path.is_file():
                READERS[path.suffix](path)
        except Exception as error:  # whatever a reader raises of half a file
            yield f"{path.relative_to(project)}: {error!r}"


def _read_text(path: Path, end: str | tuple[str, ...]) -> str:
    text = path.read_text(encoding="utf-8")
    if not text.endswith(end):
        raise ValueError(f"ends with {text[-20:]!r}")
    return text


def _read_csv(path: Path) -> None:
    widths = {len(row) for row in csv.reader(_read_text(path, "\n").splitlines())}
    if len(widths) != 1:
        raise ValueError(f"rows of {sorted(widths)} columns")


def _read_h5(path: Path) -> None:
    names: list[str] = []
    with h5py.File(path) as file:
        file.visit(names.append)
        if not [file[name][()] for name in names if isinstance(file[name], h5py.Dataset)]:
            raise ValueError("no weights in it")


# What raises unless a file is complete, by its ending.
READERS: dict[str, Callable[[Path], object]] = {
    ".json": lambda path: json.loads(path.read_text(encoding="utf-8")),
    ".csv": _read_csv,
    ".h5": _read_h5,
    ".npz": lambda path: dict(np.load(path)),  # checksums are compared
    ".png": lambda path: Image.open(path).load(),
    ".db": lambda path: sqlite3.connect(path).execute("pragma integrity_check").fetchall(),
    ".html": lambda path: _read_text(path, ("</html>", "</html>\n")),
}
