"""Boxes around what an image shows: their columns, overlap, metrics, and their place in pixels.

A box is (x_min, y_min, x_max, y_max) in shares of the image's width and height, float32; NaN in
all four where there is none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from podium.competitions.metrics import MeanMetric, Metric

BOX_COLUMNS = ("x_min", "y_min", "x_max", "y_max")  # of a table, in shares
PIXEL_COLUMNS = ("xmin", "ymin", "xmax", "ymax")  # of a CSV, in pixels
NO_BOX = np.full(4, np.nan, np.float32)

# Pascal VOC counts pixels from 1, and the last one belongs to the box: the whole of an image
# 500 wide is 1 to 500. So do the pets' files, in which a box has never a 0, and may end at 500.
FIRST_PIXEL = 1


@dataclass(frozen=True)
class MeanIoU(MeanMetric):
    """Mean of the intersection over union."""

    name: str = "mean IoU"

    def per_image(self, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        return iou(truth, predicted)


@dataclass(frozen=True)
class IoUOver(MeanMetric):
    """Share of images whose intersection over union is above a bound."""

    bound: float

    @property
    def name(self) -> str:
        return f"IoU over {self.bound:g}"

    def per_image(self, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        return (iou(truth, predicted) > self.bound).astype(np.float64)


# Of two arrays of boxes (n, 4) in place of labels and probabilities.
BOX_METRICS: tuple[Metric, ...] = (MeanIoU(), IoUOver(0.5), IoUOver(0.75))


def iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of pairs of boxes.

    Args:
        first, second: (..., 4), of shapes that broadcast; in shares or pixels, both the same.

    Returns:
        float64 (...), 0 to 1. Two boxes without an area have 0, and one that is NaN has NaN.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    corner = np.maximum(first[..., :2], second[..., :2])
    opposite = np.minimum(first[..., 2:], second[..., 2:])
    shared = (opposite - corner).clip(0).prod(axis=-1)
    union = area(first) + area(second) - shared
    # NaN compares as False, so that it stays.
    return np.divide(shared, union, out=np.zeros_like(shared), where=~(union <= 0))


def area(boxes: np.ndarray) -> np.ndarray:
    """The areas (...) of boxes (..., 4); 0 where corners are swapped."""
    return (boxes[..., 2:] - boxes[..., :2]).clip(0).prod(axis=-1)


def tidy(boxes: np.ndarray) -> np.ndarray:
    """Put the corners of a network's boxes in order, and within 0 to 1.

    Args:
        boxes: (..., 4), in shares.

    Returns:
        float32 (..., 4).
    """
    boxes = np.asarray(boxes, np.float32)
    first, second = boxes[..., :2], boxes[..., 2:]
    ordered = np.concatenate([np.minimum(first, second), np.maximum(first, second)], axis=-1)
    return ordered.clip(0, 1)


def are_boxes(table: pd.Series | pd.DataFrame) -> bool:
    """Whether a truth, or predictions, are of boxes and not of classes or labels."""
    return table.ndim == 2 and list(table.columns) == list(BOX_COLUMNS)


def has_box(boxes: np.ndarray) -> np.ndarray:
    """bool (...): which of the boxes (..., 4) are there, and have an area."""
    return area(np.asarray(boxes, np.float64)) > 0


def from_pixels(corners: np.ndarray, width: int, height: int) -> np.ndarray:
    """An annotated box, in pixels from 1 with the last one, as shares of the image.

    It is cut off at the border; swapped corners are put in order.

    Returns:
        float32 (4,), NaN where nothing of it is in the image.
    """
    low, high = np.sort(np.reshape(corners, (2, 2)), axis=0).astype(np.float64)
    edges = np.concatenate([low - FIRST_PIXEL, high])
    box = (edges / (width, height, width, height)).clip(0, 1).astype(np.float32)
    return box if has_box(box) else NO_BOX.copy()


def to_pixels(boxes: pd.DataFrame, sizes: pd.DataFrame) -> pd.DataFrame:
    """Boxes in pixels of their images, counted as the annotations count them.

    Args:
        boxes: `BOX_COLUMNS` by id, in shares.
        sizes: width and height in pixels by id, 0 where an image cannot be read.

    Returns:
        `PIXEL_COLUMNS` by id, float64 with one decimal, xmin ≤ xmax and ymin ≤ ymax; NaN where an
        image cannot be read.
    """
    sides = sizes.loc[boxes.index, ["width", "height"]].to_numpy(np.float64)
    limits = np.tile(sides, 2)
    edges = tidy(boxes[list(BOX_COLUMNS)].to_numpy()).astype(np.float64) * limits
    edges[:, :2] += FIRST_PIXEL
    edges[:, 2:] = np.maximum(edges[:, 2:], edges[:, :2])  # no box is smaller than a pixel
    edges = np.minimum(edges, limits).round(1)
    edges[(sides == 0).any(axis=1)] = np.nan
    return pd.DataFrame(edges, boxes.index, list(PIXEL_COLUMNS))


def box_table(ids: Sequence[str] | pd.Index, boxes: np.ndarray) -> pd.DataFrame:
    """`BOX_COLUMNS` by id of an array (n, 4), float32."""
    index = pd.Index(ids, dtype=str, name="id")
    return pd.DataFrame(np.asarray(boxes, np.float32), index, list(BOX_COLUMNS))
