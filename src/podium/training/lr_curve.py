"""What a range test of learning rates measured; without TensorFlow, for whoever draws it."""

from dataclasses import dataclass

import numpy as np

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
