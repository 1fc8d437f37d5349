"""How long the check of many images takes, and what its index leaves out of all pairs."""

import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
from podium.data.neighbors import SLACK, Cells
from threadpoolctl import threadpool_limits

from podium.data.check import check_images
from podium.data.near_duplicates import MIN_COSINE, TRIMS, _low_frequencies, near_duplicate_groups
from podium.files.image_io import read_image, resize
from podium.system import peak_memory
from torture.copies import KINDS, write_copy, write_made_up
from torture.figures import Figure, say

COUNT = 25_000
SIZE = (500, 375)  # pixels, as dogs-vs-cats has them
BLOCK = 1024


def search_figures(quick: bool, scratch: Path) -> list[Figure]:
    count, size = (150, (160, 120)) if quick else (COUNT, SIZE)
    paths = pd.Series(write_made_up(scratch, count, *size))
    rng = np.random.default_rng(0)
    sources = rng.choice(count, max(len(KINDS), count // 100), replace=False)
    copies = [scratch / f"copy-{number}.jpg" for number in range(len(sources))]
    for number, (source, path) in enumerate(zip(sources, copies, strict=True)):
        kind = list(KINDS)[number % len(KINDS)]
        write_copy(read_image(paths[source]), kind, path, rng)
    paths = pd.concat([paths, pd.Series(copies)], ignore_index=True)

    load, clock, work = os.getloadavg()[0], time.perf_counter(), time.process_time()
    checked = check_images(paths)
    read, read_work = time.perf_counter() - clock, time.process_time() - work
    groups = near_duplicate_groups(checked)
    seconds, work = time.perf_counter() - clock, time.process_time() - work
    found = groups[count:] == groups[sources]
    flagged = count - len(np.unique(groups[:count]))
    memory = peak_memory() / 1e9
    note = (
        f"{size[0]} × {size[1]} JPEGs; {read:.0f} s of it decoding ({read_work:.0f} of {work:.0f} "
        f"core seconds); load {load:.1f} on {os.cpu_count()} cores before it began"
    )
    return [
        Figure(f"{len(paths):,} images checked, s", seconds, "" if quick else "< 180", note),
        # The sample runs in the process of the tests, which has held more.
        Figure("the same: peak memory of the process, GB", memory, "" if quick else "< 2"),
        Figure("the same: planted copies found, share", float(found.mean()), "≥ 0.95"),
        Figure("the same: other images flagged, share", flagged / count, "< 0.001"),
        *index_figures(checked, [count] if quick else [count // 4, count, 4 * count]),
    ]


def index_figures(checked: pd.DataFrame, counts: list[int]) -> list[Figure]:
    """All pairs and the index, one after the other: a copy of each image is looked for."""
    rng = np.random.default_rng(1)
    thumbnails = np.stack(checked["thumbnail"].tolist())
    figures = []
    for count in counts:
        say(f"comparing the index with all pairs, {count:,} images")
        some = thumbnails[:count]
        if count > len(some):  # parts of images, which are others at other places
            parts = [stretched(thumbnails, *place) for place in ((0, 0), (0, 1), (1, 0), (1, 1))]
            some = np.concatenate(parts)[:count]
        points = _low_frequencies(some, 0)
        others = np.stack([rim_off(thumbnail, rng) for thumbnail in some])
        views = [_low_frequencies(others, trim) for trim in (0, *TRIMS)]
        with threadpool_limits(1, "blas"):  # as in duplicates.py
            clock = time.process_time()
            all_pairs = {key for view in views for key in compared(view, points)}
            middle = time.process_time()
            cells = Cells(points)
            found = {key for view in views for key in indexed(cells, view, count)}
            end = time.process_time()
        figures += [
            Figure(
                f"{count:,} images: pairs that the index finds, share of all",
                len(found & all_pairs) / max(1, len(all_pairs)),
                "≥ 0.995",
                f"of {len(all_pairs)} with a cosine of {MIN_COSINE} or more, slack {SLACK}",
            ),
            Figure(
                f"{count:,} images: core seconds of all pairs / of the index",
                (middle - clock) / (end - middle),
                note=f"{middle - clock:.1f} s / {end - middle:.1f} s; without decoding",
            ),
        ]
    return figures


def stretched(thumbnails: np.ndarray, down: int, right: int) -> np.ndarray:
    """A quarter of each thumbnail, its pixels doubled."""
    half = thumbnails.shape[1] // 2
    quarter = thumbnails[:, down * half :, right * half :][:, :half, :half]
    return quarter.repeat(2, axis=1).repeat(2, axis=2)


def rim_off(thumbnail: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Up to a tenth off each side, which the index may miss as well."""
    above, below, left, right = rng.integers(0, 7, 4)
    side = len(thumbnail)
    return resize(thumbnail[above : side - below, left : side - right], side, side)


def compared(view: np.ndarray, points: np.ndarray) -> list[int]:
    keys: list[int] = []
    for start in range(0, len(view), BLOCK):
        near = np.flatnonzero(view[start : start + BLOCK] @ points.T >= MIN_COSINE)
        keys += (near + start * len(points)).tolist()
    return keys


def indexed(cells: Cells, view: np.ndarray, count: int) -> list[int]:
    pairs = [found[:, 0] * count + found[:, 1] for found in cells.near(view, MIN_COSINE)]
    return np.concatenate(pairs).tolist() if pairs else []
