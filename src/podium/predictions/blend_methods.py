"""Ways to blend runs, the simplest first; each is fitted on images with labels.

Predictions are float (runs, images, classes) throughout, a row of them sums to 1.
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
from podium.predictions.score import per_image_score

SMALLEST = 1e-6  # probability, before its logarithm is taken
GREEDY_STEPS = 20  # additions of a run at the most
PATIENCE = 6  # steps without a gain before they end
LEAST_WEIGHT = 1e-3  # what the optimizer gives less weight has none
STACK_STRENGTH = 0.1  # inverse of the stack's penalty


def _ranks(predictions: np.ndarray) -> np.ndarray:
    """Ranks among all images: a run that is too sure of itself counts no more than others."""
    return (rankdata(predictions, axis=1) / predictions.shape[1]).astype(np.float32)


def _logarithms(predictions: np.ndarray) -> np.ndarray:
    return np.log(predictions.clip(SMALLEST))


@dataclass(frozen=True)
class Rule:
    """A fitted blend: transformed predictions of the runs to one (images, classes)."""

    weights: np.ndarray  # (runs,), they sum to 1
    back: Callable[[np.ndarray], np.ndarray] = np.asarray  # from the weighted mean
    stack: LogisticRegression | None = None  # of the runs that have a weight, in place of a mean

    def __call__(self, transformed: np.ndarray) -> np.ndarray:
        used = self.weights > 0
        if self.stack is not None:
            return self.stack.predict_proba(_side_by_side(transformed[used]))
        weights = self.weights[used].astype(transformed.dtype)
        return _probabilities(self.back(np.tensordot(weights, transformed[used], axes=1)))


# A rule for runs like these, from transformed predictions, labels and the metric.
Fit = Callable[[np.ndarray, np.ndarray, Metric], Rule]


@dataclass(frozen=True)
class Method:
    """A way to blend: what is done to the predictions first, and what is fitted then."""

    fit: Fit
    into: Callable[[np.ndarray], np.ndarray] = np.asarray  # needs no labels


def _probabilities(mixed: np.ndarray) -> np.ndarray:
    return mixed / mixed.sum(axis=1, keepdims=True)


def _fit_nothing(predictions: np.ndarray, labels: np.ndarray, metric: Metric) -> Rule:
    """The plain mean."""
    return Rule(np.full(len(predictions), 1 / len(predictions)))


def _fit_mean(back: Callable[[np.ndarray], np.ndarray] = np.asarray) -> Fit:
    """The mean of the runs that do not lower it: tried from the best run on."""

    def fit(transformed: np.ndarray, labels: np.ndarray, metric: Metric) -> Rule:
        def good(total: np.ndarray, runs: int) -> float:
            return per_image_score(metric, labels, _probabilities(back(total / runs))).mean()

        alone = [good(run, 1) for run in transformed]
        admitted: list[int] = []
        best, total = -np.inf, np.zeros_like(transformed[0])
        for run in np.argsort(alone, kind="stable")[::-1]:
            with_it = total + transformed[run]
            if (value := good(with_it, len(admitted) + 1)) >= best:
                best, total = value, with_it
                admitted.append(run)
        weights = np.zeros(len(transformed))
        weights[admitted] = 1 / len(admitted)
        return Rule(weights, back)

    return fit


def _fit_greedy(predictions: np.ndarray, labels: np.ndarray, metric: Metric) -> Rule:
    """Add the run that helps the mean most, again and again (Caruana et al., ICML 2004)."""
    counts = np.zeros(len(predictions), np.int64)
    total = np.zeros_like(predictions[0])
    best, best_counts = -np.inf, counts.copy()
    for step in range(1, GREEDY_STEPS + 1):
        values = [
            per_image_score(metric, labels, (total + run) / step).mean() for run in predictions
        ]
        chosen = int(np.argmax(values))
        counts[chosen] += 1
        total += predictions[chosen]
        if values[chosen] > best:
            best, best_counts = values[chosen], counts.copy()
        elif step - best_counts.sum() >= PATIENCE:
            break
    return Rule(best_counts / best_counts.sum())


def fit_convex(predictions: np.ndarray, labels: np.ndarray, metric: Metric | None = None) -> Rule:
    """The weights of the lowest log loss, which stands for any metric: an accuracy has no slope."""
    right = predictions[:, np.arange(len(labels)), labels].T.astype(np.float64)
    right = right.clip(SMALLEST)  # (images, runs)
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


def fit_log_pool(logarithms: np.ndarray, labels: np.ndarray, metric: Metric | None = None) -> Rule:
    """Exponents of a product of probabilities, of the lowest log loss (Genest and Zidek 1986).

    They need not sum to 1: several runs that err apart are surer together than each alone.
    """
    right = np.arange(len(labels)), labels

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        pooled = np.tensordot(weights.astype(np.float32), logarithms, axes=1)
        pooled -= pooled.max(axis=1, keepdims=True)
        powers = np.exp(pooled)
        total = powers.sum(axis=1)
        said = np.einsum("nc,rnc->rn", powers / total[:, None], logarithms)
        value = (np.log(total) - pooled[right]).mean(dtype=np.float64)
        return value, (said - logarithms[:, *right]).mean(axis=1, dtype=np.float64)

    # From nothing: a run that says the same of each image moves nothing, and stays at 0.
    start = np.zeros(len(logarithms))
    bounds = [(0, None)] * len(logarithms)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    found = np.where(found < LEAST_WEIGHT, 0, found)
    total = found.sum()
    if total == 0:  # none is better than a guess
        return _fit_nothing(logarithms, labels, None)
    return Rule(found / total, lambda mean: np.exp(total * mean))


def _fit_stack(logarithms: np.ndarray, labels: np.ndarray, metric: Metric) -> Rule:
    """Multinomial logistic regression on the log-probabilities (Wolpert 1992).

    Only of the runs that the greedy selection takes: any other is noise to learn from.
    """
    weights = _fit_greedy(np.exp(logarithms), labels, metric).weights
    if len(np.unique(labels)) < logarithms.shape[2]:
        return Rule(weights, np.exp)  # a stack would never say the class that is missing
    regression = LogisticRegression(C=STACK_STRENGTH, max_iter=200, tol=1e-3)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits do not matter
        regression.fit(_side_by_side(logarithms[weights > 0]), labels)
    return Rule(weights, stack=regression)


def _side_by_side(logarithms: np.ndarray) -> np.ndarray:
    """float32 (images, runs × classes), centerd in each run: (p, 1 - p) is one number."""
    centerd = logarithms - logarithms.mean(axis=2, keepdims=True)
    return centerd.transpose(1, 0, 2).reshape(centerd.shape[1], -1).astype(np.float32)


# By name, in the order of what is taken where two are level.
METHODS = {
    "mean": Method(_fit_nothing),
    "selected mean": Method(_fit_mean()),
    "geometric mean": Method(_fit_mean(np.exp), _logarithms),
    "greedy weights": Method(_fit_greedy),
    "convex weights": Method(fit_convex),
    "product": Method(fit_log_pool, _logarithms),
    # Late, because what it says of an image depends on the others that are predicted with it.
    "rank mean": Method(_fit_mean(), _ranks),
    "stack": Method(_fit_stack, _logarithms),
}
