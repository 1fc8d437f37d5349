"""Temperature and floor: found again where they were put in, and judged on other images."""

import numpy as np
import pytest

from podium.competitions.metrics import Accuracy, LogLoss
from podium.predictions.blend_selection import choose
from podium.predictions.calibration import Calibration, cross_fitted, fit_calibration
from podium.predictions.cross_fitting import PARTS, k_fold_parts
from podium.reports.sections.classes import draw_reliability

IMAGES = 2000


def said_and_true(sharpen: float) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that were right, made surer by a power; and labels drawn from the right."""
    random = np.random.default_rng(0)
    right = random.dirichlet([0.6, 0.6, 0.6], IMAGES)
    labels = np.array([random.choice(3, p=row) for row in right])
    powers = right**sharpen
    return powers / powers.sum(axis=1, keepdims=True), labels


def loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return LogLoss(clip=1e-9).per_image(labels, probabilities).mean()


@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_the_temperature_is_found_again(temperature: float) -> None:
    said, labels = said_and_true(sharpen=temperature)
    found = fit_calibration(said, labels)
    assert found.temperature == pytest.approx(temperature, rel=0.12)
    assert loss(found(said), labels) <= loss(said, labels)
    np.testing.assert_allclose(found(said).sum(axis=1), 1)


def test_a_floor_where_sure_answers_are_wrong_at_times() -> None:
    labels = np.random.default_rng(0).integers(2, size=IMAGES)
    said = np.eye(2)[labels] * 0.9998 + 0.0001
    said[:20] = said[:20, ::-1]  # one in a hundred, as sure as the others
    found = fit_calibration(said, labels)
    assert found(said).min() == pytest.approx(0.01, rel=0.8)
    assert loss(found(said), labels) < loss(said, labels) / 1.5


def test_what_gains_within_noise_is_left_alone() -> None:
    said, labels = said_and_true(sharpen=1.0)
    assert fit_calibration(said, labels) == Calibration()


def test_without_temperature_and_floor_nothing_changes() -> None:
    said, _ = said_and_true(1)
    np.testing.assert_allclose(Calibration()(said), said.clip(1e-7), atol=1e-6)


def test_what_is_right_already_gains_nothing_on_other_images() -> None:
    said, labels = said_and_true(1)
    judged = cross_fitted(said, labels, k_fold_parts(labels))
    assert loss(judged, labels) == pytest.approx(loss(said, labels), abs=0.002)


def test_only_log_loss_is_calibrated_and_only_where_it_gains() -> None:
    surer, labels = said_and_true(3)
    right, _ = said_and_true(1)
    runs = np.stack([surer, surer])
    assert choose(runs, labels, Accuracy()).calibration is None
    chosen = choose(runs, labels, LogLoss())
    assert [one.temperature > 2 for one in chosen.preparation.calibrations] == [True, True]
    assert loss(chosen(runs), labels) == pytest.approx(loss(right, labels), abs=0.02)


@pytest.mark.parametrize("images", [3, 16, 601])
def test_parts_are_of_all_classes_and_all_sizes_alike(images: int) -> None:
    labels = np.random.default_rng(1).integers(4, size=images)
    part = k_fold_parts(labels)
    sizes = np.bincount(part, minlength=PARTS)
    assert sizes.max() - sizes.min() <= 1
    np.testing.assert_array_equal(part, k_fold_parts(labels))
    assert images < 100 or (part != k_fold_parts(labels, seed=1)).mean() > 0.5
    for label in range(4):
        of_it = np.bincount(part[labels == label], minlength=PARTS)
        assert of_it.max() - of_it.min() <= 1


def test_the_figure_has_a_panel_for_each_and_their_losses() -> None:
    said, labels = said_and_true(3)
    figure = draw_reliability(
        labels, {"before": said, "after": fit_calibration(said, labels)(said)}
    )
    curves = figure.axes[:2]
    assert [axis.get_title().split(":")[0] for axis in curves] == ["before", "after"]
    assert f"{loss(said, labels):.4f}" in curves[0].get_title()
    for axis, off in zip(curves, (0.05, 0.05), strict=True):
        x, y = axis.lines[1].get_data()
        assert (np.abs(np.asarray(y) - x).max() > off) == (axis is curves[0])
