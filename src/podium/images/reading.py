"""From a file to a picture: uint8 (height, width, 3) RGB, however the file stores it."""

import contextlib
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

MAX_PIXELS = 89_478_485  # where Pillow starts to warn of decompression bombs

DEEP_GREY_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")


class UnreadablePicture(ValueError):
    """A file that gives no whole picture: says which file and why."""


def read_picture(path: Path) -> np.ndarray:
    """Decode a file to uint8 (height, width, 3) RGB, upright as its EXIF says, over white.

    A truncated file is refused: half a picture would be trained on as if it were whole.

    Raises:
        UnreadablePicture: missing, empty, not a picture, truncated, or above MAX_PIXELS.
    """
    if not path.is_file():
        raise UnreadablePicture(f"{path}: there is no such file")
    if path.stat().st_size == 0:
        raise UnreadablePicture(f"{path}: the file is empty")
    try:
        with Image.open(path) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise Image.DecompressionBombError(f"{width} × {height} pixels")
            return _to_rgb(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadablePicture(
            f"{path}: too large, at most {MAX_PIXELS:,} pixels are decoded ({error})"
        ) from error
    except UnidentifiedImageError as error:
        raise UnreadablePicture(f"{path}: not a picture in a known format") from error
    except Exception as error:  # decoders raise anything for broken bytes, even IndexError
        kind = "truncated" if "truncated" in str(error).lower() else "broken"
        raise UnreadablePicture(f"{path}: {kind} ({error})") from error


def resize(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Stretch a picture to (height, width): by area where it shrinks, linearly where it grows.

    Area interpolation averages all pixels, where the others would skip some and alias; along a
    side that grows it would only repeat pixels, hence the two steps.
    """
    lower, narrower = min(height, picture.shape[0]), min(width, picture.shape[1])
    if (lower, narrower) != picture.shape[:2]:
        picture = cv2.resize(picture, (narrower, lower), interpolation=cv2.INTER_AREA)
    if (height, width) != picture.shape[:2]:
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
    return picture


def _to_rgb(image: Image.Image) -> np.ndarray:
    """Any mode of Pillow's to uint8 (height, width, 3)."""
    image.load()
    with contextlib.suppress(Exception):  # broken EXIF does not make the pixels unreadable
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode in DEEP_GREY_MODES:
        return np.repeat(_to_eight_bits(image)[..., np.newaxis], 3, axis=2)
    if image.has_transparency_data:
        picture = image.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        image = Image.alpha_composite(white, picture)
    return np.array(image.convert("RGB"))


def _to_eight_bits(image: Image.Image) -> np.ndarray:
    """Grey of 16 or 32 bits, or real, scaled to uint8 (height, width); Pillow would clip it."""
    values = np.asarray(image).astype(np.float64)
    top = values.max(initial=0)
    # Mode "I" holds 16-bit files as well as 32-bit ones, and "F" names no range at all.
    ranges = (1, 255, 65535) if image.mode == "F" else (65535,)
    full = next((limit for limit in ranges if top <= limit), max(top, 1))
    return np.clip(np.rint(values * (255 / full)), 0, 255).astype(np.uint8)
