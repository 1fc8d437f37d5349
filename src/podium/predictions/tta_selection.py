"""Which views of an image are averaged, and how much the plain one counts: by what gains."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from podium.competitions.boxes import BoxMetric
from podium.competitions.metrics import Metric
from podium.predictions.cross_fitting import PARTS, k_fold_parts
from podium.predictions.score import per_image_score

PLAIN_SHARES = (0.25, 0.5, 0.75)  # of the plain view, besides an equal one
SETS = 20  # that are listed
AT_ONCE = 10_000_000  # probabilities that are averaged in one go


@dataclass(frozen=True)
class ViewChoice:
    """Weights of views, and how the choice of them does on other images."""

    weights: dict[str, float]  # of the views that are used, they sum to 1
    cross_fitted: pd.DataFrame  # float32 by id, each image with the views that others chose
    tried: list[dict[str, Any]]  # value and weights: of each view alone, then of the best sets


def choose_views(
    predictions: pd.DataFrame, truth: pd.Series | pd.DataFrame, metric: Metric | BoxMetric
) -> ViewChoice:
    """Score each view and each set of views, and keep the best where it gains.

    The views of a set count alike, or the plain one has a share of its own. Where the choice does
    no better, on images that had no part in it, than all views alike or the plain one alone,
    which are no choice, the better of these is taken.

    Args:
        predictions: probabilities or boxes by id and view, the plain view first; views that not
            all images have are passed over.
        truth: class numbers, or boxes, by id.
    """
    ids = predictions.index.unique("id").sort_values()
    counts = predictions.index.get_level_values("view").value_counts(sort=False)
    views = list(counts.index[counts == len(ids)])
    by_view = np.stack(
        [predictions.xs(view, level="view").loc[ids].to_numpy(np.float32) for view in views]
    )  # (views, images, classes), or 4 for the classes
    right = truth.reindex(ids).to_numpy()
    part = k_fold_parts(right if right.ndim == 1 else np.zeros(len(right), np.int64))
    weightings = np.array(list(_weightings(len(views))), np.float32)
    good = _goodness_by_part(by_view, weightings, right, part, metric)
    total = good.sum(axis=1)

    chosen = np.empty_like(by_view[0])
    for number in range(PARTS):
        mine = part == number
        best = weightings[np.argmax(total - good[:, number])]
        chosen[mine] = np.tensordot(best, by_view[:, mine], axes=1)
    plain, alike = weightings[0], np.full(len(views), 1 / len(views), np.float32)
    ways = [  # the first of the best is taken
        (plain, by_view[0]),
        (alike, np.tensordot(alike, by_view, axes=1)),
        (weightings[np.argmax(total)], chosen),
    ]
    weights, averaged = max(ways, key=lambda way: _goodness(metric, right, way[1]).mean())
    shown = [*range(len(views)), *np.argsort(-total, kind="stable")[:SETS]]
    tried = [_describe(views, weightings[row], by_view, right, metric) for row in shown]
    table = pd.DataFrame(averaged, index=ids, columns=predictions.columns)
    return ViewChoice(_by_name(views, weights), table, tried)


def _by_name(views: list[str], weights: np.ndarray) -> dict[str, float]:
    return {view: float(weight) for view, weight in zip(views, weights, strict=True) if weight}


def _describe(
    views: list[str],
    weights: np.ndarray,
    by_view: np.ndarray,
    right: np.ndarray,
    metric: Metric | BoxMetric,
) -> dict[str, Any]:
    averaged = np.tensordot(weights, by_view, axes=1)
    value = metric.per_image(right, averaged).mean()
    return {"value": float(value), "views": _by_name(views, weights)}


def _weightings(views: int) -> Iterator[tuple[float, ...]]:
    """Weights of the views: the plain one alone first, then larger and larger sets."""
    for size in range(1, views + 1):
        for chosen in combinations(range(views), size):
            shares = [1 / size]
            if 0 in chosen and size > 1:
                shares += [share for share in PLAIN_SHARES if share != 1 / size]
            for share in shares:
                others = (1 - share) / max(size - 1, 1) if 0 in chosen else share
                yield tuple(
                    (share if view == 0 else others) if view in chosen else 0.0
                    for view in range(views)
                )


def _goodness_by_part(
    by_view: np.ndarray,
    weightings: np.ndarray,
    truth: np.ndarray,
    part: np.ndarray,
    metric: Metric | BoxMetric,
) -> np.ndarray:
    """How good each weighting is, summed over the images of each part: (weightings, parts)."""
    summed = np.zeros((len(weightings), PARTS))
    for number in range(PARTS):
        mine = part == number
        here, right = by_view[:, mine], truth[mine]
        at_once = max(1, AT_ONCE // max(1, here[0].size))
        for start in range(0, len(weightings), at_once):
            averaged = np.tensordot(weightings[start : start + at_once], here, axes=1)
            for row, probabilities in enumerate(averaged, start=start):
                summed[row, number] = _goodness(metric, right, probabilities).sum()
    return summed


def _goodness(metric: Metric | BoxMetric, right: np.ndarray, averaged: np.ndarray) -> np.ndarray:
    """Higher is better, per image; of boxes no two are equally good."""
    if right.ndim == 2:
        return metric.per_image(right, averaged)
    return per_image_score(metric, right, averaged)
