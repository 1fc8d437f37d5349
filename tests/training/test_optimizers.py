"""Momentum as a variable, and a rate and decay for each layer."""

import keras
import numpy as np
import pytest
from small_training import CLASSES, recipe, run_on_two_cpus

from podium.models.network import build_network
from podium.training.optimizers import make_optimizer

KINDS = ["adam", "adamw", "sgd"]


def variables() -> list[keras.Variable]:
    return [keras.Variable(np.full(3, 2.0), name=name) for name in ("kernel", "kernel", "bias")]


def step(optimizer: keras.optimizers.Optimizer, gradient: float) -> list[float]:
    """One step with the same gradient for each variable; how far each went."""
    those = variables()
    optimizer.build(those)
    optimizer.apply([np.full(3, gradient, np.float32)] * 3, those)
    return [float(2.0 - variable.numpy()[0]) for variable in those]


@pytest.mark.parametrize("kind", KINDS)
def test_each_variable_learns_at_its_own_rate(kind: str) -> None:
    moved = step(make_optimizer(recipe(optimizer=kind), 0.1, (1.0, 0.5, 0.25)), gradient=1.0)
    assert moved == pytest.approx([0.1, 0.05, 0.025], rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_decay_follows_the_rate_and_spares_biases(kind: str) -> None:
    settings = recipe(optimizer=kind, weight_decay=0.3)
    moved = step(make_optimizer(settings, 0.1, (1.0, 0.5, 0.25)), gradient=0.0)
    assert moved == pytest.approx([2.0 * 0.1 * 0.3, 2.0 * 0.05 * 0.3, 0.0], abs=1e-6)


def test_adam_with_decay_is_keras_adamw() -> None:
    mine = step(make_optimizer(recipe(optimizer="adamw", weight_decay=0.3), 0.1), gradient=0.7)
    keras_own = keras.optimizers.AdamW(0.1, weight_decay=0.3)
    keras_own.exclude_from_weight_decay(var_names=["bias"])
    assert mine == pytest.approx(step(keras_own, gradient=0.7), rel=1e-5)


def test_sgd_is_keras_sgd_at_a_momentum_that_stays() -> None:
    mine, theirs = make_optimizer(recipe(optimizer="sgd"), 0.1), keras.optimizers.SGD(0.1, 0.9)
    paths = []
    for optimizer in (mine, theirs):
        those = variables()
        optimizer.build(those)
        for gradient in (1.0, -0.5, 0.25):
            optimizer.apply([np.full(3, gradient, np.float32)] * 3, those)
        paths.append([float(variable.numpy()[0]) for variable in those])
    assert paths[0] == pytest.approx(paths[1], rel=1e-5)


def test_lower_blocks_learn_more_slowly() -> None:
    network = build_network(recipe(backbone="resnet-small"), CLASSES)
    network.unfreeze("all", train_batchnorm=True)
    scales = network.rate_scales(0.5)
    of = {v.path: scale for v, scale in zip(network.model.trainable_variables, scales, strict=True)}
    assert of["stem_conv/kernel"] == 0.5**7  # the stem lies below six blocks
    assert of["block1a_first_conv/kernel"] == of["block1a_first_bn/gamma"] == 0.5**6
    assert of["block3b_second_conv/kernel"] == 0.5
    assert of["logits/kernel"] == of["dense_1/bias"] == 1.0


def test_frozen_blocks_count_and_a_decay_of_one_is_none() -> None:
    network = build_network(recipe(), CLASSES)
    network.unfreeze(1, train_batchnorm=False)
    assert set(network.rate_scales(0.5)) == {0.5, 1.0}
    assert network.rate_scales(1.0) == []


# --- Several devices

OVERFLOW = """
import keras
import numpy as np

from podium.training.optimizers import ScaledAdam, SharedLossScale

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    weight = keras.Variable(np.ones(3, np.float32))
    optimizer = SharedLossScale(ScaledAdam(0.1))
    optimizer.build([weight])
scale = float(optimizer.dynamic_scale.numpy())


@tf.function
def step(bad):
    def of_replica():
        number = tf.distribute.get_replica_context().replica_id_in_sync_group
        overflown = tf.equal(number, bad)
        gradient = tf.where(overflown, np.inf, optimizer.scale_loss(1.0)) * tf.ones(3)
        optimizer.apply([gradient], [weight])

    strategy.run(of_replica)


for device in (0, 1):
    step(tf.constant(device))
    np.testing.assert_array_equal(weight.numpy(), 1.0)
assert float(optimizer.dynamic_scale.numpy()) == scale / 4, "lowered at each overflow"
step(tf.constant(-1))
assert np.isfinite(weight.numpy()).all() and (weight.numpy() < 1).all(), weight.numpy()
"""


@pytest.mark.slow
def test_an_overflow_on_any_device_skips_the_step() -> None:
    run_on_two_cpus(OVERFLOW)


CLIPPED = """
import keras
import numpy as np
from small_training import recipe

from podium.models.backend import Devices
from podium.training.optimizers import make_optimizer


def moved(devices, limits, gradients):
    with devices.scope():
        weight = keras.Variable(np.zeros(2, np.float32), name="kernel")
        optimizer = make_optimizer(recipe(optimizer="sgd", **limits), 1.0)
        optimizer.build([weight])

    @tf.function
    def step():
        def of_replica():
            number = tf.distribute.get_replica_context().replica_id_in_sync_group
            optimizer.apply([tf.gather(tf.constant(gradients), number)], [weight])

        (devices.strategy or tf.distribute.get_strategy()).run(of_replica)

    step()
    return -weight.numpy()


# A device's gradient is its share of the batch's, of which the sum is clipped.
two, one = Devices(["CPU:0", "CPU:1"]), Devices(["CPU:0"])
for policy in ("float32", "mixed_float16"):
    keras.mixed_precision.set_global_policy(policy)
    scale = 1.0 if policy == "float32" else 2.0**15
    for limits in ({"clip_norm": 1.0}, {"clip_value": 1.0}, {"clip_norm": 100.0}, {}):
        parts = np.array([[6.0, 0.0], [0.0, 8.0]], np.float32) * scale
        whole = parts.sum(axis=0, keepdims=True)
        np.testing.assert_allclose(moved(two, limits, parts), moved(one, limits, whole), rtol=1e-6)
    np.testing.assert_allclose(moved(two, {"clip_norm": 1.0}, parts), [0.6, 0.8], rtol=1e-6)
"""


def test_the_gradient_of_all_devices_is_clipped_and_not_each_ones() -> None:
    run_on_two_cpus(CLIPPED)


# --- Accumulated gradients


def path(optimizer: keras.optimizers.Optimizer, gradients: list[float]) -> list[np.ndarray]:
    """Where a step a gradient leads: the variables after each, and their averages, if any."""
    those = variables()
    optimizer.build(those)
    seen = []
    for gradient in gradients:
        optimizer.apply([np.full(3, gradient * n, np.float32) for n in (1, 2, 3)], those)
        averages = getattr(optimizer, "_model_variables_moving_average", [])
        seen.append(np.array([float(v.numpy()[0]) for v in (*those, *averages)]))
    return seen


@pytest.mark.jax
@pytest.mark.parametrize("kind", KINDS)
def test_accumulated_gradients_are_steps_of_their_mean(kind: str) -> None:
    """With clipping, decay, rates of layers and a moving average beside it."""
    gradients = [3.0, -1.0, 0.5, 2.0, 1.0, -4.0]
    shared = {"optimizer": kind, "weight_decay": 0.1, "clip_norm": 1.5, "ema": 0.8}
    rates = (1.0, 0.5, 0.25)
    mean = [sum(gradients[:3]) / 3, sum(gradients[3:]) / 3]
    expected = path(make_optimizer(recipe(**shared), 0.1, rates), mean)
    found = path(make_optimizer(recipe(**shared, accumulate=3), 0.1, rates), gradients)
    np.testing.assert_allclose([found[2], found[5]], expected, rtol=1e-5)
    np.testing.assert_array_equal(found[0][:3], 2.0, "no step is due")
    np.testing.assert_array_equal(found[3], found[2])
    np.testing.assert_array_equal(found[4], found[2], "nor does the average move")


ACCUMULATED = """
import keras
import numpy as np
from small_training import recipe

from podium.training.optimizers import make_optimizer

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    weight = keras.Variable(np.full(3, 2.0, np.float32), name="kernel")
    optimizer = make_optimizer(recipe(accumulate=2, clip_norm=0.5, ema=0.5, optimizer="sgd"), 1.0)
    optimizer.build([weight])


@tf.function
def step(gradients):
    strategy.run(lambda g: optimizer.apply([g * tf.ones(3)], [weight]), (gradients,))


def of_each(first, other):
    values = iter([first, other])
    return strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant([first, other][context.replica_id_in_sync_group])
    )


step(of_each(1.0, 2.0))
before = weight.numpy()
step(of_each(5.0, -6.0))
moved = before - weight.numpy()
average = optimizer._model_variables_moving_average[0].numpy()
print(*before, round(float(np.linalg.norm(moved)), 4), np.allclose(average, weight.numpy()))
"""


@pytest.mark.slow
def test_several_devices_accumulate_what_all_found() -> None:
    """(1 + 2 + 5 - 6) / 2 for each of three values, clipped to a norm of a half."""
    assert run_on_two_cpus(ACCUMULATED) == "2.0 2.0 2.0 0.5 True"
