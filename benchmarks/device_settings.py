"""Ways to compute: XLA, bfloat16 and oneDNN, on and off, against what `Devices` chooses here."""

import subprocess
import time
from pathlib import Path
from typing import Any

from benchmarks.measuring import Row, in_child, main, say

LIMIT = 240  # seconds that a process may take, most of them to compile
CHOSEN = "what Devices chooses"


def measure(quick: bool, scratch: Path) -> list[Row]:
    backbone, size, batch = ("resnet-8", 16, 2) if quick else ("efficientnet-b0", 64, 8)
    words = {"backbone": backbone, "size": size, "batch": batch, "steps": 3 if quick else 15}

    def run(name: str, settings: dict[str, Any], environment: dict[str, str]) -> dict[str, Any]:
        say(f"  {name}")
        return in_child("benchmarks.device_settings", words | settings, LIMIT, **environment)

    first = run(CHOSEN, {}, {})
    others = alternatives(first)
    if quick:
        others = {"mixed_bfloat16": others["mixed_bfloat16"]}
    seen: dict[str, list[float]] = {name: [] for name in [CHOSEN, *others]}
    too_slow = []
    for turn in range(1 if quick else 2):
        again = run(CHOSEN, {}, {}) if turn else first
        seen[CHOSEN].append(again["milliseconds"])
        for name, (settings, environment) in others.items():
            if name in too_slow:
                continue
            try:
                seen[name].append(run(name, settings, environment)["milliseconds"])
            except subprocess.TimeoutExpired:
                too_slow.append(name)
    fastest = min((name for name in seen if seen[name]), key=lambda name: min(seen[name]))
    what = f"{backbone}, train step, {batch} at {size} px, {first['what']}"
    note = f"each in processes of its own, steps after the first; fastest here: {fastest}"
    rows = []
    for name in others:
        if name in too_slow:
            rows.append(Row.left_out(what, name, f"{name} took more than {LIMIT} s to compile"))
        else:
            rows.append(Row(what, name, "ms", seen[CHOSEN], seen[name], to_reach="≤ 1.05"))
            rows[-1].note = note
    return rows


def alternatives(chosen: dict[str, Any]) -> dict[str, tuple[dict[str, Any], dict[str, str]]]:
    """Every other way by its name: settings of Keras, and variables of the environment.

    TensorFlow reads those when it is imported.
    """
    others: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
        policy: ({"policy": policy}, {})
        for policy in ("float32", "mixed_bfloat16", "mixed_float16")
        # A CPU has no float16.
        if policy != chosen["policy"] and (chosen["gpus"] or policy != "mixed_float16")
    }
    one_dnn = "0" if chosen["one_dnn"] else "1"
    others[f"oneDNN {'off' if chosen['one_dnn'] else 'on'}"] = (
        {},
        {"TF_ENABLE_ONEDNN_OPTS": one_dnn},
    )
    others["XLA off" if chosen["jit_compile"] else "XLA on"] = (
        {"jit_compile": not chosen["jit_compile"]},
        {},
    )
    return others


def child(
    backbone: str,
    size: int,
    batch: int,
    steps: int,
    jit_compile: bool | None = None,
    policy: str | None = None,
) -> dict[str, Any]:
    """The median step of a training, in milliseconds; what is not given, `Devices` chooses."""
    import benchmarks.quiet  # noqa: F401

    # isort: split
    import os

    import keras
    import numpy as np
    import tensorflow as tf

    from benchmarks.small_runs import make_network, make_recipe
    from podium.models.backend import Devices

    devices = Devices()
    precision = devices.set_precision(mixed=True)
    keras.mixed_precision.set_global_policy(policy or precision)
    jit = devices.jit_compile if jit_compile is None else jit_compile
    model = make_network(make_recipe(backbone, size, batch, {"epochs": 1})).model
    model.compile("adam", "categorical_crossentropy", jit_compile=jit)
    random = np.random.default_rng(0)
    images = tf.constant(random.integers(0, 256, (batch, size, size, 3), np.uint8))
    labels = tf.constant(np.eye(6, dtype=np.float32)[np.arange(batch) % 6])
    took = []
    for _ in range(steps + 1):
        began = time.perf_counter()
        model.train_on_batch(images, labels)
        took.append(time.perf_counter() - began)
    one_dnn = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1") != "0"  # on is TensorFlow's default
    return {
        "milliseconds": 1000 * float(np.median(took[1:])),
        "what": f"{CHOSEN}: XLA {jit}, {precision}, oneDNN {'on' if one_dnn else 'off'}",
        "gpus": len(devices.gpus),
        "policy": precision,
        "jit_compile": jit,
        "one_dnn": one_dnn,
    }


if __name__ == "__main__":
    main(measure)
