"""A training step on a CPU: Podium's against plain Keras', and against timm's on PyTorch.

`python -m benchmarks.training_step --profile` also tells where the time of Podium's goes.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measuring import ROOT, Row, in_child, in_turns, main, say

ENVIRONMENT = ROOT / "build" / "timm"  # PyTorch is not among Podium's packages
KEPT = {  # what Podium sets for itself, for a process that cannot
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**33),
    "MALLOC_TOP_PAD_": str(2**26),
}
PEERS = {
    "plain Keras": ("plain Keras: its swish, freed memory given back", "≥ 1.25"),
    "timm": ("timm on PyTorch, channels_last, as its users run it", "≥ 1.2"),
    "timm, memory kept": ("the same with glibc's thresholds raised", "≥ 0.9"),
}


def measure(quick: bool, scratch: Path) -> list[Row]:
    name, size, batch, steps, turns = "b4", 224, 16, 6, 5
    if quick:
        name, size, batch, steps, turns = "b0", 32, 2, 1, 1
    settings = {"name": name, "size": size, "batch": batch, "steps": steps}
    contenders: dict[str, Callable[[], float]] = {
        "podium": lambda: in_child("benchmarks.training_step", settings),
        "plain Keras": lambda: in_child("benchmarks.training_step", {**settings, "plain": True}),
    }
    missing = "" if quick else _make_environment()
    if not quick and not missing:
        words = [f"tf_efficientnet_{name}", *map(str, (size, batch, steps))]
        contenders["timm"] = lambda: _timm(words, {})
        contenders["timm, memory kept"] = lambda: _timm(words, KEPT)
    measured = in_turns(contenders, turns, warm_up=False)
    rows = []
    for peer, (against, to_reach) in PEERS.items():
        what = f"a training step of {name.upper()}, {batch} images at {size} px"
        if peer in measured:
            ours, theirs = measured["podium"], measured[peer]
            rows.append(Row(what, against, "images/s", ours, theirs, to_reach=to_reach))
            rows[-1].note = "all layers but BatchNorm learn, AdamW, clipped gradients"
        elif missing:
            rows.append(Row.left_out(what, against, missing))
    return rows


def _make_environment() -> str:
    """Install timm into an environment of its own; why that is not to be had, or ""."""
    if (ENVIRONMENT / "installed").exists():
        return ""
    say("  installing timm and PyTorch")
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", ENVIRONMENT], check=True)
        packages = ["torch", "torchvision", "timm"]
        pip = [ENVIRONMENT / "bin" / "python", "-m", "pip", "install", "--quiet", *packages]
        subprocess.run(pip, check=True, timeout=1200)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        return f"timm cannot be installed here ({type(error).__name__})"
    (ENVIRONMENT / "installed").touch()
    return ""


def _timm(words: list[str], env: dict[str, str]) -> float:
    command = [ENVIRONMENT / "bin" / "python", ROOT / "benchmarks" / "timm_step.py", *words]
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | env
    done = subprocess.run(command, env=env, check=True, capture_output=True, text=True, timeout=900)
    return float(done.stdout)


def child(name: str, size: int, batch: int, steps: int, plain: bool = False) -> float:
    """Images a second of a step, in this process."""
    step = make_step(name, size, batch, plain)
    times = []
    for _ in range(steps + 2):  # the first two trace and warm up
        began = time.perf_counter()
        step()
        times.append(time.perf_counter() - began)
    return batch / median(times[2:])


def make_step(name: str, size: int, batch: int, plain: bool) -> Callable[[], Any]:
    """A step of the network with a head for ten classes, all layers but BatchNorm learning."""
    if plain:
        import podium.system

        podium.system.keep_freed_memory = lambda: None
    import benchmarks.quiet  # noqa: F401

    # isort: split
    import keras
    import numpy as np
    import tensorflow as tf

    import podium.models.backbones
    from benchmarks.small_runs import make_network, make_recipe
    from podium.training.optimizers import make_optimizer

    if plain:
        podium.models.backbones._OPERATIONS.tf.nn.swish = keras.ops.silu
    stage = {"unfreeze": "all", "epochs": 1}
    recipe = make_recipe(
        f"efficientnet-{name}", size, batch, stage, optimizer="adamw", clip_norm=1.0
    )
    network = make_network(recipe)
    network.unfreeze("all", train_batchnorm=False)
    model, classes = network.model, network.model.output_shape[-1]
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)
    model.compile(make_optimizer(recipe, 1e-4), loss, metrics=["accuracy"], jit_compile=False)
    random = np.random.default_rng(0)
    images = tf.constant(random.integers(0, 256, (batch, size, size, 3), np.uint8))
    labels = tf.constant(np.eye(classes, dtype=np.float32)[random.integers(0, classes, batch)])
    return lambda: model.train_on_batch(images, labels)


def profile(name: str = "b4", size: int = 224, batch: int = 16) -> None:
    """Print which operations of a step take the time of its threads, by TensorFlow's profiler."""
    step = make_step(name, size, batch, plain=False)
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf.xplane_pb2 import XSpace

    for _ in range(3):
        step()
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            step()
        (path,) = Path(folder).rglob("*.xplane.pb")
        (plane,) = [p for p in XSpace.FromString(path.read_bytes()).planes if "CPU" in p.name]
    spent: Counter[tuple[str, str]] = Counter()
    for line in plane.lines:
        for event in line.events:
            node, colon, operation = plane.event_metadata[event.metadata_id].name.rpartition(":")
            if colon and "/" in node and "::" not in node + colon + operation:
                part = "backward" if "gradient_tape" in node else "forward"
                part = "optimizer" if "adam" in node or "clip" in node else part
                spent[part, operation.split("#")[0]] += event.duration_ps
    whole = spent.total()
    print(f"{whole / 1e9:.0f} ms of all threads")
    for (part, operation), picoseconds in spent.most_common(20):
        print(f"{picoseconds / 1e9:8.1f} ms {picoseconds / whole:6.1%}  {part}: {operation}")


if __name__ == "__main__":
    if "--profile" in sys.argv:
        profile()
    else:
        main(measure)
