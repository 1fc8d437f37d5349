"""Run folders as a training leaves them, written in no time: what is in them is made up."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from podium.competitions import get_competition
from podium.recipes.recipe_file import parse_recipe
from podium.runs.run_folder import RunFolder
from podium.runs.table import TRAIN_ONLY

Command = Callable[..., tuple[int, str, str]]  # the fixture `command`
CLASSES = list(get_competition("clocks-or-crocs").classes)
TRAIN = [f"{CLASSES[number % 2]}/{number}" for number in range(16)]
TEST = ["NA", "10", "2"]  # in the order of the submission
VIEWS = ["plain", "mirrored"]


def write_run(
    path: Path,
    folds: Iterable[int] = (0, 1),
    seed: int = 0,
    test: list[str] = TEST,
    labels: dict[str, int] | None = None,
    **changes: Any,
) -> RunFolder:
    """A run of clocks and crocs with these folds finished and not yet combined.

    Args:
        seed: other predictions, and another split, with another seed.
        labels: of training images, where they are not those of the name.
        changes: keys of the recipe.
    """
    folder = RunFolder(path)
    data = {
        "competition": "clocks-or-crocs",
        "backbone": "resnet-small",
        "folds": 2,
        "views": 2,
        "seed": seed,
        **changes,
    }
    about = {"entry": path.name, "commit": f"commit of {path.parent.name}", "machine": "x86_64"}
    folder.begin(parse_recipe(data, "here"), about, fresh=False)
    split = np.random.default_rng(seed).permutation(np.arange(len(TRAIN)) % 2)
    if "shares" in changes:
        split = np.where(split, TRAIN_ONLY, 0)
    train = pd.DataFrame(
        {
            "label": [CLASSES.index(name.split("/")[0]) for name in TRAIN],
            "group": range(len(TRAIN)),
            "fold": split,
            "problem": "",
        },
        pd.Index(TRAIN, name="id"),
    )
    train["label"] = pd.Series(labels or {}).reindex(train.index).fillna(train["label"]).astype(int)
    tests = pd.DataFrame({"problem": ""}, pd.Index(test, name="id"))
    folder.write_images(pd.concat({"train": train, "test": tests}, names=["part", "id"]))
    for fold in folds:
        write_fold(folder, fold, train.index[train["fold"] == fold], test, seed)
    return folder


def write_fold(folder: RunFolder, fold: int, scored: Iterable[str], test: list[str], seed: int):
    """All files of a finished fold."""
    place = folder.fold(fold)
    place.write_history([{"stage": 0, "epoch": 0, "loss": 0.5, "seconds": seed}])
    with h5py.File(place.weights, "w") as weights:
        weights["kernel"] = np.full(1000, 10 * seed + fold, np.float32)
    random = np.random.default_rng([seed, fold])
    place.write_predictions("validation", predictions(list(scored), random))
    place.write_cost({"seconds": 60 + fold})
    place.write_predictions("test", predictions(test, random))


def predictions(ids: list[str], random: np.random.Generator) -> pd.DataFrame:
    """Probabilities in each view: right more often than not."""
    right = np.array([CLASSES.index(name.split("/")[0]) if "/" in name else 0 for name in ids])
    tables = []
    for view in VIEWS:
        crocodile = np.clip(0.35 + 0.3 * right + random.normal(0, 0.2, len(ids)), 0.01, 0.99)
        index = pd.MultiIndex.from_product([ids, [view]], names=["id", "view"])
        columns = np.stack([1 - crocodile, crocodile], axis=1).astype(np.float32)
        tables.append(pd.DataFrame(columns, index, CLASSES))
    return pd.concat(tables)


def set_digests(folder: RunFolder, digest: str) -> None:
    """Make it a run that has predicted test images of this digest."""
    images = folder.read_images()
    images["digest"] = np.where(images["part"] == "test", digest, "")
    folder.write_images(images.reset_index().set_index(["part", "id"]))


def files(folder: Path) -> dict[str, bytes]:
    """The files below a folder, by their path in it; who holds a lock is no matter."""
    found = (path for path in folder.rglob("*") if path.is_file() and ".locks" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}
