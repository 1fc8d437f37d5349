"""Projects with one entry, `tiny`, on drawn images; Podium's commands in them; what they leave."""

import csv
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

from podium.competitions.sample_drawing import draw_sample
from robustness.figures import ROOT

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
# A run of hardly more than a second, of images of two kinds.
PATCHES = """
competition = "clocks-or-crocs"
backbone = "patches"
weights = "none"
image_size = 32
folds = 2
views = 1
cached_views = 1
broken_images = "skip"
stages = [{ unfreeze = "head", solver = "kernel" }]
head = { width = 0, dropout = 0.0, centers = 20 }
augmentation = { mirror = false, crop = 1.0, rotate = 0.0, light = 0.0, color = 0.0 }
"""
PATIENCE = 1800  # seconds that a command may take, on a machine that others use too


def sample_recipe() -> str:
    """The recipe of the entry `sample-b0`, but for a key of EfficientNet alone."""
    text = (ROOT / "kernels" / "sample-b0" / "recipe.toml").read_text(encoding="utf-8")
    return re.sub("\ndrop_connect.*", "", text)  # the package's own: each step is random


def write_entry(project: Path, recipe: str) -> None:
    folder = project / "kernels" / RUN
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text(recipe, encoding="utf-8")


def make_project(
    project: Path, recipe: str, train: int = 48, test: int = 9, size: tuple[int, int] = (32, 24)
) -> None:
    """A project with this recipe, and so many small images of the sample competition."""
    write_entry(project, recipe)
    draw_sample(project / "input" / "podium-sample", train, test, size=size)


def train(changes: Iterable[str] = (), run: str = RUN) -> list[str]:
    """Words of a command that trains the entry, with these changes of its recipe."""
    return ["train", RUN, "--run", run, *(word for one in changes for word in ("--set", one))]


def podium(
    project: Path, *words: str, cores: int | None = None
) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, which finds nothing but the project."""
    chosen = sorted(os.sched_getaffinity(0))[:cores]
    return subprocess.run(
        [sys.executable, "-c", "from podium.cli import main; main()", *words],
        cwd=project,
        env=environment(),
        preexec_fn=lambda: os.sched_setaffinity(0, chosen),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def environment() -> dict[str, str]:
    """This process' variables without Podium's; its sources and this package can be imported."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("PODIUM_")}
    paths = (ROOT / "src", ROOT / "tests")
    return {**inherited, "PYTHONPATH": os.pathsep.join(map(str, paths))}


def broken_files(project: Path, leftovers: bool = False) -> Iterator[str]:
    """The files of weights/ and submissions/ that are incomplete.

    Args:
        leftovers: files under a temporary name may be there.
    """
    for path in (*project.glob("weights/**/*"), *project.glob("submissions/*")):
        try:
            if path.name.startswith(".") or ".locks" in path.parts:
                if leftovers or ".locks" in path.parts:
                    continue
                raise ValueError("is a leftover")
            if path.is_file():
                READERS[path.suffix](path)
        except Exception as error:  # whatever a reader raises of half a file
            yield f"{path.relative_to(project)}: {error!r}"


def _read_csv(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if not text.endswith("\n"):
        raise ValueError("the last line does not end")
    widths = {len(row) for row in csv.reader(text.splitlines())}
    if len(widths) != 1:
        raise ValueError(f"rows of {sorted(widths)} columns")


def _read_h5(path: Path) -> None:
    sizes: list[int] = []
    with h5py.File(path, "r") as file:
        file.visititems(
            lambda _, node: sizes.append(node[()].size) if isinstance(node, h5py.Dataset) else None
        )
    if not sizes:
        raise ValueError("no weights in it")


def _read_npz(path: Path) -> None:
    with np.load(path, allow_pickle=False) as arrays:
        for name in arrays.files:  # checksums are compared
            _ = arrays[name]


def _read_html(path: Path) -> None:
    if not path.read_text(encoding="utf-8").rstrip().endswith("</html>"):
        raise ValueError("the page does not end")


# What raises unless a file is complete, by its ending.
READERS: dict[str, Callable[[Path], object]] = {
    ".json": lambda path: json.loads(path.read_text(encoding="utf-8")),
    ".csv": _read_csv,
    ".h5": _read_h5,
    ".npz": _read_npz,
    ".png": lambda path: Image.open(path).load(),
    ".db": lambda path: sqlite3.connect(path).execute("pragma integrity_check").fetchall(),
    ".html": _read_html,
}
