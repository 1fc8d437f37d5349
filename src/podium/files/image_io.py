"""From a file to an image: uint8 (height, width, 3) RGB, however the file stores it."""

import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps, TiffImagePlugin, UnidentifiedImageError

from podium.text import single_line

MAX_PIXELS = 89_478_485  # where Pillow starts to warn of decompression bombs
MAX_BYTES = 6 * MAX_PIXELS  # of a file: three channels of 16 bits, not compressed

# Where these are there, a file is an image, and where it cannot be read it is a broken one.
IMAGE_EXTENSIONS = {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".gif", ".tif", ".tiff", ".bmp",
}  # fmt: skip
NOT_DECODED = {"EPS", "MPEG"}  # by Pillow: another program would run the one; the other is a film

DEEP_GRAY_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
WHITES = (255, 1023, 4095, 65535)  # of 8 to 16 bits, whatever has stored them in 16

# Images are worked on side by side, a thread each: OpenCV's own threads would fight with these.
cv2.setNumThreads(1)


class UnreadableImage(ValueError):
    """A file without a complete image: says which file and why, in a line."""

    def __str__(self) -> str:
        return single_line(super().__str__())  # files may have any name


class Size(NamedTuple):
    """Pixels of an image as `read_image` gives it: upright."""

    width: int
    height: int


@dataclass(frozen=True)
class SizedImage:
    """An image that was perhaps decoded smaller than it is, and how large it is."""

    pixels: np.ndarray  # uint8 (height, width, 3)
    size: Size  # of the image in its file


def is_image(path: Path) -> bool:
    """Whether a file counts as an image: by its extension, or else by its first bytes."""
    if path.suffix.lower() in IMAGE_EXTENSIONS:
        return True
    try:
        with _readable(path), Image.open(path) as pil_image:
            return _is_decoded(pil_image)
    except Exception:  # as below, decoders raise anything
        return False


def _is_decoded(pil_image: Image.Image) -> bool:
    """Whether what Pillow has recognized it can decode by itself, too."""
    is_stub = isinstance(pil_image, ImageFile.StubImageFile)
    return not is_stub and pil_image.format not in NOT_DECODED


def read_orientation(path: Path) -> tuple[Size, int]:
    """The size of the upright image, and its EXIF orientation: 5 to 8 is stored on its side.

    Raises:
        UnreadableImage: missing, or not an image. A truncated one has its header still.
    """
    with _readable(path):
        try:
            with Image.open(path) as pil_image:
                return _size_of(pil_image), _orientation(pil_image)
        except Exception as error:  # decoders raise anything for broken bytes
            raise UnreadableImage(f"{path}: has no size that can be read ({error})") from error


def read_image(path: Path, shorter_side: int | None = None) -> np.ndarray:
    """Decode a file to uint8 (height, width, 3) RGB, upright as its EXIF says, over white.

    A truncated file is refused: a network would learn its gray half.

    Args:
        shorter_side: pixels that are enough of it. A large JPEG then comes at a half, a quarter
            or an eighth of its size, which takes a fraction of the time; never below this.

    Raises:
        UnreadableImage: missing, empty, not an image, truncated, or above MAX_PIXELS.
    """
    return decode_sized(read_bytes(path), str(path), shorter_side).pixels


def read_bytes(path: Path) -> bytes:
    """The bytes of an image's file.

    Raises:
        UnreadableImage: there is none, or it cannot be read.
    """
    with _readable(path):
        return path.read_bytes()


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Refuse what is no file, as a pipe never ends; say in one line why a file cannot be read."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UnreadableImage(f"{path}: is a folder, a pipe or a device, and no file")
        if path.stat().st_size > MAX_BYTES:
            raise UnreadableImage(f"{path}: too large, at most {MAX_BYTES / 1e6:.0f} MB are read")
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UnreadableImage(f"{path}: there is no such file") from error
    except OSError as error:
        raise UnreadableImage(f"{path}: cannot be read ({error.strerror})") from error


def decode_sized(data: bytes, name: str, shorter_side: int | None = None) -> SizedImage:
    """Decode the bytes of a file, as `read_image`, and tell the size that the image has in it.

    Args:
        name: what an error calls it.
    """
    if not data:
        raise UnreadableImage(f"{name}: the file is empty")
    try:
        with Image.open(BytesIO(data)) as pil_image:
            return _decode(pil_image, data, shorter_side)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableImage(
            f"{name}: too large, above {MAX_PIXELS:,} pixels ({error})"
        ) from error
    except UnidentifiedImageError as error:
        raise UnreadableImage(f"{name}: not an image in a known format") from error
    except Exception as error:  # decoders raise anything for broken bytes, even IndexError
        kind = "truncated" if "truncated" in str(error).lower() else "broken"
        raise UnreadableImage(f"{name}: {kind} ({error})") from error


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


def shrink(image: np.ndarray, side: int) -> np.ndarray:
    """Shrink to a shorter side of `side` pixels, in proportion; smaller images stay."""
    height, width = image.shape[:2]
    scale = side / min(height, width)
    if scale >= 1:
        return image
    return resize(image, max(side, round(height * scale)), max(side, round(width * scale)))


def _orientation(pil_image: Image.Image) -> int:
    with suppress(Exception):  # broken EXIF does not make the pixels unreadable
        return pil_image.getexif().get(ExifTags.Base.Orientation, 1)
    return 1


def _size_of(pil_image: Image.Image) -> Size:
    width, height = pil_image.size
    if tags := getattr(pil_image, "tag_v2", None):  # of a TIFF, which some versions turn already
        width, height = tags[TiffImagePlugin.IMAGEWIDTH], tags[TiffImagePlugin.IMAGELENGTH]
    return Size(height, width) if 5 <= _orientation(pil_image) <= 8 else Size(width, height)


def _decode(pil_image: Image.Image, data: bytes, shorter_side: int | None) -> SizedImage:
    if not _is_decoded(pil_image):
        raise UnidentifiedImageError
    width, height = pil_image.size
    if width * height > MAX_PIXELS:
        raise Image.DecompressionBombError(f"{width} × {height} pixels")
    if pil_image.format == "PNG":
        with Image.open(BytesIO(data)) as png:
            png.verify()  # the checksums, which it does not look at when it decodes
    # Loading clears what tells it, and asking a PNG for its EXIF loads it.
    is_deep = ";16" in str(pil_image.tile[:1]) and pil_image.mode not in DEEP_GRAY_MODES
    size, side = _size_of(pil_image), min(width, height)
    divisor = next(by for by in (8, 4, 2, 1) if by == 1 or side // by >= (shorter_side or side))
    pil_image.draft(None, (width // divisor, height // divisor))  # heeded by JPEGs alone
    pixels = _to_rgb(pil_image)
    if is_deep and pixels.max() < 16:  # Pillow takes the upper 8 of a color's 16 bits
        raise ValueError("12 bits or fewer in 16, which would be black; save it with 8 bits")
    return SizedImage(pixels, size)


def _to_rgb(pil_image: Image.Image) -> np.ndarray:
    """Any mode of Pillow's to uint8 (height, width, 3)."""
    pil_image.load()
    tags = getattr(pil_image, "tag_v2", {})  # of a TIFF
    white_is_zero = tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0
    with suppress(Exception):  # as above, broken EXIF
        ImageOps.exif_transpose(pil_image, in_place=True)
    if pil_image.mode in DEEP_GRAY_MODES:
        gray = _scaled_gray(np.asarray(pil_image))
        gray = 255 - gray if white_is_zero else gray  # where it has 8 bits, Pillow does that
        return np.repeat(gray[..., np.newaxis], 3, axis=2)
    if pil_image.has_transparency_data:
        transparent = pil_image.convert("RGBA")
        if transparent.getextrema()[3] != (0, 0):  # else nobody has filled it: all would be white
            pil_image = Image.new("RGB", transparent.size, "white")
            pil_image.paste(transparent, mask=transparent)
    return np.array(pil_image.convert("RGB"))


def _scaled_gray(values: np.ndarray) -> np.ndarray:
    """Deep gray as uint8 (height, width); Pillow would clip at 255.

    No file says where its white is. Cameras store 10 or 12 bits in 16, so that it is the least of
    `WHITES` that no value exceeds, unless all are 8 bits that were spread to 16; above 16 bits it
    is the largest value, and of floats 1, if they are shares.

    Raises:
        ValueError: values below 0 or no numbers, whose black nobody can know.
    """
    numbers = values.astype(np.float32)
    largest = float(numbers.max())
    if not (numbers.min() >= 0 and np.isfinite(largest)):
        raise ValueError("it has values below 0 or no numbers; save it as 8 or 16 bits")
    white = next((white for white in WHITES if largest <= white), largest)
    if values.dtype.kind == "f" and largest < 2:  # resampling overshoots a little
        white = 1
    elif white < WHITES[-1] and not (numbers % 257).any():
        white = WHITES[-1]
    return np.rint(numbers * (255 / white)).clip(0, 255).astype(np.uint8)
