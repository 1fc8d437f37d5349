"""From a file to a picture: uint8 (height, width, 3) RGB, however the file stores it."""

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
BAND = 1 << 22  # pixels that are converted at a time: copies of a whole picture take gigabytes

DEEP_GREY_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")

# Pictures are worked on side by side, a thread each: OpenCV's own threads would fight with these.
cv2.setNumThreads(1)


class UnreadablePicture(ValueError):
    """A file that gives no whole picture: says which file and why."""


@dataclass(frozen=True)
class Size:
    """Pixels of a picture as `read_picture` gives it: upright."""

    width: int
    height: int
    orientation: int  # EXIF's: how the file stores it; 5 to 8 lie on their side

    @property
    def stored(self) -> tuple[int, int]:
        """Width and height as the file has them, before it is turned upright."""
        sides = (self.width, self.height)
        return sides[::-1] if self.orientation >= 5 else sides


@dataclass(frozen=True)
class SizedPicture:
    """A picture that was perhaps decoded smaller than it is, and how large it is."""

    pixels: np.ndarray  # uint8 (height, width, 3)
    size: Size  # of the whole picture


def read_size(path: Path) -> Size:
    """The size of a picture from its file's header, without decoding it.

    Raises:
        UnreadablePicture: missing, or not a picture. A truncated one has its header still.
    """
    with _explained(path):
        _check_kind(path)
    return _size_of(path, str(path))


def _size_of(file: Path | BytesIO, name: str) -> Size:
    try:
        with Image.open(file) as image:
            width, height = image.size
            if image.format == "TIFF":  # whose size Pillow turns already, in some versions
                tags = ExifTags.Base.ImageWidth, ExifTags.Base.ImageLength
                width, height = (int(image.tag_v2[tag]) for tag in tags)  # type: ignore[attr-defined]
            orientation = 1
            with contextlib.suppress(Exception):  # as for the pixels: see _to_rgb
                orientation = int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception as error:  # decoders raise anything for broken bytes
        raise UnreadablePicture(f"{name}: has no size that can be read ({error})") from error
    orientation = orientation if 1 <= orientation <= 8 else 1
    return Size(*((height, width) if orientation >= 5 else (width, height)), orientation)


def read_picture(path: Path, shorter_side: int | None = None) -> np.ndarray:
    """Decode a file to uint8 (height, width, 3) RGB, upright as its EXIF says, over white.

    A truncated file is refused: half a picture would be trained on as if it were whole.

    Args:
        shorter_side: pixels that are enough of it. A large JPEG then comes at a half, a quarter
            or an eighth of its size, which takes a fraction of the time; never below this.

    Raises:
        UnreadablePicture: missing, empty, not a picture, truncated, or above MAX_PIXELS.
    """
    return decode_picture(read_bytes(path), str(path), shorter_side)


def read_bytes(path: Path) -> bytes:
    """The bytes of a picture's file.

    Raises:
        UnreadablePicture: there is none, or it cannot be read.
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
        raise UnreadablePicture(f"{path}: there is no such file") from error
    except OSError as error:
        raise UnreadablePicture(f"{path}: cannot be read ({error.strerror})") from error


def _check_kind(path: Path) -> None:
    """Refuse what is no file, whatever its name: a pipe never ends, nor does /dev/zero."""
    about = path.stat()
    if stat.S_ISDIR(about.st_mode):
        raise UnreadablePicture(f"{path}: is a folder, there is no such file")
    if not stat.S_ISREG(about.st_mode):
        raise UnreadablePicture(f"{path}: is a pipe or a device, and no file")
    if about.st_size > MAX_BYTES:
        raise UnreadablePicture(
            f"{path}: too large, at most {MAX_BYTES / 1e6:.0f} MB are read, "
            f"came {about.st_size / 1e6:.0f} MB"
        )


def decode_picture(data: bytes, name: str, shorter_side: int | None = None) -> np.ndarray:
    """The same from the bytes of a file; `name` is what an error calls it."""
    if not data:
        raise UnreadablePicture(f"{name}: the file is empty")
    try:
        picture = read_plain_jpeg(data, shorter_side, MAX_PIXELS)
        return _read_any(data, shorter_side) if picture is None else picture
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadablePicture(
            f"{name}: too large, at most {MAX_PIXELS:,} pixels are decoded ({error})"
        ) from error
    except UnidentifiedImageError as error:
        raise UnreadablePicture(f"{name}: not a picture in a known format") from error
    except Exception as error:  # decoders raise anything for broken bytes, even IndexError
        kind = "truncated" if "truncated" in str(error).lower() else "broken"
        raise UnreadablePicture(f"{name}: {kind} ({error})") from error


def decode_sized(data: bytes, name: str, shorter_side: int | None = None) -> SizedPicture:
    """As `decode_picture`, with the size of the whole picture."""
    pixels = decode_picture(data, name, shorter_side)
    return SizedPicture(pixels, _size_of(BytesIO(data), name))


def resize(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Stretch a picture to (height, width): linearly, and by area where it shrinks to a half.

    Beyond a half, linear interpolation would skip pixels and alias; area interpolation averages
    all of them. Down to a half linear is nearer to a careful (Lanczos) one, and five times as
    fast. Along a side that grows, area would only repeat pixels, hence the two steps.
    """
    lower, narrower = min(height, picture.shape[0]), min(width, picture.shape[1])
    if 2 * height <= picture.shape[0] or 2 * width <= picture.shape[1]:
        picture = cv2.resize(picture, (narrower, lower), interpolation=cv2.INTER_AREA)
    if (height, width) != picture.shape[:2]:
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
    return picture


def _read_any(data: bytes, shorter_side: int | None) -> np.ndarray:
    """Whatever Pillow can decode."""
    with Image.open(BytesIO(data)) as image:
        if image.format == "EPS":  # Pillow would have another program run it
            raise UnidentifiedImageError
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise Image.DecompressionBombError(f"{width} × {height} pixels")
        check_png(data)
        by = shrinking(min(width, height), shorter_side)
        image.draft(None, (width // by, height // by))  # heeded by JPEGs alone
        return _to_rgb(image)


def _to_rgb(image: Image.Image) -> np.ndarray:
    """Any mode of Pillow's to uint8 (height, width, 3)."""
    image.load()
    with contextlib.suppress(Exception):  # broken EXIF does not make the pixels unreadable
        ImageOps.exif_transpose(image, in_place=True)
    width, height = image.size
    full = _full_scale(image) if image.mode in DEEP_GREY_MODES else 0.0
    rows = max(1, BAND // width)
    if rows >= height:
        return _band_to_rgb(image, full)
    picture = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        picture[top:bottom] = _band_to_rgb(image.crop((0, top, width, bottom)), full)
    return picture


def _band_to_rgb(image: Image.Image, full: float) -> np.ndarray:
    """A part of a picture; `full` is what white is in deep grey."""
    if image.mode in DEEP_GREY_MODES:
        values = np.asarray(image).astype(np.float64)
        values = np.nan_to_num(values, posinf=full, neginf=0)
        grey = np.clip(np.rint(values * (255 / full)), 0, 255).astype(np.uint8)
        return np.repeat(grey[..., np.newaxis], 3, axis=2)
    if image.has_transparency_data:
        picture = image.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        image = Image.alpha_composite(white, picture)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _full_scale(image: Image.Image) -> float:
    """What white is in grey of 16 or 32 bits, or real; Pillow would clip at 255."""
    values = np.asarray(image)
    top = float(values.max(initial=0, where=np.isfinite(values)))
    # Mode "I" holds 16-bit files as well as 32-bit ones, and "F" names no range at all.
    ranges = (1, 255, 65535) if image.mode == "F" else (65535,)
    return next((limit for limit in ranges if top <= limit), max(top, 1))
