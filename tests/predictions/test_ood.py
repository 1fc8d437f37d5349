"""The scores of out-of-distribution images, and how often they are wrong."""

import numpy as np
import pytest

from podium.predictions.ood import FALSE_ALARM_RATE, OODDetector, fit_mahalanobis, uncertainty


def features(seed: int, images: int, channels: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Two classes in eight of the directions, with a little noise in all."""
    random = np.random.default_rng(seed)
    basis = np.random.default_rng(7).normal(size=(8, channels))
    labels = np.arange(images) % 2
    inner = random.normal(size=(images, 8))
    inner[:, 0] += np.where(labels == 1, 6, -6)
    found = inner @ basis + random.normal(0, 0.3, (images, channels)) + 5
    return found.astype(np.float32), labels


@pytest.mark.parametrize("channels", [64, 600], ids=["full rank", "more channels than images"])
def test_features_beside_those_of_training_are_far(channels: int) -> None:
    distance = fit_mahalanobis(*features(0, 200, channels))
    known, _ = features(1, 100, channels)
    random = np.random.default_rng(2)
    elsewhere = random.normal(5, np.std(known), known.shape).astype(np.float32)
    assert distance(elsewhere).min() > distance(known).max()


def test_the_distance_is_to_the_nearest_class() -> None:
    train, labels = features(0, 200)
    distance = fit_mahalanobis(train, labels)
    means = np.stack([train[labels == label].mean(axis=0) for label in (0, 1)])
    between = means.mean(axis=0, keepdims=True)
    assert distance(means).max() < 0.2 * distance(between).min()


def test_the_length_of_features_does_not_count() -> None:
    train, labels = features(0, 200)
    known, _ = features(1, 10)
    distance = fit_mahalanobis(train, labels)
    np.testing.assert_allclose(distance(known), distance(40 * known), rtol=1e-3)


def test_identical_images_and_empty_features_have_finite_distances() -> None:
    same = np.ones((30, 16), np.float32)
    distance = fit_mahalanobis(same, np.zeros(30, int))
    other = np.r_[np.ones(8), -np.ones(8)].astype(np.float32)
    scores = distance(np.stack([same[0], other, np.zeros(16, np.float32)]))
    assert np.isfinite(scores).all() and scores[1] > 1000 * max(scores[0], 1e-3)


def test_uncertainty_is_what_the_highest_probability_leaves() -> None:
    scores = uncertainty(np.array([[0.9, 0.1], [0.5, 0.5]], np.float32))
    np.testing.assert_allclose(scores, [0.1, 0.5], atol=1e-6)
    detector = OODDetector(0, np.zeros(3))
    np.testing.assert_allclose(detector.scores(np.empty((1, 0)), np.array([[0.2, 0.8]])), [0.2])


def test_the_limit_leaves_one_place_in_twenty() -> None:
    scores = np.random.default_rng(0).permutation(np.arange(1.0, 100.0))
    detector = OODDetector(0, scores)  # 99 scores leave 100 places
    assert detector.limit == 95 and detector.rate == 0.05
    assert OODDetector(0, scores[:19]).limit == scores[:19].max()
    assert OODDetector(0, np.arange(98.0)).rate < FALSE_ALARM_RATE, "never more than the limit"


def test_too_few_known_images_set_no_limit() -> None:
    few = OODDetector(0, np.arange(18.0))
    assert few.limit == np.inf and few.rate == 0 and few.interval == (0, 0)
    assert "18 known images are too few to set a limit" in str(few)
    assert OODDetector(0, np.empty(0)).limit == np.inf
    assert few.as_dict()["limit"] is None


def test_the_interval_holds_the_rate_of_false_alarms() -> None:
    random = np.random.default_rng(0)
    rates, inside = [], 0
    for _ in range(1000):
        detector = OODDetector(0, random.random(170))
        low, high = detector.interval
        rates.append(1 - detector.limit)  # of new scores that are as even as the known ones
        inside += low <= rates[-1] <= high
    assert np.mean(rates) == pytest.approx(detector.rate, abs=0.002)
    assert 0.93 < inside / 1000 < 0.97
    assert f"4.7 % of known images score above {detector.limit:.3g}" in str(detector)


def test_the_p_value_is_the_share_of_known_scores_and_the_new_one() -> None:
    detector = OODDetector(0, np.arange(9.0))
    assert [detector.p_value(score) for score in (-1, 8, 9)] == [1, 0.2, 0.1]


def test_uncertainty_of_labels_is_that_of_the_least_sure_one() -> None:
    scores = uncertainty(np.array([[0.9, 0.1], [0.9, 0.6]], np.float32), exclusive=False)
    np.testing.assert_allclose(scores, [0.1, 0.4], atol=1e-6)
