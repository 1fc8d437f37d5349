"""Confusion, precision, recall, F1, pairs and calibration, against counts by hand."""

import numpy as np
import pytest

from podium.reports.sections.classes import (
    by_class,
    calibration_bins,
    calibration_error,
    confusion_figure,
    draw_calibration,
    most_confused,
)

LABELS = np.array([0, 0, 0, 0, 1, 1, 2, 2])
SAID = np.array([0, 0, 1, 1, 1, 0, 2, 2])
CLASSES = ["bus", "car", "tram", "van"]  # no image is of a van


def test_the_matrix_is_the_share_of_each_true_class() -> None:
    (axis,) = confusion_figure(LABELS, SAID, CLASSES).axes
    shares = axis.images[0].get_array()
    np.testing.assert_allclose(shares[:3, :3], [[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]])
    assert not shares[3].any()
    assert [text.get_text() for text in axis.get_yticklabels()] == CLASSES


def test_many_classes_are_not_all_named() -> None:
    labels = np.arange(200)
    figure = confusion_figure(labels, labels, [f"class {number}" for number in labels])
    (axis,) = figure.axes
    assert len(axis.get_yticklabels()) <= 60 and not axis.texts
    assert max(figure.get_size_inches()) < 11


def test_precision_recall_and_f1_by_class() -> None:
    table = by_class(LABELS, SAID, CLASSES)
    assert table["support"].tolist() == [4, 2, 2, 0]
    assert table.loc["bus", ["precision", "recall"]].tolist() == pytest.approx([2 / 3, 0.5])
    assert table.loc["car", "f1"] == pytest.approx(2 * (1 / 3) * 0.5 / (1 / 3 + 0.5))
    assert np.isnan(table.loc["van", "recall"]), "nothing is known of a class without images"


def test_the_pairs_most_confused_first() -> None:
    pairs = most_confused(LABELS, SAID, CLASSES)
    assert pairs[["true", "said", "count"]].to_numpy().tolist() == [
        ["bus", "car", 2],
        ["car", "bus", 1],
    ]
    assert pairs["share"].tolist() == [0.5, 0.5]
    assert most_confused(LABELS, LABELS, CLASSES).empty


def predictions(sure: list[float]) -> np.ndarray:
    """The first of two classes, so sure."""
    return np.array([[one, 1 - one] for one in sure])


def test_bins_and_error_by_hand() -> None:
    probabilities = predictions([0.9, 0.9, 0.9, 0.9, 0.6, 0.6])
    labels = np.array([0, 0, 0, 1, 0, 1])  # 3 of 4 right, 1 of 2
    bins = calibration_bins(labels, probabilities, bins=10)
    assert bins["images"].tolist() == [2, 4]
    assert bins["sure"].tolist() == pytest.approx([0.6, 0.9])
    assert bins["right"].tolist() == pytest.approx([0.5, 0.75])
    assert calibration_error(bins) == pytest.approx((2 * 0.1 + 4 * 0.15) / 6)


def test_a_network_that_is_as_right_as_it_is_sure_has_no_error() -> None:
    random = np.random.default_rng(0)
    sure = random.uniform(0.5, 1, 100_000)
    labels = (random.uniform(size=100_000) > sure).astype(int)
    bins = calibration_bins(labels, predictions(list(sure)))
    assert calibration_error(bins) < 0.01
    overconfident = calibration_bins(labels, predictions(list(np.ones(100_000))))
    assert calibration_error(overconfident) == pytest.approx(0.25, abs=0.01)


def test_each_bin_is_drawn_with_its_interval() -> None:
    bins = calibration_bins(np.array([0, 0, 1]), predictions([1.0, 0.7, 0.7]))
    curve, histogram = draw_calibration(bins, "title").axes
    (points,) = [line for line in curve.lines if line.get_label() != "as sure as right"][:1]
    assert list(points.get_xdata()) == pytest.approx([0.7, 1.0])
    assert list(points.get_ydata()) == pytest.approx([0.5, 1.0])
    assert [bar.get_height() for bar in histogram.patches] == [2, 1]
