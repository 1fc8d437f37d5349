"""The gallery: a figure of images that a run does best, middling, worst, and gets wrong.

A test set has no truth, so these are images that no network saw that judges them.
"""

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

from podium.competitions import MissingData
from podium.files.atomic_write import atomic_write
from podium.files.image_io import read_image
from podium.reports.run_data import RunData, read_run_data
from podium.reports.thumbnails import boxes_of
from podium.runs.run_folder import RunFolder
from podium.text import format_table, summarize

# The colors are told apart by more than their hue: boxes by dashes, labels by a mark and words.
GREEN, RED, BLUE = "#0b8a3a", "#c81e1e", "#1d4ed8"
DPI = 110  # six images a row are 1122 pixels wide
CELL = 1.7  # inches: an image with its label
LETTERS = 22  # in a line of a label
SMALL = 9  # points
COLUMNS = 6


@dataclass(frozen=True)
class Row:
    """Some images of the gallery, side by side."""

    name: str
    about: str
    images: pd.DataFrame  # of `RunData.judged`, with their path


@dataclass(frozen=True)
class Gallery:
    """The figure as it was written."""

    path: Path
    rows: list[Row]

    def __str__(self) -> str:
        lines = [(row.name, row.about, summarize(row.images.index)) for row in self.rows]
        return "\n".join([*format_table(lines), f"\ngallery     {self.path}"])


def gallery(folder: RunFolder, to: Path | None = None, columns: int = COLUMNS) -> Gallery:
    """Draw the gallery of a run or of a blend, and write it.

    Args:
        to: a PNG file; by default gallery.png in the run's folder.
        columns: images in a row at the most.

    Raises:
        RunError: it has no out-of-fold predictions.
        MissingData: the images are not here, or others than those that the run was trained with.
        UnreadableImage: one of those to be shown is gone or broken.
        ValueError: `to` is no name for a PNG file.
    """
    to = to or folder.path / "gallery.png"
    if to.is_dir() or to.suffix.lower() != ".png":
        raise ValueError(f"{to}: give the name of a file that ends in .png")
    run = read_run_data(folder)
    rows = choose_rows(run, columns)
    figure = draw_gallery(run, rows)
    with atomic_write(to) as part:
        figure.savefig(part, format="png", dpi=DPI)
    return Gallery(to, rows)


def choose_rows(run: RunData, columns: int = COLUMNS) -> list[Row]:
    """The best, middling, worst and misclassified images; rows without any are left out.

    By the IoU, of all images that have a box. Without boxes by the probability of the true
    class, of the images that are classified right: the worst of all would be misclassified
    ones in both rows.

    Raises:
        MissingData: the images are not here, or others than those that the run was trained with.
    """
    images = run.judged.join(run.paths, how="left")
    gone = images.index[images["path"].isna()]
    if len(gone):
        why = run.missing or f"the folder has no {summarize(gone)}"
        raise MissingData(f"the images of {run.name} are not here: {why}")
    wrong = images["said"] != images["label"]
    quality, name, ranked = "of_true", "probability", images[~wrong]
    if "iou" in images:
        quality, name, ranked = "iou", "IoU", images[images["iou"].notna()]
    ranked = ranked.sort_values(quality, ascending=False, kind="stable")
    best, middling, worst = (ranked.iloc[part] for part in np.array_split(range(len(ranked)), 3))
    middle = max(len(middling) - columns, 0) // 2
    chosen = {"best": best, "middling": middling[middle:], "worst": worst[::-1]}
    rows = []
    for row, shown in chosen.items():
        if len(shown := shown[:columns]):
            ends = (f"{end:.2f}" for end in shown[quality].iloc[[0, -1]])
            rows.append(Row(row, f"{name} {' to '.join(dict.fromkeys(ends))}", shown))
    if wrong.any():
        mistakes = images[wrong].sort_values("sure", ascending=False, kind="stable")[:columns]
        rows.append(Row("misclassified", f"{wrong.sum():,} of {len(images):,}", mistakes))
    return rows


def draw_gallery(run: RunData, rows: list[Row]) -> Figure:
    """A row of images for each row under its name, and a title that says what they are.

    Raises:
        UnreadableImage: one of them is gone or broken.
    """
    has_boxes = "iou" in run.judged
    columns = max(3, *(len(row.images) for row in rows))  # the title needs the width of three
    size = columns * CELL, 0.8 + len(rows) * (CELL + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    how = "rows by the probability of the true class, the first three of those that are right"
    if has_boxes:
        how = "rows by the IoU of the boxes"
        lines = [
            Line2D([], [], color=GREEN, linewidth=2, label="true box"),
            Line2D([], [], color=BLUE, linewidth=2, linestyle="--", label="predicted box"),
        ]
        figure.legend(handles=lines, loc="outside lower left", ncols=2, frameon=False)
    title = (
        f"{run.name}: {len(run.judged):,} {run.kind} images, each judged by networks that have not "
        f"seen it; {how}"
    )
    figure.suptitle(fill(title, int(size[0] * 11)), x=0.01, ha="left", fontsize=11)
    parts = figure.subfigures(len(rows), squeeze=False)[:, 0]
    for part, row in zip(parts, rows, strict=True):
        part.suptitle(f"{row.name}: {row.about}", x=0.01, ha="left", fontweight="bold")
        axes = part.subplots(1, columns)
        for axis in axes:
            axis.set_axis_off()
        for axis, (_, image) in zip(axes, row.images.iterrows(), strict=False):
            _draw_image(axis, image)
    return figure


def _draw_image(axis: Axes, image: pd.Series) -> None:
    """An image with its label in green or red and, where there are boxes, these and their IoU."""
    pixels = read_image(image["path"], round(CELL * DPI))
    axis.imshow(pixels, extent=(0, 1, 1, 0), aspect=pixels.shape[0] / pixels.shape[1])
    label, style = f"✓ {image['answer']} {image['sure']:.2f}", {"color": GREEN}
    if image["said"] != image["label"]:
        label = f"✗ {image['answer']} {image['sure']:.2f}, is {image['truth']}"
        style = {"color": RED, "fontweight": "bold"}
    axis.set_title(fill(label, LETTERS), loc="left", fontsize=SMALL, pad=3, **style)
    if "iou" in image:
        # The true box solid, the predicted one dashed over it, both to be seen on any ground.
        halo = [withStroke(linewidth=3.5, foreground="white")]
        for kind, (left, top, right, bottom) in boxes_of(image):
            edge, line = {"true": (GREEN, "-"), "found": (BLUE, "--")}[kind]
            look = {"edgecolor": edge, "linewidth": 2, "linestyle": line, "path_effects": halo}
            axis.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, **look))
        corner = "no true box" if np.isnan(image["iou"]) else f"IoU {image['iou']:.2f}"
        ground = {"facecolor": "black", "alpha": 0.65, "pad": 1.5, "linewidth": 0}
        axis.text(0.02, 0.02, corner, va="top", fontsize=SMALL - 1, color="white", bbox=ground)
