"""Many short stages in one process: memory and open files do not grow.

    python -m torture.long_runs [--quick]

Two runs of `sample-b0` on the smallest backbone: 200 stages in one fold, the head on cached
features and the upper half in turn, and as many spread over eight folds. As each one begins, its
process is looked at from outside.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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
        megabytes: that the largest of its second half may be above the largest before it.
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


FULL = (Shape(1, 200, 20, 10.0), Shape(8, 25, 25, 10.0))
QUICK = (Shape(1, 10, 4, 15.0),)


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
    """What the second half holds more than the first: the first stages fill caches and pools."""
    say(f"  {shape.what}: MB {[round(one.megabytes) for one in looks]}")
    later = looks[shape.settled :]
    half = len(later) // 2

    def grown(what: str) -> float:
        values = [getattr(one, what) for one in later]
        return max(values[half:]) - max(values[:half])

    return [
        Figure(f"{shape.what}: stages", len(looks), f"= {shape.folds * shape.stages}"),
        Figure(f"{shape.what}: MB at the most", max(one.megabytes for one in later)),
        Figure(f"{shape.what}: of it grown", grown("megabytes"), f"≤ {shape.megabytes}"),
        Figure(f"{shape.what}: open files grown", grown("open_files"), "≤ 0"),
        Figure(f"{shape.what}: threads grown", grown("threads"), "≤ 4", "TensorFlow's pools"),
    ]


if __name__ == "__main__":
    main(campaign)
