"""How long a network takes for an image, alone and in batches."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from podium.predictions.score import Score, with_interval

SINGLES, BATCHES = 30, 4  # that are timed

Milliseconds = dict[str, list[float]]  # an image: each time that was taken, by kind


def time_predictions(
    predict: Callable[[np.ndarray], Any], images: Sequence[np.ndarray], batch_size: int
) -> Milliseconds:
    """Time a network on images one by one, and in full batches.

    Args:
        predict: uint8 (batch, height, width, 3) → anything, once it is there.
        images: of one size, at least one; repeated where they are too few.

    Returns:
        Milliseconds an image: of `single` images, and of each of a few batches (`batch`).
    """
    wanted = max(SINGLES, batch_size)
    stack = np.stack([images[number % len(images)] for number in range(wanted)])
    batch = stack[:batch_size]
    for part in (stack[:1], batch):  # the first calls also trace
        predict(part)
    return {
        "single": [_milliseconds(predict, stack[n : n + 1]) for n in range(SINGLES)],
        "batch": [_milliseconds(predict, batch) for _ in range(BATCHES)],
    }


def speeds(times: Iterable[Mapping[str, list[float]]]) -> dict[str, Score]:
    """The mean of all times that were taken, by kind, with its interval over them."""
    measured = list(times)
    return {
        kind: with_interval("ms an image", np.concatenate([one[kind] for one in measured]))
        for kind in (measured[0] if measured else ())
    }


def _milliseconds(predict: Callable[[np.ndarray], Any], images: np.ndarray) -> float:
    """An image's share of the time, rounded to microseconds."""
    began = time.perf_counter()
    predict(images)
    return round(1000 * (time.perf_counter() - began) / len(images), 3)
