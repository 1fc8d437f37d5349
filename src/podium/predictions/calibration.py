"""How sure predictions may be: a temperature and a floor, chosen where log loss is the score."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

FLOORS = (0.0, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)  # of a probability
LOG_RANGE = (-2.5, 2.5)  # of the temperature's logarithm
SMALLEST = 1e-7


@dataclass(frozen=True)
class Calibration:
    """softmax(log p / temperature), then no probability below a floor (arXiv:1706.04599)."""

    temperature: float = 1.0  # above 1: less sure
    floor: float = 0.0

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """Float (images, classes) to the same."""
        powers = probabilities.astype(np.float64).clip(SMALLEST) ** (1 / self.temperature)
        powers /= powers.sum(axis=1, keepdims=True)
        powers = powers.clip(self.floor)
        return powers / powers.sum(axis=1, keepdims=True)

    def __str__(self) -> str:
        return f"temperature {self.temperature:.2f}, no probability below {self.floor:g}"


def fit_calibration(probabilities: np.ndarray, labels: np.ndarray) -> Calibration:
    """The temperature and then the floor of the lowest log loss, if that gains beyond noise.

    A log loss hangs on a few images that are wrong and sure: a gain below its standard error
    is most often a loss on other images, and then nothing is changed.
    """
    right = np.arange(len(labels)), labels
    logarithms = np.log(probabilities.clip(SMALLEST)).astype(np.float32)
    logarithms -= logarithms.max(axis=1, keepdims=True)

    def loss_at(log: float) -> float:
        scaled = logarithms * np.float32(np.exp(-log))
        return float((np.log(np.exp(scaled).sum(axis=1)) - scaled[right]).mean())

    def losses(calibration: Calibration) -> np.ndarray:
        return -np.log(calibration(probabilities)[right].clip(SMALLEST))

    found = minimize_scalar(loss_at, bounds=LOG_RANGE, method="bounded", options={"xatol": 1e-3})
    temperature, none = float(np.exp(found.x)), Calibration()
    best = min(
        (Calibration(temperature, floor) for floor in FLOORS), key=lambda c: losses(c).mean()
    )
    gain = losses(none) - losses(best)
    return best if gain.mean() > gain.std() / np.sqrt(len(gain)) else none


def cross_fitted(probabilities: np.ndarray, labels: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Each part of the images calibrated by what was fitted on the others."""
    calibrated = np.empty(probabilities.shape)
    for number in np.unique(part):
        mine = part == number
        fitted = fit_calibration(probabilities[~mine], labels[~mine])
        calibrated[mine] = fitted(probabilities[mine])
    return calibrated
