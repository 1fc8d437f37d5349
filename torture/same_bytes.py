"""The same recipe and seed give the same bytes, whatever else is different.

    python -m torture.same_bytes [--quick]

A small run of `sample-b0` is trained in one fresh process, and again in others: as it was, on one
core, with the features on the disk, with the images' files written in the opposite order.
Weights, tables and submission are compared byte by byte. Another seed must change them.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from torture.endings import Ending, compare
from torture.figures import ROOT, Figure, main, say
from torture.kills import RUN, SMALL, draw_project

COMMAND = "from podium.cli import main; main()"
STAGES = (
    "stages=[{unfreeze='head', epochs=2, learning_rate=1e-3},"
    " {unfreeze='half', epochs=2, learning_rate=1e-3}]"
)


@dataclass(frozen=True)
class Other:
    """What is different about a run beside the first one."""

    what: str
    changes: tuple[str, ...] = ()  # for --set
    cores: int | None = None
    reverse: bool = False  # the images' files are written last first


OTHERS = (
    Other("nothing"),
    Other("one core", cores=1),
    Other("features on the disk", changes=("cached_gb=0",)),
    Other("files in the opposite order", reverse=True),
)
AT_ONCE = Other(
    "one core, features on the disk, files in the opposite order", ("cached_gb=0",), 1, True
)
SEED = Other("another seed", changes=("seed=1",))


def campaign(quick: bool, scratch: Path) -> list[Figure]:
    figures = []
    networks = {"resnet-8": (SMALL,)} if quick else {"resnet-8": (SMALL,), "efficientnet-b0": ()}
    for network, changes in networks.items():
        first = scratch / network / "first"
        draw_project(first, 48, 9, (48, 36))
        train(first, Other("", changes))
        for other in (AT_ONCE,) if quick else OTHERS:
            differ = train_beside(first, other, changes).other_bytes
            what = f"{network}, {other.what}: files with other bytes"
            figures.append(Figure(what, len(differ), "= 0", "; ".join(differ)))
        differ = train_beside(first, SEED, changes).other_bytes
        figures.append(
            Figure(f"{network}, {SEED.what}: files with other bytes", len(differ), "≥ 4")
        )
    return figures


def train_beside(first: Path, other: Other, changes: tuple[str, ...]) -> Ending:
    """The run in a project like the first one, but for what is different, compared with it."""
    say(f"  {other.what}")
    project = first.parent / other.what.replace(" ", "-").replace(",", "")
    for name in ("kernels", "input"):
        copy_in_order(first / name, project / name, other.reverse)
    train(project, Other(other.what, changes + other.changes, other.cores))
    return compare(project, first, RUN)


def copy_in_order(folder: Path, to: Path, reverse: bool) -> None:
    """Copy the files one by one, in the order of their names or the opposite one."""
    for path in sorted(folder.rglob("*"), reverse=reverse):
        if path.is_file():
            place = to / path.relative_to(folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)


def train(project: Path, other: Other) -> None:
    """Raises RuntimeError, with the end of what it said, where the training fails."""
    words = [word for change in (STAGES, *other.changes) for word in ("--set", change)]
    command = ["train", "sample-b0", "--run", RUN, "--set", "image_size=32", *words]
    cores = sorted(os.sched_getaffinity(0))[: other.cores]
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *command],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{other.what}: {done.stderr[-2000:]}")


if __name__ == "__main__":
    main(campaign)
