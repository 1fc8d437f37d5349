"""Shrunk copies of large images, kept on the disk: each is decoded once, whatever trains on it."""

import hashlib
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np

from podium.files.atomic_write import atomic_write
from podium.files.image_io import UnreadableImage, decode_sized, read_bytes, read_image, shrink
from podium.recipes.recipe import CACHED_DETAIL, DEFAULT_IMAGE_SIZE

LARGER = 4  # times as many pixels as its copy: of a smaller image none is kept
COMPRESSION = [cv2.IMWRITE_PNG_COMPRESSION, 1]  # more takes longer, and saves a hundredth
TIMED = 24  # images that `what_copies_bring` reads
PAYS = 2.0  # times as fast


def read_shrunk(path: Path, side: int, copies: Path | None = None) -> np.ndarray:
    """Read an image, uint8 (height, width, 3), its shorter side at most `side` pixels.

    Args:
        copies: folder of copies, PNGs named by what is in the file, and so of all runs; a copy is
            the very image that is decoded without it, and it is written where there is none.

    Raises:
        UnreadableImage: the file gives no whole image.
    """
    data = read_bytes(path)
    copy = None
    if copies:
        digest = hashlib.sha256(data).hexdigest()[:32]
        copy = copies / str(side) / digest[:2] / f"{digest[2:]}.png"
        with suppress(UnreadableImage):  # there is none, or it is damaged: it is written anew
            return read_image(copy)
    decoded = decode_sized(data, str(path), side)
    image = shrink(decoded.pixels, side)
    if copy and decoded.size.width * decoded.size.height >= LARGER * image.size / 3:
        with atomic_write(copy) as part:
            part.write_bytes(_png(image))
    return image


def what_copies_bring(paths: Sequence[Path]) -> str:
    """A line about how long images take to decode here, and their copies; "" if that is as long.

    Args:
        paths: images that can be read; some of them, evenly chosen, are.
    """
    side = round(DEFAULT_IMAGE_SIZE * CACHED_DETAIL)
    whole = copied = pixels = 0.0
    chosen = np.unique(np.linspace(0, len(paths) - 1, min(TIMED, len(paths))).astype(int))
    for number in chosen:
        began = time.thread_time()  # of the processor: other work here changes nothing
        data = read_bytes(Path(paths[number]))
        decoded = decode_sized(data, str(paths[number]), side)
        image = shrink(decoded.pixels, side)
        whole += time.thread_time() - began
        pixels += decoded.size.width * decoded.size.height
        png = _png(image)
        began = time.thread_time()
        hashlib.sha256(data)
        decode_sized(png, "its copy")
        copied += time.thread_time() - began
    if not len(chosen) or whole < PAYS * copied:
        return ""
    cores, count = os.cpu_count() or 1, len(chosen)
    return (
        f"decoding: {pixels / count / 1e6:.1f} megapixels and {whole / count * 1e3:.0f} ms an "
        f"image, {pixels / whole / 1e6:.0f} megapixels a second and core: {cores} cores feed "
        f"{cores * count / whole:.0f} images a second. Where a network learns from more, "
        f"copies = true pays: of {side} px, they feed {cores * count / copied:.0f}"
    )


def _png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), COMPRESSION)[1].tobytes()
