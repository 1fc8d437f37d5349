"""What is computed on two devices is what one computes; what XLA compiles on one GPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_training import run_on_two_cpus

METRICS = """
import keras
import numpy as np

from podium.models.backend import Devices

STEPS = 140  # summed once more at each step, they are no numbers after 127
random = np.random.default_rng(0)
images = random.random((STEPS * 8, 4), np.float32)
labels = np.eye(2, dtype=np.float32)[(images.sum(axis=1) > 2).astype(int)]
devices = Devices(["CPU:0", "CPU:1"])
assert devices.strategy.num_replicas_in_sync == 2
with devices.scope():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")])
    model.compile("sgd", loss="categorical_crossentropy", metrics=["accuracy"])
model.optimizer.learning_rate = 0.0
trained = model.fit(images, labels, batch_size=8, shuffle=False, verbose=0).history
found = {"trained": (trained["loss"][0], trained["accuracy"][0])}
found["validated"] = model.evaluate(images, labels, batch_size=8, verbose=0)
given = np.sum(model.predict(images, verbose=0) * labels, axis=1)
for scores in found.values():
    np.testing.assert_allclose(scores, (-np.log(given).mean(), (given > 0.5).mean()), rtol=1e-4)
"""


@pytest.mark.slow
def test_metrics_of_two_devices_are_true_after_more_steps_than_a_float_doubles() -> None:
    run_on_two_cpus(METRICS)


STATISTICS = """
import keras
import numpy as np
from small_training import CLASSES, recipe

from podium.models.network import build_network
from podium.models.backend import Devices

half = np.random.default_rng(0).integers(0, 100, (4, 16, 16, 3), np.uint8)
images, labels = np.concatenate([half, half + 150]), np.eye(2, dtype=np.float32)[[0, 1] * 4]
found = []
for names in (["CPU:0", "CPU:1"], ["CPU:0"]):
    devices = Devices(names)
    keras.utils.set_random_seed(0)
    with devices.scope():
        network = build_network(recipe(head={"width": 8, "dropout": 0.0}), CLASSES)
        network.unfreeze("all", train_batchnorm=True)
        network.model.compile(keras.optimizers.SGD(0.0), "categorical_crossentropy")
    network.model.fit(images, labels, batch_size=8, shuffle=False, verbose=0)
    batchnorms = [x for x in network.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert "bn_1" in [layer.name for layer in batchnorms], "the head has one"
    statistics = [v for layer in batchnorms for v in (layer.moving_mean, layer.moving_variance)]
    found.append([variable.numpy() for variable in statistics])
for two, one in zip(*found, strict=True):
    np.testing.assert_allclose(two, one, rtol=1e-3, atol=1e-5)
"""


@pytest.mark.jax
def test_batchnorm_statistics_of_two_devices_are_of_the_whole_batch() -> None:
    run_on_two_cpus(STATISTICS)


SHARED = """
from pathlib import Path

import numpy as np
from small_training import draw, make_training, recipe, stage
from podium.models.backend import Devices

images, found = draw(Path(sys.argv[2])), []
settings = recipe(stages=[stage("all", 2, 0.01)], head={"width": 8, "dropout": 0.0}, clip_norm=0.5)
for number, names in enumerate((["CPU:0", "CPU:1"], ["CPU:0"])):
    training = make_training(settings, images, Path(sys.argv[2], str(number)), Devices(names))
    assert training.devices.count == len(names)
    training.run()
    found.append(training.folder.read_history()[["loss", "val_loss", "accuracy", "val_accuracy"]])
np.testing.assert_allclose(*found, rtol=1e-3)
"""


@pytest.mark.jax
def test_two_devices_have_the_loss_of_one(tmp_path: Path) -> None:
    """Gradients of the whole batch, clipped as one."""
    run_on_two_cpus(SHARED, tmp_path)


COMPILED = """
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd

sys.path.insert(0, sys.argv[1])
from small_training import TRAIN, VALIDATION, draw, make_training, recipe, stage
from podium.predictions.predict import predict_views
from podium.predictions.tta import VIEWS
from podium.models.backend import Devices


class LikeGPU(Devices):
    jit_compile = "auto"


folder = Path(sys.argv[2])
keras.Model._resolve_auto_jit_compile = lambda model: True  # as where there is one GPU
images = draw(folder)
settings = recipe(batch_size=5, stages=[stage("head", 1), stage("all", 2)])
assert TRAIN % 5 and VALIDATION % 5, "last batches are smaller"
training = make_training(settings, images, folder / "run", LikeGPU())
training.run()
network = training.network
ids = pd.Index([str(number) for number in range(VALIDATION)])
about = images.cache, images.validation, ids, ["dark", "light"], VIEWS[:2], 16, 5
predict_views(network.model, *about)
predict_views(network.classifier, *about)
"""


@pytest.mark.slow
def test_xla_compiles_the_step_of_each_stage_once_and_nothing_else(tmp_path: Path) -> None:
    """In a process of its own, whose XLA writes down all that it compiles."""
    done = subprocess.run(
        [sys.executable, "-c", COMPILED, str(Path(__file__).parent), str(tmp_path)],
        env={**os.environ, "XLA_FLAGS": f"--xla_dump_to={tmp_path} --xla_dump_hlo_as_text"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(list(tmp_path.glob("*.before_optimizations.txt"))) == 2
