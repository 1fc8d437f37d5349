"""The pictures to look at: mistakes, doubts, labels that may be wrong, copies, poor boxes."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd

from podium.reports.blocks import Block, Picture, Pictures, Section, Table, Words
from podium.reports.label_errors import likely_label_errors
from podium.reports.run_data import Reported
from podium.reports.thumbnails import labelled, thumbnail

SHOWN = 14  # pictures of a kind
GROUPS = 8  # of near-copies


def pictures_section(one: Reported) -> Section:
    judged = one.judged
    wrong = judged["said"] != judged["label"]
    mistakes = judged[wrong].sort_values("sure", ascending=False, kind="stable")
    doubts = judged[~wrong].sort_values("sure", kind="stable")
    blocks: list[Block] = []
    if one.missing or one.paths.empty:
        why = one.missing or "there are no training pictures"
        text = f"Left out, but for their names: {why}."
        blocks.append(Words(text, left_out=True))
    blocks.append(_show(one, "Most confident mistakes", mistakes, "There is no mistake."))
    blocks.append(_show(one, "Least sure hits", doubts, "There is no hit."))
    if "iou" in judged:
        boxes = judged[judged["iou"].notna()].sort_values("iou", kind="stable")
        notes = [f"IoU {value:.2f}" for value in boxes["iou"][:SHOWN]]
        caption = "Poorest boxes: annotated solid green, predicted dashed blue"
        blocks.append(_show(one, caption, boxes, "No picture has a box.", notes))
    blocks += _label_errors(one)
    blocks += _copies(one)
    return Section("Pictures", blocks)


def _show(
    one: Reported,
    caption: str,
    rows: pd.DataFrame,
    none: str,
    notes: list[str] | None = None,
) -> Block:
    """The first of these pictures, or their names where they are not here."""
    if rows.empty:
        return Words(none)
    few = rows[:SHOWN]
    notes = notes or [""] * len(few)
    if one.missing:
        names = [
            (
                str(name),
                row["answer"],
                f"{row['sure']:.2f}",
                row["truth"],
                note,
            )
            for (name, row), note in zip(few.iterrows(), notes, strict=True)
        ]
        return Table(caption, ["picture", "said", "probability", "label", ""], names)

    def draw(number: int) -> Picture:
        name, row = few.index[number], few.iloc[number]
        return labelled(one.paths.get(name), row, str(name), notes[number])

    with ThreadPoolExecutor() as pool:
        return Pictures(caption, list(pool.map(draw, range(len(few)))))


def _label_errors(one: Reported) -> Iterator[Block]:
    """By confident learning, from the very probabilities that make the score."""
    judged = one.judged
    found = likely_label_errors(judged["label"].to_numpy(), one.judged_probabilities)
    if found.empty:
        yield Words("No label looks wrong: confident learning finds none.")
        return
    classes = one.classes
    notes = [f"may be {classes[number]}" for number in found["suggested"][:SHOWN]]
    caption = f"Likely label errors: {len(found):,} of {len(judged):,} pictures"
    yield _show(one, caption, judged.iloc[found["row"].to_numpy()], "", notes)
    text = (
        "Labels that the networks dispute with confidence (confident learning). The weaker the "
        "run, the more of them are its own mistakes."
    )
    yield Words(text)


def _copies(one: Reported) -> Iterator[Block]:
    """Near-copies that have different labels."""
    title = "Near-copies in different classes"
    if "group" not in one.train:
        yield Words(f"{title}: a blend has no groups of copies; its runs' reports do.", True)
        return
    train = one.train
    groups = train.groupby("group")["label"].nunique()
    mixed = groups.index[groups > 1]
    if mixed.empty:
        yield Words(f"{title}: none.")
        return
    shown = pd.concat([train[train["group"] == number][:4] for number in mixed[:GROUPS]])
    numbers = {group: number for number, group in enumerate(mixed, start=1)}
    caption = f"{title}: {len(mixed):,} groups" + f", the first {GROUPS}" * (len(mixed) > GROUPS)
    if one.missing:
        rows = [
            (str(numbers[row["group"]]), str(name), one.classes[row["label"]])
            for name, row in shown.iterrows()
        ]
        yield Table(caption, ["group", "picture", "label"], rows)
        return
    yield Pictures(
        caption,
        [
            Picture(
                thumbnail(one.paths.get(name)),
                f"near-copy in group {numbers[row['group']]}, labelled {one.classes[row['label']]}",
                str(name),
                note=f"group {numbers[row['group']]}: {one.classes[row['label']]}",
            )
            for name, row in shown.iterrows()
        ],
    )


def evenly(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    """Up to so many of the rows, at even distances."""
    return rows.iloc[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int))]
