"""What is averaged: views of an image, the runs of a blend, the weights of a soup."""

from podium.predictions.combine import read_validation
from podium.predictions.score import Score
from podium.predictions.tta import VIEWS
from podium.reports.blocks import Block, Section, TableBlock, Words
from podium.reports.run_data import RunData

SETS = 8  # of views that are listed


def views_section(one: RunData) -> Section | None:
    """Which views are averaged, what each is worth, and what averaging gains; None of a blend."""
    results = one.results
    if one.recipe is None:
        return None
    if results["views"].keys() == {VIEWS[0].name}:
        text = "The plain view alone: no other gains on images that had no part in the choice."
    else:
        plain = read_validation(one.folder, one.folds).xs(VIEWS[0].name, level="view")
        plain = plain[~plain.index.duplicated()].loc[one.judged.index]
        gain = one.gain_over(plain).as_gain
        text = f"Averaged: {_shares(results['views'])}. Gain over the plain view: {gain}."
    blocks: list[Block] = [Words(text)]
    tried = results["tried_views"]
    alone = {tuple(row["views"]): row for row in tried if len(row["views"]) == 1}
    sets = [row for row in tried if len(row["views"]) > 1][:SETS]
    rows = [(_shares(row["views"]), f"{row['value']:.4f}") for row in [*alone.values(), *sets]]
    title = "Each view alone, then the best sets (all on the same images)"
    blocks.append(TableBlock(title, ["views and their shares", one.competition.metric.name], rows))
    if boxes := results.get("boxes"):
        text = (
            f"Boxes: {_shares(boxes['views'])}. Mean IoU in the plain view alone "
            f"{boxes['plain']:.4f}, all views alike {boxes['averaged_views']:.4f}, as chosen "
            f"{boxes['scores'][0]['value']:.4f}."
        )
        blocks.append(Words(text))
    return Section("Views", blocks)


def _shares(views: dict[str, float]) -> str:
    return ", ".join(f"{name} {weight:.2f}" for name, weight in views.items())


def blend_section(one: RunData) -> Section | None:
    """The runs of a blend with their weights, and the ways that were tried; None of a run."""
    if one.recipe is not None:
        return None
    results, metric = one.results, one.competition.metric.name
    rows = [
        (
            row["run"],
            f"{row['weight']:.3f}",
            *Score.from_dict(row).row,
            ", ".join(map(str, row["folds"])),
            f"{row['temperature']:.2f}",
        )
        for row in results["runs"]
    ]
    titles = ["run", "weight", metric, "95 % interval", "images", "folds", "temperature"]
    ways = [
        (f"{name} (taken)" if name == results["method"] else name, *Score.from_dict(row).cells)
        for name, row in results["methods"].items()
    ]
    gain = results["gain"]
    text = f"Gain over {gain['over']}, the best single run: {Score.from_dict(gain).as_gain}."
    runs = TableBlock("Runs", titles, rows)
    tried = TableBlock("Ways to blend them", ["blended by", metric, "95 % interval"], ways)
    return Section("Blend", [Words(text), runs, tried])


def soup_section(one: RunData) -> Section | None:
    souped = one.folder.read_souped()
    text = f"The weights are a mean of those of {', '.join(souped)}."
    return Section("Soup", [Words(text)]) if souped else None
