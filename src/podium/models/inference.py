"""Outputs of a network for batches that are predicted, whatever computes them."""

import keras
import numpy as np

from podium.data.batches import Batches
from podium.models.backend import feed


def predict(model: keras.Model, batches: Batches, verbose: int = 0) -> list[np.ndarray]:
    """Each output of the network, for all rows of the batches.

    Args:
        verbose: as Keras' own `predict` has it.
    """
    found = model.predict(feed(batches), verbose=verbose)
    found = found if isinstance(found, list) else [found]
    return [one[: batches.rows] for one in found]
