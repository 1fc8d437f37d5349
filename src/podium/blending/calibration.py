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
        """Float (pictures, classes) to the same."""
        powers = probabilities.astype(np.float64).clip(SMALLEST) ** (1 / self.temperature)
        powers /= powers.sum(axis=1, keepdims=True)
        powers = powers.clip(self.floor)
        return powers / powers.sum(axis=1, keepdims=True)

    def __str__(self) -> str:
        return f"temperature {self.temperature:.2f}, no probability below {self.floor:g}"


def fit_calibration(probabilities: np.ndarray, labels: np.ndarray) -> Calibration:
    """The temperature and then the floor of the lowest log loss."""

    def loss(calibration: Calibration) -> float:
        right = calibration(probabilities)[np.arange(len(labels)), labels]
        return -np.log(right.clip(SMALLEST)).mean()

    found = minimize_scalar(
        lambda log: loss(Calibration(float(np.exp(log)))), bounds=LOG_RANGE, method="bounded"
    )
    temperature = float(np.exp(found.x))
    return min((Calibration(temperature, floor) for floor in FLOORS), key=loss)


def cross_fitted(probabilities: np.ndarray, labels: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Each part of the pictures calibrated by what was fitted on the others."""
    calibrated = np.empty(probabilities.shape)
    for number in np.unique(part):
        mine = part == number
        fitted = fit_calibration(probabilities[~mine], labels[~mine])
        calibrated[mine] = fitted(probabilities[mine])
    return calibrated
