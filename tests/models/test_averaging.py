"""Averaged weights: the mean, and BatchNorm statistics that fit it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from podium.models.averaging import Averager
from podium.models.network import Network, build_network
from podium.recipes.recipe_file import parse_recipe

RANDOM = np.random.default_rng(0)
BATCHES = [RANDOM.integers(0, 256, (16, 16, 16, 3), np.uint8) for _ in range(3)]


def make_network(seed: int = 0, dropout: float = 0.0) -> Network:
    keras.utils.set_random_seed(seed)
    data = {
        "competition": "sample",
        "backbone": "resnet-8",
        "weights": "none",
        "image_size": 16,
        "head": {"width": 8, "depth": 2, "dropout": dropout},
    }
    return build_network(parse_recipe(data, "test"), classes=3)


@pytest.fixture(scope="module")
def network() -> Network:
    return make_network()


def averager(network: Network, batches: list[np.ndarray] = BATCHES) -> Averager:
    return Averager(network, lambda: batches)


def batchnorms(network: Network) -> list[keras.layers.BatchNormalization]:
    every = [*network.backbone.layers, *network.head.layers]
    return [layer for layer in every if isinstance(layer, keras.layers.BatchNormalization)]


def noisy(weights: list[np.ndarray], seed: int) -> list[np.ndarray]:
    """Other weights, and statistics that are still above zero."""
    random = np.random.default_rng(seed)
    return [array * random.uniform(0.5, 1.5, array.shape).astype("f4") for array in weights]


def is_statistic(network: Network) -> list[bool]:
    names = ("moving_mean", "moving_variance")
    return [variable.name in names for variable in network.model.weights]


def scaled(network: Network, factor: float) -> list[np.ndarray]:
    """The same function by other weights: what goes into each BatchNorm is `factor` times as much.

    It normalizes that away; a convolution is followed by one, as is each dense layer's relu.
    """
    before = network.model.get_weights()
    for layer in [*network.backbone.layers, *network.head.layers]:
        if "conv" in layer.name or layer.name.startswith("dense"):
            for variable in layer.weights:
                variable.assign(variable * factor)
        elif isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(layer.moving_mean * factor)
            layer.moving_variance.assign(layer.moving_variance * factor**2)
    found = network.model.get_weights()
    network.model.set_weights(before)
    return found


def test_each_weight_is_the_mean(network: Network) -> None:
    three = [noisy(network.model.get_weights(), seed) for seed in range(3)]
    averager(network).average(iter(three))
    for place, (found, moved) in enumerate(
        zip(network.model.get_weights(), is_statistic(network), strict=True)
    ):
        if not moved:
            wanted = np.mean([weights[place] for weights in three], axis=0)
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-7)


def test_one_set_of_weights_stays_as_it_is(network: Network) -> None:
    one = noisy(network.model.get_weights(), 7)
    averager(network, batches=[]).average([one])
    for found, wanted in zip(network.model.get_weights(), one, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_the_mean_of_two_networks_of_one_function_is_that_function(network: Network) -> None:
    """Which it is only with statistics of its own: without, it is far off."""
    make = averager(network)
    network.model.set_weights(scaled(network, 100.0))  # beside which BatchNorm's epsilon is nothing
    make.estimate(batchnorms(network))
    here, there = network.model.get_weights(), scaled(network, 10.0)
    images = np.concatenate(BATCHES)
    wanted = network.model.predict(images, verbose=0)
    assert np.ptp(wanted, axis=0).max() > 0.1, "it tells images apart"
    network.model.set_weights(there)
    np.testing.assert_allclose(network.model.predict(images, verbose=0), wanted, atol=0.02)

    network.model.set_weights([(a + b) / 2 for a, b in zip(here, there, strict=True)])
    without = np.abs(network.model.predict(images, verbose=0) - wanted).max()
    make.average([here, there])
    again = np.abs(network.model.predict(images, verbose=0) - wanted).max()
    assert again < 0.02 < 0.1 < without


def test_statistics_that_do_not_differ_are_constants(network: Network) -> None:
    """Those of frozen layers; their weights may differ all the same."""
    one = network.model.get_weights()
    other = noisy(one, 3)
    frozen = batchnorms(network)[:5]
    kept = {id(variable) for layer in frozen for variable in layer.weights[-2:]}
    for place, variable in enumerate(network.model.weights):
        if id(variable) in kept:
            other[place] = one[place]
    averager(network).average([one, other])
    for place, variable in enumerate(network.model.weights):
        if id(variable) in kept:
            np.testing.assert_array_equal(variable.numpy(), one[place])
    for layer in batchnorms(network)[5:]:
        statistics = layer.moving_mean.numpy()
        places = [id(variable) for variable in network.model.weights]
        place = places.index(id(layer.moving_mean))
        assert not np.allclose(statistics, (one[place] + other[place]) / 2, rtol=1e-3)


@pytest.mark.jax
def test_statistics_are_the_mean_over_the_batches(network: Network) -> None:
    first = batchnorms(network)[0]
    averager(network).estimate([first])
    below = keras.Model(network.backbone.input, network.backbone.get_layer("stem_conv").output)
    preprocessing = network.model.get_layer("preprocessing")
    found = [np.asarray(below(preprocessing(batch))) for batch in BATCHES]
    mean = np.mean([maps.mean(axis=(0, 1, 2)) for maps in found], axis=0)
    variance = np.mean([maps.var(axis=(0, 1, 2)) for maps in found], axis=0)
    np.testing.assert_allclose(first.moving_mean, mean, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(first.moving_variance, variance, rtol=1e-3)


def test_nothing_is_dropped() -> None:
    network, without = make_network(seed=1, dropout=0.9), make_network(seed=1, dropout=0.0)
    without.model.set_weights(network.model.get_weights())
    for one in (network, without):
        averager(one).estimate(batchnorms(one))
    found, wanted = (one.head.get_layer("bn_2").moving_mean.numpy() for one in (network, without))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.jax
def test_only_the_given_layers_are_estimated(network: Network) -> None:
    before = network.model.get_weights()
    last = batchnorms(network)[-1]
    averager(network).estimate([last])
    changed = [
        variable.path
        for variable, old in zip(network.model.weights, before, strict=True)
        if not np.array_equal(variable.numpy(), old)
    ]
    assert changed == [last.moving_mean.path, last.moving_variance.path]


def test_another_choice_of_layers_is_not_mistaken_for_the_one_before(network: Network) -> None:
    make: Callable = averager(network).estimate
    first, last = batchnorms(network)[0], batchnorms(network)[-1]
    for layer in (first, last, first):
        layer.moving_mean.assign(np.full(layer.moving_mean.shape, 77.0))
        make([layer])
        assert not (layer.moving_mean.numpy() == 77).any()


TWO_CPUS = """
import sys
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

sys.path.insert(0, sys.argv[1])
import numpy as np
from podium.models.backend import Devices
from test_averaging import BATCHES, averager, make_network, noisy

found = []
for names in (["CPU:0", "CPU:1"], ["CPU:0"]):
    with Devices(names).scope():
        network = make_network()
    weights = network.model.get_weights()
    averager(network).average([noisy(weights, 0), noisy(weights, 1)])
    found.append([*network.model.get_weights(), network.model.predict(BATCHES[0], verbose=0)])
for two, one in zip(*found, strict=True):
    np.testing.assert_allclose(two, one, rtol=1e-3, atol=1e-4)
"""


@pytest.mark.slow
def test_two_devices_average_as_one_does() -> None:
    """In a process of its own: devices are divided before TensorFlow begins."""
    here = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", TWO_CPUS, here], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
