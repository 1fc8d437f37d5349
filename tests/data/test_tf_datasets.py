"""What a dataset calls is there as long as what is made of it, and its end waits for nothing."""

import gc
import weakref

import numpy as np
import tensorflow as tf

from podium.data.tf_datasets import keep_alive, weak_callback, without_autotune


class Doubling:
    def double(self, number: np.int64) -> np.int64:
        return 2 * number

    def numbers(self):
        yield from range(3)


def mapped(doubling: Doubling) -> tf.data.Dataset:
    return tf.data.Dataset.range(3).map(
        lambda number: tf.numpy_function(weak_callback(doubling.double), [number], tf.int64)
    )


def generated(doubling: Doubling) -> tf.data.Dataset:
    signature = tf.TensorSpec((), tf.int64)
    numbers = tf.data.Dataset.from_generator(
        weak_callback(doubling.numbers), output_signature=signature
    )
    return numbers.map(lambda number: 2 * number)


def test_it_is_kept_by_what_is_made_of_the_dataset_and_goes_with_it() -> None:
    for make in (mapped, generated):
        doubling = Doubling()
        left = weakref.ref(doubling)
        batches = keep_alive(make(doubling), doubling).batch(2).prefetch(1)
        del doubling
        gc.collect()
        iterator = iter(batches)
        del batches
        gc.collect()
        assert [one.numpy().tolist() for one in iterator] == [[0, 2], [4]]
        del iterator
        gc.collect()
        assert left() is None, f"TensorFlow keeps what is {make.__name__}"


def test_nothing_that_is_made_of_it_is_tuned() -> None:
    one = without_autotune(tf.data.Dataset.range(3))
    other = tf.data.Dataset.range(3).map(lambda number: 2 * number)
    made = tf.data.Dataset.zip((one.map(lambda number: -number).prefetch(1), other)).batch(2)
    assert made.options().autotune.enabled is False
