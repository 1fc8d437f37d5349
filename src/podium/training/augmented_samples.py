"""What a network saw in its training: some pictures, augmented as they were, with their labels."""

from dataclasses import dataclass

import numpy as np

from podium.data.augmentation import seeded_box_augmenter
from podium.data.outlines import ELLIPSE
from podium.recipes.recipe import Recipe
from podium.training.cached_features import augmented_view, view_seed
from podium.training.datasets import FoldPictures, of_pictures, stage_seed, stage_size


@dataclass(frozen=True)
class AsSeen:
    """Pictures of one stage."""

    stage: int  # counted from 0
    cached: bool  # the head saw their features
    pictures: np.ndarray  # uint8 (pictures, size, size, 3)
    labels: np.ndarray  # float32 (pictures, classes), mixed where the pictures are
    boxes: np.ndarray | None  # float32 (pictures, 4) in shares, NaN where there is none


def as_seen(pictures: FoldPictures, recipe: Recipe, most: int) -> AsSeen:
    """The first pictures of a fold's last stage that trained on pictures; of cached ones if none.

    Args:
        most: pictures, at the most.
    """
    direct = [number for number in range(len(recipe.stages)) if not _is_cached(recipe, number)]
    number = direct[-1] if direct else len(recipe.stages) - 1
    pictures = pictures.of_stage(number)
    if not direct:
        return _cached(pictures, recipe, number, most)
    seed = stage_seed(recipe, number)
    batches, _ = of_pictures(pictures, recipe, recipe.stages[number], seed, first_epoch=0)
    seen, targets = next(batches.as_numpy_iterator())
    labels, boxes = targets if isinstance(targets, tuple) else (targets, None)
    boxes = None if boxes is None else boxes[:most]
    return AsSeen(number, False, seen[:most], labels[:most], boxes)


def _is_cached(recipe: Recipe, number: int) -> bool:
    """Whether the stage trains a head, on features that were computed before."""
    return recipe.stages[number].unfreeze == "head" and recipe.cached_views > 0


def _cached(pictures: FoldPictures, recipe: Recipe, number: int, most: int) -> AsSeen:
    """Pictures as they went through the frozen backbone, each in another view."""
    size = stage_size(recipe, recipe.stages[number])
    chosen = np.linspace(0, len(pictures.train) - 1, min(most, len(pictures.train))).astype(int)
    with_box = seeded_box_augmenter(recipe.augmentation, size, ELLIPSE)
    seen, boxes = [], []
    for place, position in enumerate(chosen):
        picture, view = pictures.cache[int(pictures.train[position])], place % recipe.cached_views
        seen.append(augmented_view(recipe, view, size)(picture, size))
        if pictures.train_boxes is not None:
            box, seed = pictures.train_boxes[position], view_seed(recipe, view, picture)
            boxes.append(with_box(picture, box, seed)[1])
    labels = pictures.train_labels[chosen]
    return AsSeen(number, True, np.stack(seen), labels, np.stack(boxes) if boxes else None)
