"""Ways to blend runs, the simplest first; each is fitted on pictures with labels.

Predictions are float (runs, pictures, classes) throughout, a row of them sums to 1.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.stats import rankdata
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from podium.competitions.metrics import Metric
from podium.predictions.score import goodness

SMALLEST = 1e-6  # probability, before its logarithm is taken
GREEDY_STEPS = 25  # additions of a run at the most
LEAST_WEIGHT = 1e-3  # what the optimiser gives less weight has none
STACK_STRENGTH = 0.1  # inverse of the stack's penalty


@dataclass(frozen=True)
class Mean:
    """A weighted mean of predictions that are transformed before it, and back after it."""

    into: Callable[[np.ndarray], np.ndarray]
    back: Callable[[np.ndarray], np.ndarray]

    def __call__(self, transformed: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(runs, pictures, classes), transformed, to probabilities (pictures, classes)."""
        used = weights > 0
        mixed = self.back(np.tensordot(weights[used], transformed[used], axes=1))
        return mixed / mixed.sum(axis=1, keepdims=True)


def _ranks(predictions: np.ndarray) -> np.ndarray:
    """Ranks among all pictures: a run that is too sure of itself counts no more than others."""
    return rankdata(predictions, axis=1) / predictions.shape[1]


MEANS = {
    "arithmetic": Mean(into=np.asarray, back=np.asarray),
    "geometric": Mean(into=lambda predictions: np.log(predictions.clip(SMALLEST)), back=np.exp),
    "rank": Mean(into=_ranks, back=np.asarray),
}


@dataclass(frozen=True)
class Rule:
    """A fitted blend: the runs' predictions to one (pictures, classes)."""

    weights: np.ndarray  # (runs,), they sum to 1
    mean: str = "arithmetic"  # of MEANS
    stack: LogisticRegression | None = None  # of the runs that have a weight, in place of a mean

    def __call__(self, predictions: np.ndarray) -> np.ndarray:
        if self.stack is not None:
            return self.stack.predict_proba(_logarithms(predictions[self.weights > 0]))
        mean = MEANS[self.mean]
        return mean(mean.into(predictions), self.weights)


# A rule for runs like these, from predictions (runs, pictures, classes), labels and the metric.
Fit = Callable[[np.ndarray, np.ndarray, Metric], Rule]


def fit_mean(kind: str) -> Fit:
    """The plain mean of the runs that do not lower it: tried from the best run on."""

    def fit(predictions: np.ndarray, labels: np.ndarray, metric: Metric) -> Rule:
        mean, transformed = MEANS[kind], MEANS[kind].into(predictions)
        alone = [goodness(metric, labels, run).mean() for run in predictions]
        best, admitted = -np.inf, np.zeros(len(predictions))
        for run in np.argsort(alone, kind="stable")[::-1]:
            candidate = admitted.copy()
            candidate[run] = 1
            blended = mean(transformed, candidate / candidate.sum())
            if (value := goodness(metric, labels, blended).mean()) >= best:
                best, admitted = value, candidate
        return Rule(admitted / admitted.sum(), kind)

    return fit


def fit_greedy(predictions: np.ndarray, labels: np.ndarray, metric: Metric) -> Rule:
    """Add the run that helps the mean most, again and again (Caruana et al., ICML 2004)."""
    counts = np.zeros(len(predictions), np.int64)
    total = np.zeros_like(predictions[0])
    best, best_counts = -np.inf, counts.copy()
    for step in range(1, GREEDY_STEPS + 1):
        values = [goodness(metric, labels, (total + run) / step).mean() for run in predictions]
        chosen = int(np.argmax(values))
        counts[chosen] += 1
        total += predictions[chosen]
        if values[chosen] > best:
            best, best_counts = values[chosen], counts.copy()
    return Rule(best_counts / best_counts.sum())


def fit_convex(predictions: np.ndarray, labels: np.ndarray, metric: Metric) -> Rule:
    """The weights of the lowest log loss, which stands for an accuracy too: that has no slope."""
    right = predictions[:, np.arange(len(labels)), labels].T.astype(np.float64)
    right = right.clip(SMALLEST)  # (pictures, runs)
    runs = right.shape[1]

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        mixed = (right @ weights).clip(SMALLEST)
        return -np.log(mixed).mean(), -(right / mixed[:, None]).mean(axis=0)

    found = minimize(
        loss,
        np.full(runs, 1 / runs),
        jac=True,
        method="SLSQP",
        bounds=[(0, 1)] * runs,
        constraints={
            "type": "eq",
            "fun": lambda weights: weights.sum() - 1,
            "jac": lambda weights: np.ones(runs),
        },
    ).x
    found = np.where(found < LEAST_WEIGHT, 0, found)
    return Rule(found / found.sum())


def fit_stack(predictions: np.ndarray, labels: np.ndarray, metric: Metric) -> Rule:
    """Multinomial logistic regression on the log-probabilities (Wolpert 1992).

    Only of the runs that the greedy selection takes: each other one is noise to learn from.
    """
    greedy = fit_greedy(predictions, labels, metric)
    if len(np.unique(labels)) < predictions.shape[2]:
        return greedy  # the stack would never say the class that is missing
    regression = LogisticRegression(C=STACK_STRENGTH, max_iter=200, tol=1e-3)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits do not matter
        regression.fit(_logarithms(predictions[greedy.weights > 0]), labels)
    return Rule(greedy.weights, stack=regression)


def _logarithms(predictions: np.ndarray) -> np.ndarray:
    """float32 (pictures, runs × classes), centred in each run: (p, 1 - p) is one number."""
    logarithms = np.log(predictions.clip(SMALLEST))
    logarithms -= logarithms.mean(axis=2, keepdims=True)
    pictures = predictions.shape[1]
    return logarithms.transpose(1, 0, 2).reshape(pictures, -1).astype(np.float32)


# By name, in the order of what is taken where two are level.
METHODS: dict[str, Fit] = {
    "mean": fit_mean("arithmetic"),
    "geometric mean": fit_mean("geometric"),
    "greedy weights": fit_greedy,
    "convex weights": fit_convex,
    # Late, because what it says of a picture depends on the others that are predicted with it.
    "rank mean": fit_mean("rank"),
    "stack": fit_stack,
}
