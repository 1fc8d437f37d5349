"""Probabilities by id: averaged over views and folds, or a prior where there is no picture."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd


def average_views(
    predictions: pd.DataFrame, weights: Mapping[str, float] | None = None
) -> pd.DataFrame:
    """The mean over views and folds: float32 by id, rows sum to 1.

    Args:
        predictions: probabilities by id and view; of each view as many rows as there are folds.
        weights: of the views that count; all count alike unless given.
    """
    predictions = predictions.astype(np.float64)
    if weights is not None:
        predictions = predictions[predictions.index.isin(weights, level="view")]
        weight = predictions.index.get_level_values("view").map(weights)
        predictions = predictions.mul(weight.to_numpy(np.float64), axis=0)
    total = predictions.groupby(level="id", sort=False).sum()
    return total.div(total.sum(axis=1), axis=0).astype(np.float32)


def class_prior(labels: pd.Series, ids: pd.Index, classes: Sequence[str]) -> pd.DataFrame:
    """The share of each class in training, for pictures that nobody can read."""
    counts = labels.value_counts().reindex(range(len(classes)), fill_value=0)
    prior = (counts / counts.sum()).to_numpy(np.float32)
    return pd.DataFrame(np.tile(prior, (len(ids), 1)), index=ids, columns=list(classes))
