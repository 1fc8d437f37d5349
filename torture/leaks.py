"""Leaks: planted near-copies, stored splits that leak, and 25,000 images checked by an index.

`python -m torture leaks`; with PODIUM_INPUT, copies are planted among the images of each
competition that has some there. `python -m torture.leaks --quick` takes seconds.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from podium.competitions import get_competition
from podium.data.table import prepare_run
from podium.files.images import read_image
from podium.recipes.recipe import Recipe
from podium.recipes.recipe_file import parse_recipe
from podium.runs.fold_folder import RunError
from podium.runs.run_folder import RunFolder
from podium.runs.table import LeakingSplit
from torture.copies import write_copy, write_made_up
from torture.figures import Figure, main
from torture.planted import planted_figures
from torture.search import search_figures

RECIPE = """
competition = "clocks-or-crocs"
backbone = "resnet-small"
weights = "none"
image_size = 32
folds = 3
stages = [{ unfreeze = "all", epochs = 1, learning_rate = 0.001 }]
"""
COPY, ORIGINAL = "clock/copy.jpg", "clock/0.jpg"


def campaign(quick: bool, scratch: Path) -> list[Figure]:
    return [
        *planted_figures(quick, scratch / "planted"),
        *stored_figures(scratch / "stored"),
        *search_figures(quick, scratch / "search"),
    ]


def stored_figures(scratch: Path) -> list[Figure]:
    """A training is begun with stored splits in which an image's copy is in another fold."""
    before = {name: os.environ.get(name) for name in ("PODIUM_INPUT",)}
    os.environ["PODIUM_INPUT"] = str(draw(scratch / "input"))
    try:
        passed = [what for what, leak in LEAKS.items() if not refused(leak, scratch / what)]
        code, text, trained = train(scratch / "project")
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    return [
        Figure(
            f"stored splits that leak and are trained on, of {len(LEAKS)}",
            len(passed),
            "= 0",
            "; ".join(passed),
        ),
        Figure("exit code of `podium train` with one", code, "= 1", text),
        Figure("folds begun by it", trained, "= 0"),
    ]


def draw(inputs: Path) -> Path:
    """A competition of 24 made-up images, and a copy of one of them."""
    folder = inputs / get_competition("clocks-or-crocs").slug
    paths = write_made_up(inputs / "made-up", 26, 96, 72)
    for number, path in enumerate(paths):
        part = "test" if number >= 24 else f"train/{('clock', 'crocodile')[number % 2]}"
        (folder / part).mkdir(parents=True, exist_ok=True)
        shutil.move(path, folder / part / path.name)
    original, copy = folder / "train" / ORIGINAL, folder / "train" / COPY
    write_copy(read_image(original), "cropped, mirrored", copy, np.random.default_rng(0))
    return inputs


def recipe() -> Recipe:
    data = {"competition": "clocks-or-crocs", "backbone": "resnet-small", "folds": 3}
    return parse_recipe(data, "torture")


def refused(leak: Callable[[RunFolder], None], path: Path) -> bool:
    """Whether a run that is begun with such a split ends before it is trained."""
    folder = RunFolder(path)
    folder.begin(recipe(), {}, fresh=False)
    table = prepare_run(folder, recipe()).table.train
    assert table.loc[COPY, "fold"] == table.loc[ORIGINAL, "fold"]
    leak(folder)
    try:
        prepare_run(folder, recipe())
    except (LeakingSplit, RunError):
        return True
    return False


def edit(folder: RunFolder, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    path = folder.path / "pictures.csv"
    stored = pd.read_csv(path, dtype=str, keep_default_na=False)
    change(stored.set_index("id", drop=False)).to_csv(path, index=False)


def moved(stored: pd.DataFrame) -> pd.DataFrame:
    """The copy in another fold than its original."""
    stored.loc[COPY, "fold"] = str((int(stored.loc[ORIGINAL, "fold"]) + 1) % 3)
    return stored


def each_alone(stored: pd.DataFrame) -> pd.DataFrame:
    train = stored["part"] == "train"
    stored.loc[train, "group"] = [str(number) for number in range(train.sum())]
    return stored


def from_elsewhere(folder: RunFolder) -> None:
    """As merged, or fetched from a machine that did not look for copies."""
    edit(folder, lambda stored: each_alone(moved(stored)))
    (folder.path / "checked.json").unlink()


def elsewhere_without_copies(folder: RunFolder) -> None:
    """The split of the same names, made where the copy was another image."""
    edit(folder, lambda stored: each_alone(moved(stored)))
    folder.write_checked(folder.digest_of_images([folder.path / "pictures.csv"] * 25))


LEAKS: dict[str, Callable[[RunFolder], None]] = {
    "the copy moved": lambda folder: edit(folder, moved),
    "moved and its group denied": lambda folder: edit(folder, lambda t: each_alone(moved(t))),
    "moved, the groups left out": lambda f: edit(f, lambda t: moved(t).drop(columns="group")),
    "from elsewhere": from_elsewhere,
    "from where the images are others": elsewhere_without_copies,
}


def train(project: Path) -> tuple[int, str, int]:
    """`podium train` with a stored split that leaks: exit code, what it says, folds begun."""
    entry = project / "kernels" / "tiny"
    entry.mkdir(parents=True)
    (entry / "recipe.toml").write_text(RECIPE)
    folder = RunFolder(project / "weights" / "tiny")
    table = RunFolder(project / "made")
    prepare_run(table, recipe())
    edit(table, lambda stored: each_alone(moved(stored)))
    folder.path.mkdir(parents=True)
    shutil.copy(table.path / "pictures.csv", folder.path)
    command = [sys.executable, "-c", "from podium.cli import main; main()", "train", "tiny"]
    ended = subprocess.run(command, cwd=project, capture_output=True, text=True)
    lines = ended.stderr.strip().splitlines() or [""]
    return ended.returncode, lines[-1], len([*folder.path.glob("fold-*")])


if __name__ == "__main__":
    main(campaign)
