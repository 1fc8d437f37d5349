"""Time and peak memory of an epoch as the number of images grows."""

import os
import time
from pathlib import Path
from typing import Any

from benchmarks.measuring import Row, in_child, in_turns, main
from podium.system import peak_memory

PHOTO = (160, 120)
SIZE = 64  # px that the network sees
KEPT = 40e6  # bytes of decoded images: of fewer than 2,000
COUNTS = (1000, 5000, 25000)


def measure(quick: bool, scratch: Path) -> list[Row]:
    counts = (60, 120, 240) if quick else COUNTS
    paths = link(scratch, drawn=30 if quick else 300, count=counts[-1])
    seen: dict[int, list[dict[str, Any]]] = {count: [] for count in counts}

    def epoch(count: int) -> float:
        settings = {"folder": str(paths), "count": count, "kept": KEPT}
        seen[count].append(in_child("benchmarks.growth", settings))
        return 0.0

    in_turns(
        {str(count): lambda count=count: epoch(count) for count in counts},
        turns=1 if quick else 3,
        warm_up=False,
    )

    def values(count: int, key: str) -> list[float]:
        return [one[key] for one in seen[count]]

    few, more, most = counts
    rows = []
    for count, against in ((more, few), (most, more)):
        row = Row(f"an epoch of {count:,} images, each", f"of {against:,}", "ms")
        row.ours, row.theirs = values(count, "milliseconds"), values(against, "milliseconds")
        row.to_reach = "≤ 1.1"
        row.note = "batches and a tiny network, each in a process of its own"
        rows.append(row)
    for count, against, to_reach in ((more, few, ""), (most, more, "≤ 1.05")):
        row = Row(f"peak memory with {count:,} images", f"with {against:,}", "MB")
        row.ours, row.theirs = values(count, "megabytes"), values(against, "megabytes")
        row.to_reach = to_reach
        row.note = f"the cache may keep {KEPT / 1e6:.0f} MB, which {more:,} images fill"
        rows.append(row)
    return rows


def link(scratch: Path, drawn: int, count: int) -> Path:
    """A folder of so many JPEGs, of which only some are drawn and the rest are links to them."""
    from benchmarks.drawing import draw

    originals = draw(scratch / "drawn", drawn, PHOTO)
    folder = scratch / "linked"
    folder.mkdir()
    for number in range(count):
        os.link(originals[number % drawn], folder / f"{number}.jpg")
    return folder


def child(folder: str, count: int, kept: float) -> dict[str, float]:
    """One epoch, after the network was traced on the first few images."""
    import benchmarks.quiet  # noqa: F401

    # isort: split
    import keras
    import numpy as np

    from benchmarks.drawing import CLASSES
    from podium.data.batches import ImageCache, training_batches
    from podium.models.backend import feed
    from podium.recipes.recipe import CACHED_DETAIL
    from podium.recipes.tables import Augmentation
    from podium.system import free_memory

    paths = [Path(folder, f"{number}.jpg") for number in range(count)]
    cache = ImageCache(paths, round(SIZE * CACHED_DETAIL), min(1.0, kept / free_memory()))
    labels = np.eye(CLASSES, dtype=np.float32)[np.arange(count) % CLASSES]

    def batches(images: int):
        made = training_batches(
            cache, np.arange(images), labels[:images], size=SIZE, batch_size=32,
            augmentation=Augmentation(), seed=0, epochs=range(1),
        )  # fmt: skip
        return feed(made)

    model = keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3), dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.AveragePooling2D(8),
            keras.layers.Flatten(),
            keras.layers.Dense(CLASSES, activation="softmax"),
        ]
    )
    model.compile("adam", "categorical_crossentropy")
    model.fit(batches(32), verbose=0)
    epoch = batches(count)
    began = time.perf_counter()
    model.fit(epoch, verbose=0)
    took = time.perf_counter() - began
    return {"milliseconds": 1000 * took / count, "megabytes": peak_memory() / 1e6}


if __name__ == "__main__":
    main(measure)
