"""Probabilities and boxes of images in each view, joined by id and never by position."""

from collections.abc import Sequence

import keras
import numpy as np
import pandas as pd

from podium.competitions.boxes import BOX_COLUMNS, tidy
from podium.data.batches import view_batches
from podium.models.inference import predict
from podium.predictions.tta import View
from podium.system import verbosity


def predict_views(
    model: keras.Model,
    cache: Sequence[np.ndarray],
    indices: np.ndarray,
    ids: pd.Index,
    classes: Sequence[str],
    views: Sequence[View],
    size: int,
    batch_size: int,
    sides: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Predict images of the cache in each view; each is decoded once for all of them.

    Args:
        model: gives probabilities, or these and boxes as fractions of what it sees.
        indices: positions of the images in the cache; `ids` are their ids, in the same order.
        size: side of the square that the network sees, pixels.
        sides: width and height of the images in their order, pixels; needed for boxes.

    Returns:
        float32 probabilities indexed by id and view, a column per class; view after view. Where
        the model finds boxes, also `BOX_COLUMNS`, as fractions of the image, whatever the view.
    """
    has_boxes = len(model.outputs) > 1
    columns = [*classes, *(BOX_COLUMNS if has_boxes else ())]
    by_image = np.empty((0, len(views), len(columns)))  # where no image can be read
    if len(ids):
        names = ", ".join(view.name for view in views)
        print(f"predicting {len(ids)} images, {names}:", flush=True)
        batches = view_batches(cache, indices, size=size, batch_size=batch_size, view=views)
        parts = [
            part.reshape(len(ids), len(views), -1) for part in predict(model, batches, verbosity())
        ]
        if has_boxes:
            parts[1] = boxes_of_images(parts[1], views, sides)
        by_image = np.concatenate(parts, axis=2)
    index = pd.MultiIndex.from_product(
        [[view.name for view in views], ids], names=["view", "id"]
    ).swaplevel()
    rows = np.moveaxis(by_image, 1, 0).reshape(len(index), len(columns))
    return pd.DataFrame(rows, index, columns=columns, dtype=np.float32)


def boxes_of_images(boxes: np.ndarray, views: Sequence[View], sides: pd.DataFrame) -> np.ndarray:
    """Map boxes that were found in views to their images.

    Args:
        boxes: (images, views, 4), as fractions of each view.
        sides: width and height of the images, pixels.

    Returns:
        float32 (images, views, 4), corners in order, within 0 to 1.
    """
    width, height = (sides[side].to_numpy() for side in ("width", "height"))
    by_view = [view.to_image(boxes[:, number], width, height) for number, view in enumerate(views)]
    return tidy(np.stack(by_view, axis=1))
