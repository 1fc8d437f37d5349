"""Probabilities and boxes of images in each view, joined by id and never by position."""

from collections.abc import Sequence

import keras
import numpy as np
import pandas as pd

from podium.competitions.boxes import BOX_COLUMNS, tidy
from podium.data.batches import view_batches
from podium.predictions.tta import View
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
    sides: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Predict images of the cache in each view; each is decoded once for all of them.

    Args:
        model: gives probabilities, or these and boxes in shares of what it sees.
        indices: positions of the images in the cache; `ids` are their ids, in the same order.
        size: side of the square that the network sees, pixels.
        sides: width and height of the images in their order, pixels; needed for boxes.

    Returns:
        float32 probabilities indexed by id and view, a column per class; view after view. Where
        the model finds boxes, also `BOX_COLUMNS`, in shares of the image, whatever the view.
    """
    finds_boxes = len(model.outputs) > 1
    columns = [*classes, *(BOX_COLUMNS if finds_boxes else ())]
    tables = [_no_predictions(columns)]  # all there is where no image can be read
    if len(ids):
        names = ", ".join(view.name for view in views)
        print(f"predicting {len(ids)} images, {names}:", flush=True)
        batches = view_batches(cache, indices, size=size, batch_size=batch_size, view=views)
        predicted = model.predict(batches, verbose=verbosity())
        parts = [
            part.reshape(len(ids), len(views), -1)
            for part in (predicted if finds_boxes else [predicted])
        ]
        if finds_boxes:
            parts[1] = boxes_of_images(parts[1], views, sides)
        by_image = np.concatenate(parts, axis=2)
        for number, view in enumerate(views):
            index = pd.MultiIndex.from_product([ids, [view.name]], names=["id", "view"])
            tables.append(pd.DataFrame(by_image[:, number], index, columns=columns))
    return pd.concat(tables).astype(np.float32)


def boxes_of_images(boxes: np.ndarray, views: Sequence[View], sides: pd.DataFrame) -> np.ndarray:
    """Boxes that were found in views, in shares of their images: mirrored ones turned back.

    Args:
        boxes: (images, views, 4), in shares of each view.
        sides: width and height of the images, pixels.

    Returns:
        float32 (images, views, 4), corners in order, within 0 to 1.
    """
    width, height = (sides[side].to_numpy() for side in ("width", "height"))
    by_view = [view.to_image(boxes[:, number], width, height) for number, view in enumerate(views)]
    return tidy(np.stack(by_view, axis=1))


def _no_predictions(columns: Sequence[str]) -> pd.DataFrame:
    index = pd.MultiIndex.from_arrays([[], []], names=["id", "view"])
    return pd.DataFrame(columns=list(columns), index=index, dtype=np.float32)
