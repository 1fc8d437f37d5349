"""Disks that are full or read-only, too little memory, and time budgets: how a run ends on them.

The disk is a small tmpfs, filled up just before each write of a small run in turn; after making
room the same command must end as if nothing had been: `python -m torture.limits`.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from podium.competitions.sample_drawing import draw_sample
from podium.foreign_files import check_weights, opened_arrays
from torture.figures import Figure, main, say
from torture.starter import Ended, Starter, fill, starter

RECIPE = """
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
stages = [
    { unfreeze = "head", epochs = 2, learning_rate = 0.001 },
"""
LAST = "    { unfreeze = 1, epochs = 1, learning_rate = 0.0001 },\n"
DISK = 64_000_000  # bytes
COMMAND = ["train", "tiny"]
SAME = 1e-5  # of probabilities
# Free bytes to begin with: around the smallest files, and around what large ones ask for.
FREE = (0, 1, 4096, 8192, 16384, 65536, 262_144, 10**6, 3 * 10**6, 4 * 10**6, 4_500_000,
        4_800_000, 4_900_000, 5_000_000, 5_200_000, 5_600_000, 6_000_000, 6_400_000, 7_000_000,
        8_000_000)  # fmt: skip
LARGEST = (1, 100, 1000, 2000, 5000, 50_000, 500_000, 10**6, 4 * 10**6, 5 * 10**6)
# Megabytes that may still be added, TensorFlow being imported.
MEMORY = (30, 100, 200, 300, 500, 700, 1000, 1500, 2000, 2200, 2300, 2500, 3000, 4000)
BUDGETS = (0.75, 1.0, 1.5, 2.0)  # minutes


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

    def figures(self, what: str) -> list[Figure]:
        return [
            Figure(f"{what}: tried", self.tried, "≥ 1", note=f"{self.went_on} ran to their end"),
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
    with disk(project) as is_small, starter() as forks:
        make_project(project, RECIPE + ("" if quick else LAST) + "]\n")
        undisturbed = forks.run(COMMAND, project)
        if undisturbed.code:
            raise RuntimeError(undisturbed.said[-3000:])
        say(f"an undisturbed run: {undisturbed.seconds:.0f} s, {undisturbed.writes} writes")

        def tally() -> Tally:
            return Tally(project, forks, submission(project))

        tallies = {"no space": tally(), "read-only": tally(), "memory": tally()}
        if is_small:
            full_disk(tallies["no space"], undisturbed.writes, quick)
        else:
            largest_file(tallies["no space"], quick)
        read_only(tallies["read-only"], scratch, quick)
        memory(tallies["memory"], quick)
        if not quick:
            tallies |= {"file limit": tally(), "temporary folder": tally()}
            largest_file(tallies["file limit"], quick)
            temporary(tallies["temporary folder"], scratch)
        figures = [figure for what, one in tallies.items() for figure in one.figures(what)]
        if not is_small:
            note = "no tmpfs could be mounted here: files were limited in size instead"
            figures.append(Figure("small disks", 0, note=note))
        return [*figures, *([] if quick else budgets(forks, scratch))]


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
    for more in MEMORY[:4:3] if quick else MEMORY:
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


def budgets(forks: Starter, scratch: Path) -> list[Figure]:
    """Whole commands, of recipes that would take many times as long."""
    project = scratch / "budgets"
    stages = {
        "cached features": '[{unfreeze="head", epochs=100000, learning_rate=0.001}]',
        "whole network": '[{unfreeze="all", epochs=100000, learning_rate=0.001}]',
        "two stages": '[{unfreeze="head", epochs=1, learning_rate=0.001},'
        '{unfreeze="all", epochs=100000, learning_rate=0.001}]',
        "features that take too long": '[{unfreeze="head", epochs=5, learning_rate=0.001}]',
    }
    figures, late = [], []
    make_project(project, RECIPE + "]\n", train=600, test=200)
    for name, text in stages.items():
        for minutes in BUDGETS:
            words = [*COMMAND, "--set", f"stages={text}", "--set", f"time_budget={minutes}"]
            words += ["--set", "image_size=64", "--run", f"{name.replace(' ', '-')}-{minutes}"]
            if name.startswith("features"):
                words += ["--set", "cached_views=2000"]
            ended = forks.run(words, project)
            needed = ended.seconds / 60
            what = f"{name}, a budget of {minutes:g} min"
            say(f"{what}: {needed:.2f} min, exit {ended.code}: {ended.last[:100]}")
            if ended.code:
                late.append(f"{what}: exit {ended.code}: {ended.last[-200:]}")
            figures.append(
                Figure(f"budget {minutes:g} min, {name}: minutes needed", needed, f"≤ {minutes}")
            )
    return [
        *figures,
        Figure("budgets without a submission", len(late), "= 0", note="; ".join(late)),
    ]


def make_project(project: Path, recipe: str, train: int = 48, test: int = 9) -> None:
    (project / "kernels" / "tiny").mkdir(parents=True)
    (project / "kernels" / "tiny" / "recipe.toml").write_text(recipe)
    draw_sample(project / "input" / "podium-sample", train=train, test=test, size=(32, 24))


def begin_again(project: Path) -> None:
    for name in ("weights", "submissions"):
        shutil.rmtree(project / name, ignore_errors=True)


def submission(project: Path) -> pd.DataFrame | None:
    path = project / "submissions" / "tiny.csv"
    return pd.read_csv(path, dtype=str) if path.is_file() else None


def probabilities(project: Path) -> np.ndarray:
    return pd.read_csv(project / "weights" / "tiny" / "test.csv", index_col="id").to_numpy()


def broken_files(project: Path) -> Iterator[str]:
    """The files of weights/ and submissions/ that are not whole, or are leftovers."""
    for name in ("weights", "submissions"):
        for path in (project / name).rglob("*"):
            if path.is_dir():
                continue
            try:
                if path.name.startswith("."):
                    raise ValueError("is a leftover")
                _read(path)
            except Exception as error:
                yield f"{path.relative_to(project)}: {error}"


def _read(path: Path) -> None:
    """Raises something unless it is a whole file of its kind."""
    if path.suffix == ".json":
        json.loads(path.read_text())
    elif path.suffix == ".csv":
        pd.read_csv(path)
        if not path.read_bytes().endswith(b"\n"):
            raise ValueError("has no end")
    elif path.suffix == ".h5":
        check_weights(path)
    elif path.suffix == ".npz":
        with opened_arrays(path, "") as arrays:
            for name in arrays.files:
                _ = arrays[name]
    elif path.suffix == ".png":
        Image.open(path).load()
    elif path.suffix == ".html":
        if not path.read_text().rstrip().endswith("</html>"):
            raise ValueError("has no end")
    else:
        raise ValueError("is not known")


@contextmanager
def disk(folder: Path, size: int = DISK) -> Iterator[bool]:
    """A small disk of its own at a folder; False where that may not be."""
    if not _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)):
        yield False
        return
    try:
        yield True
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """A folder that nothing can be written to; False where that cannot be had."""
    if _mount("--bind", str(folder), str(folder)):
        try:
            yield _mount("-o", "remount,ro,bind", str(folder))
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
    elif os.geteuid():  # root may write all the same
        before = folder.stat().st_mode
        folder.chmod(0o500)
        try:
            yield True
        finally:
            folder.chmod(before)
    else:
        yield False


@contextmanager
def own_disk(folder: Path, kind: str) -> Iterator[bool]:
    """A disk that is full or read-only, or no folder at all."""
    if kind == "missing":
        yield True
        return
    folder.mkdir()
    with disk(folder, 10**6) as is_there:
        if is_there and kind == "full":
            fill(folder / "filler")
        elif is_there:
            is_there = _mount("-o", "remount,ro", str(folder))
        yield is_there


def _mount(*words: str) -> bool:
    try:
        return not subprocess.run(["mount", *words], capture_output=True).returncode
    except OSError:  # there is no such command
        return False


if __name__ == "__main__":
    main(campaign)
