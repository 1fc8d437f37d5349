"""Datasets that go once they are done with, at once and with what they were made of.

TensorFlow keeps what `numpy_function` and `from_generator` are given until the process ends, and
with it all that it knows of: the images of a run, a gigabyte of features of each head stage. And
the end of an iterator waits for a thread that tunes the dataset: after half a minute of training it
sleeps for a quarter of one, later for a whole one.
"""

import os
import weakref
from collections.abc import Callable
from typing import Any

import tensorflow as tf

PREFETCHED = 2  # batches, beside those that are being made


def weak_callback(method: Callable) -> Callable:
    """Calls a method without keeping its object; `keep_alive` does, as long as it is needed."""
    held = weakref.WeakMethod(method)

    def call(*arguments: Any) -> Any:
        return held()(*arguments)

    return call


def keep_alive(dataset: tf.data.Dataset, called: Any) -> tf.data.Dataset:
    """The dataset, which keeps what it calls, as do the datasets and iterators made of it."""
    dataset.called = called
    return dataset


def without_autotune(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The dataset with threads and buffers as they were given; so is what is made of it."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def num_threads() -> int:
    """How many batches are made at once: one per core, and each on one thread.

    A batch is one call into Python: calls for single images, and TensorFlow's copies of them,
    take as long as augmenting them.
    """
    return os.cpu_count() or 1
