"""Disks that are full or read-only, and too little memory: how a run ends on them.

The disk is a small tmpfs, filled up just before each write of a small run in turn; after making
room the same command must end as if nothing had been.
"""

import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from robustness.figures import Figure, say
from robustness.processes import FILLER, Ended, ended, fill
from robustness.projects import RUN, TINY, broken_files, make_project, train

DISK = 64_000_000  # bytes
KEPT = (f"weights/{RUN}/test.csv", f"submissions/{RUN}.csv")  # by what a run is compared
LAST = ", { unfreeze = 1, epochs = 1, learning_rate = 0.0001 }]"  # another stage
# Free bytes to begin with: around the smallest files, and around what large ones ask for.
FREE = (0, 1, 4096, 8192, 16384, 65536, 262_144, 10**6, 3 * 10**6, 4 * 10**6, 4_500_000,
        4_800_000, 4_900_000, 5_000_000, 5_200_000, 5_600_000, 6_000_000, 6_400_000, 7_000_000,
        8_000_000)  # fmt: skip
LARGEST = (1, 100, 1000, 2000, 5000, 50_000, 500_000, 10**6, 4 * 10**6, 5 * 10**6)
# Megabytes that may still be added, TensorFlow being imported. Below the first one OpenBLAS may end
# the process, with a line of its own.
MEMORY = (100, 200, 300, 500, 700, 1000, 1500, 2000, 2200, 2300, 2500, 3000, 4000)


def campaign(quick: bool, scratch: Path) -> list[Figure]:
    project = scratch / "project"
    project.mkdir()
    figures = []
    with disk(project, DISK) as is_small:
        make_project(project, TINY if quick else TINY.rstrip().removesuffix("]") + LAST)
        undisturbed = ended(project, train()).checked()
        expected = [(project / name).read_bytes() for name in KEPT]
        writes = sum(event.kind == "write" for _, event in undisturbed.events)
        for kind, attempts in lacks(writes, quick, is_small).items():
            go_on = not quick or kind in ("file limit", "no space")
            found, finished = defaultdict[str, list[str]](list), 0
            for what, lack in attempts:
                code, problems = attempt(project, expected, go_on, **lack)
                say(f"{what}: exit {code}, {problems}")
                finished += code == 0
                for problem, texts in problems.items():
                    found[problem] += [f"{what}: {text}" for text in texts]
            note = f"{finished} ran to their end"
            figures += [
                Figure(f"{kind}: tried", len(attempts), note=note),
                *(Figure.of_failures(f"{kind}: {what}", some) for what, some in found.items()),
            ]
    note = "" if is_small else "no tmpfs could be mounted here: files were only limited in size"
    return [Figure("small disks", int(is_small), note=note), *figures]


def lacks(writes: int, quick: bool, is_small: bool) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """What commands have too little of, by its kind: in words, and for `attempt`."""
    some = slice(2, 3) if quick else slice(None)
    full_at = [2, round(writes * 0.6)] if quick else range(1, writes + 1)
    folders = ("submissions", "weights") if quick else ("submissions", "weights", "input")
    kinds = {
        # So much may be mapped besides what TensorFlow has mapped as it was imported.
        "memory": [(f"{mb:,} MB more memory", {"more_memory": mb * 10**6}) for mb in MEMORY[some]],
        # As a quota, which shows only when it is reached.
        "file limit": [
            (f"files of {size:,} bytes at the most", {"largest_file": size})
            for size in LARGEST[some]
        ],
    }
    if is_small:
        # Another process takes all that is left, just before a write; or little was left at first.
        kinds["no space"] = [
            *((f"full at write {at} of {writes}", {"fill_at": at}) for at in full_at),
            *((f"{free:,} bytes free", {"free": free}) for free in (() if quick else FREE)),
        ]
        kinds["read-only"] = [(f"{name}/ read-only", {"read_only": name}) for name in folders]
    return kinds


def attempt(
    project: Path,
    expected: list[bytes],
    go_on: bool,
    free: int | None = None,
    read_only: str = "",
    **lack: int,
) -> tuple[int, dict[str, list[str]]]:
    """Run the command with too little of something, and again with enough of everything.

    Args:
        expected: what an undisturbed run leaves of KEPT.
        free: bytes that the disk has to begin with.
        read_only: a folder; in input/ nothing need be written.

    Returns:
        The first exit code, and what there was of each kind of problem.
    """
    for name in ("weights", "submissions"):
        shutil.rmtree(project / name, ignore_errors=True)
        (project / name).mkdir()
    if free is not None:
        fill(project / FILLER, leave=free)
    with locked(project / read_only) if read_only else nullcontext():
        first = ended(project, train(), **lack)
    (project / FILLER).unlink(missing_ok=True)
    unclear = [first.last[-200:]] if first.code and not first.is_clear else []
    half, other = [*broken_files(project)], []
    if first.code == 0 or read_only == "input":
        other += _differences(project, first, expected)
    if go_on:
        other += _differences(project, ended(project, train()), expected)
        half += broken_files(project)
    return first.code, {
        "not ended in one clear line": unclear,
        "files half-written": half,
        "not the same submission afterwards": other,
    }


def _differences(project: Path, one: Ended, expected: list[bytes]) -> list[str]:
    """What a run that had to end as the undisturbed one did otherwise."""
    if one.code:
        return [f"exit {one.code}: {one.last[-200:]}"]
    pairs = zip(KEPT, expected, strict=True)
    return [f"another {name}" for name, data in pairs if (project / name).read_bytes() != data]


@contextmanager
def disk(folder: Path, size: int) -> Iterator[bool]:
    """A small disk of its own at a folder; False where none can be mounted."""
    if not _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)):
        yield False
        return
    try:
        yield True
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let nothing be written to a folder; only where disks can be mounted."""
    _mount("--bind", str(folder), str(folder))
    try:
        if not _mount("-o", "remount,ro,bind", str(folder)):
            raise OSError(f"{folder} cannot be made read-only")
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _mount(*words: str) -> bool:
    try:
        return not subprocess.run(["mount", *words], capture_output=True).returncode
    except OSError:  # there is no such command
        return False
