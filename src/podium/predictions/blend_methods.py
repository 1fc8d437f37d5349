"""Ways to blend runs, the simplest first; each is fitted on images with labels.

Predictions are float (runs, images, classes) throughout; each row sums to 1.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.optimize import LinearConstraint, minimize
from scipy.stats import rankdata
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from podium.competitions.metrics import Metric
from podium.predictions.score import quality

SMALLEST = 1e-6  # probability, before its logarithm is taken
GREEDY_STEPS = 20  # additions of a run at the most
PATIENCE = 6  # additions without a gain before the greedy selection ends
LEAST_WEIGHT = 1e-3  # smaller weights of the optimizers become 0
STACK_STRENGTH = 0.1  # inverse of the stack's penalty

Transform = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Rule:
    """A fitted blend, from the runs' transformed predictions to probabilities."""

    weights: np.ndarray  # (runs,), they sum to 1
    back: Transform = np.asarray  # from the weighted mean
    scale: float | None = None  # of the weighted mean, in float64: powers of a product are high
    stack: LogisticRegression | None = None  # of the runs with a weight, in place of a mean
    shares: bool = True  # each row is of one probability; else, of labels or grades, each value

    def __call__(self, transformed: np.ndarray) -> np.ndarray:
        used = self.weights > 0
        if self.stack is not None:
            return self.stack.predict_proba(_side_by_side(transformed[used]))
        weights = self.weights[used].astype(transformed.dtype)
        mean = np.tensordot(weights, transformed[used], axes=1)
        if self.scale is not None:
            mean = self.scale * mean.astype(np.float64)
        return _normalized(self.back(mean)) if self.shares else mean

    def as_dict(self) -> dict[str, Any]:
        """All that was fitted, as JSON keeps it."""
        stack = self.stack and {
            "coefficients": self.stack.coef_.tolist(),
            "intercepts": self.stack.intercept_.tolist(),
            "type": str(self.stack.coef_.dtype),
        }
        weights = self.weights.tolist()
        return {"weights": weights, "scale": self.scale, "stack": stack, "shares": self.shares}


@dataclass(frozen=True)
class Method:
    """A way to blend: a transformation that needs no labels, and then a fit."""

    # From transformed predictions, labels (images,) and the metric.
    fit: Callable[[np.ndarray, np.ndarray, Metric], Rule]
    into: Transform = np.asarray

    def fitted(self, stored: dict[str, Any]) -> Rule:
        """The rule of what `Rule.as_dict` gave."""
        back, stack = np.exp if self.into is _logarithms else np.asarray, None
        if found := stored["stack"]:
            stack = LogisticRegression()
            stack.coef_ = np.array(found["coefficients"], found["type"])
            stack.intercept_ = np.array(found["intercepts"], found["type"])
            stack.classes_ = np.arange(max(len(stack.intercept_), 2))
        return Rule(np.array(stored["weights"]), back, stored["scale"], stack, stored["shares"])


def _ranks(predictions: np.ndarray) -> np.ndarray:
    """Ranks among all images: an overconfident run counts no more than others."""
    return (rankdata(predictions, axis=1) / predictions.shape[1]).astype(np.float32)


def _logarithms(predictions: np.ndarray) -> np.ndarray:
    return np.log(predictions.clip(SMALLEST))


def _normalized(mixed: np.ndarray) -> np.ndarray:
    return mixed / mixed.sum(axis=1, keepdims=True)


def _fit_selected(
    transformed: np.ndarray, labels: np.ndarray, metric: Metric, back: Transform = np.asarray
) -> Rule:
    """The mean of the runs that do not lower it; they are tried from the best run on."""
    shares = metric.task.sums_to_one

    def value(total: np.ndarray, runs: int) -> float:
        mean = back(total / runs)
        return quality(metric, labels, _normalized(mean) if shares else mean)

    alone = [value(run, 1) for run in transformed]
    admitted: list[int] = []
    best, total = -np.inf, np.zeros_like(transformed[0])
    for run in np.argsort(alone, kind="stable")[::-1]:
        with_it = total + transformed[run]
        if (found := value(with_it, len(admitted) + 1)) >= best:
            best, total = found, with_it
            admitted.append(run)
    weights = np.zeros(len(transformed))
    weights[admitted] = 1 / len(admitted)
    return Rule(weights, back, shares=shares)


def _fit_mean(predictions: np.ndarray, labels: np.ndarray, metric: Metric) -> Rule:
    weights = np.full(len(predictions), 1 / len(predictions))
    return Rule(weights, shares=metric.task.sums_to_one)


def _fit_greedy(predictions: np.ndarray, labels: np.ndarray, metric: Metric) -> Rule:
    """Add the run that helps the mean most, again and again (Caruana et al., ICML 2004)."""
    counts = np.zeros(len(predictions), np.int64)
    total = np.zeros_like(predictions[0])
    best, best_counts = -np.inf, counts.copy()
    for step in range(1, GREEDY_STEPS + 1):
        values = [quality(metric, labels, (total + run) / step) for run in predictions]
        chosen = int(np.argmax(values))
        counts[chosen] += 1
        total += predictions[chosen]
        if values[chosen] > best:
            best, best_counts = values[chosen], counts.copy()
        elif step - best_counts.sum() >= PATIENCE:
            break
    return Rule(best_counts / best_counts.sum(), shares=metric.task.sums_to_one)


def fit_convex(predictions: np.ndarray, labels: np.ndarray, metric: Metric | None = None) -> Rule:
    """The weights of the lowest log loss, which stands for any metric: an accuracy has no slope."""
    right = predictions[:, np.arange(len(labels)), labels].T.astype(np.float64)
    right = right.clip(SMALLEST)  # (images, runs)
    runs = right.shape[1]

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        mixed = (right @ weights).clip(SMALLEST)
        return -np.log(mixed).mean(), -(right / mixed[:, None]).mean(axis=0)

    start, sum_to_1 = np.full(runs, 1 / runs), LinearConstraint(np.ones((1, runs)), 1, 1)
    limits = {"bounds": [(0, 1)] * runs, "constraints": sum_to_1}
    found = minimize(loss, start, jac=True, method="SLSQP", **limits).x
    found = np.where(found < LEAST_WEIGHT, 0, found)
    return Rule(found / found.sum())


def _fit_product(logarithms: np.ndarray, labels: np.ndarray, metric: Metric) -> Rule:
    """Exponents of a product of probabilities, of the lowest log loss (Genest and Zidek 1986).

    They need not sum to 1: runs of independent errors are surer together than each alone.
    """
    right = np.arange(len(labels)), labels

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        pooled = np.tensordot(weights.astype(np.float32), logarithms, axes=1)
        pooled -= pooled.max(axis=1, keepdims=True)
        powers = np.exp(pooled)
        total = powers.sum(axis=1)
        expected = np.einsum("nc,rnc->rn", powers / total[:, None], logarithms)
        value = (np.log(total) - pooled[right]).mean(dtype=np.float64)
        return value, (expected - logarithms[:, *right]).mean(axis=1, dtype=np.float64)

    # From 0, where a run stays that predicts the same for each image.
    start = np.zeros(len(logarithms))
    bounds = [(0, None)] * len(logarithms)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    found = np.where(found < LEAST_WEIGHT, 0, found)
    total = found.sum()
    if total == 0:  # no run is better than a guess
        return Rule(np.full(len(logarithms), 1 / len(logarithms)), np.exp)
    return Rule(found / total, np.exp, float(total))


def _fit_stack(logarithms: np.ndarray, labels: np.ndarray, metric: Metric) -> Rule:
    """Multinomial logistic regression on the log-probabilities (Wolpert 1992).

    Only the runs of the greedy selection are used: from any other it learns noise.
    """
    weights = _fit_greedy(np.exp(logarithms), labels, metric).weights
    if len(np.unique(labels)) < logarithms.shape[2]:
        return Rule(weights, np.exp)  # a stack would never predict the class that is missing
    regression = LogisticRegression(C=STACK_STRENGTH, max_iter=200, tol=1e-3)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits do not matter
        regression.fit(_side_by_side(logarithms[weights > 0]), labels)
    return Rule(weights, stack=regression)


def _side_by_side(logarithms: np.ndarray) -> np.ndarray:
    """float32 (images, runs × classes), centered in each run: (p, 1 - p) is one number."""
    centered = logarithms - logarithms.mean(axis=2, keepdims=True)
    return centered.transpose(1, 0, 2).reshape(centered.shape[1], -1).astype(np.float32)


# By name; the first is taken where two are equal.
METHODS = {
    "mean": Method(_fit_mean),
    "selected mean": Method(_fit_selected),
    "geometric mean": Method(partial(_fit_selected, back=np.exp), _logarithms),
    "greedy weights": Method(_fit_greedy),
    "convex weights": Method(fit_convex),
    "product": Method(_fit_product, _logarithms),
    # Late, because the blend of an image depends on the others that are predicted with it.
    "rank mean": Method(_fit_selected, _ranks),
    "stack": Method(_fit_stack, _logarithms),
}
ALONE = ("mean", "selected mean", "greedy weights")  # those of labels and grades
