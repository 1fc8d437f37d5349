"""One-cycle: the function itself, and that optimizers really follow it."""

import itertools

import keras
import numpy as np
import pytest

from podium.recipes.recipe import Recipe
from podium.recipes.recipe_file import parse_recipe
from podium.recipes.tables import OneCycle
from podium.training.callbacks import OneCycleSchedule, TimeKeeper
from podium.training.one_cycle import one_cycle
from podium.training.optimizers import make_optimizer
from podium.training.resume import ResumeState
from podium.training.time_plan import StageWork, TimePlan

PEAK = 0.01
LINEAR = OneCycle(shape="linear", warmup=0.25)


def rates(steps: int, cycle: OneCycle) -> np.ndarray:
    return np.array([one_cycle(step, steps, PEAK, cycle)[0] for step in range(steps)])


def momenta(steps: int, cycle: OneCycle) -> np.ndarray:
    return np.array([one_cycle(step, steps, PEAK, cycle)[1] for step in range(steps)])


@pytest.mark.parametrize("shape", ["cosine", "linear"])
@pytest.mark.parametrize("warmup", [0.1, 0.3, 0.75])
def test_start_peak_and_end(shape: str, warmup: float) -> None:
    cycle = OneCycle(shape=shape, warmup=warmup, start_divisor=20, final_divisor=500)
    found = rates(101, cycle)
    top = round(100 * warmup)
    assert found[0] == pytest.approx(PEAK / 20)
    assert found[top] == pytest.approx(PEAK)
    assert found[-1] == pytest.approx(PEAK / 500)
    assert found.argmax() == top
    assert (np.diff(found[: top + 1]) > 0).all(), "rises to the peak"
    assert (np.diff(found[top:]) < 0).all(), "falls from it"


def test_linear_goes_straight() -> None:
    found = rates(101, LINEAR)
    np.testing.assert_allclose(found[:26], np.linspace(PEAK / 25, PEAK, 26))
    np.testing.assert_allclose(found[25:], np.linspace(PEAK, PEAK / 1e4, 76))


def test_cosine_is_half_way_up_at_half_the_warmup_and_flat_at_the_ends() -> None:
    found = rates(201, OneCycle(warmup=0.5))
    assert found[50] == pytest.approx((PEAK / 25 + PEAK) / 2)
    assert found[150] == pytest.approx((PEAK + PEAK / 1e4) / 2)
    steps = np.abs(np.diff(found))
    assert steps[[0, 99, 100, 199]].max() < steps[[49, 149]].min() / 10


@pytest.mark.parametrize("shape", ["cosine", "linear"])
def test_momentum_mirrors_the_rate(shape: str) -> None:
    cycle = OneCycle(shape=shape, warmup=0.5, start_divisor=1e4, final_divisor=1e4)
    share = (rates(101, cycle) - PEAK / 1e4) / (PEAK - PEAK / 1e4)
    found = momenta(101, cycle)
    assert (found[0], found[50], found[100]) == pytest.approx((0.95, 0.85, 0.95))
    np.testing.assert_allclose(found, 0.95 - 0.1 * share, atol=1e-9)


def test_momentum_is_left_alone_where_the_recipe_says_so() -> None:
    assert one_cycle(3, 10, PEAK, OneCycle(momentum=[]))[1] is None


@pytest.mark.parametrize("warmup", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_shortest_stages_stay_between_the_ends_and_the_peak(steps: int, warmup: float) -> None:
    for step in range(steps + 2):
        rate, momentum = one_cycle(step, steps, PEAK, OneCycle(warmup=warmup))
        assert PEAK / 1e4 - 1e-12 <= rate <= PEAK + 1e-12
        assert 0.85 - 1e-9 <= momentum <= 0.95 + 1e-9


def test_no_warmup_begins_at_the_peak_and_all_warmup_ends_there() -> None:
    assert rates(10, OneCycle(warmup=0.0))[0] == pytest.approx(PEAK)
    assert rates(10, OneCycle(warmup=1.0))[-1] == pytest.approx(PEAK)


def test_steps_past_the_end_keep_the_last_values() -> None:
    assert one_cycle(500, 100, PEAK, LINEAR) == one_cycle(99, 100, PEAK, LINEAR)


def recipe(**changes: object) -> Recipe:
    data = {"competition": "sample", "backbone": "resnet-small", "weights": "none"}
    return parse_recipe({**data, **changes}, source="test")


def data(count: int = 24) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.normal(size=(count, 3)).astype(np.float32), random.normal(size=(count, 1)).astype(
        np.float32
    )


def line() -> keras.Model:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, kernel_initializer="ones")])
    assert np.all(model.get_weights()[0] == 1)
    return model


class Watch(keras.callbacks.Callback):
    """Notes with what rate and momentum each step was made."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[float, float]] = []

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        optimizer = self.model.optimizer
        self.seen.append((float(optimizer.learning_rate), float(optimizer.cycled_momentum)))


def fit(optimizer: keras.optimizers.Optimizer, cycle: OneCycle, epochs: int = 2) -> Watch:
    """24 images in batches of 4: 6 steps an epoch."""
    model, watch = line(), Watch()
    model.compile(optimizer, "mse")
    model.fit(
        *data(), batch_size=4, epochs=epochs, shuffle=False, verbose=0,
        callbacks=[*scheduled(cycle, TimePlan([StageWork(epochs, steps=6)])), watch],
    )  # fmt: skip
    return watch


def scheduled(cycle: OneCycle, plan: TimePlan) -> list[keras.callbacks.Callback]:
    return [OneCycleSchedule(PEAK, cycle, plan), TimeKeeper(plan, ResumeState(), 4, 0)]


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
@pytest.mark.jax
def test_each_step_has_its_rate_and_momentum(name: str) -> None:
    watch = fit(make_optimizer(recipe(optimizer=name), learning_rate=PEAK), OneCycle())
    expected = [one_cycle(step, 12, PEAK, OneCycle()) for step in range(12)]
    np.testing.assert_allclose(watch.seen, expected, rtol=1e-5)


@pytest.mark.parametrize(("name", "momentum"), [("adam", 0.9), ("adamw", 0.9), ("sgd", 0.9)])
def test_an_empty_momentum_leaves_the_optimizers_own(name: str, momentum: float) -> None:
    watch = fit(make_optimizer(recipe(optimizer=name), PEAK), OneCycle(momentum=[]), epochs=1)
    np.testing.assert_allclose([seen for _, seen in watch.seen], momentum, rtol=1e-6)


def weights_after(optimizer: keras.optimizers.Optimizer, momenta: list[float]) -> np.ndarray:
    """A dense layer's weights after a step with each of these momenta, traced once."""
    model = line()
    model.compile(optimizer, "mse")
    images, targets = data()
    for momentum in momenta:
        optimizer.cycled_momentum.assign(momentum)
        model.train_on_batch(images, targets)
    return model.get_weights()[0]


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_constant_momentum_is_what_keras_own_optimizers_do(momentum: float) -> None:
    images, targets = data()
    for name, own in (
        ("sgd", keras.optimizers.SGD(PEAK, momentum=momentum)),
        ("adam", keras.optimizers.Adam(PEAK, beta_1=momentum)),
        ("adamw", keras.optimizers.AdamW(PEAK, beta_1=momentum, weight_decay=0.1)),
    ):
        model = line()
        model.compile(own, "mse")
        for _ in range(6):
            model.train_on_batch(images, targets)
        ours = make_optimizer(recipe(optimizer=name, weight_decay=0.1 * (name == "adamw")), PEAK)
        found = weights_after(ours, [momentum] * 6)
        np.testing.assert_allclose(found, model.get_weights()[0], rtol=1e-5, err_msg=name)


def test_changing_momentum_acts_after_the_step_was_traced() -> None:
    """By hand: v ← m v - r g, w ← w + v, with the m of that very step."""
    images, targets = data()
    momenta = [0.95, 0.0, 0.85, 0.95, 0.2]
    weights = np.ones((3, 1))
    bias, velocity, bias_velocity = 0.0, np.zeros((3, 1)), 0.0
    for momentum in momenta:
        error = images @ weights + bias - targets
        velocity = momentum * velocity - PEAK * 2 * images.T @ error / len(images)
        bias_velocity = momentum * bias_velocity - PEAK * 2 * error.mean()
        weights, bias = weights + velocity, bias + bias_velocity
    found = weights_after(make_optimizer(recipe(optimizer="sgd"), PEAK), momenta)
    np.testing.assert_allclose(found, weights, rtol=1e-5)


def test_adam_follows_changing_momentum_too() -> None:
    for name in ("adam", "adamw"):
        results = [
            weights_after(make_optimizer(recipe(optimizer=name), PEAK), momenta)
            for momenta in ([0.9] * 4, [0.9, 0.9, 0.5, 0.5], [0.9, 0.9, 0.5, 0.5])
        ]
        assert np.abs(results[0] - results[1]).max() > 1e-4
        np.testing.assert_allclose(results[1], results[2], rtol=1e-6)


def test_the_schedule_goes_on_from_the_position_of_the_plan() -> None:
    """A resumed stage: the plan is told where it is, Keras' batch number begins at 0."""
    optimizer = make_optimizer(recipe(), PEAK)
    first = fit(optimizer, OneCycle(), epochs=1)
    model, watch = line(), Watch()
    other = make_optimizer(recipe(), PEAK)
    model.compile(other, "mse")
    other.build(model.trainable_variables)
    plan = TimePlan([StageWork(epochs=2, steps=6)])
    plan.resume(stage=0, epoch=1, progress={})
    model.fit(
        *data(), batch_size=4, shuffle=False, verbose=0,
        callbacks=[*scheduled(OneCycle(), plan), watch],
    )  # fmt: skip
    expected = [one_cycle(step, 12, PEAK, OneCycle()) for step in range(6, 12)]
    np.testing.assert_allclose(watch.seen, expected, rtol=1e-5)
    assert len(first.seen) == 6


def moved(optimizer: keras.optimizers.Optimizer) -> np.ndarray:
    """How far one step with a gradient of (1000, 1, 0) moves three weights."""
    weights = keras.Variable(np.ones(3), name="kernel")
    optimizer.build([weights])
    optimizer.apply([keras.ops.convert_to_tensor([1000.0, 1.0, 0.0])], [weights])
    return weights.numpy() - 1


def test_gradients_are_clipped() -> None:
    plain = {"optimizer": "sgd"}
    np.testing.assert_allclose(moved(make_optimizer(recipe(**plain), 0.1)), [-100, -0.1, 0])
    by_value = moved(make_optimizer(recipe(**plain, clip_value=0.5), 0.1))
    np.testing.assert_allclose(by_value, [-0.05, -0.05, 0], atol=1e-6)
    by_norm = moved(make_optimizer(recipe(**plain, clip_norm=1.0), 0.1))
    np.testing.assert_allclose(by_norm, [-0.1, -1e-4, 0], atol=1e-6)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_weight_decay_pulls_weights_that_have_no_gradient(name: str) -> None:
    for decay, there in itertools.product([0.0, 0.2], ["kernel"]):
        weights = keras.Variable(np.ones(3), name=there)
        optimizer = make_optimizer(recipe(optimizer=name, weight_decay=decay), 0.1)
        optimizer.build([weights])
        optimizer.apply([keras.ops.zeros(3)], [weights])
        np.testing.assert_allclose(weights.numpy(), 1 - 0.1 * decay, rtol=1e-5)


def test_adamw_spares_biases_and_norms() -> None:
    optimizer = make_optimizer(recipe(optimizer="adamw", weight_decay=0.5), 0.1)
    names = ["kernel", "bias", "gamma", "beta"]
    variables = [keras.Variable(np.ones(2), name=name) for name in names]
    optimizer.build(variables)
    optimizer.apply([keras.ops.zeros(2)] * 4, variables)
    assert [float(variable[0]) for variable in variables] == pytest.approx([0.95, 1, 1, 1])
