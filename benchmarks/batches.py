"""Training batches a second from JPEG files, with the same augmentations in every pipeline."""

import itertools
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import benchmarks.quiet  # noqa: F401

# isort: split
import keras
import numpy as np
import tensorflow as tf

from benchmarks.drawing import draw, one_hot
from benchmarks.measuring import Row, in_turns, main
from podium.data.augmentation import seeded_augmenter
from podium.data.batches import ImageCache, training_batches
from podium.models.backend import feed
from podium.recipes.recipe import CACHED_DETAIL
from podium.recipes.tables import Augmentation

BATCH = 32
# What all of them do: mirror, crop and zoom, rotation, brightness and contrast.
AUGMENTATION = Augmentation(mirror=True, crop=0.8, rotate=10.0, light=0.2, color=0.0)
ZOOM = 1 - AUGMENTATION.crop**0.5  # of a side, where the crop is of the area


def measure(quick: bool, scratch: Path) -> list[Row]:
    sizes = [((64, 48), 32)] if quick else [((500, 375), 224), ((320, 240), 128)]
    rows = []
    for photo, size in sizes:
        folder = scratch / f"{photo[0]}"
        paths = draw(folder, 64 if quick else 128, photo)
        rows += compare(folder, paths, photo, size, turns=1 if quick else 5)
    return rows


def compare(
    folder: Path, paths: list[Path], photo: tuple[int, int], size: int, turns: int
) -> list[Row]:
    skip, take = (1, 2) if turns == 1 else (6, 24)
    contenders = {
        "podium": podium(paths, size, memory_share=0.0),
        "podium, cached": podium(paths, size, memory_share=0.5),
        "image_dataset_from_directory": keras_dataset(folder, size),
        "ImageDataGenerator": image_data_generator(folder, size),
        "alone": alone(paths, size),
    }
    measured = in_turns(
        {name: lambda make=make: speed(make(), skip, take) for name, make in contenders.items()},
        turns,
    )
    what = f"training batches of {BATCH}, {photo[0]}×{photo[1]} JPEG to {size} px"
    ours = measured["podium"]

    def row(name: str, against: str, to_reach: str, note: str = "") -> Row:
        return Row(what, against, "batches/s", ours, measured[name], to_reach=to_reach, note=note)

    return [
        row(
            "image_dataset_from_directory",
            "image_dataset_from_directory + Keras' augmentation layers",
            "≥ 2",
            "every pipeline decodes every image in every epoch",
        ),
        row(
            "ImageDataGenerator",
            "ImageDataGenerator.flow_from_directory",
            "≥ 2",
            "keras.src.legacy.preprocessing.image in Keras 3; it has no contrast, and does without",
        ),
        row(
            "alone",
            f"decoding and augmenting alone, {os.cpu_count()} threads",
            "≥ 0.8",
            "the same reading and augmenting on a pool of threads: no order, no batches",
        ),
        Row(
            what + ", images in memory",
            "image_dataset_from_directory + Keras' augmentation layers",
            "batches/s",
            measured["podium, cached"],
            measured["image_dataset_from_directory"],
            note="from the second epoch on, as long as the share of the memory lasts",
        ),
    ]


def speed(batches: Iterable, skip: int, take: int) -> float:
    """Batches a second, after the first ones: filling buffers and finding a pace is left out."""
    stream = iter(batches)
    for _ in itertools.islice(stream, skip):
        pass
    began = time.perf_counter()
    for _ in itertools.islice(stream, take):
        pass
    return take / (time.perf_counter() - began)


def podium(paths: list[Path], size: int, memory_share: float) -> Callable[[], Iterable]:
    cache = ImageCache(paths, round(size * CACHED_DETAIL), memory_share)
    if memory_share:
        for image in range(len(paths)):
            cache[image]
    batches = training_batches(
        cache, np.arange(len(paths)), one_hot(paths), size=size, batch_size=BATCH,
        augmentation=AUGMENTATION, seed=0, epochs=range(100),
    )  # fmt: skip
    return lambda: feed(batches)


def keras_dataset(folder: Path, size: int) -> Callable[[], Iterable]:
    """As Keras' own guide on image classification from scratch has it."""
    layers = keras.layers
    augment = keras.Sequential(
        [
            layers.RandomFlip("horizontal"),
            layers.RandomZoom((-ZOOM, 0.0), (-ZOOM, 0.0)),
            layers.RandomRotation(AUGMENTATION.rotate / 360),
            layers.RandomBrightness(AUGMENTATION.light, value_range=(0, 255)),
            layers.RandomContrast(AUGMENTATION.light),
        ]
    )
    batches = keras.utils.image_dataset_from_directory(
        folder, label_mode="categorical", image_size=(size, size), batch_size=BATCH, seed=0,
        verbose=False,
    ).repeat()  # fmt: skip
    batches = batches.map(
        lambda images, labels: (augment(images, training=True), labels),
        num_parallel_calls=tf.data.AUTOTUNE,
    ).prefetch(tf.data.AUTOTUNE)
    return lambda: batches


def image_data_generator(folder: Path, size: int) -> Callable[[], Iterable]:
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    generator = ImageDataGenerator(
        horizontal_flip=True,
        zoom_range=(1 - ZOOM, 1.0),
        rotation_range=AUGMENTATION.rotate,
        brightness_range=(1 - AUGMENTATION.light, 1 + AUGMENTATION.light),
        fill_mode="reflect",
    )
    return lambda: generator.flow_from_directory(
        folder, target_size=(size, size), batch_size=BATCH, seed=0
    )


def alone(paths: list[Path], size: int) -> Callable[[], Iterable]:
    """Decoding and augmenting on as many threads as there are cores, `BATCH` images in a go."""
    cache = ImageCache(paths, round(size * CACHED_DETAIL), memory_share=0.0)
    augment = seeded_augmenter(AUGMENTATION, size)

    def work(first: int) -> None:
        for number in range(first, first + BATCH):
            augment(cache[number % len(paths)], number)

    def batches() -> Iterable:
        threads = os.cpu_count() or 1
        with ThreadPoolExecutor(threads) as pool:
            for first in itertools.count(step=threads * BATCH):
                yield from pool.map(work, range(first, first + threads * BATCH, BATCH))

    return batches


if __name__ == "__main__":
    main(measure)
