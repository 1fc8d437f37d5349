"""Runs before they are blended: as sure as they are right, and bad ones stay out."""

import numpy as np
import pytest
from test_blend_methods import IMAGES, LABELS, made_up, pool

from podium.competitions.metrics import Accuracy, LogLoss, Metric
from podium.predictions.blend_preparation import prepare
from podium.predictions.blend_selection import choose, nested

SURER = 4.0


def surer(run: np.ndarray) -> np.ndarray:
    powers = run**SURER
    return powers / powers.sum(axis=1, keepdims=True)


def test_a_run_that_is_too_sure_becomes_as_sure_as_another() -> None:
    good = made_up(1)
    prepared = prepare(pool(good, surer(good)), LABELS)
    first, second = prepared.calibrations
    assert second.temperature / first.temperature == pytest.approx(SURER, rel=0.01)


def test_a_run_with_nothing_to_add_stays_out() -> None:
    bad = np.random.default_rng(5).dirichlet(np.full(4, 0.05), IMAGES).astype(np.float32)
    prepared = prepare(pool(made_up(1), bad, made_up(2)), LABELS)
    assert prepared.takes_part.tolist() == [True, False, True]
    assert prepared(pool(made_up(1), bad, made_up(2))).shape == (2, IMAGES, 4)
    np.testing.assert_array_equal(prepared.spread(np.array([0.25, 0.75])), [0.25, 0, 0.75])


@pytest.mark.parametrize("metric", [Accuracy(), LogLoss()], ids=lambda metric: metric.name)
def test_with_a_bad_run_the_choice_is_that_without_it(metric: Metric) -> None:
    good = [made_up(seed) for seed in range(1, 4)]
    guesses = np.random.default_rng(5).dirichlet(np.ones(4), IMAGES).astype(np.float32)
    nearly_none = (0.25 + 0.001 * (guesses - 0.25)).astype(np.float32)  # changes no accuracy
    without = choose(pool(*good), LABELS, metric)
    for bad in (guesses, nearly_none):
        with_it = choose(pool(bad, *good), LABELS, metric)
        assert with_it.method == without.method
        np.testing.assert_array_equal(with_it.weights, [0, *without.weights])
        np.testing.assert_array_equal(
            nested(pool(bad, *good), LABELS, metric), nested(pool(*good), LABELS, metric)
        )
