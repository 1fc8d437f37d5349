"""What is averaged: views of an image, the runs of a blend, the weights of a soup."""

import numpy as np

from podium.predictions.combine import read_validation
from podium.predictions.score import Score, with_interval
from podium.predictions.tta import VIEWS
from podium.reports.blocks import (
    Block,
    Chart,
    Charts,
    Section,
    TableBlock,
    Words,
    gained,
    interval,
    scored,
)
from podium.reports.figures import PALETTE, canvas, plain
from podium.reports.run_data import RunData

SETS = 8  # of views that are listed


def views_section(one: RunData) -> Section:
    """Which views are averaged, what each is worth, and what averaging gains."""
    results, metric = one.results, one.competition.metric
    used = ", ".join(f"{name} {weight:.2f}" for name, weight in results["views"].items())
    text = f"Averaged: {used}. Gain over the plain view: {_gain(one)}."
    if results["views"].keys() == {VIEWS[0].name}:
        text = "The plain view alone: no other gains on images that had no part in the choice."
    blocks: list[Block] = [Words(text)]
    tried = results["tried_views"]
    alone = [row for row in tried if len(row["views"]) == 1]
    singles = list({tuple(row["views"]): row for row in alone}.values())
    sets = [row for row in tried if len(row["views"]) > 1][:SETS]
    rows = [
        (
            ", ".join(f"{name} {weight:.2f}" for name, weight in row["views"].items()),
            f"{row['value']:.4f}",
        )
        for row in [*singles, *sets]
    ]
    title = "Each view alone, then the best sets (all on the same images)"
    blocks.append(TableBlock(title, ["views and their shares", metric.name], rows))
    if boxes := results.get("boxes"):
        used = ", ".join(f"{name} {weight:.2f}" for name, weight in boxes["views"].items())
        text = (
            f"Boxes: {used}. Mean IoU in the plain view alone {boxes['plain']:.4f}, "
            f"all views alike {boxes['averaged_views']:.4f}, as chosen "
            f"{boxes['scores'][0]['value']:.4f}."
        )
        blocks.append(Words(text))
    return Section("Views", blocks)


def _gain(one: RunData) -> str:
    """By image, so that the interval is of the difference; positive is better."""
    judged, metric = one.judged, one.competition.metric
    views = read_validation(one.folder, one.folds)
    alone = views.xs(VIEWS[0].name, level="view")
    alone = alone[~alone.index.duplicated()].loc[judged.index].to_numpy()
    labels = judged["label"].to_numpy()
    values = [metric.per_image(labels, table) for table in (one.judged_probabilities, alone)]
    sign = 1 if metric.higher_is_better else -1
    return gained(with_interval("gain", np.asarray(sign * (values[0] - values[1]), np.float64)))


def blend_section(one: RunData) -> Section:
    """The runs of a blend with their weights, and the ways that were tried."""
    results, metric = one.results, one.competition.metric.name
    rows = [
        (
            row["run"],
            f"{row['weight']:.3f}",
            *scored(Score.from_dict(row)),
            ", ".join(map(str, row["folds"])),
            f"{row['temperature']:.2f}",
        )
        for row in results["runs"]
    ]
    titles = ["run", "weight", metric, "95 % interval", "images", "folds", "temperature"]
    ways = [
        (
            f"{name} (taken)" if name == results["method"] else name,
            f"{row['value']:.4f}",
            interval(row["low"], row["high"]),
        )
        for name, row in results["methods"].items()
    ]
    gain = results["gain"]
    text = f"Gain over {gain['over']}, the best single run: {gained(Score.from_dict(gain))}."
    return Section(
        "Blend",
        [
            Words(text),
            Charts([_weights(one)]),
            TableBlock("Runs", titles, rows),
            TableBlock("Ways to blend them", ["blended by", metric, "95 % interval"], ways),
        ],
    )


def _weights(one: RunData) -> Chart:
    rows = one.results["runs"][::-1]
    figure, axis = canvas(height=1.3 + 0.35 * len(rows))
    axis.barh(
        [plain(row["run"]) for row in rows], [row["weight"] for row in rows], color=PALETTE[0]
    )
    axis.set(xlabel="weight", title=f"weights of the blend ({one.results['method']})")
    named = ", ".join(f"{row['run']} {row['weight']:.2f}" for row in one.results["runs"])
    return Chart("weights", figure, f"weights of the blend: {named}")


def soup_section(one: RunData) -> Section:
    names = ", ".join(one.folder.read_souped())
    return Section("Soup", [Words(f"The weights are a mean of those of {names}.")])
