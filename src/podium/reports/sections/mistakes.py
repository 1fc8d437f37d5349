"""The images to look at: mistakes, near misses, likely label errors, copies, poor boxes."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd

from podium.reports.blocks import Block, ImageGrid, ImageTile, Section, TableBlock, Words
from podium.reports.run_data import RunData
from podium.reports.thumbnails import labeled, thumbnail

SHOWN = 14  # images of a kind
GROUPS = 8  # of near-copies


def images_section(one: RunData) -> Section:
    judged = one.judged
    wrong = judged["said"] != judged["label"]
    mistakes = judged[wrong].sort_values("sure", ascending=False, kind="stable")
    unsure = judged[~wrong].sort_values("sure", kind="stable")
    blocks: list[Block] = []
    if one.missing or one.paths.empty:
        why = one.missing or "there are no training images"
        text = f"Left out, but for their names: {why}."
        blocks.append(Words(text, left_out=True))
    blocks.append(_show(one, "Most confident mistakes", mistakes, "There is no mistake."))
    blocks.append(_show(one, "Least confident hits", unsure, "There is no hit."))
    if "iou" in judged:
        boxes = judged[judged["iou"].notna()].sort_values("iou", kind="stable")
        notes = [f"IoU {value:.2f}" for value in boxes["iou"][:SHOWN]]
        caption = "Poorest boxes: annotated solid green, predicted dashed blue"
        blocks.append(_show(one, caption, boxes, "No image has a box.", notes))
    blocks += _label_errors(one)
    blocks += _copies(one)
    return Section("Images", blocks)


def _show(
    one: RunData,
    caption: str,
    rows: pd.DataFrame,
    none: str,
    notes: list[str] | None = None,
) -> Block:
    """The first of these images, or their names where they are not here."""
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
        return TableBlock(caption, ["image", "predicted", "probability", "label", ""], names)

    def draw(number: int) -> ImageTile:
        name, row = few.index[number], few.iloc[number]
        return labeled(one.paths.get(name), row, str(name), notes[number])

    with ThreadPoolExecutor() as pool:
        return ImageGrid(caption, list(pool.map(draw, range(len(few)))))


def _label_errors(one: RunData) -> Iterator[Block]:
    """By confident learning, from the very probabilities that make the score."""
    judged = one.judged
    found = likely_label_errors(judged["label"].to_numpy(), one.judged_probabilities)
    if found.empty:
        yield Words("No label looks wrong: confident learning finds none.")
        return
    classes = one.classes
    notes = [f"may be {classes[number]}" for number in found["suggested"][:SHOWN]]
    caption = f"Likely label errors: {len(found):,} of {len(judged):,} images"
    yield _show(one, caption, judged.iloc[found["row"].to_numpy()], "", notes)
    text = (
        "Labels that the networks dispute with confidence (confident learning). The weaker the "
        "run, the more of them are its own mistakes."
    )
    yield Words(text)


def likely_label_errors(labels: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """Images whose label is likely wrong, by confident learning.

    Northcutt, Jiang and Chuang 2021 (arXiv:1911.00068, section 3.1), in NumPy: a kernel on Kaggle
    writes a report as well, and has no cleanlab. Both find the same images.

    An image counts to a class if it is as sure of it as images of that label are in the mean; of
    several such classes to the most likely one. One whose label is predicted is not disputed.

    Args:
        labels: class numbers (images,).
        probabilities: float (images, classes), out of fold.

    Returns:
        row, and class number suggested, the likeliest error first: by how much more the network
        believes in another class than in the label.
    """
    rows = np.arange(len(labels))
    values = probabilities.astype(np.float64)
    present = np.unique(labels)
    # A class without images has no such bound, and nothing counts to it.
    bounds = np.full(values.shape[1], np.inf)
    bounds[present] = [values[labels == number, number].mean() for number in present]
    reached = np.where(values >= bounds - 1e-6, values, -1.0)
    suggested = reached.argmax(axis=1)
    elsewhere = (reached.max(axis=1) >= 0) & (suggested != labels)
    disputed = np.flatnonzero(elsewhere & (values.argmax(axis=1) != labels))
    others = values.copy()
    others[rows, labels] = -1
    margin = values[rows, labels] - others.max(axis=1)
    ordered = disputed[np.argsort(margin[disputed], kind="stable")]
    return pd.DataFrame({"row": ordered, "suggested": suggested[ordered]})


def _copies(one: RunData) -> Iterator[Block]:
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
    caption = f"{title}: {len(mixed):,} groups"
    if len(mixed) > GROUPS:
        caption += f", the first {GROUPS}"
    if one.missing:
        rows = [
            (str(numbers[row["group"]]), str(name), one.classes[row["label"]])
            for name, row in shown.iterrows()
        ]
        yield TableBlock(caption, ["group", "image", "label"], rows)
        return
    yield ImageGrid(
        caption,
        [
            ImageTile(
                thumbnail(one.paths.get(name)),
                f"near-copy in group {numbers[row['group']]}, labeled {one.classes[row['label']]}",
                str(name),
                note=f"group {numbers[row['group']]}: {one.classes[row['label']]}",
            )
            for name, row in shown.iterrows()
        ],
    )


def evenly(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    """Up to so many of the rows, at even distances."""
    return rows.iloc[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int))]
