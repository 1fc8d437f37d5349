"""A run that was trained once, for kernels that only pretend to train: it takes them no time."""

import contextlib
import re
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from kaggle_stand_in import StandIn
from podium.competitions import get_competition
from podium.kaggle.kernel import Kernel
from podium.kaggle.kernels import RunOnKaggle, push_entry
from podium.training.train import train
from small_competitions import RECIPE, make_project, write_entry

CARS = get_competition("cars").slug
REF = "someone/podium-tiny"


def train_once(folder: Path) -> Path:
    """A project with the entry `tiny` of the cars, both folds trained; returns its folder."""
    make_project(folder, "cars")
    with contextlib.chdir(folder):
        train("tiny")
    return folder


def push(entry: str = "tiny", **options):
    """Push an entry and follow it: options of `Kernel`, `RunOnKaggle` and `push_entry`."""
    of_kernel = {name: options.pop(name) for name in {"on", "hours"} & options.keys()}
    of_run = {name: options.pop(name) for name in {"folds", "each_fold"} & options.keys()}
    run = RunOnKaggle(Kernel(entry, **of_kernel), **of_run)
    return push_entry(run, **{"wait": True, "poll_seconds": 0.1, **options})


def make_untrained(folder: Path, trained: Path) -> None:
    """A project with the same entry, and neither runs nor images."""
    write_entry(folder, "tiny", RECIPE.format(competition="cars"), competition_sources=[CARS])
    assert (trained / "kernels/tiny/recipe.toml").read_text() == (
        folder / "kernels/tiny/recipe.toml"
    ).read_text()


def pack_cars(trained: Path, archive: Path) -> Path:
    """The images of the trained project, as Kaggle offers them."""
    data = trained / "input" / CARS
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(data.rglob("*")):
            packed.write(path, path.relative_to(data))
    return archive


def leave(
    kaggle: StandIn, trained: Path, folds: Sequence[int] | None = None
) -> Callable[[str], str]:
    """Code for kernels that leave the trained run as theirs, or of it only their fold.

    Args:
        folds: those whose kernels succeed; the others print a word and fail.
    """
    run = trained / "weights" / "tiny"

    def code(ref: str) -> str:
        pushed = kaggle.kernels[ref].last.pushed["text"]
        made_from = re.search(r'SOURCES = \\?"(\w+)', pushed)[1]
        fold = re.search(r"-fold-(\d)$", ref)
        parts = [int(fold[1])] if fold else [0, 1]
        if folds is not None and not set(parts) <= set(folds):
            return "import sys; print('now it breaks'); sys.exit('out of luck')"
        name = re.sub(r"^.*podium-|-fold-\d$", "", ref)
        names = ["pictures.csv", *(f"fold-{part}" for part in parts)]
        names += [] if fold else ["out_of_fold.csv", "test.csv", "score.json"]
        return f"""
import json, shutil
from pathlib import Path
run, left = Path({str(run)!r}), Path("weights", {name!r})
left.mkdir(parents=True)
about = json.loads((run / "run.json").read_text())
(left / "run.json").write_text(json.dumps({{**about, "sources": {made_from!r}}}))
for name in {names!r}:
    (shutil.copytree if (run / name).is_dir() else shutil.copy)(run / name, left / name)
shutil.copy({str(trained / "submissions" / "tiny.csv")!r}, "submission.csv")
print("one line")
print("another line")
"""

    return code


def results(project: Path) -> dict[str, bytes]:
    """What a run comes to: its probabilities and its submission, byte by byte."""
    run = project / "weights" / "tiny"
    files = [run / "out_of_fold.csv", run / "test.csv", project / "submissions" / "tiny.csv"]
    return {path.name: path.read_bytes() for path in files}


def forget(project: Path) -> None:
    """Delete what was collected."""
    for name in ("weights", "submissions"):
        shutil.rmtree(project / name, ignore_errors=True)
