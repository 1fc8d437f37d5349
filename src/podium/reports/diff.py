"""What differs between two runs: recipe, origin, data, and scores on the same images."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from podium.reports.blocks import Block, TableBlock, Words
from podium.reports.run_data import RunData, read_run_data
from podium.reports.sections.comparison import (
    check_comparable,
    differing,
    recipes_section,
    scores_section,
)
from podium.runs.find_run import find_run
from podium.text import format_table

ORIGIN = ("entry", "commit", "sources", "machine", "backend", "versions", "started")


def diff(one: str, other: str) -> str:
    """Tell two runs or blends of a competition apart, as text.

    Raises:
        RunError: there is none of that name, or none of its folds is scored yet.
        ValueError: they are of several competitions, or judged on different images.
    """
    runs = [read_run_data(find_run(name)) for name in (one, other)]
    check_comparable(runs)
    origins = {run.name: _origin(run.about) for run in runs}
    blocks = [*scores_section(runs).blocks, *recipes_section(runs).blocks]
    blocks += [differing("origins", origins), *map(Words, _data(*runs))]
    return "\n".join(line for block in blocks for line in _lines(block))


def _origin(about: dict[str, Any]) -> dict[str, str]:
    """Where a run comes from; of one that was put together, what its parts say, each once."""
    parts = pd.json_normalize(about.get("parts") or [about]).astype(object)
    kept = [key for key in parts if key.partition(".")[0] in ORIGIN]
    return {key: "; ".join(map(str, parts[key].dropna().unique())) for key in kept}


def _lines(block: Block) -> Iterator[str]:
    if isinstance(block, TableBlock):
        yield from ["", block.caption]
        yield from (f"  {line}" for line in format_table([block.titles, *block.rows]))
    elif isinstance(block, Words):
        yield block.text


def _data(one: RunData, other: RunData) -> Iterator[str]:
    """How the images, labels and folds of two runs differ."""
    first, second = one.train, other.train
    ids = first.index.intersection(second.index)
    only = [f"{len(run.train) - len(ids):,} only in {run.name}" for run in (one, other)]
    yield f"training images: {', '.join([f'{len(ids):,} in both', *only])}"
    for what in ("label", "fold"):
        if what in first and what in second:  # a blend has no folds
            changed = (first.loc[ids, what] != second.loc[ids, what]).sum()
            yield f"another {what}: {changed:,}"
    yield f"test images of another file: {one.folder.changed_test_files(other.folder):,}"
