"""Disks that are full or read-only, and too little memory: how a run ends on them.

The disk is a small tmpfs, filled up just before each write of a small run in turn; after making
room the same command must end as if nothing had been.
"""

import shutil
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from robustness.disks import disk, fill, locked
from robustness.figures import Figure, say
from robustness.processes import Ended, Harm, ended
from robustness.projects import RUN, TINY, broken_files, make_project, train

DISK = 64_000_000  # bytes
SAME = 1e-5  # of probabilities
LAST = ", { unfreeze = 1, epochs = 1, learning_rate = 0.0001 }]"  # another stage
# Free bytes to begin with: around the smallest files, and around what large ones ask for.
FREE = (0, 1, 4096, 8192, 16384, 65536, 262_144, 10**6, 3 * 10**6, 4 * 10**6, 4_500_000,
        4_800_000, 4_900_000, 5_000_000, 5_200_000, 5_600_000, 6_000_000, 6_400_000, 7_000_000,
        8_000_000)  # fmt: skip
LARGEST = (1, 100, 1000, 2000, 5000, 50_000, 500_000, 10**6, 4 * 10**6, 5 * 10**6)
# Megabytes that may still be added, TensorFlow being imported. Below the first one OpenBLAS may end
# the process, with a line of its own.
MEMORY = (100, 200, 300, 500, 700, 1000, 1500, 2000, 2200, 2300, 2500, 3000, 4000)


@dataclass
class Trials:
    """Commands that had too little of something, and what came of them."""

    what: str
    project: Path
    expected: pd.DataFrame  # probabilities of the undisturbed run
    tried: int = 0
    finished: int = 0  # in spite of it
    unclear: list[str] = field(default_factory=list)
    half: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)  # ended in other predictions, or in none

    @property
    def filler(self) -> Path:
        return self.project / "filler"

    def attempt(
        self,
        what: str,
        harm: Harm | None = None,
        read_only: Path | None = None,
        free: int | None = None,
        go_on: bool = True,
    ) -> None:
        """Run the command with too little of something, and again with enough of everything.

        Args:
            free: bytes that the disk has to begin with.
        """
        for name in ("weights", "submissions"):
            shutil.rmtree(self.project / name, ignore_errors=True)
            (self.project / name).mkdir()
        if free is not None:
            fill(self.filler, leave=free)
        with locked(read_only) if read_only else nullcontext():
            first = ended(self.project, train(), harm)
        say(f"{what}: exit {first.code}, {first.seconds:.0f} s, {first.last[:150]}")
        self.tried += 1
        self.filler.unlink(missing_ok=True)
        if first.code == 0:
            self.finished += 1
            self._judge(what, first)
        else:
            self.half += [f"{what}: {name}" for name in broken_files(self.project)]
            if not first.is_clear:
                self.unclear.append(f"{what}: exit {first.code}: {first.last[-200:]}")
        if go_on:
            self._judge(f"{what}, then", ended(self.project, train()))

    def _judge(self, what: str, one: Ended) -> None:
        """A run that had to end like the undisturbed one."""
        self.half += [f"{what}: {name}" for name in broken_files(self.project)]
        if one.code:
            self.other.append(f"{what}: exit {one.code}: {one.last[-200:]}")
            return
        found = probabilities(self.project)
        if list(found.index) != list(self.expected.index):
            self.other.append(f"{what}: other ids")
        elif not np.allclose(found, self.expected, atol=SAME):
            self.other.append(f"{what}: other probabilities")

    def figures(self) -> list[Figure]:
        return [
            Figure(f"{self.what}: tried", self.tried, note=f"{self.finished} ran to their end"),
            Figure.of_failures(f"{self.what}: not ended in one clear line", self.unclear),
            Figure.of_failures(f"{self.what}: files half-written", self.half),
            Figure.of_failures(f"{self.what}: not the same submission afterwards", self.other),
        ]


def campaign(quick: bool, scratch: Path) -> list[Figure]:
    project = scratch / "project"
    project.mkdir()
    with disk(project, DISK) as is_small:
        recipe = TINY if quick else TINY.rstrip().removesuffix("]") + LAST
        make_project(project, recipe)
        undisturbed = ended(project, train())
        if undisturbed.code:
            raise RuntimeError(undisturbed.said[-3000:])
        begin = partial(Trials, project=project, expected=probabilities(project))
        trials = [memory(begin("memory"), quick)]
        if not (quick and is_small):
            trials.append(file_limit(begin("file limit"), quick))
        if is_small:
            writes = sum(event.kind == "write" for _, event in undisturbed.events)
            trials.append(full_disk(begin("no space"), writes, quick))
            trials.append(read_only(begin("read-only"), quick))
    note = "" if is_small else "no tmpfs could be mounted here: files were only limited in size"
    return [
        Figure("small disks", int(is_small), note=note),
        *(figure for some in trials for figure in some.figures()),
    ]


def probabilities(project: Path) -> pd.DataFrame:
    """Of the test images; they must be those of the submission."""
    table = pd.read_csv(project / "weights" / RUN / "test.csv", index_col="id", dtype={"id": str})
    ids = pd.read_csv(project / "submissions" / f"{RUN}.csv", dtype=str).iloc[:, 0]
    return table.loc[ids]


def full_disk(trials: Trials, writes: int, quick: bool) -> Trials:
    """Another process takes all that is left, just before a write; or little was left at first."""
    for number in [2, round(writes * 0.6)] if quick else range(1, writes + 1):
        harm = Harm(fill_at=number, filler=trials.filler)
        trials.attempt(f"full at write {number} of {writes}", harm, go_on=not quick or number > 2)
    for free in () if quick else FREE:
        trials.attempt(f"{free:,} bytes free", free=free)
    return trials


def file_limit(trials: Trials, quick: bool) -> Trials:
    """No file may be larger than so much: as a quota, which shows only when it is reached."""
    for size in LARGEST[2:3] if quick else LARGEST:
        trials.attempt(f"files of {size:,} bytes at the most", Harm(largest_file=size))
    return trials


def memory(trials: Trials, quick: bool) -> Trials:
    """So much may be mapped besides what TensorFlow has mapped as it was imported."""
    for more in MEMORY[2:3] if quick else MEMORY:
        harm = Harm(more_memory=more * 10**6)
        trials.attempt(f"{more:,} MB more memory", harm, go_on=not quick)
    return trials


def read_only(trials: Trials, quick: bool) -> Trials:
    """Folders that nothing can be written to, and one where nothing need be."""
    for name in ("submissions", "weights", *([] if quick else ["input"])):
        finished = trials.finished
        folder = trials.project / name
        trials.attempt(f"{name}/ read-only", read_only=folder, go_on=not quick)
        if name == "input" and trials.finished == finished:
            trials.other.append("input/ read-only: needed to write there")
    return trials
