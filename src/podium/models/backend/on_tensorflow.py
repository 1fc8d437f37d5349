"""Keras on TensorFlow: its devices, its datasets, and what is compiled beside its trainings."""

import gc
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context
from threadpoolctl import threadpool_limits

from podium.data.batches import Batches
from podium.system import keep_freed_memory, trim_memory

# XLA compiles a network for each shape: a last batch of fewer images would wait for it. So it
# compiles training alone, and that on a GPU.
COMPILES_ALL = False


class Devices:
    """The GPUs of this machine, or its CPU.

    Args:
        names: devices to use, e.g. ("CPU:0", "CPU:1"); all GPUs if not given.
    """

    def __init__(self, names: Sequence[str] | None = None):
        self.gpus = tf.config.list_physical_devices("GPU")
        several = list(names or [f"GPU:{number}" for number in range(len(self.gpus))])
        # MirroredStrategy keeps a copy of the network on each and averages their gradients.
        self.strategy = tf.distribute.MirroredStrategy(several) if len(several) > 1 else None

    def scope(self) -> AbstractContextManager:
        """Networks and optimizers are made inside this."""
        return (self.strategy or tf.distribute.get_strategy()).scope()

    @property
    def count(self) -> int:
        """Devices that share a batch."""
        return self.strategy.num_replicas_in_sync if self.strategy else 1

    @property
    def jit_compile(self) -> bool | str:
        """Of the training step: XLA makes EfficientNet several times slower on a CPU."""
        return "auto" if self.gpus else False

    def check_batch_size(self, batch_size: int) -> None:
        """Nothing: a batch is shared in parts of any size."""

    def set_precision(self, mixed: bool) -> str:
        """Compute in float16 where that is faster: GPUs with tensor cores. Returns the policy."""
        details = [tf.config.experimental.get_device_details(gpu) for gpu in self.gpus]
        tensor_cores = all(detail.get("compute_capability", (0, 0)) >= (7, 0) for detail in details)
        policy = "mixed_float16" if mixed and self.gpus and tensor_cores else "float32"
        keras.mixed_precision.set_global_policy(policy)
        return policy

    def set_determinism(self, deterministic: bool) -> None:
        """Leave the last bits of no result to the number of cores, or to chance.

        Args:
            deterministic: on a GPU too, where it takes time: convolutions' gradients, for one, are
                summed up in the order in which the threads happen to end. It lasts as long as the
                process.
        """
        # BLAS' too, which cuts its sums by the number of its threads.
        self._one_thread = threadpool_limits(1, "blas")
        if deterministic:
            tf.config.experimental.enable_op_determinism()

    def __str__(self) -> str:
        if self.gpus:
            return f"{len(self.gpus)} GPU" + ("s" if len(self.gpus) > 1 else "")
        return "CPU"


def feed(batches: Batches) -> tf.data.Dataset:
    """The batches as `fit` and `predict` take them.

    They go once they are done with, at once and with what they are made of: TensorFlow keeps what
    `from_generator` is given until the process ends, and would keep with it the images of a run,
    a gigabyte of features of each head stage. And nothing tunes the dataset: the end of an iterator
    waits for the thread that does, which sleeps for up to a minute.
    """
    held = weakref.ref(batches)
    batch_size = batches.batch_size if batches.whole else None
    signature = tf.nest.map_structure(
        lambda row: tf.TensorSpec((batch_size, *row.shape), row.base), batches.row
    )

    def begin() -> Iterator[Any]:
        keep_freed_memory()  # a dataset of a generator has just told the C library otherwise
        return iter(held())

    dataset = tf.data.Dataset.from_generator(begin, output_signature=signature)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(batches))).prefetch(1)
    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = dataset.with_options(options)
    dataset.batches = batches  # kept by it and by the datasets and iterators made of it
    return dataset


def set_rates(
    callback: keras.callbacks.Callback, rate: float, momentum: float | None = None
) -> None:
    """Give the optimizer of a training its learning rate and momentum, before the next step."""
    # Mixed precision wraps the optimizer in one that scales the loss.
    optimizer = getattr(callback.model.optimizer, "inner_optimizer", callback.model.optimizer)
    optimizer.learning_rate = rate
    if momentum is not None:
        optimizer.cycled_momentum.assign(momentum)


def compiled(
    function: Callable,
    variables: Sequence[keras.Variable],
    changed: Sequence[keras.Variable] = (),
    batch_sizes: Sequence[int] = (),
    image: tuple[int, ...] | None = None,
) -> Callable[[np.ndarray], Any]:
    """A function of batches of images, uint8, that is traced once, or once for each shape.

    Args:
        variables: that it reads.
        changed: those of them that it changes, which then have new values after each call.
        batch_sizes: for which it is compiled, where that depends on them: smaller batches are
            filled up. None: for each as it comes.
        image: the shape of an image where all are of one, so that it is traced once.
    """
    if image is None:  # traced for two shapes, the second time for all others
        return tf.function(function, reduce_retracing=True)
    return tf.function(function, input_signature=[tf.TensorSpec((None, *image), tf.uint8)])


def column_gradients(function: Callable, inputs: list[Any]) -> list[list[Any]]:
    """The gradient of each column of `function(inputs)`, (batch, columns), by each input."""
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        columns = tf.unstack(function(inputs), axis=1)
    return [tape.gradient(column, inputs) for column in columns]


@tf.custom_gradient
def silu(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """x * sigmoid(x), also called swish (arXiv:1710.05941); maps (batch, height, width, channels).

    On a CPU its gradient is compiled to one pass over the maps: TensorFlow's own is six operations,
    which took a seventh of the time of a training step of B4.
    """
    on_cpu = x.dtype == tf.float32 and not tf.config.list_logical_devices("GPU")
    gradient = _silu_gradient if on_cpu else _silu_gradient.python_function
    return x * tf.sigmoid(x), lambda upstream: gradient(upstream, x)


_MAPS = tf.TensorSpec((None, None, None, None))


@tf.function(input_signature=(_MAPS, _MAPS), jit_compile=True)
def _silu_gradient(upstream: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    sigmoid = tf.sigmoid(x)
    return upstream * sigmoid * (1 + x * (1 - sigmoid))


def synchronizes_batchnorm() -> bool:
    """Whether BatchNorm must be told to see all of a batch that several devices share."""
    return tf.distribute.get_strategy().num_replicas_in_sync > 1


def sum_over_devices(values: list[Any]) -> list[Any]:
    """Sum what each device has found for its part of the batch, within a step."""
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return values
    return replica.all_reduce(tf.distribute.ReduceOp.SUM, values)


def tensorboard(folder: Path) -> list[keras.callbacks.Callback]:
    """What writes a training's logs for TensorBoard into a folder."""
    return [keras.callbacks.TensorBoard(str(folder))]


def free_stage() -> None:
    """Free what the steps of past stages were made into.

    TensorFlow keeps a few megabytes of each stage's as long as the process lives. The public way
    to free them, `keras.utils.clear_session`, would also forget the precision to compute in.
    """
    gc.collect()  # the steps themselves, with their batches, are in circles
    context.context().clear_kernel_cache()
    trim_memory()
