"""Small images for a page, each held in the page itself."""

from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from PIL import Image

from podium.competitions.boxes import BOX_COLUMNS
from podium.files.image_io import UnreadableImage, read_image, resize
from podium.reports.blocks import Box, ImageTile
from podium.reports.page import data_uri
from podium.reports.run_data import FOUND_COLUMNS

SIDE = 200  # pixels of the longer side
QUALITY = 80
EXACT = 64  # pixels up to which an image is stored bit by bit, and enlarged
HEAT = 0.55  # how much of an overlay is heat, where it is hottest


def thumbnail(path: object) -> str:
    """An image's file as a data URI; "" where there is none, or it cannot be read."""
    if not isinstance(path, str | Path):
        return ""
    try:
        return as_uri(read_image(Path(path), SIDE))
    except UnreadableImage:
        return ""


def as_uri(image: np.ndarray, side: int = SIDE) -> str:
    """uint8 (height, width, 3) as a data URI, its longer side so many pixels.

    What is tiny is enlarged pixel by pixel, as the network sees it.
    """
    height, width = image.shape[:2]
    scale = side / max(height, width)
    if max(height, width) > EXACT:
        image = resize(image, max(1, round(height * scale)), max(1, round(width * scale)))
    buffer, pil_image = BytesIO(), Image.fromarray(image)
    if max(height, width) > EXACT:
        pil_image.save(buffer, "JPEG", quality=QUALITY)
        return data_uri(buffer.getvalue(), "jpeg")
    larger = side // max(height, width)
    pil_image.resize((width * larger, height * larger), Image.Resampling.NEAREST).save(
        buffer, "PNG"
    )
    return data_uri(buffer.getvalue(), "png")


def with_heat(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A heat map over an image: gray where it is cold, yellow where it is hottest.

    Args:
        image: uint8 (height, width, 3).
        heat: float (rows, columns), 0 to 1.
    """
    height, width = image.shape[:2]
    hot = cv2.resize(heat.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    hot = hot.clip(0, 1)[..., np.newaxis]
    # Lightness rises with the heat in this map, for every eye.
    colors = cv2.applyColorMap((hot * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    gray = image.mean(axis=-1, keepdims=True).repeat(3, axis=-1)
    return ((1 - HEAT) * gray + HEAT * colors).clip(0, 255).astype(np.uint8)


def labeled(path: object, row: pd.Series, name: str, note: str = "") -> ImageTile:
    """A judged image with what was said of it.

    Args:
        row: of `Reported.judged`.
    """
    said, truth, sure = row["answer"], row["truth"], row["sure"]
    hit = row["said"] == row["label"]
    pil_image = thumbnail(path)
    about = f"{truth}, predicted as {said} with probability {sure:.2f}"
    return ImageTile(
        pil_image,
        f"image of {about}" if pil_image else "this image's file cannot be read",
        name,
        right=f"{said} {sure:.2f}" if hit else "",
        wrong="" if hit else f"{said} {sure:.2f}, labeled {truth}",
        note=note,
        boxes=boxes_of(row),
    )


def boxes_of(row: pd.Series) -> list[Box]:
    """The annotated box of a judged image and the predicted one, where they are."""
    boxes = []
    for columns, truth in ((BOX_COLUMNS, True), (FOUND_COLUMNS, False)):
        if columns[0] in row and not np.isnan(float(row[columns[0]])):
            boxes.append(box(row[list(columns)].to_numpy(np.float64), truth))
    return boxes


def box(corners: np.ndarray, truth: bool) -> Box:
    """A box (4,) in shares, as it is drawn."""
    x, y, other_x, other_y = (round(float(value), 4) for value in corners)
    return Box(x, y, round(other_x - x, 4), round(other_y - y, 4), truth)
