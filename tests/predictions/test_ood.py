"""The score of images unlike any in training: what it finds, and how often it is wrong."""

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
def test_what_leaves_the_directions_of_training_is_far(channels: int) -> None:
    distance = fit_mahalanobis(*features(0, 200, channels))
    known, _ = features(1, 100, channels)
    random = np.random.default_rng(2)
    elsewhere = random.normal(5, np.std(known), known.shape).astype(np.float32)
    assert distance(elsewhere).min() > distance(known).max()


def test_a_distance_is_that_to_the_nearest_class() -> None:
    train, labels = features(0, 200)
    distance = fit_mahalanobis(train, labels)
    means = np.stack([train[labels == label].mean(axis=0) for label in (0, 1)])
    between = means.mean(axis=0, keepdims=True)
    assert distance(means).max() < 0.2 * distance(between).min()


def test_brightness_of_the_features_does_not_count() -> None:
    train, labels = features(0, 200)
    known, _ = features(1, 10)
    distance = fit_mahalanobis(train, labels)
    np.testing.assert_allclose(distance(known), distance(40 * known), rtol=1e-3)


def test_images_that_are_all_alike_and_empty_features_give_finite_distances() -> None:
    same = np.ones((30, 16), np.float32)
    distance = fit_mahalanobis(same, np.zeros(30, int))
    other = np.r_[np.ones(8), -np.ones(8)].astype(np.float32)
    scores = distance(np.stack([same[0], other, np.zeros(16, np.float32)]))
    assert np.isfinite(scores).all() and scores[1] > 1000 * max(scores[0], 1e-3)


def test_doubt_is_what_the_highest_probability_leaves() -> None:
    scores = uncertainty(np.array([[0.9, 0.1], [0.5, 0.5]], np.float32))
    np.testing.assert_allclose(scores, [0.1, 0.5], atol=1e-6)
    by_doubt = OODDetector(0, np.zeros(3))
    np.testing.assert_allclose(by_doubt.scores(np.empty((1, 0)), np.array([[0.2, 0.8]])), [0.2])


def test_the_limit_leaves_one_place_in_twenty() -> None:
    scores = np.random.default_rng(0).permutation(np.arange(1.0, 100.0))
    unlikeness = OODDetector(0, scores)  # 99 scores leave 100 places
    assert unlikeness.limit == 95 and unlikeness.rate == 0.05
    assert OODDetector(0, scores[:19]).limit == scores[:19].max()
    assert OODDetector(0, np.arange(98.0)).rate < FALSE_ALARM_RATE, "never more than the limit"


def test_too_few_known_images_call_nothing_unlike() -> None:
    few = OODDetector(0, np.arange(18.0))
    assert few.limit == np.inf and few.rate == 0 and few.interval == (0, 0)
    assert "18 known images are too few to call any unlike" in str(few)
    assert OODDetector(0, np.empty(0)).limit == np.inf
    assert few.as_dict()["limit"] is None


def test_the_interval_holds_the_rate_of_false_alarms() -> None:
    random = np.random.default_rng(0)
    rates, inside = [], 0
    for _ in range(1000):
        unlikeness = OODDetector(0, random.random(170))
        low, high = unlikeness.interval
        rates.append(1 - unlikeness.limit)  # of new scores that are as even as the known ones
        inside += low <= rates[-1] <= high
    assert np.mean(rates) == pytest.approx(unlikeness.rate, abs=0.002)
    assert 0.93 < inside / 1000 < 0.97
    assert f"beyond {unlikeness.limit:.3g} are 4.7 % of known images" in str(unlikeness)
