"""Which weights are averaged: what a network predicts is made up, and so is what a mean does."""

from collections import Counter

import numpy as np
import pytest

from podium.competitions.metrics import Accuracy, LogLoss, Metric
from podium.training.soup_selection import Mixture, Trials, choose, cross_fit, greedy

LABELS = np.array([0, 1, 0, 1, 0, 1, 0, 1])


def sure_of(right: list[float] | np.ndarray) -> np.ndarray:
    """Predictions that give the right class these probabilities."""
    right = np.asarray(right, np.float32)
    predicted = np.empty((len(right), 2), np.float32)
    rows = np.arange(len(right))
    predicted[rows, LABELS[: len(right)]] = right
    predicted[rows, 1 - LABELS[: len(right)]] = 1 - right
    return predicted


class Networks:
    """The mean of networks predicts the mean of what they predict; counts what is asked for."""

    def __init__(self, *alone: np.ndarray) -> None:
        self.alone, self.asked = alone, Counter[Mixture]()

    def __call__(self, mixture: Mixture) -> np.ndarray:
        self.asked[mixture] += 1
        return np.mean([self.alone[number] for number in sorted(mixture)], axis=0)

    def trials(self, metric: Metric | None = None, labels: np.ndarray = LABELS) -> Trials:
        return Trials(self, labels, metric or Accuracy())


GOOD = sure_of([0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.4, 0.4])
OTHER = sure_of([0.4, 0.6, 0.6, 0.6, 0.6, 0.6, 0.9, 0.9])  # better where GOOD is wrong
BAD = sure_of([0.0, 0.0, 0.0, 0.0, 0.6, 0.6, 0.6, 0.6])


def test_what_helps_is_mixed_in_and_a_bad_one_is_left_out() -> None:
    networks = Networks(BAD, GOOD, OTHER)
    assert greedy(networks.trials(), 3) == {1, 2}
    assert Mixture([0, 1, 2]) in networks.asked, "it was tried"


@pytest.mark.parametrize("place", range(3))
def test_a_network_that_gives_no_numbers_is_left_out(place: int) -> None:
    alone = [GOOD, OTHER]
    alone.insert(place, np.full_like(GOOD, np.nan))
    assert greedy(Networks(*alone).trials(), 3) == {0, 1, 2} - {place}


def test_a_mean_that_is_worse_than_its_best_part_is_not_taken() -> None:
    assert greedy(Networks(GOOD, BAD).trials(), 2) == {0}
    assert greedy(Networks(BAD, GOOD).trials(), 2) == {1}


def test_the_log_loss_decides_where_the_metric_is_level() -> None:
    surer, doubtful = sure_of([0.9] * 8), sure_of([0.6] * 8)
    assert greedy(Networks(doubtful, surer).trials(), 2) == {1}
    # Each is sure of other images: the mean is as accurate, and its log loss is lower.
    left, right = sure_of([0.99, 0.55] * 4), sure_of([0.55, 0.99] * 4)
    assert greedy(Networks(left, right).trials(), 2) == {0, 1}


def test_a_metric_that_is_to_be_low() -> None:
    assert greedy(Networks(BAD, GOOD).trials(LogLoss()), 2) == {1}


@pytest.mark.parametrize("metric", [Accuracy(), LogLoss()])
@pytest.mark.parametrize("seed", range(5))
def test_it_is_never_worse_than_the_best_on_the_images_that_choose(
    metric: Metric, seed: int
) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, 60)
    trials = Networks(*random.dirichlet([1, 1], (6, 60))).trials(metric, labels)
    rows = random.random(60) < 0.5
    for chosen in (greedy(trials, 6, rows), choose(trials, 6, [Mixture([1, 4])], rows)):
        best = max(trials.goodness(Mixture([number]), rows) for number in range(6))
        assert trials.goodness(chosen, rows) >= best


def test_each_mixture_is_predicted_once() -> None:
    networks = Networks(GOOD, OTHER, BAD)
    trials = networks.trials()
    cross_fit(trials, 3, [Mixture([0, 1])], np.arange(8) % 4 < 2)
    assert set(networks.asked.values()) == {1}


def test_a_mean_is_taken_only_where_it_beats_the_greedy_one() -> None:
    """The last weights alone do harm, so that the greedy way never comes to their mean."""

    def predict(mixture: Mixture) -> np.ndarray:
        alone = {Mixture([0]): GOOD, Mixture([1]): BAD, Mixture([2]): BAD}
        together = {Mixture([1, 2]): sure_of([0.9] * 8)}
        return {**alone, **together}.get(mixture, BAD)

    trials = Trials(predict, LABELS, Accuracy())
    assert greedy(trials, 3) == {0}
    assert choose(trials, 3, [Mixture([1, 2])]) == {1, 2}
    assert choose(trials, 3, []) == {0}
    level = Trials(lambda mixture: GOOD, LABELS, Accuracy())
    assert choose(level, 3, [Mixture([1, 2])]) == greedy(level, 3)


def test_each_half_is_predicted_by_the_choice_of_the_other() -> None:
    in_second = np.arange(8) >= 4
    first = sure_of([0.9] * 4 + [0.1] * 4)  # good on the first half only
    second = sure_of([0.1] * 4 + [0.9] * 4)
    trials = Networks(first, second).trials()
    choice = cross_fit(trials, 2, [], in_second)
    assert choice.halves == ({1}, {0})
    fitted = choice.cross_fitted(trials)
    np.testing.assert_array_equal(fitted, sure_of([0.1] * 8))
    assert trials.score(fitted) == 0, "honest: each choice is a bad one for the other half"
    assert trials.score(trials.probabilities(choice.all)) >= 0.5


@pytest.mark.parametrize("seed", range(5))
def test_the_labels_of_a_half_do_not_change_what_is_predicted_of_it(seed: int) -> None:
    random = np.random.default_rng(seed)
    networks = Networks(*random.dirichlet([1, 1], (5, 40)))
    labels, in_second = random.integers(0, 2, 40), random.random(40) < 0.5
    means, found = [Mixture([2, 3])], []
    for flipped in (np.zeros(40, bool), in_second, ~in_second):
        trials = networks.trials(labels=np.where(flipped, 1 - labels, labels))
        found.append(cross_fit(trials, 5, means, in_second).cross_fitted(trials))
    plain, second_flipped, first_flipped = found
    np.testing.assert_array_equal(second_flipped[in_second], plain[in_second])
    np.testing.assert_array_equal(first_flipped[~in_second], plain[~in_second])
    assert not np.array_equal(second_flipped, plain), "the other half is chosen for otherwise"
