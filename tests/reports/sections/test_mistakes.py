"""Planted label errors are found; hard images are not taken for them."""

import numpy as np

from podium.reports.sections.mistakes import likely_label_errors

CLASSES = 3


def judged(count: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """True classes, and probabilities of a network that is mostly right and seldom very sure."""
    random = np.random.default_rng(seed)
    truth = np.arange(count) % CLASSES
    logits = random.normal(0, 0.7, (count, CLASSES))
    logits[np.arange(count), truth] += random.uniform(1.5, 4, count)
    values = np.exp(logits)
    return truth, values / values.sum(axis=1, keepdims=True)


def test_flipped_labels_are_found_and_lead_the_list() -> None:
    truth, probabilities = judged()
    labels = truth.copy()
    flipped = np.arange(10, 300, 30)  # ten of them
    labels[flipped] = (truth[flipped] + 1) % CLASSES
    found = likely_label_errors(labels, probabilities)
    hits = set(found["row"]) & set(flipped)
    assert len(hits) >= 8 and len(found) <= 16
    assert len(set(found["row"][:5]) & set(flipped)) == 5
    right = found[found["row"].isin(flipped)]
    assert (right["suggested"].to_numpy() == truth[right["row"]]).all()


def test_doubt_without_confidence_in_another_class_is_no_error() -> None:
    """Each class is sure of its own by 0.9 in the mean; 0.6 for another one is below that."""
    probabilities = np.tile([[0.95, 0.05], [0.05, 0.95]], (20, 1))
    labels = np.tile([0, 1], 20)
    probabilities[0] = [0.4, 0.6]
    assert likely_label_errors(labels, probabilities).empty
    probabilities[0] = [0.02, 0.98]
    assert likely_label_errors(labels, probabilities).to_dict("list") == {
        "row": [0],
        "suggested": [1],
    }


def test_a_class_that_nothing_is_labeled_takes_no_image() -> None:
    probabilities = np.array([[0.1, 0.2, 0.7], [0.9, 0.05, 0.05], [0.1, 0.8, 0.1]])
    assert likely_label_errors(np.array([0, 0, 1]), probabilities).empty


def test_perfect_predictions_leave_nothing() -> None:
    labels = np.arange(9) % CLASSES
    assert likely_label_errors(labels, np.eye(CLASSES)[labels]).empty
