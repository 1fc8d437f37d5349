"""An epoch of Podium's `fit` against as many `train_on_batch` on ready tensors."""

import time
from pathlib import Path

import benchmarks.quiet  # noqa: F401

# isort: split
import keras
import numpy as np
import tensorflow as tf

from benchmarks.drawing import CLASSES
from benchmarks.measuring import Row, main, say
from benchmarks.small_runs import (
    NO_AUGMENTATION,
    make_fold,
    make_network,
    make_recipe,
    make_training,
)
from podium.models.backend import Devices
from podium.recipes.recipe import Recipe
from podium.training.optimizers import make_optimizer


def measure(quick: bool, scratch: Path) -> list[Row]:
    cases = [("resnet-small", 32, 64, 60), ("efficientnet-b0", 96, 16, 40)]
    if quick:
        cases = [("resnet-8", 16, 4, 3)]
    return [compare(*case, turns=2 if quick else 5, scratch=scratch) for case in cases]


def compare(backbone: str, size: int, batch: int, steps: int, turns: int, scratch: Path) -> Row:
    say(f"{backbone}, {size} px")
    stage = {"unfreeze": "all", "epochs": turns + 1}
    recipe = make_recipe(backbone, size, batch, stage, augmentation=NO_AUGMENTATION)
    # Ready images of the network's size, so that a batch is no more than copied together.
    random = np.random.default_rng(0)
    images = random.integers(0, 256, ((steps + 1) * batch, size, size, 3), np.uint8)
    labels = np.eye(CLASSES, dtype=np.float32)[random.integers(0, CLASSES, len(images))]
    turns_of = Turns(Peer(recipe, images, labels))
    make_training(recipe, make_fold(images, labels, batch), scratch / backbone, turns_of)()
    return Row(
        f"an epoch of fit: {backbone}, {steps} batches of {batch} at {size} px",
        "as many train_on_batch on ready tensors",
        "s",
        turns_of.ours[1:],  # the first one traces the network
        turns_of.theirs[1:],
        to_reach="≤ 1.05",
        note="fit with all callbacks of Podium's training, its files written after each epoch; "
        "both validate on one batch",
    )


class Peer:
    """Another network of the recipe, trained by a bare loop over tensors."""

    def __init__(self, recipe: Recipe, images: np.ndarray, labels: np.ndarray):
        network = make_network(recipe)
        network.unfreeze("all", recipe.train_batchnorm)
        self.model = network.model
        self.model.compile(
            make_optimizer(recipe, 1e-3),
            loss=keras.losses.CategoricalCrossentropy(),
            metrics=["accuracy"],
            jit_compile=Devices().jit_compile,
        )
        batch = recipe.batch_size
        self.batches = [
            (tf.constant(images[start : start + batch]), tf.constant(labels[start:][:batch]))
            for start in range(0, len(images), batch)
        ]

    def epoch(self) -> None:
        self.model.reset_metrics()
        *train, validation = self.batches
        for images, labels in train:
            self.model.train_on_batch(images, labels)
        self.model.test_on_batch(*validation)


class Turns(keras.callbacks.Callback):
    """Between two epochs of `fit`, the peer has one.

    The training has this one behind its other callbacks: what they do is within the time.
    """

    def __init__(self, peer: Peer):
        super().__init__()
        self.peer = peer
        self.ours: list[float] = []
        self.theirs: list[float] = []

    def on_epoch_begin(self, epoch, logs=None):
        began = time.perf_counter()
        self.peer.epoch()
        self.theirs.append(time.perf_counter() - began)
        self._epoch_began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.ours.append(time.perf_counter() - self._epoch_began)
        say(f"  turn {epoch}: {self.ours[-1]:.2f} s against {self.theirs[-1]:.2f} s")


if __name__ == "__main__":
    main(measure)
