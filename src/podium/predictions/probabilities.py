"""Probabilities by id: averaged over views and folds, or a prior where there is no picture."""

from collections.abc import Sequence

import numpy as np
import pandas as pd


def average_views(predictions: pd.DataFrame, views: Sequence[str] | None = None) -> pd.DataFrame:
    """The mean over views (all, or those named) and over folds: float32 by id, rows sum to 1."""
    if views is not None:
        predictions = predictions[predictions.index.isin(views, level="view")]
    mean = predictions.astype(np.float64).groupby(level="id", sort=False).mean()
    return mean.div(mean.sum(axis=1), axis=0).astype(np.float32)


def class_prior(labels: pd.Series, ids: pd.Index, classes: Sequence[str]) -> pd.DataFrame:
    """The share of each class in training, for pictures that nobody can read."""
    counts = labels.value_counts().reindex(range(len(classes)), fill_value=0)
    prior = (counts / counts.sum()).to_numpy(np.float32)
    return pd.DataFrame(np.tile(prior, (len(ids), 1)), index=ids, columns=list(classes))
