"""The gallery: a figure of images that a run does best, middling, worst, and gets wrong."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from podium.competitions.boxes import BOX_COLUMNS
from podium.files.atomic_write import atomic_write
from podium.files.image_io import read_image
from podium.reports.gallery_choice import (
    COLUMNS,
    FOUND_COLUMNS,
    Row,
    ScoredImages,
    choose_rows,
    read_judged,
)
from podium.runs.run_folder import RunFolder
from podium.text import format_table as in_columns
from podium.text import summarize

# The colors are told apart by more than their hue: boxes by dashes, labels by a mark and words.
GREEN, RED, BLUE = "#0b8a3a", "#c81e1e", "#1d4ed8"
DPI = 110  # six images a row are 1280 pixels wide
CELL, GAP = 1.56, 0.12  # inches: the longer side of an image, and what is between two
NAMES, MARGIN = 1.35, 0.1  # inches: what the names of the rows take, and the border
LINE = 0.16  # inches: a line of a label
LETTERS = 22  # in a line of a label
SMALL = 9  # points


@dataclass(frozen=True)
class Gallery:
    """The figure as it was written."""

    path: Path
    rows: list[Row]

    def __str__(self) -> str:
        lines = [(row.name, row.about, summarize(row.images.index)) for row in self.rows]
        return "\n".join([*in_columns(lines), f"\ngallery     {self.path}"])


def gallery(folder: RunFolder, to: Path | None = None, format_table: int = COLUMNS) -> Gallery:
    """Draw the gallery of a run or of a blend, and write it.

    Args:
        to: a PNG file; by default gallery.png in the run's folder.
        columns: images in a row at the most.

    Raises:
        RunError: it has no out-of-fold predictions, or of other images than are here.
        MissingData: the images are not here.
        UnreadableImage: one of those to be shown is gone or broken.
        ValueError: `to` is no name for a PNG file.
    """
    to = to or folder.path / "gallery.png"
    if to.is_dir() or to.suffix.lower() != ".png":
        raise ValueError(f"{to}: give the name of a file that ends in .png")
    judged = read_judged(folder)
    rows = choose_rows(judged, format_table)
    figure = draw_gallery(judged, rows)
    with atomic_write(to) as part:
        figure.savefig(part, format="png", dpi=DPI)
    return Gallery(to, rows)


def draw_gallery(judged: ScoredImages, rows: list[Row]) -> Figure:
    """A row of images for each row, its name at the left, under a title that says what they are.

    Raises:
        UnreadableImage: one of them is gone or broken.
    """
    shown = [[_Shown(judged, image) for _, image in row.images.iterrows()] for row in rows]
    widest = max(map(len, [*shown, "abc"]))  # the title needs the width of three
    width = 2 * MARGIN + NAMES + widest * (CELL + GAP)
    title = fill(f"{judged.run}: {_what_is_shown(judged)}", int(width * 12))
    top = MARGIN + 0.19 * len(title.splitlines()) + 0.25 * judged.has_boxes
    labels = [LINE * max(one.label.count("\n") + 1 for one in line) + 0.06 for line in shown]
    heights = [max(one.height for one in line) for line in shown]
    height = top + sum(labels) + sum(heights) + 2 * GAP * len(rows)
    figure = Figure(figsize=(width, height))

    def place(x: float, y: float) -> tuple[float, float]:
        """Inches from the left and from the top, as matplotlib has it."""
        return x / width, 1 - y / height

    figure.text(*place(MARGIN, MARGIN), title, va="top", fontsize=11)
    if judged.has_boxes:
        _explain_boxes(figure, place(MARGIN, top - 0.2))
    y = top - GAP
    for row, line, label, tall in zip(rows, shown, labels, heights, strict=True):
        y += 2 * GAP + label
        figure.text(*place(MARGIN, y), row.name, va="top", fontsize=12, fontweight="bold")
        about = fill(row.about, 16)
        figure.text(*place(MARGIN, y + 0.24), about, va="top", fontsize=SMALL, color="#444444")
        for number, one in enumerate(line):
            left, bottom = place(MARGIN + NAMES + number * (CELL + GAP), y + one.height)
            size = one.width / width, one.height / height
            one.draw(figure.add_axes((left, bottom, *size)))
        y += tall
    return figure


def _what_is_shown(judged: ScoredImages) -> str:
    how = (
        "rows by the IoU of the boxes"
        if judged.has_boxes
        else "rows by the probability of the true class, the first three of those that are right"
    )
    return (
        f"{len(judged.images):,} {judged.kind} images, each judged by networks that have not "
        f"seen it; {how}"
    )


def _explain_boxes(figure: Figure, place: tuple[float, float]) -> None:
    lines = [
        Line2D([], [], color=GREEN, linewidth=2, label="true box"),
        Line2D([], [], color=BLUE, linewidth=2, linestyle="--", label="predicted box"),
    ]
    figure.legend(
        handles=lines,
        loc="upper left",
        bbox_to_anchor=place,
        ncols=2,
        frameon=False,
        fontsize=SMALL,
        borderpad=0,
        borderaxespad=0,
    )


class _Shown:
    """An image as it is drawn, its longer side `CELL` inches."""

    def __init__(self, judged: ScoredImages, image: pd.Series) -> None:
        names = judged.competition.classes
        self.right = image["said"] == image["label"]
        self.label = _label(
            names[image["said"]], image["sure"], "" if self.right else names[image["label"]]
        )
        self.pixels = read_image(image["path"], round(CELL * DPI))
        height, width = self.pixels.shape[:2]
        self.width, self.height = (CELL * side / max(height, width) for side in (width, height))
        self.boxes = []
        self.corner = ""
        if judged.has_boxes:
            self.boxes = list(_boxes_of(image))
            overlap = image["iou"]
            self.corner = "no true box" if np.isnan(overlap) else f"IoU {overlap:.2f}"

    def draw(self, axis: Axes) -> None:
        axis.imshow(self.pixels, extent=(0, 1, 1, 0), aspect="auto")
        axis.set_axis_off()
        axis.set_title(
            self.label,
            loc="left",
            color=GREEN if self.right else RED,
            fontsize=SMALL,
            fontweight="normal" if self.right else "bold",
            pad=3,
        )
        for box in self.boxes:
            axis.add_patch(box)
        if self.corner:
            axis.text(
                0.02,
                0.98,
                self.corner,
                transform=axis.transAxes,
                va="top",
                fontsize=SMALL - 1,
                color="white",
                bbox={"facecolor": "black", "alpha": 0.65, "pad": 1.5, "linewidth": 0},
            )


def _label(said: str, sure: float, truth: str) -> str:
    """What was said, and the true class if it was another: in as few lines as it fits in."""
    if not truth:
        return fill(f"✓ {said} {sure:.2f}", LETTERS)
    lines = f"✗ {said} {sure:.2f},", f"is {truth}"
    together = " ".join(lines)
    if len(together) <= LETTERS:
        return together
    return "\n".join(fill(line, LETTERS) for line in lines)


def _boxes_of(image: pd.Series) -> Iterator[Rectangle]:
    """The true box solid, the predicted one dashed over it, both to be seen on any ground."""
    for format_table, color, style in ((BOX_COLUMNS, GREEN, "-"), (FOUND_COLUMNS, BLUE, "--")):
        x, y, other_x, other_y = (float(image[name]) for name in format_table)
        if not np.isnan(x):
            yield Rectangle(
                (x, y),
                other_x - x,
                other_y - y,
                fill=False,
                edgecolor=color,
                linewidth=2,
                linestyle=style,
                path_effects=[withStroke(linewidth=3.5, foreground="white")],
            )
