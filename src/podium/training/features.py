"""The head stage on cached features: a frozen backbone sees each picture and view just once."""

import time
import zlib
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from podium.images.augmenting import seeded_augmenter
from podium.images.batches import steps_per_epoch, view_batches
from podium.images.reading import resize
from podium.recipe import Recipe
from podium.training.progress import verbosity


@dataclass(frozen=True)
class Features:
    """Pooled features: of training pictures in augmented views, of validation pictures plain."""

    train: np.ndarray  # float32 (views, pictures, channels)
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
) -> Features:
    """Run the frozen backbone over each augmented view of each training picture, once.

    Args:
        extractor: uint8 pictures → (batch, channels).
        train, validation: indices into the cache.
    """
    augment = seeded_augmenter(recipe.augmentation, size)

    def run(indices: np.ndarray, view) -> np.ndarray:
        batches = view_batches(cache, indices, size=size, batch_size=batch_size, view=view)
        return extractor.predict(batches, verbose=verbosity())

    def augmented(number: int):
        def view(picture: np.ndarray, size: int) -> np.ndarray:
            # Seeded by what is in the picture: the same in any order and on any thread.
            entropy = (recipe.seed, number, zlib.crc32(picture.tobytes()))
            return augment(picture, int(np.random.SeedSequence(entropy).generate_state(1)[0]))

        return view

    began = time.monotonic()
    print(f"features of {len(train)} pictures in {recipe.cached_views} augmented views:")
    views = [run(train, augmented(number)) for number in range(recipe.cached_views)]
    plain = run(validation, lambda picture, size: resize(picture, size, size))
    passes = len(train) * recipe.cached_views + len(validation)
    return Features(np.stack(views), plain, (time.monotonic() - began) / passes)


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
