"""Kernel ridge regression on cached features: a head that is solved at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from scipy.special import log_softmax

WIDTH = 0.5  # exponent at the median of the squared distances
RIDGE = 0.05  # added to the diagonal, for each part of the kernel
TEMPERATURES = np.arange(0.5, 12, 0.25)  # that outputs near ±1 are multiplied by
EVERY = 7  # so many-th row of the distances that the median is taken of

AT_ONCE = 1024  # images whose kernels with all centers are in memory


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


def fit_kernel(
    features: np.ndarray,
    labels: np.ndarray,
    channels: Sequence[int],
    most: int,
    labeled: int | None = None,
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
    """
    labeled = len(features) if labeled is None else labeled
    rows = _evenly(labeled, most)
    rows = np.concatenate([rows, labeled + _evenly(len(features) - labeled, most - len(rows))])
    mean, scale, centers, kernel = _kernel(features[rows], channels)
    kernel[np.diag_indices(len(kernel))] += RIDGE * len(channels)
    targets = 2 * labels[rows].astype(np.float32) - 1
    dual, diagonal = _solve(kernel, targets)
    left_out = targets - dual / diagonal[:, None]
    own = rows < labeled
    right = labels[rows[own]].argmax(axis=1)
    losses = [_log_loss(left_out[own] * temperature, right) for temperature in TEMPERATURES]
    best = float(TEMPERATURES[int(np.argmin(losses))])
    return KernelFit(mean, scale, centers, dual * best, best, rows, left_out * best)


def _evenly(images: int, most: int) -> np.ndarray:
    """Up to so many positions of so many images."""
    return np.linspace(0, images - 1, min(most, images)).astype(int)


def predict_logits(layer: keras.Layer, features: np.ndarray) -> np.ndarray:
    """(images, classes); not by a model, whose tracing takes longer than this."""
    starts = range(0, len(features), AT_ONCE)
    return np.concatenate([layer(features[i : i + AT_ONCE]) for i in starts])


def score_logits(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Accuracy and log loss of (images, classes) on one-hot labels."""
    right = labels.argmax(axis=1)
    return {
        "accuracy": float((logits.argmax(axis=1) == right).mean()),
        "log_loss": _log_loss(logits, right),
    }


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
        distances = tf.matmul(x, x, transpose_b=True).numpy()
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


def _solve(kernel: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """inverse(kernel) · targets, and the inverse's diagonal.

    By Cholesky's factor, which takes half the time of the kernel's inverse.
    """
    factor = tf.linalg.cholesky(kernel)
    inverse = tf.linalg.triangular_solve(factor, tf.eye(len(kernel))).numpy()
    dual = inverse.T @ (inverse @ targets)
    return dual, np.einsum("ij,ij->j", inverse, inverse)


def _log_loss(logits: np.ndarray, right: np.ndarray) -> float:
    return float(-log_softmax(logits, axis=1)[np.arange(len(right)), right].mean())
