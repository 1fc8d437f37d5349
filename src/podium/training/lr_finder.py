"""The range test of learning rates: which are too low to learn, and which break the network."""

import math
from dataclasses import dataclass

import keras
import numpy as np

from podium.models.backend import set_rates

SMOOTHING = 0.9  # momentum of the running mean of the loss
BROKEN = 4.0  # times the lowest loss: higher rates need not be tried
BELOW_LOWEST = 10.0  # the usual choice: so many times below the rate of the lowest loss


@dataclass(frozen=True)
class LRCurve:
    """Smoothed training loss by learning rate."""

    rates: np.ndarray
    losses: np.ndarray

    @property
    def lowest(self) -> float:
        """The rate at which the loss was lowest: already too high to train with."""
        return float(self.rates[self.losses.argmin()])

    @property
    def steepest(self) -> float:
        """The rate at which the loss fell fastest, by the logarithm of the rate."""
        until = max(int(self.losses.argmin()) + 1, 2)
        slopes = np.gradient(self.losses[:until], np.log(self.rates[:until]))
        return float(self.rates[slopes.argmin()])

    @property
    def suggested(self) -> float:
        """A peak for one-cycle: a tenth of the rate of the lowest loss."""
        return self.lowest / BELOW_LOWEST


class LRFinder(keras.callbacks.Callback):
    """Raises the learning rate from step to step (Smith 2015, arXiv:1506.01186, 3.3).

    Args:
        low, high: rates of the first and last step; each is the same multiple of the one before.
        steps: how many; fewer are done if the loss gets out of hand.
    """

    def __init__(self, low: float, high: float, steps: int):
        super().__init__()
        self.rates = np.geomspace(low, high, steps)
        self.losses: list[float] = []  # smoothed, one for each rate that was tried
        self._mean = self._previous_sum = 0.0

    def on_train_batch_begin(self, batch, logs=None):
        set_rates(self, float(self.rates[batch]))

    def on_train_batch_end(self, batch, logs=None):
        # Keras tells the mean of the epoch's batches so far.
        total = logs["loss"] * (batch + 1)
        loss, self._previous_sum = total - self._previous_sum, total
        self._mean = SMOOTHING * self._mean + (1 - SMOOTHING) * loss
        smoothed = self._mean / (1 - SMOOTHING ** (batch + 1))
        if not math.isfinite(smoothed):
            self.model.stop_training = True
            return
        self.losses.append(smoothed)
        if smoothed > BROKEN * min(self.losses):
            self.model.stop_training = True

    @property
    def curve(self) -> LRCurve:
        return LRCurve(self.rates[: len(self.losses)], np.array(self.losses))
