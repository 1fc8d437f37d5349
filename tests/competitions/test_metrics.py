"""The metrics agree with scikit-learn, and their mean over images is the whole."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss

from podium.competitions.metrics import Accuracy, LogLoss


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
