"""What differs between two runs: recipe, sources, data, and scores on the same images."""

from collections.abc import Iterator, Sequence

import pandas as pd

from podium.reports.blocks import TableBlock, Words
from podium.reports.run_data import RunData, read_run_data
from podium.reports.sections.comparison import check_comparable, recipes_section, scores_section
from podium.runs.find_run import find_run
from podium.text import format_table


def diff(one: str, other: str) -> str:
    """Tell two runs or blends of a competition apart, as text.

    Raises:
        RunError: there is none of that name, or none of its folds is scored yet.
        ValueError: they are of several competitions, or judged on different images.
    """
    runs = [read_run_data(find_run(name)) for name in (one, other)]
    check_comparable(runs)
    lines: list[str] = []
    for section in (scores_section(runs), recipes_section(runs)):
        for block in section.blocks:
            if isinstance(block, TableBlock):
                lines += [block.caption, *_indented([block.titles, *block.rows])]
            elif isinstance(block, Words):
                lines.append(block.text)
            lines.append("")
    lines += ["Origin", *_indented(_origins(runs)), "", "Data"]
    lines += [f"  {line}" for line in _data(*runs)]
    return "\n".join(lines)


def _indented(rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"  {line}" for line in format_table(rows)]


def _origins(runs: Sequence[RunData]) -> list[tuple[str, ...]]:
    """Of what the two were made, as far as it is not the same."""
    told = []
    for run in runs:
        parts = run.about.get("parts") or [run.about]
        keys = ("entry", "commit", "sources", "machine", "backend", "started")
        about = {key: {str(part.get(key) or "") for part in parts} for key in keys}
        for part in parts:
            for name, version in part.get("versions", {}).items():
                about.setdefault(f"version of {name}", set()).add(str(version))
        told.append({key: ", ".join(sorted(values)) for key, values in about.items()})
    table = pd.DataFrame(told, index=[run.name for run in runs]).T.fillna("")
    differing = table[table.iloc[:, 0] != table.iloc[:, 1]]
    return [("", *table.columns), *(tuple(row) for row in differing.itertuples())]


def _data(one: RunData, other: RunData) -> Iterator[str]:
    """How the images, labels and folds of two runs differ."""
    first, second = one.train, other.train
    ids = first.index.intersection(second.index)
    only = f"{len(first) - len(ids):,} only in {one.name}, {len(second) - len(ids):,} only in "
    yield f"training images: {len(ids):,} in both, {only}{other.name}"
    for what in ("label", "fold"):
        if what in first and what in second:
            changed = (first.loc[ids, what] != second.loc[ids, what]).sum()
            yield f"another {what}: {changed:,}"
    yield f"test images of another file: {one.folder.changed_test_files(other.folder):,}"
