"""Heads that are solved at once, on cached features: logistic regression and kernel ridge.

Logistic regression is also the linear probe of each head stage.
"""

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np
from keras import ops
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

# Logistic regression.
STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1)  # C: inverse of the penalty, on standardized features
HELD_BACK = 5  # each so many-th image is held back to choose among them
LARGEST = 50_000_000  # values that a linear probe is fitted on: half a minute of two cores in all
ITERATIONS = 200
LONGER = 2.0  # times that a fit may take as long as the first one, of the strongest penalty
ABSENT = -20.0  # bias of a class that no training image shows

# Kernel ridge regression.
WIDTH = 0.5  # exponent at the median of the squared distances
RIDGE = 0.05  # added to the diagonal, for each part of the kernel
TEMPERATURES = np.arange(0.5, 12, 0.25)  # that outputs near ±1 are multiplied by
EVERY = 7  # so many-th row of the distances that the median is taken of
AT_ONCE = 1024  # images whose kernels with all centers are in memory


@dataclass(frozen=True)
class Logistic:
    """A fitted regression: softmax(features · weights + bias); standardization is folded in."""

    weights: np.ndarray  # float32 (channels, classes)
    bias: np.ndarray  # float32 (classes,)
    strength: float  # the chosen C
    rows: int  # that it was fitted on
    seconds: float = 0.0
    exclusive: bool = True  # a softmax, and no sigmoid each

    def score(self, features: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """Accuracy and log loss on float32 (images, channels), targets (images, outputs)."""
        logits = (features @ self.weights + self.bias).astype(np.float64)
        return score_logits(logits, labels, self.exclusive)


@dataclass(frozen=True)
class KernelFit:
    """A fitted regression, as `models.kernel_head.KernelRegression.set` takes it."""

    mean: np.ndarray  # float32 (channels,)
    scale: np.ndarray  # float32 (channels,), with the widths of the kernels in it
    centers: np.ndarray  # float32 (rows, channels), scaled
    dual: np.ndarray  # float32 (rows, classes), with the temperature in it
    temperature: float
    rows: np.ndarray  # int (rows,), which training images the centers are
    left_out: np.ndarray  # float32 (rows, classes), logits of each by a fit without it


def fit_logistic(
    features: np.ndarray,
    labels: np.ndarray,
    labeled: int | None = None,
    seconds: float = np.inf,
    most: int = LARGEST,
    exclusive: bool = True,
    balanced: bool = False,
) -> Logistic:
    """Fit on the training features; their penalty is chosen on a fifth of them.

    Args:
        features: float32 (views, images, channels).
        labels: one-hot (images, classes).
        labeled: how many of the images, the first ones, have labels of their own and so judge
            the penalty; all unless given.
        seconds: that it should take at the most; where they are short, there are fewer views.
        most: values to fit on, of which there is one copy; where the features are more, as many
            views and images as fit, evenly chosen.
        exclusive: the labels are one-hot; else each output has a regression of its own.
        balanced: whether images of a rare class count more, as the recipe's `class_weight`.
    """
    began = time.monotonic()
    views, images, channels = features.shape
    copies = 1 if exclusive else 2
    rows = max(most // copies // channels, labels.shape[1])
    chosen = np.unique(_evenly(images, rows))
    views = max(1, min(views, rows // len(chosen)))
    targets = labels[chosen]

    def fit(part: np.ndarray, strength: float, views: int) -> Logistic:
        x = np.concatenate([features[view, chosen[part]] for view in range(views)])
        if not exclusive:
            return _fit_each(x, np.tile(targets[part], (views, 1)), strength)
        classes = np.tile(targets[part].argmax(axis=1), views)
        return _fit(x, classes, labels.shape[1], strength, balanced)

    every = np.ones(len(chosen), bool)
    if seconds < np.inf:
        fit(every, STRENGTHS[0], 1)
        each = LONGER * (len(STRENGTHS) + 1) * (time.monotonic() - began)
        views = max(1, min(views, int(seconds / each)))
    held_back = np.random.default_rng(0).permutation(len(chosen)) % HELD_BACK == 0
    held_back &= chosen < (images if labeled is None else labeled)
    strength = STRENGTHS[0]
    if np.ptp(targets[~held_back], axis=0).any():
        judges = features[0, chosen[held_back]], targets[held_back]
        losses = [fit(~held_back, c, views).score(*judges)["log_loss"] for c in STRENGTHS]
        strength = STRENGTHS[int(np.argmin(losses))]
    fitted = fit(every, strength, views)
    return replace(fitted, seconds=round(time.monotonic() - began, 1))


def fit_kernel(
    features: np.ndarray,
    labels: np.ndarray,
    channels: Sequence[int],
    most: int,
    labeled: int | None = None,
    exclusive: bool = True,
) -> KernelFit:
    """Fit on training features; the temperature is the best for images that are left out.

    Args:
        features: float32 (images, channels).
        labels: one-hot (images, classes).
        channels: how many are in each part of the kernel.
        most: images to fit on at the most; evenly chosen where there are more.
        labeled: how many of the images, the first ones, have labels of their own; all unless
            given. The others come second where there is not place for all, and do not judge the
            temperature: they are those that a network was sure of.
        exclusive: as of `fit_logistic`.
    """
    labeled = len(features) if labeled is None else labeled
    rows = _evenly(labeled, most)
    rows = np.concatenate([rows, labeled + _evenly(len(features) - labeled, most - len(rows))])
    mean, scale, centers, kernel = _kernel(features[rows], channels)
    kernel[np.diag_indices(len(kernel))] += RIDGE * len(channels)
    targets = 2 * labels[rows].astype(np.float32) - 1
    # By Cholesky's factor, which takes half the time of the kernel's inverse.
    factor = ops.cholesky(kernel)
    inverse = ops.convert_to_numpy(ops.solve_triangular(factor, ops.eye(len(kernel)), lower=True))
    dual = inverse.T @ (inverse @ targets)
    left_out = targets - dual / np.einsum("ij,ij->j", inverse, inverse)[:, None]
    own = rows < labeled
    right = labels[rows[own]]
    losses = [_log_loss(left_out[own] * one, right, exclusive) for one in TEMPERATURES]
    best = float(TEMPERATURES[int(np.argmin(losses))])
    return KernelFit(mean, scale, centers, dual * best, best, rows, left_out * best)


def predict_logits(layer: keras.Layer, features: np.ndarray) -> np.ndarray:
    """Logits (images, classes); not by a model, whose tracing takes longer than this."""
    starts = range(0, len(features), AT_ONCE)
    return np.concatenate([layer(features[i : i + AT_ONCE]) for i in starts])


def score_logits(
    logits: np.ndarray, labels: np.ndarray, exclusive: bool = True
) -> dict[str, float]:
    """Accuracy and log loss of (images, classes) on one-hot labels, or on targets of sigmoids."""
    hits = logits.argmax(axis=1) == labels.argmax(axis=1) if exclusive else (logits > 0) == labels
    return {"accuracy": float(hits.mean()), "log_loss": _log_loss(logits, labels, exclusive)}


def _fit(
    x: np.ndarray, classes: np.ndarray, class_count: int, strength: float, balanced: bool
) -> Logistic:
    weights = np.zeros((x.shape[1], class_count), np.float32)
    bias = np.full(class_count, ABSENT, np.float32)
    present = np.unique(classes)
    if len(present) == 1:  # nothing to tell apart
        bias[present] = 0.0
        return Logistic(weights, bias, strength, len(x))
    scaler = StandardScaler(copy=False)
    weight = "balanced" if balanced else None
    regression = LogisticRegression(C=strength, max_iter=ITERATIONS, class_weight=weight)
    # OpenBLAS' threads spin between the many small steps: one thread takes a tenth of the time.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits do not matter
        regression.fit(scaler.fit_transform(x), classes)
    slopes, offsets = regression.coef_, regression.intercept_
    if len(present) == 2:  # scikit-learn keeps one row, for the second class
        slopes, offsets = np.concatenate([-slopes, slopes]) / 2, np.array([-1, 1]) * offsets / 2
    slopes = slopes / scaler.scale_
    weights[:, present] = slopes.T
    bias[present] = offsets - slopes @ scaler.mean_
    return Logistic(weights, bias, strength, len(x))


def _fit_each(x: np.ndarray, targets: np.ndarray, strength: float) -> Logistic:
    """A regression for each column of 0 and 1: (images, outputs)."""
    fits = [_fit(x.copy(), column.astype(int), 2, strength, balanced=False) for column in targets.T]
    weights = np.stack([one.weights[:, 1] - one.weights[:, 0] for one in fits], axis=1)
    bias = np.array([one.bias[1] - one.bias[0] for one in fits])
    return Logistic(weights, bias, strength, len(x), exclusive=False)


def _evenly(images: int, most: int) -> np.ndarray:
    """Up to so many positions of so many images."""
    return np.linspace(0, images - 1, min(most, images)).astype(int)


def _kernel(features: np.ndarray, channels: Sequence[int]) -> tuple[np.ndarray, ...]:
    """Mean, scale, scaled features (rows, channels), and the sum of kernels (rows, rows)."""
    mean = features.mean(axis=0)
    scale = np.empty_like(mean)
    centers = features - mean
    kernel = np.zeros((len(features), len(features)), np.float32)
    ends = np.cumsum(channels)
    for begin, end in zip(ends - channels, ends, strict=True):
        part = np.s_[begin:end]
        deviation = features[:, part].std(axis=0)
        # A channel that is the same nearly everywhere would otherwise be noise made large.
        scale[part] = 1 / (deviation + 1e-4 * np.sqrt(np.mean(deviation**2)) + 1e-8)
        x = centers[:, part] * scale[part]
        lengths = (x * x).sum(axis=1)
        # In place: with 20,000 rows the distances take 1.6 GB.
        distances = np.array(ops.matmul(x, x.T))
        distances *= -2
        distances += lengths[:, None]
        distances += lengths
        np.maximum(distances, 0, out=distances)
        gamma = WIDTH / (np.median(distances[::EVERY]) or 1.0)
        distances *= -gamma
        kernel += np.exp(distances, out=distances)
        scale[part] *= np.sqrt(gamma)
    centers *= scale
    return mean, scale, centers, kernel


def _log_loss(logits: np.ndarray, labels: np.ndarray, exclusive: bool) -> float:
    if not exclusive:
        return float((np.logaddexp(0, logits) - labels * logits).mean())
    right = labels.argmax(axis=1)
    return float(-log_softmax(logits, axis=1)[np.arange(len(right)), right].mean())
