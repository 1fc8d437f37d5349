"""Images for the benchmarks, drawn by the sample competition's code."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from podium.competitions.sample_drawing import VEHICLES, draw_image

CLASSES = len(VEHICLES)


def draw(folder: Path, count: int, size: tuple[int, int]) -> list[Path]:
    """Draw so many JPEGs into folder/<class>/; `size` is width and height, pixels.

    Returns:
        The files; their labels are those of `one_hot`.
    """

    def write(number: int) -> Path:
        path = folder / str(number % CLASSES) / f"{number}.jpg"
        bgr = cv2.cvtColor(draw_image(0, number, size), cv2.COLOR_RGB2BGR)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes())
        return path

    with ThreadPoolExecutor() as pool:
        return list(pool.map(write, range(count)))


def one_hot(paths: list[Path]) -> np.ndarray:
    """float32 (images, classes), from the folders that the images lie in."""
    return np.eye(CLASSES, dtype=np.float32)[[int(path.parent.name) for path in paths]]
