"""The same recipe and seed give the same bytes, whatever else is different.

A small run of `sample-b0` is trained in one fresh process, and again in others: as it was, on one
core, with the features on the disk, with the images' files written in the opposite order.
Weights, tables and submission are compared byte by byte. Another seed must change them.
"""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from robustness.endings import compare
from robustness.figures import Figure, say
from robustness.projects import SMALL, make_project, podium, sample_recipe, train

STAGES = (
    "stages=[{unfreeze='head', epochs=2, learning_rate=1e-3},"
    " {unfreeze='half', epochs=2, learning_rate=1e-3}]"
)


@dataclass(frozen=True)
class Other:
    """What is different about a run beside the first one."""

    what: str
    changes: tuple[str, ...] = ()  # of the recipe
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
    networks = {"resnet-8": (SMALL,), **({} if quick else {"efficientnet-b0": ()})}
    for network, changes in networks.items():
        first = scratch / network / "first"
        make_project(first, sample_recipe(), size=(48, 36))
        train_here(first, Other("", changes))
        for other in (AT_ONCE, SEED) if quick else (*OTHERS, SEED):
            say(f"  {other.what}")
            project = first.parent / other.what.replace(" ", "-").replace(",", "")
            for name in ("kernels", "input"):
                copy_in_order(first / name, project / name, other.reverse)
            train_here(project, replace(other, changes=changes + other.changes))
            differ = compare(project, first)[1]
            limit = "≥ 4" if other is SEED else "= 0"
            what = f"{network}, {other.what}: files with other bytes"
            figures.append(Figure(what, len(differ), limit, "; ".join(differ)))
    return figures


def copy_in_order(folder: Path, to: Path, reverse: bool) -> None:
    """Copy the files one by one, in the order of their names or the opposite one."""
    for path in sorted(folder.rglob("*"), reverse=reverse):
        if path.is_file():
            place = to / path.relative_to(folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)


def train_here(project: Path, other: Other) -> None:
    """Raises RuntimeError, with the end of what it said, where the training fails."""
    done = podium(project, *train([STAGES, "image_size=32", *other.changes]), cores=other.cores)
    if done.returncode:
        raise RuntimeError(f"{other.what}: {done.stderr[-2000:]}")
