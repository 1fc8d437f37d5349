"""Ways to blend: each on a few images by hand, and with a bad run beside good ones."""

import json

import numpy as np
import pytest

from podium.competitions.metrics import Accuracy, LogLoss, Metric
from podium.predictions.blend_methods import METHODS, Rule

IMAGES, CLASSES = 600, 4
LABELS = np.random.default_rng(9).integers(CLASSES, size=IMAGES)


def made_up(seed: int, skill: float = 2.0, share: float = 0.0) -> np.ndarray:
    """A run's probabilities (images, classes); `share` of its errors is common to all runs."""
    common = np.random.default_rng(0).normal(size=(IMAGES, CLASSES))
    own = np.random.default_rng(seed).normal(size=(IMAGES, CLASSES))
    logits = share * common + (1 - share) * own
    logits[np.arange(IMAGES), LABELS] += skill
    powers = np.exp(logits)
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def pool(*runs: np.ndarray) -> np.ndarray:
    return np.stack(runs)


def fitted(name: str, runs: np.ndarray, labels: np.ndarray, metric: Metric) -> Rule:
    method = METHODS[name]
    return method.fit(method.into(runs), labels, metric)


def blended(name: str, runs: np.ndarray, metric: Metric) -> np.ndarray:
    """By a method that was fitted on the same images."""
    return fitted(name, runs, LABELS, metric)(METHODS[name].into(runs))


def value(metric: Metric, probabilities: np.ndarray) -> float:
    """Higher is better."""
    return metric.per_image(LABELS, probabilities).mean() * (1 if metric.higher_is_better else -1)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("metric", [Accuracy(), LogLoss()], ids=lambda metric: metric.name)
def test_a_blend_is_of_probabilities_and_needs_no_labels(name: str, metric: Metric) -> None:
    runs = pool(made_up(1), made_up(2), made_up(3, skill=1))
    rule = fitted(name, runs[:, :400], LABELS[:400], metric)
    found = rule(METHODS[name].into(runs[:, 400:]))
    assert found.shape == (200, CLASSES)
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    assert rule.weights.sum() == pytest.approx(1)
    assert (rule.weights >= 0).all()


@pytest.mark.parametrize("classes", [2, CLASSES])
@pytest.mark.parametrize("name", METHODS)
def test_a_stored_rule_blends_the_same(name: str, classes: int) -> None:
    labels = LABELS % classes
    shares = np.random.default_rng(4).dirichlet(np.ones(classes), (2, IMAGES))
    runs = (0.6 * shares + 0.4 * np.eye(classes)[labels]).astype(np.float32)
    rule, method = fitted(name, runs, labels, LogLoss()), METHODS[name]
    again = method.fitted(json.loads(json.dumps(rule.as_dict())))
    found = rule(method.into(runs))
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(again(method.into(runs)), found)


def test_the_means_on_one_image() -> None:
    runs = np.array([[[0.9, 0.1]], [[0.5, 0.5]]])
    half = np.array([0.5, 0.5])
    np.testing.assert_allclose(Rule(half)(runs), [[0.7, 0.3]])
    odds = np.sqrt(9.0)  # the geometric mean of 9:1 and 1:1
    geometric = Rule(half, np.exp)(METHODS["geometric mean"].into(runs))
    np.testing.assert_allclose(geometric, [[odds / (1 + odds), 1 / (1 + odds)]], rtol=1e-6)
    np.testing.assert_allclose(Rule(np.array([0.75, 0.25]))(runs), [[0.8, 0.2]])


def test_ranks_ignore_the_confidence_of_a_run() -> None:
    one = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    surer = np.array([[0.999, 0.001], [0.99, 0.01], [0.9, 0.1]])  # in the same order
    into = METHODS["rank mean"].into
    np.testing.assert_allclose(into(pool(one, surer)), into(pool(one, one)))


@pytest.mark.parametrize("name", METHODS)
def test_runs_of_different_errors_are_better_together(name: str) -> None:
    metric = Accuracy()
    runs = pool(*(made_up(seed) for seed in range(1, 5)))
    assert (
        value(metric, blended(name, runs, metric)) > max(value(metric, run) for run in runs) + 0.03
    )


@pytest.mark.parametrize("name", ["selected mean", "geometric mean", "rank mean", "greedy weights"])
@pytest.mark.parametrize("metric", [Accuracy(), LogLoss()], ids=lambda metric: metric.name)
def test_a_bad_run_is_left_out(name: str, metric: Metric) -> None:
    bad = made_up(9, skill=-2.0)  # sure, and wrong
    rule = fitted(name, pool(made_up(1), bad, made_up(2)), LABELS, metric)
    assert rule.weights[1] == 0
    assert name == "greedy weights" or list(rule.weights) in ([0.5, 0, 0.5], [1, 0, 0], [0, 0, 1])


def test_convex_weights_are_of_the_lowest_log_loss() -> None:
    runs = pool(made_up(1, skill=3), made_up(2, skill=1))
    metric = LogLoss(clip=1e-9)
    rule = fitted("convex weights", runs, LABELS, metric)
    assert rule.weights[0] > rule.weights[1]
    losses = {
        first: -value(metric, Rule(np.array([first, 1 - first]))(runs))
        for first in np.linspace(0, 1, 101)
    }
    assert rule.weights[0] == pytest.approx(min(losses, key=losses.__getitem__), abs=0.011)


def test_a_product_leaves_out_a_run_that_guesses() -> None:
    guesses = np.full((IMAGES, CLASSES), 1 / CLASSES, np.float32)
    runs, metric = pool(made_up(1), made_up(2), guesses), LogLoss(clip=1e-9)
    rule = fitted("product", runs, LABELS, metric)
    assert rule.weights[2] == 0 and rule.weights[:2].min() > 0.4
    found = value(metric, blended("product", runs, metric))
    # Two runs of independent errors are surer together, which no mean of theirs is.
    assert found > value(metric, blended("geometric mean", runs, metric)) + 0.01
    only_guesses = fitted("product", pool(guesses, guesses), LABELS, metric)
    np.testing.assert_array_equal(only_guesses.weights, [0.5, 0.5])
    one = METHODS["product"].into(np.array([[[0.9, 0.1]]] * 2))
    np.testing.assert_allclose(only_guesses(one), [[0.9, 0.1]], rtol=1e-6)


def test_a_stack_learns_which_run_is_good_at_which_class() -> None:
    """No weight of a run says that."""
    metric, experts = Accuracy(), []
    for seed, mine in ((1, (0, 1)), (2, (2, 3))):
        run = made_up(seed, skill=5)
        other = np.setdiff1d(np.arange(CLASSES), mine)
        both = run[:, other].sum(axis=1, keepdims=True)
        run[:, other] = both * np.random.default_rng(seed).dirichlet([0.1, 0.1], IMAGES)
        experts.append(run)
    runs = pool(*experts)
    values = {name: value(metric, blended(name, runs, metric)) for name in METHODS}
    assert values.pop("stack") > max(values.values()) + 0.05


def test_a_stack_predicts_a_class_that_its_images_lack() -> None:
    few = LABELS < 3
    runs = pool(made_up(1), made_up(2))
    rule = fitted("stack", runs[:, few], LABELS[few], Accuracy())
    assert rule(METHODS["stack"].into(runs)).shape == (IMAGES, CLASSES)
