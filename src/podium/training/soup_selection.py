"""Which weights are averaged: a greedy choice, and its honest score on the other half."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from podium.competitions.metrics import LogLoss, Metric

Mixture = frozenset[int]  # numbers of the ingredients that are averaged
Goodness = tuple[float, float]  # the metric, then minus the log loss: higher is better


class Trials:
    """What the mean of any ingredients predicts; each mixture is predicted once.

    Args:
        predict: gives probabilities float32 (images, classes) of a mixture.
        labels: class numbers (images,).
    """

    def __init__(
        self, predict: Callable[[Mixture], np.ndarray], labels: np.ndarray, metric: Metric
    ):
        self.labels, self.metric = labels, metric
        self._predict, self._known = predict, dict[Mixture, np.ndarray]()

    def probabilities(self, mixture: Mixture) -> np.ndarray:
        if mixture not in self._known:
            self._known[mixture] = self._predict(mixture)
        return self._known[mixture]

    def score(self, probabilities: np.ndarray, rows: np.ndarray | slice = np.s_[:]) -> float:
        """The metric's value on some of the images."""
        return _mean(self.metric, self.labels[rows], probabilities[rows])

    def log_loss(self, probabilities: np.ndarray, rows: np.ndarray | slice = np.s_[:]) -> float:
        return _mean(LogLoss(), self.labels[rows], probabilities[rows])

    def goodness(self, mixture: Mixture, rows: np.ndarray | slice = np.s_[:]) -> Goodness:
        probabilities = self.probabilities(mixture)
        if not np.isfinite(probabilities).all():
            return -np.inf, -np.inf  # comparing with what is no number would be random
        sign = 1 if self.metric.per_image_score else -1
        return sign * self.score(probabilities, rows), -self.log_loss(probabilities, rows)


def greedy(trials: Trials, count: int, rows: np.ndarray | slice = np.s_[:]) -> Mixture:
    """The best of `count` ingredients, and each further one, best first, that does no harm.

    Args:
        rows: the images that decide.
    """
    alone = [frozenset([number]) for number in range(count)]
    best, *others = sorted(alone, key=lambda one: trials.goodness(one, rows), reverse=True)
    for one in others:
        if trials.goodness(best | one, rows) >= trials.goodness(best, rows):
            best |= one
    return best


def choose(
    trials: Trials, count: int, means: Sequence[Mixture], rows: np.ndarray | slice = np.s_[:]
) -> Mixture:
    """The greedy soup, or one of these means where it is better than that."""
    return max([greedy(trials, count, rows), *means], key=lambda one: trials.goodness(one, rows))


@dataclass(frozen=True)
class Choice:
    """What is averaged, as all images say, and as each half of them says."""

    greedy: Mixture
    all: Mixture
    halves: tuple[Mixture, Mixture]  # for each half: as the other one says
    in_second: np.ndarray  # bool (images,)

    def cross_fitted(self, trials: Trials) -> np.ndarray:
        """Probabilities of each image by what is chosen without it: (images, classes)."""
        first, second = (trials.probabilities(mixture) for mixture in self.halves)
        return np.where(self.in_second[:, None], second, first)


def cross_fit(
    trials: Trials, count: int, means: Sequence[Mixture], in_second: np.ndarray
) -> Choice:
    """Choose on all images, and for each half on the other one.

    Args:
        means: mixtures that may be chosen beside the greedy one.
        in_second: bool (images,), which half each image is in.
    """
    return Choice(
        greedy(trials, count),
        choose(trials, count, means),
        (choose(trials, count, means, in_second), choose(trials, count, means, ~in_second)),
        in_second,
    )


def _mean(metric: Metric, labels: np.ndarray, probabilities: np.ndarray) -> float:
    return float(metric.per_image(labels, probabilities).mean())
