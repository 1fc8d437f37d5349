"""The same recipe and seed give the same bytes, whatever else is different.

A small run of `sample-b0` is trained in one fresh process, and again in others: as it was, on one
core, with the features on the disk, with the images' files written in the opposite order.
Weights, tables and submission are compared byte by byte. Another seed must change them.
"""

import shutil
from pathlib import Path
from typing import NamedTuple

from robustness.figures import Figure, say
from robustness.projects import SMALL, compare, make_project, podium, sample_recipe, train

COMMON = (
    "image_size=32",
    "stages=[{unfreeze='head', epochs=2, learning_rate=1e-3},"
    " {unfreeze='half', epochs=2, learning_rate=1e-3}]",
)


class Other(NamedTuple):
    """What is different about a run beside the first one."""

    changes: tuple[str, ...] = ()  # of the recipe
    cores: int | None = None
    reverse: bool = False  # the images' files are written last first


SEED = {"another seed": Other(("seed=1",))}
OTHERS = {
    "nothing": Other(),
    "one core": Other(cores=1),
    "features on the disk": Other(("cached_gb=0",)),
    "files in the opposite order": Other(reverse=True),
    **SEED,
}
QUICK = {
    "one core, features on the disk, files in the opposite order": Other(("cached_gb=0",), 1, True),
    **SEED,
}


def campaign(quick: bool, scratch: Path) -> list[Figure]:
    figures = []
    networks = {"resnet-8": (SMALL,), **({} if quick else {"efficientnet-b0": ()})}
    for network, changes in networks.items():
        first = scratch / network / "first"
        make_project(first, sample_recipe(), size=(48, 36))
        podium(first, *train([*COMMON, *changes]), check=True)
        for name, other in (QUICK if quick else OTHERS).items():
            say(f"  {name}")
            project = first.parent / name.replace(" ", "-").replace(",", "")
            for folder in ("kernels", "input"):
                copy_in_order(first / folder, project / folder, other.reverse)
            words = train([*COMMON, *changes, *other.changes])
            podium(project, *words, cores=other.cores, check=True)
            differ = compare(project, first)[1]
            limit = "≥ 4" if name in SEED else "= 0"
            what = f"{network}, {name}: files with other bytes"
            figures.append(Figure(what, len(differ), limit, "; ".join(differ)))
    return figures


def copy_in_order(folder: Path, to: Path, reverse: bool) -> None:
    """Copy the files one by one, in the order of their names or the opposite one."""
    for path in sorted(folder.rglob("*"), reverse=reverse):
        if path.is_file():
            place = to / path.relative_to(folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
