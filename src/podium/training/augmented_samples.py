"""What a network saw in its training: some images, augmented as they were, with their labels."""

from dataclasses import dataclass

import numpy as np

from podium.data.augmentation import seeded_box_augmenter
from podium.data.outlines import ELLIPSE
from podium.recipes.recipe import Recipe
from podium.training.cached_features import augmented_view, view_seed
from podium.training.datasets import FoldDataset, of_images, stage_seed, stage_size


@dataclass(frozen=True)
class AugmentedSample:
    """Images of one stage."""

    stage: int  # counted from 0
    cached: bool  # the head saw their features
    images: np.ndarray  # uint8 (images, size, size, 3)
    labels: np.ndarray  # float32 (images, classes), mixed where the images are
    boxes: np.ndarray | None  # float32 (images, 4) in shares, NaN where there is none


def sample_augmented(images: FoldDataset, recipe: Recipe, most: int) -> AugmentedSample:
    """The first images of a fold's last stage that trained on images; of cached ones if none.

    Args:
        most: images, at the most.
    """
    direct = [number for number in range(len(recipe.stages)) if not _is_cached(recipe, number)]
    number = direct[-1] if direct else len(recipe.stages) - 1
    images = images.of_stage(number)
    if not direct:
        return _cached(images, recipe, number, most)
    seed = stage_seed(recipe, number)
    batches, _ = of_images(images, recipe, recipe.stages[number], seed, first_epoch=0)
    seen, targets = next(batches.as_numpy_iterator())
    labels, boxes = targets if isinstance(targets, tuple) else (targets, None)
    boxes = None if boxes is None else boxes[:most]
    return AugmentedSample(number, False, seen[:most], labels[:most], boxes)


def _is_cached(recipe: Recipe, number: int) -> bool:
    """Whether the stage trains a head, on features that were computed before."""
    return recipe.stages[number].unfreeze == "head" and recipe.cached_views > 0


def _cached(images: FoldDataset, recipe: Recipe, number: int, most: int) -> AugmentedSample:
    """Images as they went through the frozen backbone, each in another view."""
    size = stage_size(recipe, recipe.stages[number])
    chosen = np.linspace(0, len(images.train) - 1, min(most, len(images.train))).astype(int)
    with_box = seeded_box_augmenter(recipe.augmentation, size, ELLIPSE)
    seen, boxes = [], []
    for place, position in enumerate(chosen):
        image, view = images.cache[int(images.train[position])], place % recipe.cached_views
        seen.append(augmented_view(recipe, view, size)(image, size))
        if images.train_boxes is not None:
            box, seed = images.train_boxes[position], view_seed(recipe, view, image)
            boxes.append(with_box(image, box, seed)[1])
    labels = images.train_labels[chosen]
    return AugmentedSample(number, True, np.stack(seen), labels, np.stack(boxes) if boxes else None)
