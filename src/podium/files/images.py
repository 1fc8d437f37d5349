"""From a file to an image: uint8 (height, width, 3) RGB, however the file stores it."""

import contextlib
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from podium.files.jpeg import read_plain_jpeg, shrinking
from podium.files.png import check_png

MAX_PIXELS = 89_478_485  # where Pillow starts to warn of decompression bombs
MAX_BYTES = 6 * MAX_PIXELS  # of a file: three channels of 16 bits, not compressed
BAND = 1 << 22  # pixels that are converted at a time: copies of a whole image take gigabytes

DEEP_GRAY_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")

# Images are worked on side by side, a thread each: OpenCV's own threads would fight with these.
cv2.setNumThreads(1)


class UnreadableImage(ValueError):
    """A file that gives no whole image: says which file and why."""


@dataclass(frozen=True)
class Size:
    """Pixels of an image as `read_image` gives it: upright."""

    width: int
    height: int
    orientation: int  # EXIF's: how the file stores it; 5 to 8 lie on their side

    @property
    def stored(self) -> tuple[int, int]:
        """Width and height as the file has them, before it is turned upright."""
        sides = (self.width, self.height)
        return sides[::-1] if self.orientation >= 5 else sides


@dataclass(frozen=True)
class SizedImage:
    """An image that was perhaps decoded smaller than it is, and how large it is."""

    pixels: np.ndarray  # uint8 (height, width, 3)
    size: Size  # of the whole image


def read_size(path: Path) -> Size:
    """The size of an image from its file's header, without decoding it.

    Raises:
        UnreadableImage: missing, or not an image. A truncated one has its header still.
    """
    with _explained(path):
        _check_kind(path)
    return _size_of(path, str(path))


def _size_of(file: Path | BytesIO, name: str) -> Size:
    try:
        with Image.open(file) as pil_image:
            width, height = pil_image.size
            if pil_image.format == "TIFF":  # whose size Pillow turns already, in some versions
                tags = ExifTags.Base.ImageWidth, ExifTags.Base.ImageLength
                width, height = (int(pil_image.tag_v2[tag]) for tag in tags)  # type: ignore[attr-defined]
            orientation = 1
            with contextlib.suppress(Exception):  # as for the pixels: see _to_rgb
                orientation = int(pil_image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception as error:  # decoders raise anything for broken bytes
        raise UnreadableImage(f"{name}: has no size that can be read ({error})") from error
    orientation = orientation if 1 <= orientation <= 8 else 1
    return Size(*((height, width) if orientation >= 5 else (width, height)), orientation)


def read_image(path: Path, shorter_side: int | None = None) -> np.ndarray:
    """Decode a file to uint8 (height, width, 3) RGB, upright as its EXIF says, over white.

    A truncated file is refused: half an image would be trained on as if it were whole.

    Args:
        shorter_side: pixels that are enough of it. A large JPEG then comes at a half, a quarter
            or an eighth of its size, which takes a fraction of the time; never below this.

    Raises:
        UnreadableImage: missing, empty, not an image, truncated, or above MAX_PIXELS.
    """
    return decode_image(read_bytes(path), str(path), shorter_side)


def read_bytes(path: Path) -> bytes:
    """The bytes of an image's file.

    Raises:
        UnreadableImage: there is none, or it cannot be read.
    """
    with _explained(path):
        _check_kind(path)
        return path.read_bytes()


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Say in one line why a file cannot be read."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise UnreadableImage(f"{path}: there is no such file") from error
    except OSError as error:
        raise UnreadableImage(f"{path}: cannot be read ({error.strerror})") from error


def _check_kind(path: Path) -> None:
    """Refuse what is no file, whatever its name: a pipe never ends, nor does /dev/zero."""
    about = path.stat()
    if stat.S_ISDIR(about.st_mode):
        raise UnreadableImage(f"{path}: is a folder, there is no such file")
    if not stat.S_ISREG(about.st_mode):
        raise UnreadableImage(f"{path}: is a pipe or a device, and no file")
    if about.st_size > MAX_BYTES:
        raise UnreadableImage(
            f"{path}: too large, at most {MAX_BYTES / 1e6:.0f} MB are read, "
            f"came {about.st_size / 1e6:.0f} MB"
        )


def decode_image(data: bytes, name: str, shorter_side: int | None = None) -> np.ndarray:
    """The same from the bytes of a file; `name` is what an error calls it."""
    if not data:
        raise UnreadableImage(f"{name}: the file is empty")
    try:
        image = read_plain_jpeg(data, shorter_side, MAX_PIXELS)
        return _read_any(data, shorter_side) if image is None else image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableImage(
            f"{name}: too large, at most {MAX_PIXELS:,} pixels are decoded ({error})"
        ) from error
    except UnidentifiedImageError as error:
        raise UnreadableImage(f"{name}: not an image in a known format") from error
    except Exception as error:  # decoders raise anything for broken bytes, even IndexError
        kind = "truncated" if "truncated" in str(error).lower() else "broken"
        raise UnreadableImage(f"{name}: {kind} ({error})") from error


def decode_sized(data: bytes, name: str, shorter_side: int | None = None) -> SizedImage:
    """As `decode_image`, with the size of the whole image."""
    pixels = decode_image(data, name, shorter_side)
    return SizedImage(pixels, _size_of(BytesIO(data), name))


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Stretch an image to (height, width): linearly, and by area where it shrinks to a half.

    Beyond a half, linear interpolation would skip pixels and alias; area interpolation averages
    all of them. Down to a half linear is nearer to a careful (Lanczos) one, and five times as
    fast. Along a side that grows, area would only repeat pixels, hence the two steps.
    """
    lower, narrower = min(height, image.shape[0]), min(width, image.shape[1])
    if 2 * height <= image.shape[0] or 2 * width <= image.shape[1]:
        image = cv2.resize(image, (narrower, lower), interpolation=cv2.INTER_AREA)
    if (height, width) != image.shape[:2]:
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return image


def _read_any(data: bytes, shorter_side: int | None) -> np.ndarray:
    """Whatever Pillow can decode."""
    with Image.open(BytesIO(data)) as pil_image:
        if pil_image.format == "EPS":  # Pillow would have another program run it
            raise UnidentifiedImageError
        width, height = pil_image.size
        if width * height > MAX_PIXELS:
            raise Image.DecompressionBombError(f"{width} × {height} pixels")
        check_png(data)
        by = shrinking(min(width, height), shorter_side)
        pil_image.draft(None, (width // by, height // by))  # heeded by JPEGs alone
        return _to_rgb(pil_image)


def _to_rgb(pil_image: Image.Image) -> np.ndarray:
    """Any mode of Pillow's to uint8 (height, width, 3)."""
    pil_image.load()
    with contextlib.suppress(Exception):  # broken EXIF does not make the pixels unreadable
        ImageOps.exif_transpose(pil_image, in_place=True)
    width, height = pil_image.size
    full = _full_scale(pil_image) if pil_image.mode in DEEP_GRAY_MODES else 0.0
    rows = max(1, BAND // width)
    if rows >= height:
        return _band_to_rgb(pil_image, full)
    image = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        image[top:bottom] = _band_to_rgb(pil_image.crop((0, top, width, bottom)), full)
    return image


def _band_to_rgb(pil_image: Image.Image, full: float) -> np.ndarray:
    """A part of an image; `full` is what white is in deep gray."""
    if pil_image.mode in DEEP_GRAY_MODES:
        values = np.asarray(pil_image).astype(np.float64)
        values = np.nan_to_num(values, posinf=full, neginf=0)
        gray = np.clip(np.rint(values * (255 / full)), 0, 255).astype(np.uint8)
        return np.repeat(gray[..., np.newaxis], 3, axis=2)
    if pil_image.has_transparency_data:
        image = pil_image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        pil_image = Image.alpha_composite(white, image)
    return np.array(pil_image if pil_image.mode == "RGB" else pil_image.convert("RGB"))


def _full_scale(pil_image: Image.Image) -> float:
    """What white is in gray of 16 or 32 bits, or real; Pillow would clip at 255."""
    values = np.asarray(pil_image)
    top = float(values.max(initial=0, where=np.isfinite(values)))
    # Mode "I" holds 16-bit files as well as 32-bit ones, and "F" names no range at all.
    ranges = (1, 255, 65535) if pil_image.mode == "F" else (65535,)
    return next((limit for limit in ranges if top <= limit), max(top, 1))
