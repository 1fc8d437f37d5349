"""A run of seconds in a project of its own, and what is looked at once it has ended."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from podium.competitions.sample_drawing import draw_sample
from podium.files.untrusted import check_weights, opened_arrays

COMMAND = ["train", "tiny"]
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
