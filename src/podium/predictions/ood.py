"""Whether an image is unlike anything in training, and how often that is said of one that is not.

A network scores images that it has not seen; what lies beyond all but a few of them is unlike
(split conformal prediction: Vovk, Gammerman and Shafer 2005).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.stats import beta

FALSE_ALARM_RATE = 0.05  # share of known images that may be called unlike
SHRINKAGE = 0.1  # of the covariance, towards the same variance in all directions
NEGLIGIBLE = 1e-6  # variance of a direction, relative to the largest


@dataclass(frozen=True)
class MahalanobisScore:
    """How far the features of an image are from those of the nearest class.

    The Mahalanobis distance with a covariance that all classes share (arXiv:1807.03888), between
    features of unit length (arXiv:2505.18032), per channel: about 1 for a training image.
    """

    means: np.ndarray  # float32 (classes, channels)
    directions: np.ndarray  # float32 (channels, rank), orthonormal
    variances: np.ndarray  # float32 (rank,), along the directions
    rest: float  # variance along any other

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """float64 (images,) of features (images, channels)."""
        nearest = np.full(len(features), np.inf)
        scaled = _unit(features)
        along_all = scaled @ self._directions  # (images, rank)
        for mean, along_mean in zip(self.means, self._along_means, strict=True):
            along = along_all - along_mean
            whole = ((scaled - mean) ** 2).sum(axis=1)
            beyond = np.maximum(whole - (along**2).sum(axis=1), 0)
            squared = (along**2 / self.variances).sum(axis=1) + beyond / self.rest
            nearest = np.minimum(nearest, squared)
        return np.sqrt(nearest / features.shape[1])

    # A server asks for one image at a time: what does not depend on it is computed once.

    @cached_property
    def _directions(self) -> np.ndarray:
        return self.directions.astype(np.float64)

    @cached_property
    def _along_means(self) -> np.ndarray:
        return self.means.astype(np.float64) @ self._directions  # (classes, rank)


def fit_mahalanobis(features: np.ndarray, labels: np.ndarray) -> MahalanobisScore:
    """Fit the distance to training images, which may be fewer than channels.

    Args:
        features: (images, channels).
        labels: class numbers (images,).
    """
    scaled = _unit(features)
    classes, numbers = np.unique(labels, return_inverse=True)
    means = np.stack([scaled[numbers == number].mean(axis=0) for number in range(len(classes))])
    offset = scaled - means[numbers]
    _, lengths, directions = np.linalg.svd(offset, full_matrices=False)
    variances = lengths**2 / len(offset)
    # Images that are all alike have no variance, and anything else is far from them.
    even = max(variances.sum() / features.shape[1], 1e-12)
    kept = variances > NEGLIGIBLE * variances.max()
    return MahalanobisScore(
        means.astype(np.float32),
        directions[kept].T.astype(np.float32),
        ((1 - SHRINKAGE) * variances[kept] + SHRINKAGE * even).astype(np.float32),
        float(SHRINKAGE * even),
    )


def uncertainty(probabilities: np.ndarray) -> np.ndarray:
    """What the highest probability leaves: float64 (images,) of (images, classes)."""
    return 1 - probabilities.astype(np.float64).max(axis=1)


@dataclass(frozen=True)
class OODDetector:
    """The score of an image, and the limit beyond which it is unlike anything in training.

    It is of one network and not of the mean over several: a known image is out of fold for one
    alone, and the mean of five is so much steadier that its limit would say too little.

    Args:
        known: scores of images that the network has not seen.
        distance: of features; without one it is `uncertainty`.
        remark: why it is not the distance.
    """

    fold: int
    known: np.ndarray
    distance: MahalanobisScore | None = None
    remark: str = ""

    def scores(self, features: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        """float64 (images,), what the fold's network says of each in the plain view."""
        return uncertainty(probabilities) if self.distance is None else self.distance(features)

    @property
    def _beyond(self) -> int:
        """How many places, of those that the known scores leave a new one, are beyond the limit."""
        return int(FALSE_ALARM_RATE * (len(self.known) + 1) + 1e-9)

    @property
    def limit(self) -> float:
        """What a score must exceed; infinite where too few images are known."""
        return float(np.sort(self.known)[-self._beyond]) if self._beyond else np.inf

    @property
    def rate(self) -> float:
        """The share of new images of the known kind that will be called unlike, as expected."""
        return self._beyond / (len(self.known) + 1)

    @property
    def interval(self) -> tuple[float, float]:
        """Where that share is with 95 %, known images being a sample (Vovk 2012, section 3)."""
        if not self._beyond:
            return 0.0, 0.0
        places = beta(self._beyond, len(self.known) + 1 - self._beyond)
        return float(places.ppf(0.025)), float(places.ppf(0.975))

    @property
    def kind(self) -> str:
        return "doubt" if self.distance is None else "distance"

    def as_dict(self) -> dict[str, Any]:
        """All of it for JSON, where infinity is None."""
        return {
            "kind": self.kind,
            "remark": self.remark or None,
            "fold": self.fold,
            "limit": self.limit if np.isfinite(self.limit) else None,
            "false_alarm_rate": self.rate,
            "interval": list(self.interval),
            "known_images": len(self.known),
        }

    def __str__(self) -> str:
        said = f"unlikeness: {self.kind}, by the network of fold {self.fold}" + (
            f" ({self.remark})" if self.remark else ""
        )
        if not self._beyond:
            return f"{said}; {len(self.known)} known images are too few to call any unlike"
        low, high = self.interval
        return (
            f"{said}; beyond {self.limit:.3g} are {100 * self.rate:.1f} % of known images "
            f"(95 % interval {100 * low:.1f} to {100 * high:.1f} %, from {len(self.known)} that it "
            "has not seen)"
        )


def _unit(features: np.ndarray) -> np.ndarray:
    """float64, each row of length 1."""
    features = features.astype(np.float64)
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
