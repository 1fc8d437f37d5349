"""Small images for a page, each held in the page itself."""

import base64
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from PIL import Image

from podium.competitions.boxes import BOX_COLUMNS
from podium.files.image_io import UnreadableImage, read_image, resize
from podium.reports.run_data import FOUND_COLUMNS

SIDE = 200  # pixels of the longer side
QUALITY = 80
EXACT = 64  # pixels up to which an image is stored bit by bit, and enlarged
HEAT = 0.55  # how much of an overlay is heat, where it is hottest


def thumbnail(path: Path | None) -> str:
    """An image's file as a data URI; "" where there is none, or it cannot be read."""
    try:
        return as_uri(read_image(path, SIDE)) if path else ""
    except UnreadableImage:
        return ""


def data_uri(data: bytes, kind: str) -> str:
    """Bytes of an image as an address that holds them itself."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def as_uri(image: np.ndarray, side: int = SIDE) -> str:
    """uint8 (height, width, 3) as a data URI, its longer side so many pixels.

    What is tiny is enlarged pixel by pixel, as the network sees it.
    """
    height, width = image.shape[:2]
    longer = max(height, width)
    if longer > EXACT:
        image = resize(image, *(max(1, round(part * side / longer)) for part in (height, width)))
    else:
        image = image.repeat(side // longer, axis=0).repeat(side // longer, axis=1)
    kind = "jpeg" if longer > EXACT else "png"
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, kind, quality=QUALITY)
    return data_uri(buffer.getvalue(), kind)


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


def verdict(row: pd.Series) -> dict[str, str]:
    """What is right or wrong about a judged image, for its tile."""
    said = f"{row['answer']} {row['sure']:.2f}"
    hit = row["said"] == row["label"]
    return {"right": said} if hit else {"wrong": f"{said}, labeled {row['truth']}"}


def boxes_of(row: pd.Series) -> list[tuple[str, list[float]]]:
    """The annotated box of a judged image and the predicted one, where they are."""
    return [
        (kind, [float(row[name]) for name in columns])
        for kind, columns in (("true", BOX_COLUMNS), ("found", FOUND_COLUMNS))
        if not np.isnan(row.get(columns[0], np.nan))
    ]
