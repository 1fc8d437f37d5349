"""Batches as TensorFlow takes them: they go with what is made of them, and wait for nothing."""

import gc
import weakref

import keras
import pytest

if keras.config.backend() != "tensorflow":
    pytest.skip("of the other backend", allow_module_level=True)

import numpy as np

from podium.data.batches import Batches, slices
from podium.models.backend import feed

ROWS = np.arange(10, dtype=np.float32).reshape(5, 2)


class Maker:
    def make(self, part: slice) -> np.ndarray:
        return ROWS[part]


def batches_of(maker: Maker) -> Batches:
    row = np.dtype((np.float32, (2,)))
    return Batches(maker.make, lambda: slices(5, 2), rows=5, batch_size=2, row=row)


def test_what_makes_the_batches_is_kept_as_long_as_an_iterator_and_no_longer() -> None:
    maker = Maker()
    left = weakref.ref(maker)
    fed = feed(batches_of(maker)).map(lambda rows: 2 * rows)
    del maker
    gc.collect()
    iterator = iter(fed)
    del fed
    gc.collect()
    assert [len(rows) for rows in iterator] == [2, 2, 1]
    del iterator
    gc.collect()
    assert left() is None, "TensorFlow keeps what a dataset calls"


def test_an_iterator_may_be_left_and_another_begins_anew() -> None:
    fed = feed(batches_of(Maker()))
    assert fed.cardinality() == 3
    for _ in range(2):
        np.testing.assert_array_equal(next(iter(fed)), ROWS[:2])
    np.testing.assert_array_equal(np.concatenate(list(fed.as_numpy_iterator())), ROWS)


def test_nothing_is_tuned() -> None:
    assert feed(batches_of(Maker())).options().autotune.enabled is False
