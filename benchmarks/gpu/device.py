"""The device: its name, its memory, what is compiled for it, how fast it multiplies and copies."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import keras
import numpy as np

from podium.system import peak_memory_gb

TIMED = 10  # products, or copies


def about_device() -> dict[str, Any]:
    """What JAX says of it."""
    first = jax.devices()[0]
    return {
        "device": f"{len(jax.devices())} × {first.device_kind}",
        "jax": jax.__version__,
        "keras": keras.__version__,
    }


def peak_gb() -> float:
    """The most memory in use so far, GB: the device's, or on a CPU this process's."""
    statistics = jax.devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" not in statistics:
        return peak_memory_gb()
    return round(statistics["peak_bytes_in_use"] / 1e9, 2)


@contextmanager
def compilations() -> Iterator[dict[str, int]]:
    """Count what is compiled meanwhile: asked for, and of that what the cache on the disk had."""
    counts = {"asked_for": 0, "from_cache": 0}
    names = {"compile_requests_use_cache": "asked_for", "cache_hits": "from_cache"}

    def count(event: str, **_: object) -> None:
        name = names.get(event.rpartition("/")[2])
        if name:
            counts[name] += 1

    jax.monitoring.register_event_listener(count)
    try:
        yield counts
    finally:
        jax.monitoring.unregister_event_listener(count)


def ceilings(side: int, copied: int) -> dict[str, float]:
    """What the device reaches where it does nothing else.

    Args:
        side: of the square matrices, in the type that Keras computes in.
        copied: bytes; each is read once and written once.

    Returns:
        Operations a second of a matrix product (a multiplication and an addition are two), and
        bytes a second that a copy reads and writes.
    """
    kind = keras.config.dtype_policy().compute_dtype
    random = np.random.default_rng(0)  # zeros are multiplied faster than what is no zero
    matrix = jax.numpy.asarray(random.standard_normal((side, side), np.float32)).astype(kind)
    product = _seconds(jax.jit(lambda one: one @ one), matrix)
    array = jax.numpy.zeros(copied // 4, np.float32)
    copy = _seconds(jax.jit(lambda one: one + 1), array)
    return {"operations_a_second": 2 * side**3 / product, "bytes_a_second": 2 * copied / copy}


def _seconds(work: Callable[[jax.Array], jax.Array], given: jax.Array) -> float:
    work(given).block_until_ready()
    began = time.perf_counter()
    for _ in range(TIMED):
        done = work(given)
    done.block_until_ready()
    return (time.perf_counter() - began) / TIMED
