"""Thresholds and cut points: where they gain, and that they are judged on other images."""

import numpy as np
import pytest

from podium.competitions.metrics import get_metric
from podium.competitions.tasks import CLASSES, GRADES, LABELS, Task
from podium.predictions.decisions import decided, fit_thresholds, judge
from podium.predictions.score import k_fold_parts

RANDOM = np.random.default_rng(0)
# A network that never says more than 0.4 of a label that is there.
MARKS = RANDOM.integers(0, 2, (300, 3)).astype(np.uint8)
CHANCES = (0.25 * MARKS + RANDOM.uniform(0, 0.2, MARKS.shape)).astype(np.float32)
# One that says too low a grade throughout.
GRADE = RANDOM.integers(0, 4, 300)
STEPS = ((GRADE[:, None] > np.arange(3)) * 0.6 + RANDOM.uniform(0, 0.1, (300, 3))).astype(
    np.float32
)
CASES = pytest.mark.parametrize(
    ("task", "key", "truth", "predicted"),
    [(LABELS, "macro-f1", MARKS, CHANCES), (GRADES, "kappa", GRADE, STEPS)],
)


@CASES
def test_they_find_what_a_half_misses(
    task: Task, key: str, truth: np.ndarray, predicted: np.ndarray
) -> None:
    metric = get_metric(key, task)
    plain = metric.of(truth, predicted)(None)
    thresholds = fit_thresholds(metric, task, truth, predicted)
    found = decided(task, predicted, thresholds)
    assert plain < 0.9
    assert metric.of(truth, found)(None) > 0.99
    assert (task.decide(found) == task.decide(predicted, thresholds)).all()
    if task.ordered:
        assert (np.diff(thresholds) > 0).all()


@CASES
def test_what_is_noise_gains_nothing_where_it_is_judged(
    task: Task, key: str, truth: np.ndarray, predicted: np.ndarray
) -> None:
    metric, noise = get_metric(key, task), RANDOM.permutation(predicted)
    fitted = decided(task, noise, fit_thresholds(metric, task, truth, noise))
    judged, thresholds = judge(metric, task, truth, noise)
    fitted, scored, plain = (metric.of(truth, one)(None) for one in (fitted, judged, noise))
    assert scored < fitted + 1e-9
    assert bool(thresholds) == (scored > plain)


@pytest.mark.parametrize(
    ("task", "key", "truth", "predicted"),
    [
        (LABELS, "roc-auc", MARKS, CHANCES),
        (GRADES, "log-loss", GRADE, STEPS),
        (CLASSES, "macro-f1", GRADE % 3, STEPS),
    ],
)
def test_probabilities_need_no_answer(
    task: Task, key: str, truth: np.ndarray, predicted: np.ndarray
) -> None:
    scored, thresholds = judge(get_metric(key, task), task, truth, predicted)
    assert scored is predicted
    assert thresholds == []


@CASES
def test_each_image_is_scored_by_thresholds_of_others(
    task: Task, key: str, truth: np.ndarray, predicted: np.ndarray
) -> None:
    metric = get_metric(key, task)
    scored, thresholds = judge(metric, task, truth, predicted)
    assert len(thresholds) == predicted.shape[1]
    mine = k_fold_parts(truth) == 0
    others = fit_thresholds(metric, task, truth[~mine], predicted[~mine])
    np.testing.assert_array_equal(scored[mine], decided(task, predicted[mine], others))
