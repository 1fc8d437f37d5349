"""Predicting k views of each image against k times one view."""

from collections.abc import Sequence
from pathlib import Path

import benchmarks.quiet  # noqa: F401

# isort: split
import numpy as np
import pandas as pd

from benchmarks.drawing import CLASSES, draw
from benchmarks.measuring import Row, in_turns, main, say, seconds
from benchmarks.small_runs import make_network, make_recipe
from podium.data.batches import ImageArray, ImageCache
from podium.predictions.predict import predict_views
from podium.predictions.tta import VIEWS
from podium.recipes.recipe import CACHED_DETAIL

VIEW_COUNT = 4  # as recipes have it unless they say otherwise
BATCH = 16


class Counting(Sequence[ImageArray]):
    """Images of a cache that keeps none: each time one is taken, it is decoded."""

    def __init__(self, paths: list[Path], side: int):
        self._cache = ImageCache(paths, side, memory_share=0.0)
        self.decoded = 0

    def __len__(self) -> int:
        return len(self._cache)

    def __getitem__(self, index: int) -> ImageArray:  # type: ignore[override]
        self.decoded += 1
        return self._cache[index]


def measure(quick: bool, scratch: Path) -> list[Row]:
    backbone, size = ("resnet-8", 16) if quick else ("efficientnet-b0", 96)
    paths = draw(scratch / "images", 24 if quick else 160, (64, 48) if quick else (320, 240))
    model = make_network(make_recipe(backbone, size, BATCH, {"epochs": 1})).model
    side = round(size * CACHED_DETAIL)
    kept, counted = ImageCache(paths, side, memory_share=0.5), Counting(paths, side)
    indices, ids = np.arange(len(paths)), pd.Index([path.stem for path in paths])
    classes = [f"class {number}" for number in range(CLASSES)]

    def predict(cache: Sequence[ImageArray], views: int) -> float:
        return seconds(
            lambda: predict_views(model, cache, indices, ids, classes, VIEWS[:views], size, BATCH)
        )

    what = f"{VIEW_COUNT} views of {len(paths)} images, {backbone} at {size} px"
    rows = []
    for cache, where in ((kept, "images in memory"), (counted, "images decoded")):
        say(where)
        measured = in_turns(
            {
                "all": lambda cache=cache: predict(cache, VIEW_COUNT),
                "one": lambda cache=cache: predict(cache, 1) * VIEW_COUNT,
            },
            turns=2 if quick else 7,
        )
        row = Row(f"{what}, {where}", f"{VIEW_COUNT} times one view", "s", **_both(measured))
        row.to_reach = "≤ 1.02"
        rows.append(row)
    counted.decoded = 0
    predict(counted, VIEW_COUNT)
    decodes = [counted.decoded / len(paths)]
    rows.append(Row(f"decodes of each image for {VIEW_COUNT} views", "once", "", decodes, [1.0]))
    rows[-1].to_reach = "≤ 1"
    return rows


def _both(measured: dict[str, list[float]]) -> dict[str, list[float]]:
    return {"ours": measured["all"], "theirs": measured["one"]}


if __name__ == "__main__":
    main(measure)
