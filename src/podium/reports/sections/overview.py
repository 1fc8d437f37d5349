"""The run: its score, its recipe, its data, its cost and where it was made."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from podium.competitions.metrics import Accuracy
from podium.predictions.score import Score, score
from podium.recipes.tables import Stage
from podium.reports.blocks import Block, Facts, Section, TableBlock, Words
from podium.reports.run_data import RunData
from podium.runs.table import DROPPED, HELD_OUT
from podium.text import duration

MEMORY = "peak_memory_gb"
NAMED = 20  # images in a table, classes before a table is folded


def about(one: RunData) -> str:
    """What the score is of, in a sentence."""
    what = f"{one.score.images:,} {one.kind} images of {one.competition.name}"
    if one.recipe is None:
        return f"A blend of {', '.join(one.about['runs'])}, judged on {what}."
    folds = f"{len(one.folds)} of {len(one.recipe.fold_numbers)} folds"
    by = f"{one.recipe.backbone} at {one.recipe.stage_size()} px"
    return f"Of {what}, each judged by networks that have not seen it; {by}, {folds}."


def score_section(one: RunData) -> Section:
    rows = [(kind, *found.row) for kind, found in _scores(one)]
    blocks: list[Block] = [
        TableBlock("Scores", ["score", "value", "95 % interval", "images"], rows)
    ]
    for fold, why in one.results.get("too_good", {}).items():
        blocks.append(Words(f"✗ The score of fold {fold} leaks: {why}."))
    if one.recipe is not None and one.recipe.keep == "best" and one.kind != "held-out":
        text = 'With keep = "best" each fold chose its epoch on what it scores: somewhat too good.'
        blocks.append(Words(text))
    if "fold" in one.judged:
        blocks.append(_by_fold(one))
    if speed := one.results.get("speed"):
        rows = [
            (kind, f"{row['value']:.1f}", f"{row['low']:.1f} to {row['high']:.1f}")
            for kind, row in speed.items()
        ]
        titles = ["one by one, or in batches", "ms", "95 % interval"]
        blocks.append(TableBlock("Milliseconds an image", titles, rows))
    return Section("Score", blocks)


def _scores(one: RunData) -> Iterator[tuple[str, Score]]:
    yield f"{one.score.metric}, {one.kind}", one.score
    if one.score.metric != Accuracy.name and one.competition.task.sums_to_one:
        predicted = one.probabilities.loc[one.judged.index]
        found = score(Accuracy(), one.train["label"], predicted, one.groups)
        yield Accuracy.name, found.widened(one.results.get("widening", 1.0))
    if one.results.get("calibration"):
        yield f"{one.score.metric}, not calibrated", Score.from_dict(one.results["uncalibrated"])
    if "plain" in one.results:
        yield f"{one.score.metric}, plain view alone", Score.from_dict(one.results["plain"])
    for row in (one.results.get("boxes") or {}).get("scores", []):
        found = Score.from_dict(row)
        yield f"boxes: {found.metric}", found


def _by_fold(one: RunData) -> TableBlock:
    rows = []
    for fold in one.folds:
        ids = one.judged.index[one.judged["fold"] == fold]
        cost = {"seconds": np.nan, MEMORY: np.nan} | one.folder.fold(fold).read_cost()
        scores = one.score_of(ids).row if len(ids) else ("", "", "0")
        rows.append((str(fold), *scores, duration(cost["seconds"]), _memory(cost[MEMORY])))
    titles = ["fold", one.score.metric, "95 % interval", "images", "trained in", "peak memory"]
    return TableBlock("By fold", titles, rows)


def recipe_section(one: RunData) -> Section | None:
    recipe = one.recipe
    if recipe is None:
        return None
    chosen = flat(recipe.model_dump(exclude_defaults=True, exclude={"stages"})).map(str)
    rows = []
    for number, stage in enumerate(recipe.stages):
        pseudo = f"; pseudo-labels of {stage.pseudo.run}" if stage.pseudo else ""
        planned, rate = str(stage.epochs), f"{stage.learning_rate:g}"
        if stage.solver != "gradient":
            planned, rate = "solved", ""
        sizes = str(recipe.stage_size(number)), str(stage.batch_size or recipe.batch_size)
        done = (_epochs_done(one, number),) if one.histories else ()
        rows.append((str(number + 1), learns(stage) + pseudo, planned, *done, rate, *sizes))
    titles = ["stage", "learns", "epochs", *["done"] * bool(one.histories)]
    stages = TableBlock("Stages", [*titles, "learning rate", "px", "batch"], rows)
    every = list(flat(recipe.model_dump()).map(str).items())
    choices = TableBlock("Every choice", ["key", "value"], every, folded=True)
    return Section("Recipe", [Facts(list(chosen.items())), stages, choices])


def _epochs_done(one: RunData, stage: int) -> str:
    """The epochs that were trained of a stage: by fold where they differ, as the time may ask."""
    done = {fold: int((table["stage"] == stage).sum()) for fold, table in one.histories.items()}
    if len(set(done.values())) == 1:
        return str(next(iter(done.values())))
    return ", ".join(f"{epochs} in fold {fold}" for fold, epochs in done.items())


def flat(data: dict[str, Any]) -> pd.Series:
    """The values of a dumped recipe by key, with dots in place of tables in tables."""
    data = {**data, "stages": dict(enumerate(data.get("stages", [])))}
    return pd.json_normalize(data).astype(object).iloc[0]


def learns(stage: Stage) -> str:
    """What a stage trains, in words."""
    what = {"head": "the head", "half": "the upper half", "all": "all layers"}
    named = what.get(str(stage.unfreeze), f"the last {stage.unfreeze} blocks")
    return named if stage.solver == "gradient" else f"{named}, by {stage.solver} regression"


def data_section(one: RunData) -> Section:
    train, test = one.train, one.stored[one.stored["part"] == "test"]
    facts = [
        ("competition", one.competition.name),
        ("training", f"{len(train):,} images"),
        ("classes", str(len(one.classes))),
        ("test", f"{len(test):,} images"),
    ]
    if "group" in train:
        groups = train["group"].nunique()
        facts.append(("groups", f"{groups:,}, near-copies and what belongs together in one fold"))
    if "fold" in train and (train["fold"] == HELD_OUT).any():
        facts.append(("held out", f"{(train['fold'] == HELD_OUT).sum():,} images"))
    dropped = _dropped(one.stored)
    if one.recipe:
        facts.append(("left out", f"{len(dropped):,} files" if dropped else "nothing"))
    counts = one.competition.task.members(train["label"], len(one.classes)).sum(axis=0, dtype=int)
    rows = [(name, f"{count:,}") for name, count in zip(one.classes, counts, strict=True)]
    blocks: list[Block] = [Facts(facts)]
    if dropped:
        more = f", the first {NAMED} of {len(dropped):,}" if len(dropped) > NAMED else ""
        titles = ["file", "part", "why", "so that"]
        blocks.append(TableBlock(f"Files left out{more}", titles, dropped[:NAMED]))
    titles = ["class", "images"]
    blocks.append(TableBlock("Training images by class", titles, rows, folded=len(rows) > NAMED))
    return Section("Data", blocks)


def _dropped(stored: pd.DataFrame) -> list[tuple[str, str, str, str]]:
    """What could not be read, why, and what became of it."""
    if "problem" not in stored:  # of a blend
        return []
    kinds = {DROPPED: ("training", "not trained on"), "test": ("test", "gets the class prior")}
    rows = []
    for name, row in stored[stored["problem"].fillna("") != ""].iterrows():
        part, so_that = kinds.get(row["part"], (row["part"], ""))
        # The reason names the path on the machine that has read it.
        why = row["problem"].partition(": ")[2] or row["problem"]
        rows.append((str(name), part, why, so_that))
    return rows


def cost_section(one: RunData) -> Section:
    """Seconds and memory by stage, and where the run, or each part of it, comes from."""
    parts = one.about.get("parts") or [one.about]
    origins = [
        {
            "fold": str(part.get("fold", "")),
            "machine": part.get("machine") or "",
            "started": _when(part.get("started")),
            "commit": (part.get("commit") or "")[:12],
            "versions": ", ".join(map(" ".join, part.get("versions", {}).items())),
        }
        for part in parts
    ]
    if len(parts) == 1:
        shown = {"entry": one.about.get("entry") or "none", **origins[0]}
        origin: Block = Facts([(name, value) for name, value in shown.items() if value])
    else:
        rows = [tuple(each.values()) for each in origins]
        caption = f"Made of the entry {one.about.get('entry') or 'none'}"
        origin = TableBlock(caption, list(origins[0]), rows)
    costs = _cost_by_stage(one) if one.recipe else ()
    return Section("Cost and origin", [*costs, origin])


def _memory(gigabytes: float) -> str:
    return "" if np.isnan(gigabytes) else f"{gigabytes:.2f} GB"


def _when(started: str | None) -> str:
    """A time of ISO 8601 as one reads it, in UTC; "" where an older Podium took none."""
    if not started:
        return ""
    moment = datetime.fromisoformat(started).astimezone(UTC)
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def _cost_by_stage(one: RunData) -> Iterator[Block]:
    if not one.histories:
        yield Words("No epochs are recorded: the weights were made of those of other runs.", True)
        return
    # An older Podium did not record the memory.
    epochs = pd.concat(one.histories.values()).reindex(columns=["stage", "seconds", MEMORY])
    rows = [
        (
            f"{number + 1}: {learns(one.recipe.stages[number])}",
            f"{len(mine) / len(one.histories):g}",
            duration(mine["seconds"].sum()),
            duration(mine["seconds"].sum() / len(one.histories)),
            _memory(mine[MEMORY].max()),
        )
        for number, mine in epochs.groupby("stage")
    ]
    titles = ["stage", "epochs a fold", "all folds", "a fold", "peak memory until then"]
    yield TableBlock("Time and memory by stage", titles, rows)
    whole = sum(one.folder.fold(fold).read_cost().get("seconds", 0) for fold in one.histories)
    yield Words(f"{duration(whole)} in all, with cached features, linear probe and validation.")
