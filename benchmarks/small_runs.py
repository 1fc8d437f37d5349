"""Trainings for the benchmarks: a fold of drawn images, and the network of a recipe."""

import contextlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from benchmarks.drawing import CLASSES
from podium.data.batches import ImageArray
from podium.models.network import Network, build_network
from podium.models.pretrained import find_weights, weights_file
from podium.recipes.recipe import Recipe
from podium.recipes.recipe_file import parse_recipe
from podium.runs.fold_folder import FoldFolder
from podium.training.callbacks import TimeBudget
from podium.training.datasets import FoldDataset
from podium.training.devices import Devices
from podium.training.trainer import Trainer

NO_AUGMENTATION = {"mirror": False, "crop": 1.0, "rotate": 0.0, "light": 0.0, "color": 0.0}


def make_recipe(backbone: str, size: int, batch: int, stage: dict[str, Any], **keys: Any) -> Recipe:
    data = {
        "competition": "sample",
        "backbone": backbone,
        "weights": pretrained(backbone),
        "image_size": size,
        "batch_size": batch,
        "stages": [{"learning_rate": 1e-3, **stage}],
        **keys,
    }
    return parse_recipe(data, source="benchmark")


def pretrained(backbone: str) -> str:
    """ImageNet's weights where their file is on this machine: nothing is downloaded."""
    file = weights_file(backbone, "imagenet")
    return "imagenet" if file and find_weights(file) else "none"


def make_network(recipe: Recipe) -> Network:
    keras.utils.set_random_seed(0)
    return build_network(recipe, CLASSES)


def make_fold(cache: Sequence[ImageArray], labels: np.ndarray, validation: int) -> FoldDataset:
    """The last `validation` images validate, the others train."""
    split = len(cache) - validation
    train, rest = np.split(np.arange(len(cache)), [split])
    return FoldDataset(cache, train, labels[:split], rest, labels[split:])


def make_training(
    recipe: Recipe, images: FoldDataset, folder: Path, budget: TimeBudget | None = None
) -> Callable[[], None]:
    """A fold with a new network, to be trained when it is called; without a word of Keras'."""
    budget = budget or TimeBudget(None, len(images.validation), recipe.image_size)
    folder.mkdir(parents=True)
    fold = Trainer(make_network(recipe), images, recipe, Devices(), FoldFolder(folder), budget)

    def train() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            fold.run()

    return train
