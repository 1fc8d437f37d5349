"""Runs of one competition side by side: scores, differences, curves, classes, images."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from podium.predictions.score import score, with_interval
from podium.reports.blocks import (
    Block,
    Chart,
    Charts,
    ImageGrid,
    ImageTile,
    Section,
    TableBlock,
    Words,
    duration,
    gained,
    interval,
    scored,
)
from podium.reports.curves import learning_curve
from podium.reports.run_data import RunData
from podium.reports.sections.classes import by_class, calibration_bins, calibration_error
from podium.reports.thumbnails import thumbnail

SHOWN = 7  # images of a kind
SHOWN_RUNS = 4  # whose images are set against the first run's
FOLDED = 30  # classes


class NotComparable(ValueError):
    """Runs that have nothing to be compared by."""


def check_comparable(runs: Sequence[RunData]) -> None:
    """Raises NotComparable where they are of several competitions, or judged on other images."""
    names = {one.competition.name for one in runs}
    if len(names) > 1:
        raise NotComparable(
            f"these runs are of several competitions ({', '.join(sorted(names))}): name runs of one"
        )
    for other in runs[1:]:
        if common(runs[0], other).empty:
            raise NotComparable(
                f"{runs[0].name} and {other.name} were judged on different images: they have "
                "none in common"
            )


def common(one: RunData, other: RunData) -> pd.Index:
    """The images that both have judged out of fold."""
    return one.judged.index.intersection(other.judged.index)


def scores_section(runs: Sequence[RunData]) -> Section:
    rows = [
        (
            one.name,
            *scored(one.score),
            f"{calibration_error(_bins(one)):.4f}",
            ", ".join(map(str, one.folds)) or "a blend",
            _seconds(one),
        )
        for one in runs
    ]
    metric = runs[0].score.metric
    titles = ["run", metric, "95 % interval", "images", "ECE", "folds", "trained in"]
    return Section(
        "Scores", [TableBlock("Each run on its own images", titles, rows), _paired(runs)]
    )


def _bins(one: RunData) -> pd.DataFrame:
    return calibration_bins(one.judged["label"].to_numpy(), one.judged_probabilities)


def _seconds(one: RunData) -> str:
    costs = [one.folder.fold(fold).read_cost().get("seconds") for fold in one.folds]
    return duration(sum(costs)) if costs and None not in costs else ""


def _paired(runs: Sequence[RunData]) -> TableBlock:
    """Each run against the first, image by image; positive where it is better."""
    first, rows = runs[0], []
    metric, labels = first.competition.metric, first.train["label"]
    sign = 1 if metric.higher_is_better else -1
    for other in runs[1:]:
        ids = common(first, other)
        tables = [one.probabilities.loc[ids] for one in (first, other)]
        mine, theirs = (score(metric, labels, table).value for table in tables)
        numbers = labels.loc[ids].to_numpy()
        before, after = (metric.per_image(numbers, table.to_numpy()) for table in tables)
        gain = with_interval("gain", np.asarray(sign * (after - before), np.float64))
        rows.append((other.name, f"{theirs:.4f}", f"{mine:.4f}", gained(gain), f"{len(ids):,}"))
    titles = ["run", metric.name, first.name, "better by", "images of both"]
    return TableBlock(f"Against {first.name}, on the same images", titles, rows)


def recipes_section(runs: Sequence[RunData]) -> Section:
    """Only what differs."""
    recipes = [dict(_flat(one.recipe.model_dump())) if one.recipe else {} for one in runs]
    keys = dict.fromkeys(key for recipe in recipes for key in recipe)
    rows = [
        (key, *(recipe.get(key, "–") for recipe in recipes))
        for key in keys
        if len({recipe.get(key, "–") for recipe in recipes if recipe}) > 1
    ]
    blocks: list[Block] = []
    if rows:
        titles = ["key", *(one.name for one in runs)]
        blocks.append(TableBlock("What differs in the recipes", titles, rows))
    else:
        blocks.append(Words("The recipes do not differ."))
    for one in runs:
        if one.recipe is None:
            blocks.append(Words(f"{one.name} is a blend of {', '.join(one.about['runs'])}."))
    return Section("Recipes", blocks)


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Keys with dots in place of tables in tables."""
    if isinstance(value, dict) and value:
        for name, one in value.items():
            yield from _flat(one, f"{key}.{name}" if key else name)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for number, one in enumerate(value):
            yield from _flat(one, f"{key}.{number}")
    else:
        yield key, str(value)


def curves_section(runs: Sequence[RunData]) -> Section:
    """A line a run: the mean of its folds."""
    charts = []
    for quantity in ("loss", "accuracy"):
        lines = {one.name: _mean_history(one, quantity) for one in runs}
        drawn = {name: table for name, table in lines.items() if len(table) > 1}
        if drawn:
            alt = f"validation {quantity} by epoch of {', '.join(drawn)}"
            figure = learning_curve(drawn, quantity, quantity, stages=False)
            charts.append(Chart(f"curves-{quantity}", figure, alt))
    blocks: list[Block] = [Charts(charts)] if charts else []
    without = [one.name for one in runs if len(_mean_history(one, "loss")) < 2]
    if without:
        text = f"No curve of {', '.join(without)}: a single epoch, or a blend."
        blocks.append(Words(text, left_out=True))
    return Section("Learning", blocks)


def _mean_history(one: RunData, quantity: str) -> pd.DataFrame:
    """The mean of the folds by epoch, as far as all of them go."""
    columns = ["stage", f"val_{quantity}", quantity]
    tables = [history for history in one.histories.values() if set(columns) <= set(history)]
    if not tables:
        return pd.DataFrame(columns=columns)
    least = min(map(len, tables))
    values = np.mean([table[columns][:least].to_numpy(np.float64) for table in tables], axis=0)
    return pd.DataFrame(values, columns=columns)


def classes_section(runs: Sequence[RunData]) -> Section:
    tables = [
        by_class(one.judged["label"].to_numpy(), one.judged["said"].to_numpy(), one.classes)["f1"]
        for one in runs
    ]
    rows = []
    for name in runs[0].classes:
        values = np.array([table[name] for table in tables])
        apart = "" if np.isnan(values).all() else f"{np.nanmax(values) - np.nanmin(values):.3f}"
        cells = ("–" if np.isnan(value) else f"{value:.3f}" for value in values)
        rows.append((name, *cells, apart))
    titles = ["class", *(one.name for one in runs), "apart"]
    title = "F1 by class"
    return Section("Classes", [TableBlock(title, titles, rows, folded=len(rows) > FOLDED)])


def images_section(runs: Sequence[RunData]) -> Section:
    first = runs[0]
    blocks: list[Block] = []
    if first.missing:
        blocks.append(Words(f"Images are left out: {first.missing}.", left_out=True))
    for other in runs[1 : 1 + SHOWN_RUNS]:
        blocks += _disagreements(first, other)
    if len(runs) > 1 + SHOWN_RUNS:
        blocks.append(Words(f"Of the first {1 + SHOWN_RUNS} runs only.", left_out=True))
    return Section("Where they differ", blocks)


def _disagreements(first: RunData, other: RunData) -> Iterator[Block]:
    ids = common(first, other)
    mine, theirs = first.judged.loc[ids], other.judged.loc[ids]
    right = (mine["said"] == mine["label"]), (theirs["said"] == theirs["label"])
    both, neither = (right[0] & right[1]).sum(), (~right[0] & ~right[1]).sum()
    rows = [
        ("both are right", f"{both:,}"),
        (f"only {first.name}", f"{(right[0] & ~right[1]).sum():,}"),
        (f"only {other.name}", f"{(right[1] & ~right[0]).sum():,}"),
        ("both are wrong", f"{neither:,}"),
    ]
    yield TableBlock(f"{first.name} and {other.name}", ["which", "images"], rows)
    for winner, loser, won in (
        (first, other, right[0] & ~right[1]),
        (other, first, right[1] & ~right[0]),
    ):
        lost = loser.judged.loc[ids[won]].sort_values("sure", ascending=False, kind="stable")
        if lost.empty or first.missing:
            continue
        caption = f"{winner.name} is right, {loser.name} is wrong: {len(lost):,}"
        with ThreadPoolExecutor() as pool:
            tiles = pool.map(partial(_tile, winner, loser), lost.index[:SHOWN])
            yield ImageGrid(caption, list(tiles))


def _tile(winner: RunData, loser: RunData, name: str) -> ImageTile:
    """An image that one run gets right and another one wrong."""
    right, wrong = winner.judged.loc[name], loser.judged.loc[name]
    truth, said = right["truth"], wrong["answer"]
    image = thumbnail(winner.paths.get(name))
    return ImageTile(
        image,
        f"image of {truth}, predicted as {said}" if image else "this file cannot be read",
        str(name),
        right=f"{winner.name}: {truth} {right['sure']:.2f}",
        wrong=f"{loser.name}: {said} {wrong['sure']:.2f}",
    )


def headline(runs: Sequence[RunData]) -> str:
    """The scores in a line."""
    return ", ".join(
        f"{one.name} {one.score.value:.4f} ({interval(one.score.low, one.score.high)})"
        for one in runs
    )
