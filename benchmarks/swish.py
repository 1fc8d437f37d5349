"""Swish in EfficientNet: Podium's backbones against other ways to compute it.

The `efficientnet` package looks for `keras.backend.tf`, which Keras 3 has no more, and falls back
to x * sigmoid(x): two operations, of which each keeps its result for the gradient.
"""

import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from benchmarks.measuring import Row, in_child, in_turns, main, say
from podium.system import peak_memory

PODIUM = "podium"
PEERS = {
    "keras.applications": "keras.applications' {}",
    "package": "x * sigmoid(x), the package's fallback",
    "silu": "keras.activations.silu",
}


def measure(quick: bool, scratch: Path) -> list[Row]:
    if quick:
        return time_rows("b0", 32, 1, ["keras.applications"], ["predict"], turns=1)
    rows = time_rows("b0", 96, 16, list(PEERS), ["predict", "train"], turns=7)
    rows += memory_rows("b0", 96, 32, list(PEERS), turns=2)
    rows += time_rows("b4", 96, 8, ["keras.applications"], ["predict", "train"], turns=7)
    return rows + memory_rows("b4", 96, 16, ["keras.applications"], turns=1)


def time_rows(
    letter: str, size: int, batch: int, peers: list[str], kinds: list[str], turns: int
) -> list[Row]:
    """Steps of these kinds, all in one process."""
    say(f"efficientnet-{letter}: time")
    steps = {name: Steps(name, letter, size, batch) for name in [PODIUM, *peers]}
    rows = []
    for what in kinds:
        contenders = {name: getattr(one, what) for name, one in steps.items()}
        measured = in_turns(contenders, turns)
        for name in peers:
            row = _row(f"{what} step", name, letter, size, batch, "ms")
            row.ours, row.theirs = measured[PODIUM], measured[name]
            rows.append(row)
    return rows


def memory_rows(letter: str, size: int, batch: int, peers: list[str], turns: int) -> list[Row]:
    """Peak memory of a training step, each network in a process of its own."""
    say(f"efficientnet-{letter}: memory")

    def peak(name: str) -> Callable[[], float]:
        settings = {"name": name, "letter": letter, "size": size, "batch": batch}
        return lambda: in_child("benchmarks.swish", settings)["megabytes"]

    names = [PODIUM, *peers]
    measured = in_turns({name: peak(name) for name in names}, turns, warm_up=False)
    rows = []
    for name in peers:
        row = _row("train step, peak memory", name, letter, size, batch, "MB")
        row.ours, row.theirs = measured[PODIUM], measured[name]
        row.note = "of the whole process, TensorFlow's libraries and tracing included"
        rows.append(row)
    return rows


def _row(what: str, name: str, letter: str, size: int, batch: int, unit: str) -> Row:
    of = f"EfficientNet{letter.upper()}"
    row = Row(f"{of}, {what}, {batch} at {size} px", PEERS[name].format(of), unit)
    if name == "keras.applications":
        row.to_reach = "≤ 1.02" if unit == "ms" else "≤ 1"
    return row


class Steps:
    """A network with a small head, and the time that it takes for a batch, in milliseconds."""

    REPEATS = 3

    def __init__(self, name: str, letter: str, size: int, batch: int):
        import benchmarks.quiet  # noqa: F401

        # isort: split
        import keras
        import numpy as np
        import tensorflow as tf

        from podium.models.backbones import Preprocessing

        images = keras.Input((size, size, 3), dtype="uint8")
        maps = build(name, letter)(Preprocessing("torch")(images))
        pooled = keras.layers.GlobalAveragePooling2D()(maps)
        self.model = keras.Model(images, keras.layers.Dense(6, "softmax")(pooled))
        self.model.compile("adam", "categorical_crossentropy", jit_compile=False)
        random = np.random.default_rng(0)
        self.images = tf.constant(random.integers(0, 256, (batch, size, size, 3), np.uint8))
        self.labels = tf.constant(np.eye(6, dtype=np.float32)[np.arange(batch) % 6])

    def predict(self) -> float:
        return self._each(lambda: self.model.predict_on_batch(self.images))

    def train(self) -> float:
        return self._each(lambda: self.model.train_on_batch(self.images, self.labels))

    def _each(self, step: Callable) -> float:
        began = time.perf_counter()
        for _ in range(self.REPEATS):
            step()
        return 1000 * (time.perf_counter() - began) / self.REPEATS


def build(name: str, letter: str):
    """The backbone without weights, with swish in the way of that name."""
    import efficientnet.model
    import keras

    from podium.models.backbones import get_backbone

    if name == "keras.applications":
        make = getattr(keras.applications, f"EfficientNet{letter.upper()}")
        return make(weights=None, include_top=False, input_shape=(None, None, 3))
    if name == PODIUM:
        return get_backbone(f"efficientnet-{letter}").build(None)
    swish = {"package": lambda x: x * keras.ops.sigmoid(x), "silu": keras.activations.silu}[name]
    with mock.patch.object(efficientnet.model, "get_swish", lambda **modules: swish):
        return get_backbone(f"efficientnet-{letter}").build(None)


def child(name: str, letter: str, size: int, batch: int) -> dict[str, float]:
    steps = Steps(name, letter, size, batch)
    steps.train()
    return {"megabytes": peak_memory() / 1e6}


if __name__ == "__main__":
    main(measure)
