"""Many short stages in one process: memory and open files do not grow.

Two runs on the smallest backbone: 200 stages in one fold, the head on cached features and the
upper half in turn, and as many spread over eight folds. As each one begins, its process is looked
at from outside.
"""

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil

from robustness.figures import Figure, say
from robustness.projects import PODIUM, SMALL, environment, make_project, sample_recipe, train

HEAD = "{unfreeze='head', epochs=1, learning_rate=1e-3}"
HALF = "{unfreeze='half', epochs=1, learning_rate=1e-3}"
TITLE = re.compile(r"stage \d+ of \d+: ")  # as a stage begins
# Folds, stages of each, how many of them may grow, and the megabytes that the later half may have
# more than the half before it.
FULL = ((1, 200, 20, 10.0), (8, 25, 25, 10.0))
QUICK = ((1, 10, 4, 15.0),)


def campaign(quick: bool, scratch: Path) -> list[Figure]:
    figures = []
    for folds, stages, settled, megabytes in QUICK if quick else FULL:
        project, what = scratch / str(folds), f"{folds} × {stages} stages"
        make_project(project, sample_recipe(), 80, 8)
        all_stages = ", ".join((HEAD, HALF)[number % 2] for number in range(stages))
        split = ["shares=[]", f"folds={folds}"] if folds > 1 else []
        changes = [SMALL, "image_size=16", "cached_views=1", *split, f"stages=[{all_stages}]"]
        looks = list(looks_at(project, changes))
        say(f"  {what}: MB {[round(memory) for memory, _, _ in looks]}")
        later = looks[settled:]
        before, after = (half.max(axis=0) for half in np.array_split(later, 2))
        grown = after - before
        figures += [
            Figure(f"{what} that began", len(looks), f"= {folds * stages}"),
            Figure(f"{what}: MB at the most", max(before[0], after[0])),
            Figure(f"{what}: of it grown", grown[0], f"≤ {megabytes}"),
            Figure(f"{what}: open files grown", grown[1], "≤ 0"),
            Figure(f"{what}: threads grown", grown[2], "≤ 4", "TensorFlow's pools"),
        ]
    return figures


def looks_at(project: Path, changes: list[str]) -> Iterator[tuple[float, int, int]]:
    """Train; as each stage begins, the process' megabytes, open files and threads."""
    said = []
    with subprocess.Popen(
        [*PODIUM, *train(changes)],
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
                files = []
                for _ in range(5):  # the fewest of some looks: one may be written at the moment
                    files.append(about.num_fds())
                    time.sleep(0.01)
                yield about.memory_info().rss / 1e6, min(files), about.num_threads()
    if process.returncode:
        raise RuntimeError("".join(said)[-3000:])
