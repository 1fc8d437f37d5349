"""Confusion, precision, recall, F1, pairs and calibration, against counts by hand."""

import numpy as np
import pandas as pd
import pytest

from podium.reports.sections.classes import (
    by_class,
    calibration_bins,
    calibration_error,
    confusion_figure,
    draw_calibration,
    most_confused,
)

CLASSES = ["bus", "car", "tram", "van"]  # no image is of a van


def judged(labels: list[int], said: list[int]) -> pd.DataFrame:
    table = pd.DataFrame({"label": labels, "said": said})
    return table.assign(truth=table["label"].map(str), answer=table["said"].map(str))


JUDGED = judged([0, 0, 0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 1, 0, 2, 2])


def test_the_matrix_is_the_share_of_each_true_class() -> None:
    (axis,) = confusion_figure(JUDGED, CLASSES).axes
    shares = axis.images[0].get_array()
    np.testing.assert_allclose(shares[:3, :3], [[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]])
    assert not shares[3].any()
    assert [text.get_text() for text in axis.get_yticklabels()] == CLASSES


def test_many_classes_are_not_all_named() -> None:
    labels = list(range(200))
    figure = confusion_figure(judged(labels, labels), [f"class {number}" for number in labels])
    (axis,) = figure.axes
    assert len(axis.get_yticklabels()) <= 60 and not axis.texts
    assert max(figure.get_size_inches()) < 11


def test_precision_recall_and_f1_by_class() -> None:
    table = by_class(JUDGED, CLASSES)
    assert table["support"].tolist() == [4, 2, 2, 0]
    assert table.loc["bus", ["precision", "recall"]].tolist() == pytest.approx([2 / 3, 0.5])
    assert table.loc["car", "f1"] == pytest.approx(2 * (1 / 3) * 0.5 / (1 / 3 + 0.5))
    assert np.isnan(table.loc["van", "recall"]), "nothing is known of a class without images"


def test_the_pairs_most_confused_first() -> None:
    pairs = most_confused(JUDGED)
    assert pairs[["truth", "answer", "images"]].to_numpy().tolist() == [
        ["0", "1", 2],
        ["1", "0", 1],
    ]
    assert pairs["share"].tolist() == [0.5, 0.5]
    assert most_confused(judged([0, 1], [0, 1])).empty


def predictions(sure: list[float], right: list[bool]) -> pd.DataFrame:
    """Predictions of the first class, so sure."""
    return pd.DataFrame({"sure": sure, "said": 0, "label": 1 - np.array(right, int)})


def test_bins_and_error_by_hand() -> None:
    made = predictions([0.9, 0.9, 0.9, 0.9, 0.6, 0.6], [1, 1, 1, 0, 1, 0])
    bins = calibration_bins(made)
    assert bins["images"].tolist() == [2, 4]
    assert bins["sure"].tolist() == pytest.approx([0.6, 0.9])
    assert bins["right"].tolist() == pytest.approx([0.5, 0.75])
    assert calibration_error(made) == pytest.approx((2 * 0.1 + 4 * 0.15) / 6)


def test_a_network_that_is_as_right_as_it_is_sure_has_no_error() -> None:
    random = np.random.default_rng(0)
    sure = random.uniform(0.5, 1, 100_000)
    right = random.uniform(size=100_000) < sure
    assert calibration_error(predictions(list(sure), list(right))) < 0.01
    overconfident = predictions([1.0] * 100_000, list(right))
    assert calibration_error(overconfident) == pytest.approx(0.25, abs=0.01)


def test_each_bin_is_drawn_with_its_interval() -> None:
    bins = calibration_bins(predictions([1.0, 0.7, 0.7], [1, 1, 0]))
    (curve,) = draw_calibration(bins, "title").axes
    (points,) = [line for line in curve.lines if line.get_label() != "as sure as right"][:1]
    assert list(points.get_xdata()) == pytest.approx([0.7, 1.0])
    assert list(points.get_ydata()) == pytest.approx([0.5, 1.0])
    (intervals,) = curve.collections
    for segment, share in zip(intervals.get_segments(), [0.5, 1.0], strict=True):
        assert segment[0, 1] < share <= segment[1, 1]
