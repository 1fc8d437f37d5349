"""Logistic regression on cached features: the floor of a head stage, or the head itself."""

import time
import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1)  # C: inverse of the penalty, on standardized features
JUDGED = 5  # each so many-th image is held back to choose among them
LARGEST = 50_000_000  # values that are fitted: half a minute of two cores in all
ITERATIONS = 200
LONGER = 2.0  # times that a fit may take as long as the first one, of the strongest penalty
ABSENT = -20.0  # bias of a class that no training image shows


@dataclass(frozen=True)
class Logistic:
    """A fitted regression: softmax(features · weights + bias); standardization is folded in."""

    weights: np.ndarray  # float32 (channels, classes)
    bias: np.ndarray  # float32 (classes,)
    strength: float  # the chosen C
    rows: int  # that it was fitted on
    seconds: float

    def score(self, features: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """Accuracy and log loss on float32 (images, channels), one-hot (images, classes)."""
        logits = (features @ self.weights + self.bias).astype(np.float64)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = powers / powers.sum(axis=1, keepdims=True)
        right = labels.argmax(axis=1)
        return {
            "accuracy": float(accuracy_score(right, probabilities.argmax(axis=1))),
            "log_loss": float(log_loss(right, probabilities, labels=np.arange(labels.shape[1]))),
        }


def fit_logistic(
    features: np.ndarray,
    labels: np.ndarray,
    labeled: int | None = None,
    seconds: float = np.inf,
) -> Logistic:
    """Fit on the training features; their penalty is chosen on a fifth of them.

    Args:
        features: float32 (views, images, channels); where they are more than `LARGEST` values,
            as many views and images as fit, evenly chosen.
        labels: one-hot (images, classes).
        labeled: how many of the images, the first ones, have labels of their own and so judge
            the penalty; all unless given.
        seconds: that it should take at the most; where they are short, there are fewer views.
    """
    began = time.monotonic()
    views, images, channels = features.shape
    rows = max(LARGEST // channels, labels.shape[1])
    chosen = np.unique(np.linspace(0, images - 1, min(rows, images)).astype(int))
    views = max(1, min(views, rows // len(chosen)))
    classes = labels[chosen].argmax(axis=1)

    def fit(of: np.ndarray, strength: float, views: int) -> Logistic:
        x = np.concatenate([features[view, chosen[of]] for view in range(views)])
        return _fit(x, np.tile(classes[of], views), labels.shape[1], strength)

    every = np.ones(len(chosen), bool)
    if seconds < np.inf:
        fit(every, STRENGTHS[0], 1)
        each = LONGER * (len(STRENGTHS) + 1) * (time.monotonic() - began)
        views = max(1, min(views, int(seconds / each)))
    held_back = np.random.default_rng(0).permutation(len(chosen)) % JUDGED == 0
    held_back &= chosen < (images if labeled is None else labeled)
    strength = STRENGTHS[0]
    if len(np.unique(classes[~held_back])) > 1:
        judged = features[0, chosen[held_back]], labels[chosen[held_back]]
        losses = [fit(~held_back, c, views).score(*judged)["log_loss"] for c in STRENGTHS]
        strength = STRENGTHS[int(np.argmin(losses))]
    final = fit(every, strength, views)
    took = round(time.monotonic() - began, 1)
    return Logistic(final.weights, final.bias, strength, len(chosen) * views, took)


def _fit(x: np.ndarray, classes: np.ndarray, of_classes: int, strength: float) -> Logistic:
    weights = np.zeros((x.shape[1], of_classes))
    bias = np.full(of_classes, ABSENT)
    present = np.unique(classes)
    if len(present) == 1:  # nothing to tell apart
        bias[present] = 0.0
        return Logistic(weights.astype(np.float32), bias.astype(np.float32), strength, len(x), 0.0)
    scaler = StandardScaler()
    regression = LogisticRegression(C=strength, max_iter=ITERATIONS)
    # OpenBLAS' threads spin between the many small steps: one thread takes a tenth of the time.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits do not matter
        regression.fit(scaler.fit_transform(x), classes)
    slopes, offsets = regression.coef_, regression.intercept_
    if len(present) == 2:  # scikit-learn keeps one row, for the second class
        slopes, offsets = np.stack([-slopes[0], slopes[0]]) / 2, np.array([-1, 1]) * offsets / 2
    slopes = slopes / scaler.scale_
    weights[:, present] = slopes.T
    bias[present] = offsets - slopes @ scaler.mean_
    return Logistic(weights.astype(np.float32), bias.astype(np.float32), strength, len(x), 0.0)
