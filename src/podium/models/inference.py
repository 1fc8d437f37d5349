"""Outputs of a network for batches that are predicted, whatever computes them."""

import hashlib
from typing import Any
from weakref import WeakKeyDictionary

import keras
import numpy as np

from podium.data.batches import Batches
from podium.models.backend import compile_network, engine, feed


def predict(model: keras.Model, batches: Batches, verbose: int = 0) -> list[np.ndarray]:
    """Each output of the network, for all rows of the batches.

    Args:
        verbose: as Keras' own `predict` has it.
    """
    network = _compiled(model, batches.row) if engine() else None
    if network is not None:
        bar = keras.utils.Progbar(len(batches), verbose=verbose)
        return network.predict(batches, progress=bar.update)
    found = model.predict(feed(batches), verbose=verbose)
    found = found if isinstance(found, list) else [found]
    return [one[: batches.rows] for one in found]


# The last network alone, with what it was compiled of: a fold's predicts several times in a row.
_last: WeakKeyDictionary[keras.Model, tuple[Any, Any]] = WeakKeyDictionary()


def _compiled(model: keras.Model, row: np.dtype) -> Any:
    """The network as it is now; None: the engine cannot take it."""
    digest = hashlib.sha256()
    for weights in model.get_weights():
        digest.update(np.ascontiguousarray(weights))
    made_of = row, digest.digest()
    if model not in _last or _last[model][0] != made_of:
        _last.clear()  # so that there are never two in memory
        _last[model] = made_of, compile_network(model, row)
    return _last[model][1]
