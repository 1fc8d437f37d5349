"""A run on a competition whose test images are damaged: each row is submitted, each named."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd

from podium.competitions import get_competition
from podium.runs.run_folder import RunFolder
from torture.damage import Damaged, drawn
from torture.figures import Figure, say

RECIPE = """
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
TRAINED = 40  # sound training images, of two kinds
EVERY = 5  # damaged files, of which the sample tests one; training gets one of ten
LIMIT = 1800  # seconds


def damaged_run(files: list[Damaged], scratch: Path, quick: bool) -> list[Figure]:
    """Train a competition that has damaged images in training and test, and classify them."""
    competition = get_competition("clocks-or-crocs")
    data = scratch / "input" / competition.slug
    tests = {f"test-{n}": file for n, file in enumerate(files[:: EVERY if quick else 1])}
    _link(tests, data / "test")
    for number, name in enumerate(competition.classes * (TRAINED // 2)):
        place = data / "train" / name
        place.mkdir(parents=True, exist_ok=True)
        drawn(1000 + number).save(place / f"{number}.png")
    _link({f"hurt-{n}": file for n, file in enumerate(files[::10])}, data / "train" / "clock")
    entry = scratch / "kernels" / "hurt"
    entry.mkdir(parents=True)
    (entry / "recipe.toml").write_text(RECIPE)
    say("training with damaged images")
    trained = _podium(scratch, "train", "hurt")
    if trained.returncode:
        return [Figure("runs on damaged images that fail", 1, "= 0", trained.stderr[-1500:])]
    submitted = pd.read_csv(scratch / "submissions" / "hurt.csv", dtype=str)
    table = RunFolder(scratch / "weights" / "hurt").read_images()
    problems = table[table["part"] == "test"]["problem"]
    lost = set(tests) ^ set(submitted["id"])
    wrong = [
        f"{file.what}: {problems[name]!r}"
        for name, file in tests.items()
        if name in problems and _is_wrong(file, data / "test", name, problems[name])
    ]
    answers = set(submitted["label"]) - set(competition.classes)
    figures = [
        Figure("test rows lost or invented", len(lost), "= 0", f"of {len(tests)}"),
        Figure("test rows without a class", len(answers), "= 0"),
        Figure("test images wrongly named", len(wrong), "= 0", "; ".join(wrong[:3])),
        Figure("test images that got the class prior", int((problems != "").sum())),
    ]
    return figures if quick else [*figures, _classified(scratch, data / "test", problems)]


def _link(files: dict[str, Damaged], folder: Path) -> None:
    """Other names for the same files: ids without ending must differ."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, file in files.items():
        (folder / f"{name}{file.path.suffix}").symlink_to(file.path)


def _is_wrong(file: Damaged, folder: Path, name: str, problem: str) -> bool:
    if not problem:
        return file.must == "be named"
    return file.must == "be read" or not problem.startswith(f"{folder / name}{file.path.suffix}: ")


def _classified(scratch: Path, folder: Path, problems: pd.Series) -> Figure:
    """`podium classify` of the same folder: a row for each file, and exit code 1."""
    done = _podium(scratch, "classify", "hurt", str(folder), "--csv", "answers.csv")
    with (scratch / "answers.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    asked = sum(path.is_file() for path in folder.iterdir())  # a folder's pipes are no images
    silent = sum(not any(row.values()) for row in rows)
    bad = abs(asked - len(rows)) + silent + (done.returncode != 1)
    return Figure(
        "files that classify does not answer for", bad, "= 0", done.stderr[-300:] if bad else ""
    )


def _podium(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of Podium in a process of its own, which finds nothing but the project."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("PODIUM_")}
    return subprocess.run(
        [sys.executable, "-c", "from podium.cli import main; main()", *words],
        cwd=project,
        env=inherited,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
