"""Near-copies of images, made as careless collectors make them, and images like no other."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from podium.files.image_io import read_image, resize


class Kind(NamedTuple):
    """What is done to an image, one after the other."""

    crop: tuple[float, float] | None = None  # the least and the most off each side, as shares
    is_mirrored: bool = False
    scale: float | None = None
    quality: tuple[int, int] | None = None  # the least and the best of a JPEG


KINDS = {
    "half size": Kind(scale=0.5),
    "80 % size": Kind(scale=0.8),
    "JPEG 30": Kind(quality=(30, 30)),
    "JPEG 50": Kind(quality=(50, 50)),
    "JPEG 70": Kind(quality=(70, 70)),
    "mirrored": Kind(is_mirrored=True),
    "3 % off each side": Kind((0.03, 0.03)),
    "5 % off each side": Kind((0.05, 0.05)),
    "3 to 5 % off each side": Kind((0.03, 0.05)),
    "cropped, mirrored": Kind((0.03, 0.05), True),
    "half size, JPEG 50": Kind(scale=0.5, quality=(50, 50)),
    "all at once": Kind((0.03, 0.05), True, 0.8, (30, 70)),
}


def write_copy(source: Path, kind: str, path: Path, rng: np.random.Generator) -> None:
    image, change = read_image(source), KINDS[kind]
    if change.crop:
        height, width = image.shape[:2]
        above, below = np.rint(rng.uniform(*change.crop, 2) * height).astype(int)
        left, right = np.rint(rng.uniform(*change.crop, 2) * width).astype(int)
        image = image[above : height - below, left : width - right]
    if change.is_mirrored:
        image = image[:, ::-1]
    if change.scale:
        image = resize(image, *(max(1, round(side * change.scale)) for side in image.shape[:2]))
    if change.quality:
        least, best = change.quality
        data = np.frombuffer(jpeg(image, int(rng.integers(least, best + 1))), np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    path.write_bytes(jpeg(image, 95))


def jpeg(image: np.ndarray, quality: int) -> bytes:
    bgr = np.ascontiguousarray(image[..., ::-1])
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def write_made_up(folder: Path, count: int, width: int, height: int) -> list[Path]:
    """So many JPEGs of noise at all scales, as nature has it: folder/0.jpg and so on."""

    def write(number: int) -> Path:
        rng = np.random.default_rng([8, number])
        image = np.zeros((height, width, 3), dtype=np.float32)
        for cells in (3, 6, 12, 24, 48, 96):
            noise = rng.normal(size=(cells, cells, 3)).astype(np.float32) / cells**0.7
            image += cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR)
        path = folder / f"{number}.jpg"
        path.write_bytes(jpeg(((image - image.min()) / np.ptp(image) * 255).astype(np.uint8), 90))
        return path

    folder.mkdir(parents=True)
    with ThreadPoolExecutor() as pool:
        return list(pool.map(write, range(count)))
