"""The metrics that competitions are scored by; each is a mean over images."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Metric(Protocol):
    """A metric that is the mean of a value per image, so that it can be bootstrapped."""

    name: str
    higher_is_better: bool

    def per_image(self, labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        """A value for each image, from labels (n,) and probabilities (n, classes)."""
        ...


@dataclass(frozen=True)
class Accuracy:
    """Share of images whose likeliest class is the right one."""

    name: str = "accuracy"
    higher_is_better: bool = True

    def per_image(self, labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        return (probabilities.argmax(axis=1) == labels).astype(np.float64)


@dataclass(frozen=True)
class LogLoss:
    """Minus the log of the probability of the right class, clipped as the submission is."""

    clip: float = 1e-4
    name: str = "log loss"
    higher_is_better: bool = False

    def per_image(self, labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        right = probabilities[np.arange(len(labels)), labels].astype(np.float64)
        return -np.log(right.clip(self.clip, 1 - self.clip))


METRICS: dict[str, Metric] = {"accuracy": Accuracy(), "log-loss": LogLoss()}


def get_metric(key: str) -> Metric:
    """The metric of that key.

    Raises:
        ValueError: there is none.
    """
    if key not in METRICS:
        raise ValueError(f"no metric {key!r}; there are: {', '.join(METRICS)}")
    return METRICS[key]
