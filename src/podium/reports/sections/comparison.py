"""Runs of one competition side by side: scores, differences, curves, classes, images."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from podium.predictions.score import with_interval
from podium.reports.blocks import Block, Charts, ImageGrid, ImageTile, Section, TableBlock, Words
from podium.reports.run_data import RunData
from podium.reports.sections.classes import FOLDED, by_class, calibration_error, three_digits
from podium.reports.sections.curves import curves
from podium.reports.sections.overview import flat
from podium.reports.thumbnails import thumbnail

SHOWN = 7  # images of a kind


def check_comparable(runs: Sequence[RunData]) -> None:
    """Raises ValueError where they are of several competitions, or judged on other images."""
    names = {one.competition.name for one in runs}
    if len(names) > 1:
        raise ValueError(f"these runs are of several competitions: {', '.join(sorted(names))}")
    for other in runs[1:]:
        if common(runs[0], other).empty:
            raise ValueError(f"{runs[0].name} and {other.name} were judged on different images")


def common(one: RunData, other: RunData) -> pd.Index:
    """The images that both have judged out of fold."""
    return one.judged.index.intersection(other.judged.index)


def scores_section(runs: Sequence[RunData]) -> Section:
    rows = [
        (
            one.name,
            *one.score.row,
            f"{calibration_error(one.decisions):.4f}",
            ", ".join(map(str, one.folds)) or "a blend",
        )
        for one in runs
    ]
    titles = ["run", runs[0].score.metric, "95 % interval", "images", "ECE", "folds"]
    each = TableBlock("Each run on its own images", titles, rows)
    first, rows = runs[0], []
    for other in runs[1:]:  # image by image
        ids = common(first, other)
        values = (f"{one.score_of(ids).value:.4f}" for one in (other, first))
        gain = other.gain_over(first.probabilities.loc[ids]).as_gain
        rows.append((other.name, *values, gain, f"{len(ids):,}"))
    titles = ["run", first.competition.metric.name, first.name, "better by", "images of both"]
    against = TableBlock(f"Against {first.name}, on the same images", titles, rows)
    with_boxes = [one for one in runs if "iou" in one.judged]
    if len(with_boxes) < 2 or with_boxes[0] is not first:
        return Section("Scores", [each, against])
    titles = ["run", "mean IoU", *titles[2:]]
    rows = [_box_gain(first, other) for other in with_boxes[1:]]
    boxes = TableBlock(f"Boxes against {first.name}, on the same images", titles, rows)
    return Section("Scores", [each, against, boxes])


def _box_gain(first: RunData, other: RunData) -> tuple[str, ...]:
    """How much better a run's boxes are, on the images with a box that both have judged."""
    found = pd.DataFrame({"ours": other.judged["iou"], "theirs": first.judged["iou"]}).dropna()
    groups = None if other.groups is None else other.groups.loc[found.index]
    gain = with_interval("gain", (found["ours"] - found["theirs"]).to_numpy(), groups)
    return other.name, *(f"{mean:.4f}" for mean in found.mean()), gain.as_gain, f"{len(found):,}"


def recipes_section(runs: Sequence[RunData]) -> Section:
    """Only what differs."""
    dumped = {one.name: one.recipe.model_dump() for one in runs if one.recipe}
    blends = [
        Words(f"{one.name} is a blend of {', '.join(one.about['runs'])}.")
        for one in runs
        if one.recipe is None
    ]
    return Section("Recipes", [differing("recipes", dumped), *blends])


def differing(what: str, of: Mapping[str, dict[str, Any]]) -> Block:
    """The keys that the data of several runs do not have in common."""
    values = {name: flat(data).map(str).to_dict() for name, data in of.items()}
    table = pd.DataFrame(values).fillna("–")
    rows = list(table[table.nunique(axis=1) > 1].itertuples())
    if not rows:
        return Words(f"The {what} do not differ.")
    return TableBlock(f"What differs in the {what}", ["key", *table.columns], rows)


def curves_section(runs: Sequence[RunData]) -> Section:
    """A line a run: the mean of its folds, as far as all of them go."""
    drawn = {}
    for one in runs:
        epochs = min(map(len, one.histories.values()), default=0)
        if epochs > 1:
            by_epoch = pd.concat(one.histories.values()).groupby(level=0)
            drawn[one.name] = by_epoch.mean(numeric_only=True)[:epochs]
    blocks: list[Block] = [Charts(curves(drawn, stages=False))] if drawn else []
    if without := [one.name for one in runs if one.name not in drawn]:
        text = f"No curve of {', '.join(without)}: a single epoch, or a blend."
        blocks.append(Words(text, left_out=True))
    return Section("Learning", blocks)


def classes_section(runs: Sequence[RunData]) -> Section:
    f1 = pd.DataFrame({one.name: by_class(one.judged, one.classes)["f1"] for one in runs})
    apart = f1.max(axis=1) - f1.min(axis=1)
    rows = [(name, *map(three_digits, [*f1.loc[name], apart[name]])) for name in runs[0].classes]
    titles = ["class", *f1.columns, "apart"]
    return Section("Classes", [TableBlock("F1 by class", titles, rows, folded=len(rows) > FOLDED)])


def images_section(runs: Sequence[RunData]) -> Section:
    first = runs[0]
    blocks: list[Block] = []
    if first.missing:
        blocks.append(Words(f"Images are left out: {first.missing}.", left_out=True))
    for other in runs[1:]:
        blocks += _disagreements(first, other)
    return Section("Where they differ", blocks)


def _disagreements(first: RunData, other: RunData) -> Iterator[Block]:
    ids = common(first, other)
    mine, theirs = (
        one.judged.loc[ids, "said"] == one.judged.loc[ids, "label"] for one in (first, other)
    )
    rows = [
        ("both are right", f"{(mine & theirs).sum():,}"),
        (f"only {first.name}", f"{(mine & ~theirs).sum():,}"),
        (f"only {other.name}", f"{(~mine & theirs).sum():,}"),
        ("both are wrong", f"{(~mine & ~theirs).sum():,}"),
    ]
    yield TableBlock(f"{first.name} and {other.name}", ["which", "images"], rows)
    for winner, loser, won in ((first, other, mine & ~theirs), (other, first, ~mine & theirs)):
        lost = loser.judged.loc[ids[won]].sort_values("sure", ascending=False, kind="stable")
        caption = f"{winner.name} is right, {loser.name} is wrong: {len(lost):,}"
        if len(lost):
            yield ImageGrid(caption, [_tile(winner, loser, name) for name in lost.index[:SHOWN]])


def _tile(winner: RunData, loser: RunData, name: str) -> ImageTile:
    """An image that one run gets right and another one wrong."""
    right, wrong = winner.judged.loc[name], loser.judged.loc[name]
    truth, said = right["truth"], wrong["answer"]
    return ImageTile(
        thumbnail(winner.paths.get(name)),
        f"image of {truth}, predicted as {said}",
        name,
        right=f"{winner.name}: {truth} {right['sure']:.2f}",
        wrong=f"{loser.name}: {said} {wrong['sure']:.2f}",
    )


SECTIONS = (scores_section, recipes_section, curves_section, classes_section, images_section)
