"""Before runs are blended: each is made as sure as it is right, and bad ones stay out."""

from dataclasses import dataclass

import numpy as np

from podium.predictions.blend_methods import fit_convex
from podium.predictions.calibration import Calibration, fit_calibration


@dataclass(frozen=True)
class Preparation:
    """Which runs take part, and the calibration of each."""

    calibrations: list[Calibration]
    takes_part: np.ndarray  # bool (runs,)

    def __call__(self, predictions: np.ndarray) -> np.ndarray:
        """Float (runs, images, classes) to float32 (runs that take part, images, classes)."""
        chosen = np.flatnonzero(self.takes_part)
        return np.stack([self.calibrations[n](predictions[n]) for n in chosen]).astype(np.float32)

    def spread(self, weights: np.ndarray) -> np.ndarray:
        """Weights of those that take part, as weights of all runs."""
        spread = np.zeros(len(self.takes_part))
        spread[self.takes_part] = weights
        return spread


def prepare(predictions: np.ndarray, labels: np.ndarray) -> Preparation:
    """Fit the temperature of each run, and find those that have nothing to add.

    A run that is too sure of itself, or not sure enough, would count too much or too little in a
    mean. A run has nothing to add if the weights of the lowest log loss leave it out.

    Args:
        predictions: float (runs, images, classes).
        labels: class numbers (images,).
    """
    calibrations = [fit_calibration(run, labels) for run in predictions]
    every = Preparation(calibrations, np.ones(len(predictions), bool))
    return Preparation(calibrations, fit_convex(every(predictions), labels).weights > 0)
