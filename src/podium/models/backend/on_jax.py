"""Keras on JAX: its devices, batches of one shape each, and what is compiled beside trainings."""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
from keras import tree
from threadpoolctl import threadpool_limits

from podium.data.batches import Batches
from podium.models.backend.initial_values import draw_by_numpy
from podium.system import trim_memory

COMPILES_ALL = True  # what is not compiled runs operation by operation

draw_by_numpy()


class Devices:
    """The TPU's cores or the GPUs of this machine, or its CPU.

    Args:
        names: devices to use, e.g. ("CPU:0", "CPU:1"); all of the kind that JAX prefers if not
            given, and of CPU devices the first.
    """

    jit_compile = True  # of the training step

    def __init__(self, names: Sequence[str] | None = None):
        found = jax.devices()
        self.kind = found[0].platform  # "tpu", "gpu" or "cpu"
        if names is None:
            self._devices = found if self.kind != "cpu" else found[:1]
        else:
            wanted = {name.lower() for name in names}
            self._devices = [one for one in found if f"{one.platform}:{one.id}" in wanted]
        self.strategy = None
        if self.count > 1:  # a copy of the network on each; batches are cut into equal parts
            self.strategy = keras.distribution.DataParallel(
                devices=[f"{one.platform}:{one.id}" for one in self._devices]
            )
        keras.distribution.set_distribution(self.strategy)

    def scope(self) -> AbstractContextManager:
        """Networks and optimizers are made inside this."""
        return self.strategy.scope() if self.strategy else nullcontext()

    @property
    def count(self) -> int:
        """Devices that share a batch."""
        return len(self._devices)

    def check_batch_size(self, batch_size: int) -> None:
        """See that a batch can be cut into equal parts.

        Raises:
            ValueError: it cannot.
        """
        if batch_size % self.count:
            raise ValueError(
                f"batch_size {batch_size} cannot be shared by {self.count} devices: take a "
                f"multiple of {self.count}, at the stages too"
            )

    def set_precision(self, mixed: bool) -> str:
        """Compute in half precision where that is faster. Returns the policy.

        bfloat16 on TPUs and on GPUs that have it (from compute capability 8.0 on), which needs no
        scaled loss; float16 on older ones with tensor cores.
        """
        policy = "float32"
        if mixed and self.kind == "tpu":
            policy = "mixed_bfloat16"
        elif mixed and self.kind == "gpu":
            capability = min(float(one.compute_capability) for one in self._devices)
            policy = "mixed_bfloat16" if capability >= 8 else policy
            policy = "mixed_float16" if 7 <= capability < 8 else policy
        keras.mixed_precision.set_global_policy(policy)
        return policy

    def set_determinism(self, deterministic: bool) -> None:
        """Leave the last bits of no result of BLAS to the number of cores.

        Those of a GPU are left to none by a flag that XLA reads when it starts, see
        `podium.system`.
        """
        self._one_thread = threadpool_limits(1, "blas")

    def __str__(self) -> str:
        if self.kind == "cpu":
            return (
                "CPU, by JAX, where an EfficientNet takes 8 to 10 times as long as by TensorFlow "
                "(without KERAS_BACKEND=jax)"
            )
        kind = {"tpu": "TPU core", "gpu": "GPU"}.get(self.kind, self.kind)
        kind += "s" if self.count > 1 else ""
        return (
            f"{self.count} {kind}, by JAX, which compiles each stage first: minutes for a large "
            "network, once for all folds and runs alike"
        )


class _Fed(keras.utils.PyDataset):
    """Batches in one shape: the last one is filled up with rows that weigh nothing."""

    def __init__(self, batches: Batches):
        super().__init__()
        self.batches = batches
        self._iterator: Iterator[Any] = iter(())

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> tuple:
        if index == 0:  # Keras asks for one after another
            self._iterator = iter(self.batches)
        batch = next(self._iterator)
        size, rows = self.batches.batch_size, self.batches.rows
        parts = batch if isinstance(batch, tuple) else (batch,)
        if self.batches.whole:
            return parts
        parts = tree.map_structure(lambda array: _filled(array, size), parts)
        if len(parts) == 1:
            return parts
        # The mean of a batch is over all of its rows, so that the real ones weigh more.
        there = min(size, rows - index * size)
        weights = np.zeros(size, np.float32)
        weights[:there] = size * len(self.batches) / rows
        return *parts, weights


def feed(batches: Batches) -> keras.utils.PyDataset:
    """The batches as `fit` and `predict` take them; more rows than `batches.rows` come out."""
    return _Fed(batches)


def _filled(array: np.ndarray, size: int) -> np.ndarray:
    """So many rows: the first one again, where there are fewer."""
    missing = size - len(array)
    return np.concatenate([array, np.repeat(array[:1], missing, axis=0)]) if missing else array


def set_rates(
    callback: keras.callbacks.Callback, rate: float, momentum: float | None = None
) -> None:
    """Give the optimizer of a training its learning rate and momentum, before the next step.

    They are put into what the step starts from. To assign them to the variables, which Keras takes
    apart from what it trains, would bring all of these up to date at each step.
    """
    model = callback._model  # `callback.model` does that as well
    if not hasattr(model.train_function, "rates"):
        model.train_function = _with_rates(model.train_function)
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    places = {id(variable): place for place, variable in enumerate(model.optimizer.variables)}
    rates = {places[id(optimizer.learning_rate)]: rate}
    if momentum is not None:
        rates[places[id(optimizer.cycled_momentum)]] = momentum
    model.train_function.rates = rates


def _with_rates(step: Callable) -> Callable:
    """The step of `fit`, which starts from the variables of the optimizer that `rates` names."""

    def call(state: tuple, batches: Iterator[Any]) -> Any:
        optimizer = list(state[2])
        for place, value in call.rates.items():
            # Not put on a device: the step would be compiled once more for such a number.
            optimizer[place] = np.asarray(value, optimizer[place].dtype)
        return step((*state[:2], optimizer, *state[3:]), batches)

    return call


def compiled(
    function: Callable,
    variables: Sequence[keras.Variable],
    changed: Sequence[keras.Variable] = (),
    batch_sizes: Sequence[int] = (),
    image: tuple[int, ...] | None = None,
) -> Callable[[np.ndarray], Any]:
    """A function of batches of images, uint8, that is compiled once for each shape.

    See `on_tensorflow`; without `batch_sizes` it is compiled for each batch as it comes.
    """

    @jax.jit
    def step(values: list[jax.Array], images: jax.Array) -> tuple[Any, list[jax.Array]]:
        with keras.StatelessScope(list(zip(variables, values, strict=True))) as scope:
            found = function(images)
        return found, [scope.get_current_value(variable) for variable in changed]

    def call(images: np.ndarray) -> Any:
        rows = len(images)
        size = next((size for size in sorted(batch_sizes) if size >= rows), rows)
        values = [variable.value for variable in variables]
        found, new = step(values, _filled(np.asarray(images), size))
        for variable, value in zip(changed, new, strict=True):
            variable.assign(value)
        return tree.map_structure(lambda array: array[:rows], found)

    return call


def engine() -> None:
    """None: nothing predicts in JAX's place."""


def compile_network(model: keras.Model, row: np.dtype, serves: bool = False) -> None:
    """None: Keras predicts."""


def column_gradients(function: Callable, inputs: list[Any]) -> list[list[Any]]:
    """The gradient of each column of `function(inputs)`, (batch, columns), by each input."""
    found, pull_back = jax.vjp(function, inputs)
    columns = range(found.shape[1])
    return [pull_back(jax.numpy.zeros_like(found).at[:, one].set(1))[0] for one in columns]


silu = keras.ops.silu  # JAX compiles its gradient with the whole step


def synchronizes_batchnorm() -> bool:
    """Whether BatchNorm must be told to see all of a batch that several devices share.

    It does by itself: what is compiled is written for the whole batch.
    """
    return False


def sum_over_devices(values: list[Any]) -> list[Any]:
    """These: gradients are of the whole batch."""
    return values


def tensorboard(folder: Path) -> list[keras.callbacks.Callback]:
    """Nothing: TensorFlow writes those logs."""
    print(f"no {folder}, which needs TensorFlow: history.csv has the same numbers")
    return []


def free_stage() -> None:
    """Free what the steps of past stages were compiled into, which is on the disk as well."""
    gc.collect()
    jax.clear_caches()
    trim_memory()
