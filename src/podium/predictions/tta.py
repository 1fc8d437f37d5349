"""Test-time augmentation: deterministic views of an image, and the choice of those that gain."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import cv2
import numpy as np
import pandas as pd

from podium.competitions.boxes import are_boxes
from podium.competitions.metrics import MeanMetric, Metric
from podium.files.image_io import resize
from podium.predictions.score import PARTS, image_scores, k_fold_parts, quality, quality_of

CROP = 0.875
PLAIN_SHARES = (0.25, 0.5, 0.75)  # weights of the plain view that are tried, besides an equal one
SETS = 20  # sets of views that are listed
AT_ONCE = 10_000_000  # numbers that are averaged in one go

Pixels = int | float | np.ndarray  # a number for all boxes, or one for each


@dataclass(frozen=True)
class View:
    """A crop of the image, or the image with a reflected border, perhaps mirrored.

    Called with an image uint8 (height, width, 3) and a size in pixels, it gives
    uint8 (size, size, 3).

    Args:
        scale: side of the crop relative to the image's; above 1 a border is added.
        x, y: where the crop lies: 0 left or top, 0.5 center, 1 right or bottom.
    """

    name: str
    scale: float = 1.0
    x: float = 0.5
    y: float = 0.5
    mirror: bool = False

    def __call__(self, image: np.ndarray, size: int) -> np.ndarray:
        left, top, width, height = map(int, self._part(*image.shape[1::-1]))
        if self.scale > 1:
            image = cv2.copyMakeBorder(image, -top, -top, -left, -left, cv2.BORDER_REFLECT_101)
        else:
            image = image[top : top + height, left : left + width]
        image = resize(image, size, size)
        return np.ascontiguousarray(image[:, ::-1] if self.mirror else image)

    def to_image(self, boxes: np.ndarray, width: Pixels, height: Pixels) -> np.ndarray:
        """Map boxes that were predicted in the view to the image: float64 (..., 4).

        Args:
            boxes: (..., 4), as fractions of the view's sides.
            width, height: the image's sides in pixels; arrays (...) where each box is of another
                image. A copy that was shrunk before is cropped at other pixels, which moves a box
                by less than a pixel of the copy.
        """
        left, top, part_width, part_height = self._part(width, height)
        if self.mirror:
            x_min, y_min, x_max, y_max = np.moveaxis(boxes, -1, 0)
            boxes = np.stack([1 - x_max, y_min, 1 - x_min, y_max], axis=-1)
        offset = np.stack([left, top, left, top], axis=-1)
        scale = np.stack([part_width, part_height, part_width, part_height], axis=-1)
        return (boxes * scale + offset) / np.stack([width, height, width, height], axis=-1)

    def _part(self, width: Pixels, height: Pixels) -> tuple[Pixels, Pixels, Pixels, Pixels]:
        """Left, top, width and height of what the view shows; a border begins below 0."""
        if self.scale > 1:
            left = -np.rint(width * (self.scale - 1) / 2)
            top = -np.rint(height * (self.scale - 1) / 2)
            return left, top, width - 2 * left, height - 2 * top
        part_width = np.maximum(1, np.rint(width * self.scale))
        part_height = np.maximum(1, np.rint(height * self.scale))
        left = np.rint((width - part_width) * self.x)
        top = np.rint((height - part_height) * self.y)
        return left, top, part_width, part_height


VIEWS = (  # in the order in which they are worth their time
    View("plain"),
    View("mirrored", mirror=True),
    View("center", CROP),
    View("center mirrored", CROP, mirror=True),
    View("top left", CROP, 0, 0),
    View("top right mirrored", CROP, 1, 0, mirror=True),
    View("bottom right", CROP, 1, 1),
    View("bottom left mirrored", CROP, 0, 1, mirror=True),
    View("wider", 1.125),
    View("wider mirrored", 1.125, mirror=True),
)


@dataclass(frozen=True)
class ViewChoice:
    """The weights of views, and predictions by weights that were chosen on other images."""

    weights: dict[str, float]  # the views that are used; their weights sum to 1
    cross_fitted: pd.DataFrame  # float32 by id
    tried: list[dict[str, Any]]  # value and weights: of each view alone, then of the best sets


def choose_views(
    predictions: pd.DataFrame, truth: pd.Series | pd.DataFrame, metric: Metric
) -> ViewChoice:
    """Score each view and each set of views, and keep the best where it gains.

    The views of a set count equally, or the plain one has a weight of its own. The choice is
    scored on images that had no part in it. Where it does no better than the plain view alone, or
    than all views equally, which are no choice, the better of these is taken.

    Args:
        predictions: probabilities or boxes by id and view, the plain view first; a view that some
            images lack is left out.
        truth: class numbers, or boxes, by id.
    """
    ids = predictions.index.unique("id").sort_values()
    counts = predictions.index.get_level_values("view").value_counts(sort=False)
    views = list(counts.index[counts == len(ids)])
    by_view = np.stack(
        [predictions.xs(view, level="view").loc[ids].to_numpy(np.float32) for view in views]
    )  # (views, images, classes), or 4 for the classes
    right = truth.loc[ids].to_numpy()
    part = k_fold_parts(right)

    def averaged(weights: np.ndarray) -> np.ndarray:
        return np.tensordot(weights, by_view, axes=1)

    def by_name(weights: np.ndarray) -> dict[str, float]:
        return {view: float(weight) for view, weight in zip(views, weights, strict=True) if weight}

    weightings = _weightings(len(views))
    total, without = _qualities(metric, right, by_view, weightings, part)

    chosen = np.empty_like(by_view[0])
    for number in range(PARTS):
        best = weightings[np.argmax(without[:, number])]
        chosen[part == number] = np.tensordot(best, by_view[:, part == number], axes=1)
    plain, equal = weightings[0], np.full(len(views), 1 / len(views), np.float32)
    candidates = [  # the first of the best is taken
        (plain, by_view[0]),
        (equal, averaged(equal)),
        (weightings[np.argmax(total)], chosen),
    ]
    weights, found = max(candidates, key=lambda pair: quality(metric, right, pair[1]))
    listed = weightings[[*range(len(views)), *np.argsort(-total, kind="stable")[:SETS]]]
    tried = [
        {"value": metric.of(right, averaged(row))(None), "views": by_name(row)} for row in listed
    ]
    cross_fitted = pd.DataFrame(found, index=ids, columns=predictions.columns)
    return ViewChoice(by_name(weights), cross_fitted, tried)


def _qualities(
    metric: Metric, truth: np.ndarray, by_view: np.ndarray, weightings: np.ndarray, part: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How good the mean by each weighting is: of all images, and of all but those of each part."""
    total, without = np.empty(len(weightings)), np.empty((len(weightings), PARTS))
    at_once = max(1, AT_ONCE // by_view[0].size)  # many times as fast as one by one
    for start in range(0, len(weightings), at_once):
        means = np.tensordot(weightings[start : start + at_once], by_view, axes=1)
        for row, found in enumerate(means, start):
            if isinstance(metric, MeanMetric):
                sums = np.bincount(part, image_scores(metric, truth, found), PARTS)
                total[row], without[row] = sums.sum(), sums.sum() - sums
            else:
                value = quality_of(metric, truth, found)
                total[row] = value(None)
                without[row] = [value(part != number) for number in range(PARTS)]
    return total, without


def _weightings(views: int) -> np.ndarray:
    """float32 (weightings, views): the plain view alone first, then larger and larger sets."""
    rows = []
    for size in range(1, views + 1):
        for chosen in map(list, combinations(range(views), size)):
            has_plain = chosen[0] == 0 and size > 1
            for share in dict.fromkeys([1 / size, *(PLAIN_SHARES if has_plain else ())]):
                weights = np.zeros(views, np.float32)
                weights[chosen] = (1 - share) / max(size - 1, 1)
                weights[chosen[0]] = share
                rows.append(weights)
    return np.stack(rows)


def average_tta(
    predictions: pd.DataFrame, weights: Mapping[str, float] | None = None, alone: bool = False
) -> pd.DataFrame:
    """The mean over views and folds: float32 by id; rows of probabilities sum to 1.

    Args:
        predictions: probabilities or boxes by id and view; of each view a row for each fold.
        weights: of the views that count; by default all count equally.
        alone: each probability stands alone, as of labels and grades: rows sum to anything.
    """
    predictions = predictions.astype(np.float64)
    if weights is not None:
        predictions = predictions[predictions.index.isin(weights, level="view")]
    views = predictions.index.get_level_values("view")
    weight = pd.Series(1.0 if weights is None else views.map(weights), predictions.index, float)
    total = predictions.mul(weight, axis=0).groupby(level="id", sort=False).sum()
    if alone or are_boxes(predictions):
        divisor = weight.groupby(level="id", sort=False).sum()
    else:
        divisor = total.sum(axis=1)
    return total.div(divisor, axis=0).astype(np.float32)
