"""Leaks: planted near-copies, and 25,000 images checked.

With PODIUM_INPUT, copies are planted among the images of each competition that has some there.
Stored splits that leak are in tests/data/test_table.py.
"""

import time
from pathlib import Path

import numpy as np
import pandas as pd

from podium.data.check import check_images
from podium.data.near_duplicates import near_duplicate_groups
from podium.system import peak_memory
from robustness.copies import KINDS, write_copy, write_made_up
from robustness.figures import Figure
from robustness.planted import planted_figures

COUNT, SIZE = 25_000, (500, 375)  # images, and their pixels, as dogs-vs-cats has them
QUICK_COUNT, QUICK_SIZE = 150, (160, 120)


def campaign(quick: bool, scratch: Path) -> list[Figure]:
    return [
        *planted_figures(quick, scratch / "planted"),
        *time_figures(quick, scratch / "many"),
    ]


def time_figures(quick: bool, scratch: Path) -> list[Figure]:
    """How long the check of many images takes, and what it finds among them."""
    count, size = (QUICK_COUNT, QUICK_SIZE) if quick else (COUNT, SIZE)
    paths = write_made_up(scratch, count, *size)
    rng = np.random.default_rng(0)
    sources = rng.choice(count, max(len(KINDS), count // 100), replace=False)
    for number, source in enumerate(sources):
        paths.append(scratch / f"copy-{number}.jpg")
        write_copy(paths[source], list(KINDS)[number % len(KINDS)], paths[-1], rng)
    clock = time.perf_counter()
    groups = near_duplicate_groups(check_images(pd.Series(paths)))
    seconds = time.perf_counter() - clock
    found = groups[count:] == groups[sources]
    flagged = count - len(np.unique(groups[:count]))
    what = f"{len(paths):,} JPEGs of {size[0]} × {size[1]} checked"
    return [
        Figure(f"{what}, s", seconds, "" if quick else "< 180"),
        # The sample runs in the process of the tests, which has held more.
        Figure(f"{what}: peak memory, GB", peak_memory() / 1e9, "" if quick else "< 2"),
        Figure(f"{what}: planted copies found, share", float(found.mean()), "≥ 0.95"),
        Figure(f"{what}: other images flagged, share", flagged / count, "< 0.001"),
    ]
