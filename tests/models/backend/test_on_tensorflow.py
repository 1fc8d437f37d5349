"""Batches as TensorFlow takes them: they go with what is made of them, and wait for nothing."""

import gc
import weakref

import keras
import pytest

if keras.config.backend() != "tensorflow":
    pytest.skip("of the other backend", allow_module_level=True)

import numpy as np
import tensorflow as tf

from podium.data.batches import Batches, slices
from podium.models.backend import feed, silu

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


def test_silu_and_its_compiled_gradient_are_those_of_tensorflow() -> None:
    maps = tf.constant(np.random.default_rng(0).normal(0, 5, (2, 7, 5, 3)).astype(np.float32))
    weights = tf.range(3, dtype=tf.float32)
    found = []
    for function in (silu, tf.nn.silu):
        with tf.GradientTape() as tape:
            tape.watch(maps)
            values = function(maps)
            whole = tf.reduce_sum(values * weights)
        found.append((values, tape.gradient(whole, maps)))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
