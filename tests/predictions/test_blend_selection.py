"""The choice of a blend: simple where none is better, without bad runs, and honestly scored."""

import numpy as np
import pytest
from test_blend_methods import CLASSES, IMAGES, LABELS, blended, made_up, pool, value

from podium.competitions.metrics import Accuracy, LogLoss, Metric
from podium.predictions.blend_selection import choose, nested
from podium.predictions.score import PARTS, k_fold_parts

METRICS = pytest.mark.parametrize("metric", [Accuracy(), LogLoss()], ids=lambda metric: metric.name)
GUESSES = np.random.default_rng(5).dirichlet(np.ones(CLASSES), IMAGES).astype(np.float32)


def sharpened(run: np.ndarray, power: float) -> np.ndarray:
    powers = run**power
    return powers / powers.sum(axis=1, keepdims=True)


@METRICS
def test_the_simplest_is_taken_where_none_is_better(metric: Metric) -> None:
    """Equally good runs: no weights are worth fitting, though some always fit better."""
    choice = choose(pool(*(made_up(seed) for seed in range(1, 4))), LABELS, metric)
    assert choice.method in ("mean", "selected mean", "geometric mean")
    best = max(value(metric, candidate.best) for candidate in choice.candidates.values())
    assert best - value(metric, choice.candidates[choice.method].best) < 0.02


def test_an_overconfident_run_becomes_as_confident_as_another() -> None:
    choice = choose(pool(made_up(1), sharpened(made_up(1), 4)), LABELS, Accuracy())
    first, second = choice.calibrations
    assert second.temperature / first.temperature == pytest.approx(4, rel=0.01)
    assert choice.calibration is None, "an accuracy is not calibrated"


def test_a_log_loss_is_calibrated_where_that_gains() -> None:
    runs = pool(*(made_up(seed, skill=3, share=0.0) for seed in range(1, 4)))
    choice = choose(runs, LABELS, LogLoss(clip=1e-9))
    taken = choice.candidates[choice.method]
    gains = value(LogLoss(), taken.calibrated) > value(LogLoss(), taken.blended)
    assert (choice.calibration is not None) == gains
    assert value(LogLoss(), taken.best) >= value(LogLoss(), taken.blended)


@METRICS
def test_a_bad_run_stays_out(metric: Metric) -> None:
    good = [made_up(seed) for seed in range(1, 4)]
    near_uniform = (0.25 + 0.001 * (GUESSES - 0.25)).astype(np.float32)  # changes no accuracy
    without = choose(pool(*good), LABELS, metric)
    for bad in (GUESSES, near_uniform):
        with_it = choose(pool(bad, *good), LABELS, metric)
        assert with_it.method == without.method
        np.testing.assert_array_equal(with_it.weights, [0, *without.weights])
        np.testing.assert_array_equal(with_it(pool(bad, *good)), without(pool(*good)))


def test_a_fit_to_noise_gains_nothing_where_it_is_scored() -> None:
    """Runs that guess: on its own images a stack seems to learn from them, nested it does not."""
    runs = np.random.default_rng(3).dirichlet(np.ones(CLASSES), (8, IMAGES)).astype(np.float32)
    metric = Accuracy()
    fitted_to_it = value(metric, blended("stack", runs, metric))
    assert fitted_to_it > 0.27
    assert value(metric, nested(runs, LABELS, metric)) < fitted_to_it - 0.015


@METRICS
def test_each_image_is_blended_by_a_choice_without_it(metric: Metric) -> None:
    labels, runs = LABELS[:150], pool(made_up(1), made_up(2, skill=1))[:, :150]
    found, part = nested(runs, labels, metric), k_fold_parts(labels, seed=1)
    with_all = choose(runs, labels, metric)(runs)
    for number in range(PARTS):
        mine = part == number
        others = choose(runs[:, ~mine], labels[~mine], metric)
        np.testing.assert_array_equal(found[mine], others(runs[:, mine]))
    assert not np.allclose(found, with_all), "with its own images it would be another choice"
