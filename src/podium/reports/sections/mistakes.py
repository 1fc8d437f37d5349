"""The images to look at: mistakes, near misses, likely label errors, copies, poor boxes."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from podium.reports.blocks import Block, ImageGrid, ImageTile, Section, Words
from podium.reports.run_data import RunData
from podium.reports.thumbnails import boxes_of, thumbnail, verdict

SHOWN = 14  # images of a kind
GROUPS = 8  # of near-copies


def images_section(one: RunData) -> Section:
    judged = one.judged
    wrong = judged["said"] != judged["label"]
    mistakes = judged[wrong].sort_values("sure", ascending=False, kind="stable")
    unsure = judged[~wrong].sort_values("sure", kind="stable")
    blocks: list[Block] = []
    if one.missing:
        blocks.append(Words(f"Left out, but for their names: {one.missing}.", left_out=True))
    blocks.append(image_grid(one, "Most confident mistakes", mistakes, "There is no mistake."))
    blocks.append(image_grid(one, "Least confident hits", unsure, "There is no hit."))
    if "iou" in judged:
        boxes = judged[judged["iou"].notna()].sort_values("iou", kind="stable")
        boxes["note"] = [f"IoU {value:.2f}" for value in boxes["iou"]]
        caption = "Poorest boxes: annotated solid green, predicted dashed blue"
        blocks.append(image_grid(one, caption, boxes, "No image has a box."))
    return Section("Images", [*blocks, *_label_errors(one), *_copies(one)])


def image_grid(one: RunData, caption: str, rows: pd.DataFrame, none: str = "") -> Block:
    """The first of these judged images, or words where there is `none`."""
    tiles = [
        ImageTile(
            thumbnail(one.paths.get(name)),
            f"{row['truth']}, predicted as {row['answer']} with probability {row['sure']:.2f}",
            name,
            **verdict(row),
            note=row.get("note", ""),
            boxes=boxes_of(row),
        )
        for name, row in rows[:SHOWN].iterrows()
    ]
    more = f", the first {SHOWN} of {len(rows):,}" if len(rows) > SHOWN else ""
    return ImageGrid(f"{caption}{more}", tiles) if tiles else Words(none)


def _label_errors(one: RunData) -> Iterator[Block]:
    """By confident learning, from the very probabilities that make the score."""
    judged, task = one.judged, one.competition.task
    if task.several:  # it is told of one class an image
        return
    probabilities = task.by_class(one.probabilities.loc[judged.index].to_numpy())
    found = likely_label_errors(judged["label"].to_numpy(), probabilities)
    notes = [f"may be {one.classes[number]}" for number in found["suggested"]]
    rows = judged.iloc[found["row"]].assign(note=notes)
    caption = f"Likely label errors (confident learning): {len(found):,} of {len(judged):,} images"
    yield image_grid(one, caption, rows, "No label looks wrong: confident learning finds none.")
    if notes:
        yield Words("The weaker the run, the more of these are its own mistakes.")


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
    labels = one.train.groupby("group")["label"].nunique()
    mixed = labels.index[labels > 1]
    if mixed.empty:
        yield Words(f"{title}: none.")
        return
    tiles = []
    for number, group in enumerate(mixed[:GROUPS], start=1):
        ids = one.train.index[one.train["group"] == group][:4]
        for name, label in zip(ids, one.named(one.truth.loc[ids].to_numpy()), strict=True):
            note = f"group {number}: {label}"
            tiles.append(ImageTile(thumbnail(one.paths.get(name)), note, name, note=note))
    more = f", the first {GROUPS}" if len(mixed) > GROUPS else ""
    yield ImageGrid(f"{title}: {len(mixed):,} groups{more}", tiles)
