"""Python that a dataset calls, and that goes with the dataset.

TensorFlow keeps what `numpy_function` and `from_generator` are given until the process ends, and
with it all that it knows of: the pictures of a run, a gigabyte of features of each head stage.
"""

import weakref
from collections.abc import Callable
from typing import Any

import tensorflow as tf


def weakly(method: Callable) -> Callable:
    """Calls a method without keeping its object; `keeping` does, as long as it is needed."""
    held = weakref.WeakMethod(method)

    def call(*arguments: Any) -> Any:
        return held()(*arguments)

    return call


def keeping(dataset: tf.data.Dataset, called: Any) -> tf.data.Dataset:
    """The dataset, which keeps what it calls, as do the datasets and iterators made of it."""
    dataset.called = called
    return dataset
