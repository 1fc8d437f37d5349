"""The metrics agree with scikit-learn, and their mean over images is the whole."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.metrics import accuracy_score, log_loss

from podium.competitions.metrics import Accuracy, LogLoss, get_metric
from podium.competitions.tasks import CLASSES, GRADES, LABELS, Task


def predictions(classes: int, images: int = 200) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(classes)
    labels = rng.integers(classes, size=images)
    return labels, rng.dirichlet(np.ones(classes), images).astype(np.float32)


@pytest.mark.parametrize("classes", [2, 10])
def test_accuracy_is_that_of_sklearn(classes: int) -> None:
    labels, probabilities = predictions(classes)
    values = Accuracy().per_image(labels, probabilities)
    assert set(values) == {0.0, 1.0}
    assert values.mean() == accuracy_score(labels, probabilities.argmax(axis=1))


@pytest.mark.parametrize("classes", [2, 10])
def test_log_loss_is_that_of_sklearn(classes: int) -> None:
    labels, probabilities = predictions(classes)
    expected = log_loss(labels, probabilities, labels=range(classes))
    values = LogLoss(clip=1e-7).per_image(labels, probabilities)
    assert values.mean() == pytest.approx(expected, rel=1e-4)


def test_log_loss_of_two_classes_is_that_of_the_clipped_submission() -> None:
    labels, probabilities = predictions(2)
    probabilities[:20] = [1, 0]
    probabilities[20:40] = [0, 1]
    metric = LogLoss()
    clipped = probabilities[:, 1].astype(np.float64).clip(metric.clip, 1 - metric.clip)
    values = metric.per_image(labels, probabilities)
    assert values.mean() == pytest.approx(log_loss(labels, clipped), rel=1e-6)


def test_log_loss_of_certainty_is_finite_and_bounded_by_the_clip() -> None:
    certain = np.array([[1, 0], [0, 1]], np.float32)
    right, wrong = LogLoss().per_image(np.array([0, 0]), certain)
    assert right == pytest.approx(1e-4, rel=1e-3)
    assert wrong == pytest.approx(-np.log(1e-4), rel=1e-6)


def test_which_way_is_better() -> None:
    labels = np.array([0, 1])
    good = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    for metric in (Accuracy(), LogLoss()):
        better = metric.per_image(labels, good).mean()
        worse = metric.per_image(labels, 1 - good).mean()
        assert (better > worse) == metric.higher_is_better


# ---- Metrics that are no mean over images

RANDOM = np.random.default_rng(0)
TRUTH = RANDOM.integers(0, 3, 200)
FOUND = RANDOM.dirichlet((1, 1, 1), 200) + 0.5 * np.eye(3)[TRUTH]
FOUND /= FOUND.sum(axis=1, keepdims=True)
MARKS = RANDOM.integers(0, 2, (200, 4)).astype(np.uint8)
CHANCES = (RANDOM.random((200, 4)) + MARKS).clip(0, 2) / 2
GRADE = RANDOM.integers(0, 4, 200)
STEPS = ((GRADE[:, None] > np.arange(3)) + RANDOM.normal(0, 0.4, (200, 3))).clip(0, 1)
TIMES = RANDOM.integers(0, 3, 200).astype(np.uint8)


@pytest.mark.parametrize("times", [None, TIMES])
@pytest.mark.parametrize(
    ("key", "task", "truth", "predicted", "theirs"),
    [
        ("accuracy", CLASSES, TRUTH, FOUND, sk.accuracy_score),
        ("micro-f1", CLASSES, TRUTH, FOUND, partial(sk.f1_score, average="micro")),
        ("macro-f1", CLASSES, TRUTH, FOUND, partial(sk.f1_score, average="macro")),
        ("balanced-accuracy", CLASSES, TRUTH, FOUND, sk.balanced_accuracy_score),
        ("kappa", CLASSES, TRUTH, FOUND, partial(sk.cohen_kappa_score, weights="quadratic")),
        ("kappa", GRADES, GRADE, STEPS, partial(sk.cohen_kappa_score, weights="quadratic")),
        ("accuracy", LABELS, MARKS, CHANCES, sk.accuracy_score),
        ("macro-f1", LABELS, MARKS, CHANCES, partial(sk.f1_score, average="macro")),
        ("micro-f1", LABELS, MARKS, CHANCES, partial(sk.f1_score, average="micro")),
    ],
)
def test_of_answers_the_values_are_those_of_scikit_learn(
    key: str, task: Task, truth: np.ndarray, predicted: np.ndarray, theirs: Callable, times: Any
) -> None:
    ours = get_metric(key, task).of(truth, predicted)(times)
    assert ours == pytest.approx(
        theirs(truth, task.decide(predicted), sample_weight=times), abs=1e-9
    )


@pytest.mark.parametrize("times", [None, TIMES])
def test_of_probabilities_the_values_are_those_of_scikit_learn(times: Any) -> None:
    def ours(key: str, task: Task, truth: np.ndarray, predicted: np.ndarray) -> float:
        return get_metric(key, task).of(truth, predicted)(times)

    weighted = {"sample_weight": times}
    two, chance = TRUTH % 2, np.round(FOUND[:, :2] / FOUND[:, :2].sum(axis=1, keepdims=True), 1)
    assert ours("roc-auc", CLASSES, two, chance) == pytest.approx(
        sk.roc_auc_score(two, chance[:, 1], **weighted)
    )
    each = [sk.roc_auc_score(k == TRUTH, FOUND[:, k], **weighted) for k in range(3)]
    assert ours("roc-auc", CLASSES, TRUTH, FOUND) == pytest.approx(np.mean(each))
    assert ours("roc-auc", LABELS, MARKS, CHANCES) == pytest.approx(
        sk.roc_auc_score(MARKS, CHANCES, average="macro", **weighted)
    )
    losses = [
        sk.log_loss(MARKS[:, k], CHANCES[:, k].clip(1e-4, 1 - 1e-4), **weighted) for k in range(4)
    ]
    assert ours("log-loss", LABELS, MARKS, CHANCES) == pytest.approx(np.mean(losses))
    above = GRADE[:, None] > np.arange(3)
    losses = [
        sk.log_loss(above[:, k], STEPS[:, k].clip(1e-4, 1 - 1e-4), **weighted) for k in range(3)
    ]
    assert ours("log-loss", GRADES, GRADE, STEPS) == pytest.approx(np.mean(losses))
    assert ours("top-2", CLASSES, TRUTH, FOUND) == pytest.approx(
        sk.top_k_accuracy_score(TRUTH, FOUND, k=2, **weighted)
    )


def test_map_at_k_is_one_over_the_rank() -> None:
    found = np.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.3, 0.5, 0.2]])
    ranks = get_metric("map-at-2").per_image(np.array([0, 1, 2]), found)
    assert ranks.tolist() == [1, 0.5, 0]


def test_a_perfect_prediction_has_the_best_value() -> None:
    sure = np.eye(3)[TRUTH]
    for key in ("roc-auc", "macro-f1", "kappa", "balanced-accuracy", "top-1", "map-at-3"):
        assert get_metric(key).of(TRUTH, sure)(None) == 1, key


@pytest.mark.parametrize(
    ("key", "task", "told"),
    [
        ("acuracy", CLASSES, "no metric 'acuracy'; there are: .*did you mean accuracy"),
        ("map-at-0", CLASSES, "no metric"),
        ("kappa", LABELS, 'does not fit task = "labels"'),
        ("top-3", GRADES, 'does not fit task = "grades"'),
    ],
)
def test_what_does_not_fit_is_refused(key: str, task: Task, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        get_metric(key, task)
