"""Many short stages in one process: memory and open files do not grow.

Two runs on the smallest backbone: 200 stages in one fold, the head on cached features and the
upper half in turn, and as many spread over eight folds. As each one begins, its process is looked
at from outside.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from robustness.figures import Figure, say
from robustness.projects import SMALL, environment, make_project, sample_recipe, train

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
    def changes(self) -> list[str]:
        stages = ", ".join((HEAD, HALF)[number % 2] for number in range(self.stages))
        split = ["shares=[]", f"folds={self.folds}"] if self.folds > 1 else []
        return [SMALL, "image_size=16", "cached_views=1", *split, f"stages=[{stages}]"]


FULL = (Shape(1, 200, 20, 10.0), Shape(8, 25, 25, 10.0))
QUICK = (Shape(1, 10, 4, 15.0),)


def campaign(quick: bool, scratch: Path) -> list[Figure]:
    figures = []
    for shape in QUICK if quick else FULL:
        project = scratch / str(shape.folds)
        make_project(project, sample_recipe(), 80, 8)
        figures += judge(shape, list(looks_at(project, shape)))
    return figures


def looks_at(project: Path, shape: Shape) -> Iterator[tuple[float, int, int]]:
    """Train; as each stage begins, the process' megabytes, open files and threads."""
    said = []
    with subprocess.Popen(
        [sys.executable, "-c", "from podium.cli import main; main()", *train(shape.changes)],
        cwd=project,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        about = psutil.Process(process.pid)
        for line in process.stdout:
            said.append(line)
            if TITLE.match(line):
                yield about.memory_info().rss / 1e6, about.num_fds(), about.num_threads()
    if process.returncode:
        raise RuntimeError("".join(said)[-3000:])


def judge(shape: Shape, looks: list[tuple[float, int, int]]) -> list[Figure]:
    """What the second half holds more than the first: the first stages fill caches and pools."""
    say(f"  {shape.what}: MB {[round(megabytes) for megabytes, _, _ in looks]}")
    later = looks[shape.settled :]
    half = len(later) // 2
    halves = (later[:half], later[half:])
    before, after = ([max(column) for column in zip(*part, strict=True)] for part in halves)
    megabytes, files, threads = (more - less for more, less in zip(after, before, strict=True))
    return [
        Figure(f"{shape.what}: stages", len(looks), f"= {shape.folds * shape.stages}"),
        Figure(f"{shape.what}: MB at the most", max(before[0], after[0])),
        Figure(f"{shape.what}: of it grown", megabytes, f"≤ {shape.megabytes}"),
        Figure(f"{shape.what}: open files grown", files, "≤ 0"),
        Figure(f"{shape.what}: threads grown", threads, "≤ 4", "TensorFlow's pools"),
    ]
