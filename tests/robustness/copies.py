"""Near-copies of images, made as careless collectors make them, and images like no other."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from podium.files.image_io import read_image, resize

Image = np.ndarray  # uint8 (height, width, 3) RGB
Change = Callable[[Image, np.random.Generator], Image]


def scaled(by: float) -> Change:
    return lambda image, rng: resize(image, *(max(1, round(side * by)) for side in image.shape[:2]))


def cropped(least: float, most: float) -> Change:
    """So much off each side, each time something between."""

    def change(image: Image, rng: np.random.Generator) -> Image:
        height, width = image.shape[:2]
        above, below = np.rint(rng.uniform(least, most, 2) * height).astype(int)
        left, right = np.rint(rng.uniform(least, most, 2) * width).astype(int)
        return image[above : height - below, left : width - right]

    return change


def compressed(least: int, most: int) -> Change:
    def change(image: Image, rng: np.random.Generator) -> Image:
        data = np.frombuffer(jpeg(image, int(rng.integers(least, most + 1))), np.uint8)
        return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]

    return change


def mirrored(image: Image, rng: np.random.Generator) -> Image:
    return image[:, ::-1]


# What is done to an image, one after the other.
KINDS: dict[str, tuple[Change, ...]] = {
    "half size": (scaled(0.5),),
    "80 % size": (scaled(0.8),),
    "JPEG 30": (compressed(30, 30),),
    "JPEG 50": (compressed(50, 50),),
    "JPEG 70": (compressed(70, 70),),
    "mirrored": (mirrored,),
    "3 % off each side": (cropped(0.03, 0.03),),
    "5 % off each side": (cropped(0.05, 0.05),),
    "3 to 5 % off each side": (cropped(0.03, 0.05),),
    "cropped, mirrored": (cropped(0.03, 0.05), mirrored),
    "half size, JPEG 50": (scaled(0.5), compressed(50, 50)),
    "all at once": (cropped(0.03, 0.05), mirrored, scaled(0.8), compressed(30, 70)),
}


def write_copy(source: Path, kind: str, path: Path, rng: np.random.Generator) -> None:
    image = read_image(source)
    for change in KINDS[kind]:
        image = change(image, rng)
    path.write_bytes(jpeg(image, 95))


def jpeg(image: Image, quality: int) -> bytes:
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
        scaled_noise = (image - image.min()) / np.ptp(image) * 255
        path.write_bytes(jpeg(scaled_noise.astype(np.uint8), 90))
        return path

    folder.mkdir(parents=True)
    with ThreadPoolExecutor() as pool:
        return list(pool.map(write, range(count)))
