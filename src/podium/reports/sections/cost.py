"""What a run took by stage, and where it was made."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from podium.recipes.recipe import Recipe
from podium.reports.blocks import Block, Facts, Section, TableBlock, Words
from podium.reports.numbers import duration
from podium.reports.run_data import RunData
from podium.reports.sections.overview import learns


def cost_section(one: RunData) -> Section:
    """Seconds and memory by stage, and where the run comes from."""
    blocks: list[Block] = []
    if one.recipe:
        blocks += _cost_by_stage(one, one.recipe)
    facts = [("entry", one.about.get("entry") or "none")]
    if one.recipe:
        facts.append(("seed", str(one.recipe.seed)))
    parts = one.about.get("parts")
    if not parts:
        return Section("Cost and origin", [*blocks, Facts([*facts, *_origin(one.about).items()])])
    rows = [(str(part["fold"]), *_origin(part).values()) for part in parts]
    table = TableBlock("Where each fold was made", ["fold", *_origin({})], rows)
    return Section("Cost and origin", [*blocks, Facts(facts), table])


def _origin(about: dict[str, Any]) -> dict[str, str]:
    """Where a run, or a part of one, comes from."""
    versions = about.get("versions", {})
    return {
        "machine": about.get("machine") or "",
        "started": about.get("started") or "",
        "commit": (about.get("commit") or "")[:12],
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }


def _cost_by_stage(one: RunData, recipe: Recipe) -> Iterator[Block]:
    histories = one.histories
    if not histories:
        yield Words("No epochs are recorded: the weights were made of those of other runs.", True)
        return
    every = pd.concat(histories.values())
    rows = []
    for number, stage in enumerate(recipe.stages):
        mine = every[every["stage"] == number]
        seconds = mine["seconds"].sum()
        rows.append(
            (
                f"{number + 1}: {learns(stage)}",
                f"{len(mine) / len(histories):g}",
                duration(seconds),
                duration(seconds / len(histories)),
                _peak(mine),
            )
        )
    costs = [one.folder.fold(fold).read_cost() for fold in histories]
    whole = sum(cost.get("seconds", 0) for cost in costs)
    rest = max(whole - every["seconds"].sum(), 0.0)
    peaks = [cost["peak_memory_gb"] for cost in costs if "peak_memory_gb" in cost]
    peak = f"{max(peaks):.2f} GB" if peaks else ""
    rows.append(("beside the epochs", "", duration(rest), duration(rest / len(costs)), peak))
    rows.append(("all of it", "", duration(whole), duration(whole / len(costs)), peak))
    titles = ["stage", "epochs a fold", "all folds", "a fold", "peak memory until then"]
    yield TableBlock("Time and memory by stage", titles, rows)
    yield Words("Beside the epochs: cached features, their floor, and validation in all views.")
    if "peak_memory_gb" not in every:
        yield Words("The memory of each stage was not recorded when this run was trained.", True)


def _peak(rows: pd.DataFrame) -> str:
    known = "peak_memory_gb" in rows and rows["peak_memory_gb"].notna().any()
    return f"{rows['peak_memory_gb'].max():.2f} GB" if known else ""
