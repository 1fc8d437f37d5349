"""Many short stages in one process: memory and open files do not grow.

    python -m torture.long_runs [--quick]

Two runs of `sample-b0` on the smallest backbone: 200 stages in one fold, the head on cached
features and the upper half in turn, and the same number spread over eight folds. As each stage
begins, its process is looked at from outside.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from torture.figures import ROOT, Figure, main, say
from torture.kills import RUN, SMALL, draw_project

COMMAND = "from podium.cli import main; main()"
HEAD = "{unfreeze='head', epochs=1, learning_rate=1e-3}"
HALF = "{unfreeze='half', epochs=1, learning_rate=1e-3}"
TITLE = re.compile(r"stage \d+ of \d+: ")  # as a stage begins


@dataclass(frozen=True)
class Shape:
    """How long a run is, and from which stage on it may not grow any more.

    Args:
        megabytes: a stage, that it may grow by all the same.
    """

    folds: int
    stages: int  # of each fold
    settled: int
    megabytes: float

    @property
    def what(self) -> str:
        folds = f"{self.folds} folds of " if self.folds > 1 else ""
        return f"{folds}{self.stages} stages"

    @property
    def words(self) -> list[str]:
        stages = ", ".join((HEAD, HALF)[number % 2] for number in range(self.stages))
        split = ["shares=[]", f"folds={self.folds}"] if self.folds > 1 else []
        changes = [SMALL, "image_size=16", "cached_views=1", *split, f"stages=[{stages}]"]
        return ["train", "sample-b0", "--run", RUN, *(w for one in changes for w in ("--set", one))]


@dataclass(frozen=True)
class Look:
    """A process as a stage of it begins."""

    megabytes: float
    open_files: int
    threads: int


FULL = (Shape(1, 200, 20, 0.25), Shape(8, 25, 25, 0.25))
QUICK = (Shape(1, 14, 5, 3.0),)


def campaign(quick: bool, scratch: Path) -> list[Figure]:
    figures = []
    for shape in QUICK if quick else FULL:
        project = scratch / str(shape.folds)
        draw_project(project, 80, 8, (32, 24))
        looks = list(train(project, shape))
        figures += judge(shape, looks)
    return figures


def train(project: Path, shape: Shape) -> Iterator[Look]:
    """Train; a look as each stage begins."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    with (
        (project / "log.txt").open("w") as log,
        subprocess.Popen(
            [sys.executable, "-c", COMMAND, *shape.words],
            cwd=project,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        for line in process.stdout:
            log.write(line)
            if TITLE.match(line):
                yield look(process.pid)
    if process.returncode:
        raise RuntimeError((project / "log.txt").read_text()[-3000:])


def look(pid: int) -> Look:
    place = Path("/proc", str(pid))
    about = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
    resident = int(about["VmRSS"].split()[0]) * 1024 / 1e6
    return Look(resident, len(list((place / "fd").iterdir())), int(about["Threads"]))


def judge(shape: Shape, looks: list[Look]) -> list[Figure]:
    """What is held after the first stages, which fill caches and pools."""
    later = looks[shape.settled :]
    megabytes = np.array([one.megabytes for one in later])
    slope = float(np.polyfit(np.arange(len(later)), megabytes, 1)[0])
    say(f"  {shape.what}: MB {[round(one.megabytes) for one in looks]}")
    files = max(one.open_files for one in later) - later[0].open_files
    threads = np.array([one.threads for one in later])
    tail = max(len(later) // 10, 2)
    return [
        Figure(f"{shape.what}: stages", len(looks), f"= {shape.folds * shape.stages}"),
        Figure(f"{shape.what}: MB as number {shape.settled + 1} begins", megabytes[0]),
        Figure(f"{shape.what}: MB a stage from then on", slope, f"≤ {shape.megabytes}"),
        Figure(f"{shape.what}: open files more than then", files, "≤ 0"),
        Figure(
            f"{shape.what}: threads more than then",
            float(np.median(threads[-tail:]) - np.median(threads[:tail])),
            "≤ 4",
            "TensorFlow's pools",
        ),
    ]


if __name__ == "__main__":
    main(campaign)
