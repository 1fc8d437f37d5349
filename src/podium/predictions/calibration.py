"""Calibration of probabilities: a temperature and a floor, where log loss is the score."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

FLOORS = (0.0, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)  # smallest probabilities that are tried
LOG_RANGE = (-2.5, 2.5)  # of the temperature's logarithm
FEWEST = 5  # images whose likeliest class is wrong, for probabilities to be made surer
SMALLEST = 1e-7


@dataclass(frozen=True)
class Calibration:
    """softmax(log p / temperature), then no probability below a floor (arXiv:1706.04599)."""

    temperature: float = 1.0  # above 1: less confident
    floor: float = 0.0

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """Calibrate probabilities (images, classes): float64."""
        powers = probabilities.astype(np.float64).clip(SMALLEST) ** (1 / self.temperature)
        powers /= powers.sum(axis=1, keepdims=True)
        powers = powers.clip(self.floor)
        return powers / powers.sum(axis=1, keepdims=True)

    def __str__(self) -> str:
        return f"temperature {self.temperature:.2f}, no probability below {self.floor:g}"


def fit_calibration(probabilities: np.ndarray, labels: np.ndarray) -> Calibration:
    """Find the temperature and then the floor of the lowest log loss.

    A log loss hangs on a few images that are wrong and confident. A gain below its standard error
    is most often a loss on other images: then nothing is changed. Where next to nothing is wrong,
    any temperature below 1 gains until the first mistake: it is not tried.
    """
    right = np.arange(len(labels)), labels
    logarithms = np.log(probabilities.clip(SMALLEST)).astype(np.float32)
    logarithms -= logarithms.max(axis=1, keepdims=True)

    def loss_at(log: float) -> float:
        scaled = logarithms * np.float32(np.exp(-log))
        return float((np.log(np.exp(scaled).sum(axis=1)) - scaled[right]).mean())

    def losses(calibration: Calibration) -> np.ndarray:
        return -np.log(calibration(probabilities)[right].clip(SMALLEST))

    mistakes = int((probabilities.argmax(axis=1) != labels).sum())
    bounds = LOG_RANGE if mistakes >= FEWEST else (0.0, LOG_RANGE[1])
    found = minimize_scalar(loss_at, bounds=bounds, method="bounded", options={"xatol": 1e-3})
    candidates = [Calibration(float(np.exp(found.x)), floor) for floor in FLOORS]
    best = min(candidates, key=lambda candidate: losses(candidate).mean())
    gain = losses(Calibration()) - losses(best)
    return best if gain.mean() > gain.std() / np.sqrt(len(gain)) else Calibration()


def cross_fitted(probabilities: np.ndarray, labels: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Calibrate each part of the images by what was fitted on the others."""
    calibrated = np.empty(probabilities.shape)
    for number in np.unique(part):
        mine = part == number
        fitted = fit_calibration(probabilities[~mine], labels[~mine])
        calibrated[mine] = fitted(probabilities[mine])
    return calibrated
