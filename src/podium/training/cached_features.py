"""The head stage on cached features: a frozen backbone sees each image and view just once."""

import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from podium.data.augmentation import seeded_augmenter
from podium.data.batches import ImageArray, View, view_batches
from podium.data.tf_datasets import keep_alive, weak_callback, without_autotune
from podium.files.atomic_write import preallocate, require_space
from podium.files.image_io import resize
from podium.recipes.recipe import Recipe, steps_per_epoch
from podium.system import free_memory, verbosity
from podium.training.time_plan import TimePlan

if TYPE_CHECKING:
    from podium.training.datasets import FoldDataset

PART = 4096  # features that are computed in one go
PART_OF_MAPS = 512  # the same with maps, which are some hundred times as large
TIMED = 64  # features by which a plan knows how long the others will take


@dataclass(frozen=True)
class Features:
    """What the heads see: of training images in augmented views, of validation images plain."""

    train: np.ndarray  # pooled, float32 (views, images, channels), in memory or on the disk
    validation: np.ndarray  # float32 (images, channels)
    seconds_per_image: float
    # For a box head:
    maps: tuple[np.ndarray, ...] = ()  # float16 (views, images, height, width, channels)
    validation_maps: tuple[np.ndarray, ...] = ()  # float32 (images, height, width, channels)
    boxes: np.ndarray | None = None  # float32 (views, images, 4), in shares of the views


def cache_features(
    trunk: keras.Model,
    images: "FoldDataset",
    recipe: Recipe,
    size: int,
    batch_size: int,
    folder: Path,
    plan: TimePlan | None = None,
) -> Features:
    """Run the frozen backbone over each augmented view of each training image, once.

    Args:
        trunk: uint8 images → (batch, channels), or a list of these and maps.
        folder: for features above the recipe's `cached_gb`; they are gone when nothing uses them.
        plan: where time is short, there are fewer views, and at least one.
    """
    cache, train, validation = images.cache, images.train, images.validation
    boxes = images.train_boxes
    views = [augmented_view(recipe, number, size) for number in range(recipe.cached_views)]
    plain: list[View] = [lambda image, size: resize(image, size, size)]
    shapes = [tuple(one.shape[1:]) for one in _outputs(trunk, size)]
    # The images that are kept decoded fill memory as well.
    limit = min(recipe.cached_gb * 1e9, free_memory() / 2)
    passing = _Passing(trunk, cache, size, batch_size, plan)

    began = time.monotonic()
    seen = _allocate(shapes, len(views), len(train), limit, folder)
    where = "on the disk" if isinstance(seen[0], np.memmap) else "in memory"
    print(
        f"features of {len(train)} images in {recipe.cached_views} augmented views, "
        f"{sum(array.nbytes for array in seen) / 1e9:.2g} GB {where}:",
        flush=True,
    )
    kept = passing.run(train, views, seen, also=len(validation))
    if kept < len(views):
        print(f"the time budget leaves room for {kept} of {len(views)} views", flush=True)
    unseen = _allocate(shapes, 1, len(validation), limit, folder)
    passing.run(validation, plain, unseen)
    seconds = passing.seconds or (time.monotonic() - began) / (len(train) * kept + len(validation))
    pooled, *maps = (one[:kept] for one in seen)
    return Features(
        pooled,
        unseen[0][0],
        seconds,
        tuple(maps),
        tuple(one[0].astype(np.float32) for one in unseen[1:]),
        None if boxes is None else _boxes_in_views(cache, train, boxes, recipe, size, kept),
    )


@dataclass
class _Passing:
    """Images passed through the backbone, part by part, in time."""

    trunk: keras.Model
    cache: Sequence[ImageArray]
    size: int
    batch_size: int
    plan: TimePlan | None
    seconds: float = 0.0  # that an image takes, once it was timed

    def run(
        self, indices: np.ndarray, views: list[View], into: list[np.ndarray], also: int = 0
    ) -> int:
        """Fill `into` (views, images, …); returns how many of the views there was time for.

        Args:
            also: how many others are to be passed afterwards, in one view.
        """
        done, kept = 0, len(views)
        for part in self._parts(len(indices), len(into), len(views)):
            began = time.monotonic()
            some = indices[done : done + part]
            if not len(some):
                break
            self._pass(some, views[:kept], [one[:kept, done : done + part] for one in into])
            took = time.monotonic() - began
            if done:  # the first one also traces, as does one that ends in a smaller batch
                seconds = took / (len(some) * kept)
                self.seconds = min(self.seconds or seconds, seconds)
            elif self.plan:
                self.plan.speeds.traced = max(self.plan.speeds.traced, took)
            done += len(some)
            if self.plan and self.seconds:
                self.plan.speeds.predicted(self.seconds, self.size**2)
                left = ((len(indices) - done) * kept + also) * self.size**2
                kept = max(1, min(kept, round(self.plan.share(left) * len(views))))
        return kept

    def _parts(self, images: int, arrays: int, views: int) -> Iterator[int]:
        """How many images at a time: a whole `predict` would hold all in memory."""
        most = max(1, (PART if arrays == 1 else PART_OF_MAPS) // views)
        begin = [max(1, self.batch_size // views), max(1, TIMED // views)]
        for part in begin if self.plan and self.plan.deadline is not None else []:
            yield part
            images -= part
        while images > 0:
            yield most
            images -= most

    def _pass(self, indices: np.ndarray, views: list[View], into: list[np.ndarray]) -> None:
        batches = view_batches(
            self.cache, indices, size=self.size, batch_size=self.batch_size, view=views
        )
        found = self.trunk.predict(batches, verbose=verbosity())
        for array, one in zip(into, found if len(into) > 1 else [found], strict=True):
            by_image = one.reshape(len(indices), len(views), *array.shape[2:])
            array[:] = by_image.swapaxes(0, 1)


def augmented_view(recipe: Recipe, number: int, size: int) -> View:
    """The augmented view of that number."""
    augment = seeded_augmenter(recipe.augmentation, size)

    def view(image: ImageArray, size: int) -> ImageArray:
        return augment(image, view_seed(recipe, number, image))[0]

    return view


def _boxes_in_views(
    cache: Sequence[ImageArray],
    train: np.ndarray,
    boxes: np.ndarray,
    recipe: Recipe,
    size: int,
    views: int,
) -> np.ndarray:
    """Where the boxes are in the augmented views: float32 (views, images, 4).

    The images are augmented again for it, which takes a tenth of the time of their features.
    """
    augment = seeded_augmenter(recipe.augmentation, size)
    moved = np.empty((views, len(train), 4), np.float32)
    for place, index in enumerate(tqdm(train, "boxes in the views", delay=2, leave=False)):
        image = cache[int(index)]
        for number in range(views):
            seed = view_seed(recipe, number, image)
            moved[number, place] = augment(image, seed, boxes[place])[1]
    return moved


def view_seed(recipe: Recipe, number: int, image: ImageArray) -> int:
    """The seed of an image's augmented view."""
    # By what is in the image: the same in any order and on any thread.
    entropy = (recipe.seed, number, zlib.crc32(image.tobytes()))
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


def _outputs(trunk: keras.Model, size: int) -> list[keras.KerasTensor]:
    """What the trunk gives of images of that side."""
    found = trunk.compute_output_spec(keras.KerasTensor((1, size, size, 3), "uint8"))
    return found if isinstance(found, list) else [found]


def _allocate(
    shapes: list[tuple[int, ...]], views: int, images: int, limit: float, folder: Path
) -> list[np.ndarray]:
    """Empty arrays (views, images, …): in memory up to so many bytes, beyond them in files.

    Maps of features, which are large, have half the precision.
    """
    types = [np.float32 if len(shape) == 1 else np.float16 for shape in shapes]
    whole = [(views, images, *shape) for shape in shapes]
    needed = sum(np.dtype(t).itemsize * int(np.prod(s)) for s, t in zip(whole, types, strict=True))
    if needed <= limit:
        return [np.empty(shape, type_) for shape, type_ in zip(whole, types, strict=True)]
    require_space(folder, needed)
    return [_on_disk(shape, type_, folder) for shape, type_ in zip(whole, types, strict=True)]


def _on_disk(shape: tuple[int, ...], type_: type, folder: Path) -> np.ndarray:
    # A file without a name: the system frees it with the array, even if the process is killed.
    with tempfile.TemporaryFile(dir=folder) as file:
        preallocate(file.fileno(), np.dtype(type_).itemsize * int(np.prod(shape)))
        return np.memmap(file, type_, mode="w+", shape=shape)


def feature_batches(
    features: Features,
    labels: np.ndarray,
    batch_size: int,
    seed: int,
    first_epoch: int,
    epochs: int,
) -> tf.data.Dataset:
    """Batches as `training_batches` gives them, with a view of each image in place of itself.

    Args:
        labels: float32 (images, classes).
    """
    batch_size = min(batch_size, len(labels))
    maker = _FeatureMaker(features, labels, batch_size, seed, range(first_epoch, epochs))

    def of(shape: tuple[int, ...]) -> tf.TensorSpec:
        return tf.TensorSpec((batch_size, *shape), tf.float32)

    signature = of(features.train.shape[2:]), of(labels.shape[1:])
    if features.boxes is not None:
        maps = [of(one.shape[2:]) for one in features.maps]
        signature = (signature[0], *maps), (signature[1], of((4,)))
    batches = tf.data.Dataset.from_generator(
        weak_callback(maker.batches), output_signature=signature
    )
    count = maker.steps * len(maker.epochs)
    batches = batches.apply(tf.data.experimental.assert_cardinality(count))
    return keep_alive(without_autotune(batches), maker)


@dataclass(frozen=True)
class _FeatureMaker:
    """What makes the batches of `feature_batches` one by one."""

    features: Features
    labels: np.ndarray
    batch_size: int
    seed: int
    epochs: range

    @property
    def steps(self) -> int:
        """Of each epoch."""
        return steps_per_epoch(len(self.labels), self.batch_size)

    def batches(self) -> Iterator[tuple]:
        features, labels = self.features, self.labels
        views, images, _ = features.train.shape
        for epoch in self.epochs:
            random = np.random.default_rng((self.seed, epoch))
            order = random.permutation(images)
            view = random.integers(views, size=images)
            for step in range(self.steps):
                chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
                which = view[chosen], chosen
                if features.boxes is None:
                    yield features.train[which], labels[chosen]
                else:
                    maps = (one[which].astype(np.float32) for one in features.maps)
                    yield (features.train[which], *maps), (labels[chosen], features.boxes[which])
