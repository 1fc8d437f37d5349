"""What the machine computes with: the distribution strategy and the precision for it."""

import gc
from collections.abc import Sequence
from contextlib import AbstractContextManager

import keras
import tensorflow as tf
from tensorflow.python.eager import context
from threadpoolctl import threadpool_limits

from podium.system import trim_memory

FIRST_KERAS = (3, 10)  # whose metrics of several devices are right


class Devices:
    """The GPUs of this machine, or its CPU.

    Under a Keras whose metrics of several devices are false (issues 21061 and 21467: each update
    doubles what it adds to, until they are no numbers) the first of them alone.

    Args:
        names: devices to use, e.g. ("CPU:0", "CPU:1"); all GPUs if not given.
    """

    def __init__(self, names: Sequence[str] | None = None):
        self.gpus = tf.config.list_physical_devices("GPU")
        several = list(names or [f"GPU:{number}" for number in range(len(self.gpus))])
        version = tuple(int(part) for part in keras.__version__.split(".")[:2])
        self.unused = several[1:] if version < FIRST_KERAS else []
        # MirroredStrategy keeps a copy of the network on each and averages their gradients.
        mirrored = len(several) > 1 and not self.unused
        self.strategy = tf.distribute.MirroredStrategy(several) if mirrored else None

    def scope(self) -> AbstractContextManager:
        """Networks and optimizers are made inside this."""
        return (self.strategy or tf.distribute.get_strategy()).scope()

    @property
    def jit_compile(self) -> bool | str:
        """Of the training step: XLA makes EfficientNet several times slower on a CPU."""
        return "auto" if self.gpus else False

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
        if self.unused:
            return (
                f"one device of {len(self.unused) + 1} (Keras {keras.__version__} counts the "
                "metrics of several wrongly: 3.10 or newer uses them all)"
            )
        if self.gpus:
            return f"{len(self.gpus)} GPU" + ("s" if len(self.gpus) > 1 else "")
        return "CPU"


def clear_kernel_cache() -> None:
    """Free what the steps of past stages were made into.

    TensorFlow keeps a few megabytes of each stage's as long as the process lives. The public way
    to free them, `keras.utils.clear_session`, would also forget the precision to compute in.
    """
    gc.collect()  # the steps themselves, with their batches, are in circles
    context.context().clear_kernel_cache()
    trim_memory()
