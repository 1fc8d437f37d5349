"""Confusion, precision, recall, F1 and the pairs, against counts by hand."""

import numpy as np
import pytest

from podium.reports.sections.classes import by_class, confusion_figure, most_confused

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
