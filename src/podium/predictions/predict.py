"""Probabilities of pictures in each view, joined by id and never by position."""

from collections.abc import Sequence

import keras
import numpy as np
import pandas as pd

from podium.images.batches import view_batches
from podium.predictions.views import View
from podium.training.progress import verbosity


def predict_views(
    model: keras.Model,
    cache: Sequence[np.ndarray],
    indices: np.ndarray,
    ids: pd.Index,
    classes: Sequence[str],
    views: Sequence[View],
    size: int,
    batch_size: int,
) -> pd.DataFrame:
    """Predict pictures of the cache in each view; each is decoded once for all of them.

    Args:
        indices: positions of the pictures in the cache; `ids` are their ids, in the same order.
        size: side of the square that the network sees, pixels.

    Returns:
        float32 probabilities indexed by id and view, a column per class; view after view.
    """
    tables = [_no_predictions(classes)]  # all there is where no picture can be read
    if len(ids):
        names = ", ".join(view.name for view in views)
        print(f"predicting {len(ids)} pictures, {names}:", flush=True)
        batches = view_batches(cache, indices, size=size, batch_size=batch_size, view=views)
        predicted = model.predict(batches, verbose=verbosity())
        by_picture = predicted.reshape(len(ids), len(views), len(classes))
        for number, view in enumerate(views):
            index = pd.MultiIndex.from_product([ids, [view.name]], names=["id", "view"])
            tables.append(pd.DataFrame(by_picture[:, number], index, columns=list(classes)))
    return pd.concat(tables).astype(np.float32)


def _no_predictions(classes: Sequence[str]) -> pd.DataFrame:
    index = pd.MultiIndex.from_arrays([[], []], names=["id", "view"])
    return pd.DataFrame(columns=list(classes), index=index, dtype=np.float32)
