"""Predictions by id: averaged over views and folds, or a prior where there is no image."""

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
    total, _ = _totals(predictions, weights)
    return total.div(total.sum(axis=1), axis=0).astype(np.float32)


def average_boxes(boxes: pd.DataFrame, weights: Mapping[str, float] | None = None) -> pd.DataFrame:
    """The mean of boxes over views and folds: float32 by id. Arguments as for `average_views`."""
    total, weight = _totals(boxes, weights)
    return total.div(weight, axis=0).astype(np.float32)


def _totals(
    predictions: pd.DataFrame, weights: Mapping[str, float] | None
) -> tuple[pd.DataFrame, pd.Series]:
    """The weighted sums by id, and the sums of the weights."""
    predictions = predictions.astype(np.float64)
    if weights is not None:
        predictions = predictions[predictions.index.isin(weights, level="view")]
    views = predictions.index.get_level_values("view")
    weight = pd.Series(1.0 if weights is None else views.map(weights), predictions.index, float)
    by_id = predictions.mul(weight, axis=0).groupby(level="id", sort=False)
    return by_id.sum(), weight.groupby(level="id", sort=False).sum()


def class_prior(labels: pd.Series, ids: pd.Index, classes: Sequence[str]) -> pd.DataFrame:
    """The share of each class in training, for images that nobody can read."""
    counts = labels.value_counts().reindex(range(len(classes)), fill_value=0)
    prior = (counts / counts.sum()).to_numpy(np.float32)
    return pd.DataFrame(np.tile(prior, (len(ids), 1)), index=ids, columns=list(classes))
