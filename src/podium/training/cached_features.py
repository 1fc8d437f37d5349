"""The head stage on cached features: a frozen backbone sees each image and view just once."""

import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from podium.competitions.boxes import NO_BOX
from podium.data.augmentation import Augmenter, seeded_augmenter
from podium.data.batches import (
    Batches,
    ImageArray,
    View,
    epoch_order,
    rows_of,
    slices,
    type_of_rows,
    view_batches,
)
from podium.files.atomic_write import preallocate, require_space
from podium.files.image_io import resize
from podium.models.inference import predict
from podium.recipes.recipe import Recipe, steps_per_epoch
from podium.recipes.tables import Stage
from podium.system import free_memory, verbosity
from podium.training.datasets import FoldDataset, class_weights
from podium.training.time_plan import TimePlan

PART = 4096  # features that are computed in one go
PART_OF_MAPS = 512  # the same with maps, which are some hundred times as large
GROWTH = 8  # times that a part is larger than the one before


@dataclass(frozen=True)
class Features:
    """What the heads see: of training images in augmented views, of validation images plain.

    Each a list of the pooled features, float32 (views, images, channels), and for a box head its
    maps, float16 (views, images, height, width, channels), in memory or on the disk; those of
    validation images are float32, in memory, and have no axis of views.
    """

    train: list[np.ndarray]
    validation: list[np.ndarray]
    boxes: np.ndarray | None = None  # float32 (views, images, 4), in shares of the views


def cache_features(
    trunk: keras.Model,
    images: FoldDataset,
    recipe: Recipe,
    stage: Stage,
    folder: Path,
    plan: TimePlan,
) -> Features:
    """Run the frozen backbone over each augmented view of each training image, once.

    Args:
        trunk: uint8 images → (batch, channels), or a list of these and maps.
        folder: for features above the recipe's `cached_gb`; they are gone when nothing uses them.
        plan: learns how long an image takes; where time is short, there are fewer views, and at
            least one.
    """
    cache, train, validation = images.cache, images.train, images.validation
    size, batch_size = stage.image_size or recipe.image_size, stage.batch_size or recipe.batch_size
    augmented = [augmented_view(recipe, number, size) for number in range(recipe.cached_views)]
    views: list[View] = [lambda image, size, view=view: view(image)[0] for view in augmented]

    def passed(indices: np.ndarray, views: Sequence[View]) -> tuple[list[np.ndarray], float]:
        """The features (images · views, …), the views of an image in a row; seconds it took."""
        began = time.monotonic()
        batches = view_batches(cache, indices, size=size, batch_size=batch_size, view=views)
        found = predict(trunk, batches, verbosity())
        return found, time.monotonic() - began

    # The images that are kept decoded fill memory as well.
    limit = min(recipe.cached_gb * 1e9, free_memory() / 2)
    outputs = trunk.compute_output_spec(keras.KerasTensor((1, size, size, 3), "uint8"))
    shapes = [one.shape[1:] for one in (outputs if isinstance(outputs, list) else [outputs])]
    seen = _allocate(shapes, (len(views), len(train)), limit, folder)
    where = "on the disk" if isinstance(seen[0], np.memmap) else "in memory"
    print(
        f"features of {len(train)} images in {len(views)} augmented views, "
        f"{sum(array.nbytes for array in seen) / 1e9:.2g} GB {where}:",
        flush=True,
    )
    kept, most = len(views), PART if len(seen) == 1 else PART_OF_MAPS
    for part in _parts(len(train), max(1, batch_size // kept), max(1, most // kept)):
        found, seconds = passed(train[part], views[:kept])
        for array, one in zip(seen, found, strict=True):
            by_image = one.reshape(-1, kept, *one.shape[1:])
            array[:kept, part] = by_image.swapaxes(0, 1)
        if part.start == 0:  # it also traces
            plan.speeds.traced = max(plan.speeds.traced, seconds)
            continue
        plan.speeds.predicted(seconds, len(found[0]) * size**2)
        left = (len(train) - part.stop) * kept + len(validation)
        kept = max(1, min(kept, round(plan.share(left * size**2) * len(views))))
    if kept < len(views):
        print(f"the time budget leaves room for {kept} of {len(views)} views", flush=True)
    unseen, seconds = passed(validation, [lambda image, size: resize(image, size, size)])
    plan.speeds.predicted(seconds, len(validation) * size**2)
    boxes = images.train_boxes
    if boxes is not None:
        boxes = _boxes_in_views(cache, train, boxes, augmented[:kept])
    return Features([one[:kept] for one in seen], unseen, boxes)


def _parts(images: int, first: int, most: int) -> Iterator[slice]:
    """All images, few at a time: `predict` holds in memory what it is asked for.

    The first parts are small, so that a plan soon knows how long the others will take.
    """
    begin = 0
    while begin < images:
        end = min(begin + min(first, most), images)
        yield slice(begin, end)
        begin, first = end, first * GROWTH


def augmented_view(recipe: Recipe, number: int, size: int) -> Augmenter:
    """The augmented view of that number: of an image, and of its box where it has one."""
    augment = seeded_augmenter(recipe.augmentation, size)

    def view(image: ImageArray, box: np.ndarray = NO_BOX) -> tuple[ImageArray, np.ndarray]:
        # By what is in the image: the same in any order and on any thread.
        entropy = (recipe.seed, number, zlib.crc32(image.tobytes()))
        return augment(image, int(np.random.SeedSequence(entropy).generate_state(1)[0]), box)

    return view


def _boxes_in_views(
    cache: Sequence[ImageArray],
    train: np.ndarray,
    boxes: np.ndarray,
    views: Sequence[Augmenter],
) -> np.ndarray:
    """Where the boxes are in the augmented views: float32 (views, images, 4).

    The images are augmented again for it, which takes a tenth of the time of their features.
    """
    moved, bar = [], tqdm(train, "boxes in the views", delay=2, leave=False)
    for index, box in zip(bar, boxes, strict=True):
        image = cache[int(index)]
        moved.append([view(image, box)[1] for view in views])
    return np.array(moved, np.float32).swapaxes(0, 1)


def _allocate(
    shapes: list[tuple[int, ...]], many: tuple[int, int], limit: float, folder: Path
) -> list[np.ndarray]:
    """Empty arrays (*many, *shape): in memory up to so many bytes, beyond them in files.

    Maps of features, which are large, have half the precision.
    """
    kinds = [np.dtype((np.float16 if len(shape) > 1 else np.float32, shape)) for shape in shapes]
    needed = sum(kind.itemsize for kind in kinds) * many[0] * many[1]
    if needed <= limit:
        return [np.empty(many, kind) for kind in kinds]
    require_space(folder, needed)
    arrays = []
    for kind in kinds:
        # A file without a name: the system frees it with the array, even if the process is killed.
        with tempfile.TemporaryFile(dir=folder) as file:
            preallocate(file.fileno(), kind.itemsize * many[0] * many[1])
            arrays.append(np.memmap(file, kind.base, mode="w+", shape=(*many, *kind.shape)))
    return arrays


def of_features(
    features: Features,
    images: FoldDataset,
    recipe: Recipe,
    stage: Stage,
    seed: int,
    first_epoch: int,
) -> tuple[Batches, Batches]:
    """Batches as `of_images` gives them, with a cached view of each image in place of itself."""
    labels, boxes, weights = images.train_labels, features.boxes, class_weights(images, recipe)
    at_most = stage.batch_size or recipe.batch_size
    batch_size = min(at_most, len(labels))
    epochs = range(first_epoch, stage.epochs)

    def tasks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for epoch in epochs:
            random = np.random.default_rng((seed, epoch))
            order = epoch_order(labels, random, recipe.sampling == "balanced")
            view = random.integers(len(features.train[0]), size=len(labels))
            for end in range(batch_size, len(labels) + 1, batch_size):
                chosen = order[end - batch_size : end]
                yield view[chosen], chosen

    def make(task: tuple[np.ndarray, np.ndarray]) -> tuple:
        seen = tuple(one[task].astype(np.float32) for one in features.train)
        if weights is not None:
            return seen[0], labels[task[1]], labels[task[1]] @ weights
        if boxes is None:
            return seen[0], labels[task[1]]
        return seen, (labels[task[1]], boxes[task])

    row = type_of_rows(make((np.zeros(1, int), np.zeros(1, int))))
    rows = len(epochs) * steps_per_epoch(len(labels), batch_size) * batch_size
    train = Batches(make, tasks, rows, batch_size, row, whole=True, threads=0)
    unseen = tuple(features.validation)
    validation = (unseen if len(unseen) > 1 else unseen[0], images.validation_targets)
    return train, Batches(
        lambda part: tuple(rows_of(one, part) for one in validation),
        lambda: slices(len(images.validation), at_most),
        len(images.validation),
        at_most,
        type_of_rows(validation),
        threads=0,
    )
