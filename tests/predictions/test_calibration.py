"""Temperature and floor: found again where they were put in, and judged on other images."""

import numpy as np
import pytest

from podium.competitions.metrics import LogLoss
from podium.predictions.calibration import Calibration, cross_fitted, fit_calibration
from podium.predictions.score import k_fold_parts

IMAGES = 2000


def overconfident(sharpen: float) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated probabilities to the power of `sharpen`, and labels drawn from the former."""
    random = np.random.default_rng(0)
    right = random.dirichlet([0.6, 0.6, 0.6], IMAGES)
    labels = np.array([random.choice(3, p=row) for row in right])
    powers = right**sharpen
    return powers / powers.sum(axis=1, keepdims=True), labels


def loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return LogLoss(clip=1e-9).per_image(labels, probabilities).mean()


@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_the_temperature_is_found_again(temperature: float) -> None:
    predicted, labels = overconfident(sharpen=temperature)
    found = fit_calibration(predicted, labels)
    assert found.temperature == pytest.approx(temperature, rel=0.12)
    assert loss(found(predicted), labels) <= loss(predicted, labels)
    np.testing.assert_allclose(found(predicted).sum(axis=1), 1)


def test_a_floor_is_found_where_confident_answers_are_wrong_at_times() -> None:
    labels = np.random.default_rng(0).integers(2, size=IMAGES)
    predicted = np.eye(2)[labels] * 0.9998 + 0.0001
    predicted[:20] = predicted[:20, ::-1]  # one in a hundred, as sure as the others
    found = fit_calibration(predicted, labels)
    assert found(predicted).min() == pytest.approx(0.01, rel=0.8)
    assert loss(found(predicted), labels) < loss(predicted, labels) / 1.5


def test_a_gain_within_noise_changes_nothing() -> None:
    predicted, labels = overconfident(sharpen=1.0)
    assert fit_calibration(predicted, labels) == Calibration()


def test_without_temperature_and_floor_nothing_changes() -> None:
    predicted, _ = overconfident(1)
    np.testing.assert_allclose(Calibration()(predicted), predicted.clip(1e-7), atol=1e-6)


def test_calibrated_probabilities_gain_nothing_on_other_images() -> None:
    predicted, labels = overconfident(1)
    judged = cross_fitted(predicted, labels, k_fold_parts(labels))
    assert loss(judged, labels) == pytest.approx(loss(predicted, labels), abs=0.002)


def test_where_next_to_nothing_is_wrong_nothing_is_made_surer() -> None:
    """Any temperature below 1 gains until the first mistake, which a small fold has not seen."""
    right = np.tile([0.95, 0.05], (60, 1)).astype(np.float32)
    labels = np.zeros(60, int)
    assert fit_calibration(right, labels).temperature >= 1
    many = np.tile([0.7, 0.3], (600, 1)).astype(np.float32)
    few_wrong = (np.arange(600) % 60 == 0).astype(int)
    assert fit_calibration(many, few_wrong).temperature < 0.5
