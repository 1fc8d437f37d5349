"""Keras on JAX: batches of one shape, rates of each step, what is compiled, devices."""

import keras
import pytest

if keras.config.backend() != "jax":
    pytest.skip("KERAS_BACKEND=jax runs them: make test", allow_module_level=True)

from types import SimpleNamespace

import numpy as np
from jax import monitoring

from podium.data.batches import Batches, slices
from podium.models.backend import Devices, compiled, feed, set_rates
from podium.models.backend.initial_values import initial_values
from podium.models.inference import predict

pytestmark = pytest.mark.jax
ROWS, BATCH = 11, 4  # the last batch has three


def batches_of(x: np.ndarray, y: np.ndarray | None = None) -> Batches:
    return Batches(
        lambda part: x[part] if y is None else (x[part], y[part]),
        lambda: slices(len(x), BATCH),
        rows=len(x),
        batch_size=BATCH,
        row=None,
    )


@pytest.fixture
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")])
    model.compile(
        keras.optimizers.SGD(0.1), "categorical_crossentropy", weighted_metrics=["accuracy"]
    )
    return model


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    x = random.normal(size=(ROWS, 3)).astype(np.float32)
    return x, np.eye(2, dtype=np.float32)[(x.sum(axis=1) > 0).astype(int)]


def test_batches_are_filled_up_and_what_was_added_counts_nothing(model, data) -> None:
    fed = feed(batches_of(*data))
    assert [[part.shape for part in fed[i]] for i in range(len(fed))] == [
        [(4, 3), (4, 2), (4,)]
    ] * 3
    loss, accuracy = model.evaluate(fed, verbose=0)
    probabilities = model.predict(data[0], batch_size=ROWS, verbose=0)
    right = probabilities[np.arange(ROWS), data[1].argmax(axis=1)]
    assert loss == pytest.approx(-np.log(right).mean(), rel=1e-5)
    assert accuracy == pytest.approx((right > 0.5).mean(), rel=1e-5)
    (found,) = predict(model, batches_of(data[0]))
    np.testing.assert_allclose(found, probabilities, rtol=1e-5)


def test_each_shape_is_compiled_once(model, data) -> None:
    traced = []

    class Counting(keras.layers.Layer):
        def call(self, x):
            traced.append(x.shape)
            return x

    counted = keras.Sequential([keras.Input((3,)), Counting(), model])
    traced.clear()
    predict(counted, batches_of(data[0]))
    predict(counted, batches_of(data[0][:6]))
    assert traced == [(BATCH, 3)]


def test_a_steps_rate_and_momentum_are_those_that_were_set(model, data) -> None:
    class Rates(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            set_rates(self, [0.0, 1.0, 0.0][batch])

        def on_train_batch_end(self, batch, logs=None):
            seen.append(self.model.get_weights()[0])  # which brings all variables up to date

    before, seen = model.get_weights()[0], []
    compiled_steps: list[str] = []

    def listen(event: str, duration: float, **about: str) -> None:
        if event.endswith("backend_compile_duration") and "train_step" in about.get("fun_name", ""):
            compiled_steps.append(about["fun_name"])

    monitoring.register_event_duration_secs_listener(listen)
    model.fit(feed(batches_of(*data)), shuffle=False, epochs=2, callbacks=[Rates()], verbose=0)
    assert compiled_steps == ["jit(train_step)"], "once, whatever the rates"
    np.testing.assert_array_equal(seen[0], before)
    assert np.abs(seen[1] - seen[0]).max() > 1e-3
    np.testing.assert_array_equal(seen[2], seen[1])
    np.testing.assert_array_equal(seen[3], seen[2])
    assert np.abs(seen[4] - seen[3]).max() > 1e-3


def test_what_is_compiled_changes_the_variables_that_it_names() -> None:
    layer = keras.layers.BatchNormalization(momentum=0.0)
    layer.build((None, 2))
    statistics = [layer.moving_mean, layer.moving_variance]
    step = compiled(lambda x: layer(x, training=True), layer.variables, changed=statistics)
    x = np.float32([[1, 10], [3, 30]])
    step(x)
    np.testing.assert_allclose(layer.moving_mean.numpy(), [2, 20])
    np.testing.assert_allclose(layer.moving_variance.numpy(), [1, 100])


def test_what_is_compiled_for_some_sizes_takes_fewer_rows() -> None:
    shapes = []

    def double(x):
        shapes.append(x.shape)
        return {"twice": 2 * x}

    twice = compiled(double, [], batch_sizes=(4, 1))
    for rows in (1, 2, 3, 4, 1):
        x = np.arange(rows, dtype=np.float32)
        np.testing.assert_array_equal(twice(x)["twice"], 2 * x)
    assert shapes == [(1,), (4,)]


@pytest.mark.parametrize(
    ("initializer", "deviation"),
    [
        (keras.initializers.GlorotUniform(seed=1), (2 / (9 * 40 + 9 * 60)) ** 0.5),
        (keras.initializers.HeNormal(seed=1), (2 / (9 * 40)) ** 0.5),
        (
            keras.initializers.VarianceScaling(2.0, "fan_out", "normal", seed=1),
            (2 / (9 * 60)) ** 0.5,
        ),
        (
            keras.initializers.VarianceScaling(1.0, "fan_avg", "untruncated_normal", seed=1),
            1 / 450**0.5,
        ),
        (keras.initializers.RandomNormal(0.0, 0.3, seed=1), 0.3),
    ],
)
def test_initial_values_are_distributed_as_keras_draws_them(initializer, deviation) -> None:
    shape = (3, 3, 40, 60)
    ours, theirs = initial_values(initializer, shape), np.asarray(initializer(shape))
    assert ours.shape == shape and ours.dtype == np.float32
    assert ours.std() == pytest.approx(deviation, rel=0.02)
    quantiles = np.linspace(0, 1, 9)[1:-1]
    np.testing.assert_allclose(
        np.quantile(ours, quantiles), np.quantile(theirs, quantiles), atol=0.05 * deviation
    )
    assert np.abs(ours).max() == pytest.approx(np.abs(theirs).max(), rel=0.25)
    np.testing.assert_array_equal(ours, initial_values(initializer, shape), "of one seed")


def test_other_initial_values_are_left_to_keras() -> None:
    assert initial_values(keras.initializers.Orthogonal(), (3, 3)) is None
    np.testing.assert_array_equal(initial_values(keras.initializers.Ones(), (2,)), [1, 1])
    variable = keras.Variable(keras.initializers.Constant(3.0), shape=(2,))
    np.testing.assert_array_equal(variable.numpy(), [3, 3])


@pytest.mark.parametrize(
    ("kind", "capabilities", "policy"),
    [
        ("tpu", [None] * 8, "mixed_bfloat16"),
        ("gpu", ["9.0"], "mixed_bfloat16"),
        ("gpu", ["7.5", "7.5"], "mixed_float16"),
        ("gpu", ["6.1"], "float32"),
        ("cpu", [None], "float32"),
    ],
)
def test_the_precision_is_that_of_the_device(kind, capabilities, policy) -> None:
    """As devices describe themselves; there are none of these here."""
    devices = Devices()
    devices.kind = kind
    devices._devices = [SimpleNamespace(compute_capability=one) for one in capabilities]
    try:
        assert devices.set_precision(mixed=True) == policy
        assert devices.set_precision(mixed=False) == "float32"
    finally:
        keras.config.set_dtype_policy("float32")


def test_a_batch_that_devices_cannot_share_is_refused() -> None:
    devices = Devices()
    devices.check_batch_size(5)
    devices._devices = devices._devices * 8
    devices.check_batch_size(16)
    with pytest.raises(ValueError, match="batch_size 20 cannot be shared by 8 devices: take a"):
        devices.check_batch_size(20)
