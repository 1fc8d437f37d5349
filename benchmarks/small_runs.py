"""Trainings for the benchmarks: a fold of drawn images, and the network of a recipe."""

import contextlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from benchmarks.drawing import CLASSES
from podium.data.batches import ImageArray
from podium.models.backend import Devices
from podium.models.network import Network, build_network
from podium.models.pretrained import find_weights, weights_file
from podium.recipes.recipe import Recipe
from podium.recipes.recipe_file import parse_recipe
from podium.runs.fold_folder import FoldFolder
from podium.training.datasets import FoldDataset
from podium.training.resume import ResumeState
from podium.training.time_plan import TimePlan, stage_works
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


@dataclass(frozen=True)
class WatchedTrainer(Trainer):
    """With one more callback, behind all others."""

    watching: keras.callbacks.Callback | None = None

    def _tensorboard(self, state: ResumeState) -> list[keras.callbacks.Callback]:
        return [self.watching] if self.watching else []


def make_training(
    recipe: Recipe,
    images: FoldDataset,
    folder: Path,
    watching: keras.callbacks.Callback | None = None,
) -> Callable[[], None]:
    """A fold with a new network, to be trained when it is called; without a word of Keras'."""
    network = make_network(recipe)
    counts = [len(images.train)] * len(recipe.stages)
    plan = TimePlan(stage_works(recipe, counts, len(images.validation), network.unfrozen_share))
    folder.mkdir(parents=True)
    where = FoldFolder(folder)
    fold = WatchedTrainer(network, images, recipe, Devices(), where, plan, watching)

    def train() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            fold.run()

    return train
