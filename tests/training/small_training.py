"""A training small enough for a test: dark and light images of 16 pixels, the small ResNet."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from podium.data.batches import ImageCache
from podium.models.backend import Devices
from podium.models.network import Network, build_network
from podium.recipes.recipe import Recipe
from podium.recipes.recipe_file import parse_recipe
from podium.runs.fold_folder import FoldFolder
from podium.training import trainer
from podium.training.datasets import FoldDataset
from podium.training.resume import ResumeState
from podium.training.time_plan import TimePlan, stage_works
from podium.training.trainer import Trainer

CLASSES = 2
TRAIN, VALIDATION = 24, 8


def recipe(**changes: Any) -> Recipe:
    data = {
        "competition": "sample",
        "backbone": "resnet-8",
        "weights": "none",
        "image_size": 16,
        "batch_size": 8,
        "head": {"width": 8},
        "augmentation": {"crop": 1.0, "rotate": 0.0},
        "stages": [{"unfreeze": "all", "epochs": 2, "learning_rate": 0.001}],
    }
    return parse_recipe({**data, **changes}, source="test")


def stage(unfreeze: str = "all", epochs: int = 2, learning_rate: float = 0.001) -> dict[str, Any]:
    return {"unfreeze": unfreeze, "epochs": epochs, "learning_rate": learning_rate}


def draw(folder: Path, seed: int = 0) -> FoldDataset:
    """Noise, darker for class 0 than for class 1, which overlap."""
    random = np.random.default_rng(seed)
    labels = np.arange(TRAIN + VALIDATION) % CLASSES
    paths = []
    for number, label in enumerate(labels):
        gray = random.normal(110 + 40 * label, 60, (18, 20, 3)).clip(0, 255).astype(np.uint8)
        paths.append(folder / f"{number}.png")
        Image.fromarray(gray).save(paths[-1])
    one_hot = np.eye(CLASSES, dtype=np.float32)[labels]
    train, validation = np.split(np.arange(len(paths)), [TRAIN])
    cache = ImageCache(paths, 20, memory_share=0.1)
    return FoldDataset(cache, train, one_hot[train], validation, one_hot[validation])


def make_training(
    recipe: Recipe,
    images: FoldDataset,
    folder: Path,
    devices: Devices | None = None,
    deadline: float | None = None,
    seed: int = 0,
) -> Trainer:
    """A fold's training with a new network; `run` it."""
    devices = devices or Devices()
    keras.utils.set_random_seed(seed)
    with devices.scope():
        network: Network = build_network(recipe, CLASSES)
    train = [len(images.of_stage(number).train) for number in range(len(recipe.stages))]
    works = stage_works(recipe, train, len(images.validation), network.unfrozen_share)
    plan = TimePlan(works, VALIDATION * recipe.stage_size() ** 2, deadline)
    return Trainer(network, images, recipe, devices, FoldFolder(folder), plan)


def weights(model: keras.Model) -> list[np.ndarray]:
    return [weight.numpy() for weight in model.weights]


def raw_validation(images: FoldDataset, size: int = 16) -> np.ndarray:
    """The validation images as the network sees them, uint8 (images, size, size, 3)."""
    from podium.files.image_io import resize

    return np.stack([resize(images.cache[i], size, size) for i in images.validation])


def stopped_after(training: Trainer, epochs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run until so many epochs are written, then stop as a kill does: nothing else is written."""
    with killed_after(epochs, monkeypatch):
        training.run()


@contextmanager
def killed_after(epochs: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What trains in here ends as soon as so many epochs are written."""
    write = ResumeState.write

    class Killed(BaseException):
        pass

    def and_stop(self: ResumeState, *arguments: object) -> None:
        write(self, *arguments)
        if len(self.history) == epochs:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "CACHED_PAUSE", 0.0)  # each epoch of a head is written
        patch.setattr(ResumeState, "write", and_stop)
        with pytest.raises(Killed):
            yield


def gone_on_after(training: Trainer, epochs: int, monkeypatch: pytest.MonkeyPatch) -> Trainer:
    """The training, killed after so many epochs and gone on with from another initial network."""
    stopped_after(training, epochs, monkeypatch)
    again = make_training(training.recipe, training.images, training.folder.path, seed=99)
    again.run()
    return again


def assert_ended_alike(one: Trainer, other: Trainer, expected: list[np.ndarray]) -> None:
    """See that a training learned as another did, and ended with these weights of it."""
    for column in ("loss", "val_loss", "learning_rate"):
        np.testing.assert_allclose(
            one.folder.read_history()[column], other.folder.read_history()[column], rtol=1e-4
        )
    for mine, theirs in zip(weights(one.network.model), expected, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-4)


TWO_CPUS = """
import os
import sys

if os.environ.get("KERAS_BACKEND") == "jax":
    sys.modules["tensorflow"] = None
    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
else:
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
sys.path.insert(0, sys.argv[1])
"""


def run_on_two_cpus(code: str, *words: object) -> str:
    """Run code in a process of its own that has CPU:0 and CPU:1; the words begin at sys.argv[2].

    Returns the last line that it printed.

    Devices can only be divided before the backend begins.
    """
    arguments = [str(Path(__file__).parent), *map(str, words)]
    done = subprocess.run(
        [sys.executable, "-c", TWO_CPUS + code, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip().rpartition("\n")[2]
