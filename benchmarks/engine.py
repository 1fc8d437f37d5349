"""Podium's predictions on a CPU against Keras' own `predict`, each in processes of their own."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measuring import Row, in_child, in_turns, main

CONTENDERS = {
    "ours": "",
    "keras": "Keras' predict, freed memory kept",
    "plain": "Keras' predict in a plain process",
}


def measure(quick: bool, scratch: Path) -> list[Row]:
    if quick:
        return rows_of("resnet-8", 16, 8, count=16, turns=1, to_reach="")
    return [
        *rows_of("efficientnet-b0", 224, 32, count=256, turns=5, to_reach="≥ 2.7"),
        *rows_of("efficientnet-b4", 260, 16, count=96, turns=5, to_reach="≥ 1.8"),
    ]


def rows_of(
    backbone: str, size: int, batch: int, count: int, turns: int, to_reach: str
) -> list[Row]:
    seen: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTENDERS}

    def run(name: str) -> Callable[[], float]:
        words = {"backbone": backbone, "size": size, "batch": batch, "count": count, "name": name}

        def in_a_process() -> float:
            seen[name].append(in_child("benchmarks.engine", words))
            return seen[name][-1]["rate"]

        return in_a_process

    in_turns({name: run(name) for name in CONTENDERS}, turns, warm_up=False)
    what = f"{backbone}, {count} images of {size} px in memory"
    rows = []
    for name in ("keras", "plain"):
        for key, measured, unit in (
            ("rate", "predicted", "/s"),
            ("first", "the first batch, compiling", "s"),
            ("memory", "peak memory", "GB"),
        ):
            ours, theirs = ([one[key] for one in seen[who]] for who in ("ours", name))
            row = Row(f"{what}, {measured}", CONTENDERS[name], unit, ours, theirs)
            row.note = f"ours by {seen['ours'][0]['engine'] or 'Keras, without OpenVINO'}"
            row.to_reach = to_reach if (key, name) == ("rate", "plain") else ""
            rows.append(row)
    return rows


def child(name: str, backbone: str, size: int, batch: int, count: int) -> dict[str, Any]:
    """Predict random images twice: the first time one batch of them."""
    from podium import system

    if name == "plain":
        system.MALLOC = {}
    system.start_backend()
    import numpy as np

    from benchmarks.small_runs import make_network, make_recipe
    from podium.data.batches import Batches, view_batches
    from podium.models.backend import engine, feed
    from podium.models.inference import predict
    from podium.predictions.tta import VIEWS

    model = make_network(make_recipe(backbone, size, batch, {"epochs": 1})).model
    images = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)

    def batches(count: int) -> Batches:
        indices = np.arange(count)
        return view_batches(images, indices, size=size, batch_size=batch, view=VIEWS[0])

    def seconds(count: int) -> float:
        began = time.perf_counter()
        if name == "ours":
            predict(model, batches(count))
        else:
            model.predict(feed(batches(count)), verbose=0)
        return time.perf_counter() - began

    first = seconds(batch)
    rate = count / seconds(count)
    memory = system.peak_memory_gb()
    return {"rate": rate, "first": first, "memory": memory, "engine": engine()}


if __name__ == "__main__":
    main(measure)
