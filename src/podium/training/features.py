"""The head stage on cached features: a frozen backbone sees each picture and view just once."""

import tempfile
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from podium.images.augmenting import seeded_augmenter
from podium.images.batches import View, steps_per_epoch, view_batches
from podium.images.reading import resize
from podium.recipe import Recipe
from podium.training.progress import verbosity
from podium.whole_files import require_space

PART = 4096  # features that are computed in one go


@dataclass(frozen=True)
class Features:
    """Pooled features: of training pictures in augmented views, of validation pictures plain."""

    train: np.ndarray  # float32 (views, pictures, channels), in memory or on the disk
    validation: np.ndarray  # float32 (pictures, channels)
    seconds_per_picture: float


def cache_features(
    extractor: keras.Model,
    cache,
    train: np.ndarray,
    validation: np.ndarray,
    recipe: Recipe,
    size: int,
    batch_size: int,
    folder: Path,
) -> Features:
    """Run the frozen backbone over each augmented view of each training picture, once.

    Args:
        extractor: uint8 pictures → (batch, channels).
        train, validation: indices into the cache.
        folder: for features above the recipe's `cached_gb`; they are gone when nothing uses them.
    """
    augment = seeded_augmenter(recipe.augmentation, size)
    channels = extractor.output_shape[-1]

    def run(indices: np.ndarray, views: list[View], into: np.ndarray) -> None:
        at_once = max(1, PART // len(views))  # a whole `predict` would hold all in memory
        for start in range(0, len(indices), at_once):
            part = indices[start : start + at_once]
            batches = view_batches(cache, part, size=size, batch_size=batch_size, view=views)
            found = extractor.predict(batches, verbose=verbosity())
            by_picture = found.reshape(len(part), len(views), channels)
            into[:, start : start + at_once] = by_picture.swapaxes(0, 1)

    def augmented(number: int) -> View:
        def view(picture: np.ndarray, size: int) -> np.ndarray:
            # Seeded by what is in the picture: the same in any order and on any thread.
            entropy = (recipe.seed, number, zlib.crc32(picture.tobytes()))
            return augment(picture, int(np.random.SeedSequence(entropy).generate_state(1)[0]))

        return view

    began = time.monotonic()
    shape = (recipe.cached_views, len(train), channels)
    views = _allocate(shape, recipe.cached_gb * 1e9, folder)
    where = "on the disk" if isinstance(views, np.memmap) else "in memory"
    print(
        f"features of {len(train)} pictures in {recipe.cached_views} augmented views, "
        f"{views.nbytes / 1e9:.2g} GB {where}:",
        flush=True,
    )
    run(train, [augmented(number) for number in range(recipe.cached_views)], views)
    plain = np.empty((1, len(validation), channels), np.float32)
    run(validation, [lambda picture, size: resize(picture, size, size)], plain)
    passes = len(train) * recipe.cached_views + len(validation)
    return Features(views, plain[0], (time.monotonic() - began) / passes)


def _allocate(shape: tuple[int, ...], limit: float, folder: Path) -> np.ndarray:
    """An empty array of float32: in memory up to so many bytes, beyond them in a file."""
    needed = 4 * int(np.prod(shape))
    if needed <= limit:
        return np.empty(shape, np.float32)
    require_space(folder, needed)
    # A file without a name: the system frees it with the array, even if the process is killed.
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.memmap(file, np.float32, mode="w+", shape=shape)


def feature_batches(
    features: np.ndarray,
    labels: np.ndarray,
    batch_size: int,
    seed: int,
    first_epoch: int,
    epochs: int,
) -> tf.data.Dataset:
    """Batches as `training_batches` gives them, with a view of each picture in place of itself.

    Args:
        features: float32 (views, pictures, channels).
        labels: float32 (pictures, classes).
    """
    views, pictures, channels = features.shape
    batch_size = min(batch_size, pictures)
    steps = steps_per_epoch(pictures, batch_size)

    def generate():
        for epoch in range(first_epoch, epochs):
            random = np.random.default_rng((seed, epoch))
            order = random.permutation(pictures)
            view = random.integers(views, size=pictures)
            for step in range(steps):
                chosen = order[step * batch_size : (step + 1) * batch_size]
                yield features[view[chosen], chosen], labels[chosen]

    signature = (
        tf.TensorSpec((batch_size, channels), tf.float32),
        tf.TensorSpec((batch_size, labels.shape[1]), tf.float32),
    )
    batches = tf.data.Dataset.from_generator(generate, output_signature=signature)
    return batches.apply(tf.data.experimental.assert_cardinality(steps * (epochs - first_epoch)))
