"""Disks that are full or read-only, too little memory, and time budgets: how a run ends on them.

The disk is a small tmpfs, filled up just before each write of a small run in turn; after making
room the same command must end as if nothing had been: `python -m torture.limits`.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from torture.budgets import budgets
from torture.disks import disk, fill, locked, own_disk
from torture.figures import Figure, main, say
from torture.small_run import (
    COMMAND,
    LAST,
    RECIPE,
    begin_again,
    broken_files,
    make_project,
    probabilities,
    submission,
)
from torture.starter import Ended, Starter, starter

DISK = 64_000_000  # bytes
SAME = 1e-5  # of probabilities
# Free bytes to begin with: around the smallest files, and around what large ones ask for.
FREE = (0, 1, 4096, 8192, 16384, 65536, 262_144, 10**6, 3 * 10**6, 4 * 10**6, 4_500_000,
        4_800_000, 4_900_000, 5_000_000, 5_200_000, 5_600_000, 6_000_000, 6_400_000, 7_000_000,
        8_000_000)  # fmt: skip
LARGEST = (1, 100, 1000, 2000, 5000, 50_000, 500_000, 10**6, 4 * 10**6, 5 * 10**6)
# Megabytes that may still be added, TensorFlow being imported. Below the first one OpenBLAS may end
# the process, with a line of its own.
MEMORY = (100, 200, 300, 500, 700, 1000, 1500, 2000, 2200, 2300, 2500, 3000, 4000)


@dataclass
class Tally:
    """What was tried, and what came of it."""

    project: Path
    starter: Starter
    expected: pd.DataFrame  # the submission of the undisturbed run
    tried: int = 0
    went_on: int = 0  # to its end, in spite of it
    unclear: list[str] = field(default_factory=list)
    half: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)  # ended in another submission, or in none

    def judge(self, what: str, ended: Ended) -> None:
        """See how a command ended that had too little of something."""
        self.tried += 1
        self.half += [f"{what}: {name}" for name in broken_files(self.project)]
        if ended.code == 0:
            self.went_on += 1
            self._compare(what)
        elif not ended.clear:
            self.unclear.append(f"{what}: exit {ended.code}: {ended.last[-200:]}")

    def go_on(self, what: str) -> None:
        """The same command, once there is enough of everything."""
        ended = self.starter.run(COMMAND, self.project)
        if ended.code:
            self.other.append(f"{what}, then: exit {ended.code}: {ended.last[-200:]}")
            return
        self.half += [f"{what}, then: {name}" for name in broken_files(self.project)]
        self._compare(f"{what}, then")

    def _compare(self, what: str) -> None:
        found = submission(self.project)
        if found is None or list(found["Id"]) != list(self.expected["Id"]):
            self.other.append(f"{what}: other ids")
            return
        if not np.allclose(probabilities(self.project), self.expected_probabilities, atol=SAME):
            self.other.append(f"{what}: other probabilities")

    def __post_init__(self) -> None:
        self.expected_probabilities = probabilities(self.project)

    def figures(self, what: str, can_mount: bool) -> list[Figure]:
        left_out = "" if self.tried or can_mount else "; left out: nothing can be mounted here"
        note = f"{self.went_on} ran to their end{left_out}"
        return [
            Figure(f"{what}: tried", self.tried, "" if left_out else "≥ 1", note=note),
            Figure(f"{what}: not ended in one clear line", len(self.unclear), "= 0",
                   note="; ".join(self.unclear[:5])),
            Figure(f"{what}: files half-written", len(self.half), "= 0",
                   note="; ".join(self.half[:5])),
            Figure(f"{what}: not the same submission afterwards", len(self.other), "= 0",
                   note="; ".join(self.other[:5])),
        ]  # fmt: skip


def campaign(quick: bool, scratch: Path) -> list[Figure]:
    project = scratch / "project"
    project.mkdir()
    with disk(project, DISK) as is_small, starter() as forks:
        make_project(project, RECIPE + ("" if quick else LAST) + "]\n")
        undisturbed = forks.run(COMMAND, project)
        if undisturbed.code:
            raise RuntimeError(undisturbed.said[-3000:])
        say(f"an undisturbed run: {undisturbed.seconds:.0f} s, {undisturbed.writes} writes")

        def begin() -> Tally:
            return Tally(project, forks, submission(project))

        tallies = {"no space": begin(), "read-only": begin(), "memory": begin()}
        if is_small:
            full_disk(tallies["no space"], undisturbed.writes, quick)
        else:
            largest_file(tallies["no space"], quick)
        read_only(tallies["read-only"], scratch, quick)
        memory(tallies["memory"], quick)
        if not quick:
            tallies |= {"file limit": begin(), "temporary folder": begin()}
            largest_file(tallies["file limit"], quick)
            temporary(tallies["temporary folder"], scratch)
        figures = [
            figure for what, one in tallies.items() for figure in one.figures(what, is_small)
        ]
        if not is_small:
            note = "no tmpfs could be mounted here: files were limited in size instead"
            figures.append(Figure("small disks", 0, note=note))
        return [*figures, *([] if quick else budgets(scratch))]


def full_disk(tally: Tally, writes: int, quick: bool) -> None:
    """Another process takes all that is left, just before a write; or little was left at first."""
    filler = tally.project / "filler"
    chosen = [2, round(writes * 0.6)] if quick else range(1, writes + 1)
    for number in chosen:
        begin_again(tally.project)
        ended = tally.starter.run(COMMAND, tally.project, fill_at=number, filler=str(filler))
        what = f"full at write {number} of {writes}"
        after(tally, what, ended, filler, quick and number == chosen[0])
    for free in () if quick else FREE:
        begin_again(tally.project)
        fill(filler, leave=free)
        ended = tally.starter.run(COMMAND, tally.project)
        after(tally, f"{free:,} bytes free", ended, filler)


def after(tally: Tally, what: str, ended: Ended, filler: Path, enough: bool = False) -> None:
    """Judge it, make room and go on."""
    say(f"{what}: exit {ended.code}, {ended.seconds:.0f} s, {ended.last[:150]}")
    tally.judge(what, ended)
    filler.unlink(missing_ok=True)
    if not enough:
        tally.go_on(what)


def largest_file(tally: Tally, quick: bool) -> None:
    """No file may be larger than so much: as a quota, which shows only when it is reached."""
    for size in LARGEST[2:7:4] if quick else LARGEST:
        begin_again(tally.project)
        ended = tally.starter.run(COMMAND, tally.project, largest_file=size)
        after(tally, f"files of {size:,} bytes at the most", ended, tally.project / "filler")


def read_only(tally: Tally, scratch: Path, quick: bool) -> None:
    """Folders that nothing can be written to, and one where nothing need be."""
    for name in ("submissions", "weights", "input"):
        begin_again(tally.project)
        folder = tally.project / name
        folder.mkdir(exist_ok=True)
        with locked(folder) as is_locked:
            if not is_locked:
                continue
            if quick and name == "input":
                continue  # a whole run
            ended = tally.starter.run(COMMAND, tally.project)
            what = f"{name}/ read-only"
            after(tally, what, ended, scratch / "no-filler", enough=True)
            if name == "input" and ended.code:
                tally.other.append(f"{what}: needed to write there: {ended.last}")
        if not quick:
            tally.go_on(what)


def memory(tally: Tally, quick: bool) -> None:
    """So much may be mapped besides what TensorFlow has mapped as it was imported."""
    for more in MEMORY[2:3] if quick else MEMORY:
        begin_again(tally.project)
        ended = tally.starter.run(COMMAND, tally.project, more_memory=more * 10**6)
        after(tally, f"{more:,} MB more memory", ended, tally.project / "filler", enough=quick)


def temporary(tally: Tally, scratch: Path) -> None:
    """A temporary folder that is full, read-only, or not there; and a home like that."""
    for kind in ("full", "read-only", "missing"):
        for variable in ("TMPDIR", "HOME"):
            folder = scratch / f"{variable.lower()}-{kind}"
            begin_again(tally.project)
            with own_disk(folder, kind) as is_there:
                if not is_there:
                    continue
                how = {"environment": {variable: str(folder)}}
                ended = tally.starter.run(COMMAND, tally.project, **how)
                after(tally, f"{variable} {kind}", ended, scratch / "no-filler", enough=True)
            tally.go_on(f"{variable} {kind}")


if __name__ == "__main__":
    main(campaign)
