"""From uploaded bytes to what a network sees; everything else is refused with its status."""

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from podium.data.batches import shrink
from podium.files.image_io import UnreadableImage, decode_sized
from podium.predictions.tta import VIEWS
from podium.serving.limits import RequestError, RequestLimits
from podium.serving.uploads import Upload

# What browsers and cameras make. Pillow knows more, and for some starts other programs (EPS).
KNOWN = ("JPEG", "PNG", "WebP", "GIF", "BMP", "TIFF", "AVIF")
Image.init()
FORMATS = [name.upper() for name in KNOWN if name.upper() in Image.OPEN]


@dataclass(frozen=True)
class Square:
    """An image as the network sees it, and the size that it had, upright."""

    pixels: np.ndarray  # uint8 (size, size, 3)
    width: int
    height: int


def decode_upload(upload: Upload, limits: RequestLimits, side: int, size: int) -> Square:
    """Decode an image to a square, in the same way as a training does.

    Args:
        side: what the shorter side is shrunk to first, pixels.
        size: of the square, pixels.

    Raises:
        Refused: too large (413), no image (415), or a broken one (422).
    """
    _check(upload, limits)
    try:
        image = decode_sized(upload.data, upload.name, side)
    except UnreadableImage as error:
        raise RequestError(422, str(error)) from error
    pixels = VIEWS[0](shrink(image.pixels, side), size)
    return Square(pixels, image.size.width, image.size.height)


def _check(upload: Upload, limits: RequestLimits) -> None:
    """Look at the length and the header alone."""
    if not upload.data:
        raise RequestError(422, f"{upload.name}: the file is empty")
    if len(upload.data) > limits.image_bytes:
        raise RequestError(
            413, f"{upload.name}: larger than {limits.megabytes:g} MB, which is the most"
        )
    try:
        with Image.open(BytesIO(upload.data), formats=FORMATS) as pil_image:
            width, height = pil_image.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise RequestError(413, _too_many_pixels(upload, limits)) from error
    except UnidentifiedImageError as error:
        known = f"{', '.join(KNOWN[:-1])} or {KNOWN[-1]}"
        raise RequestError(415, f"{upload.name}: not an image ({known})") from error
    except Exception as error:  # decoders raise anything for broken bytes
        raise RequestError(422, f"{upload.name}: broken ({error})") from error
    if width * height > limits.pixels:
        raise RequestError(413, _too_many_pixels(upload, limits, f"{width:,} × {height:,}: "))


def _too_many_pixels(upload: Upload, limits: RequestLimits, has: str = "") -> str:
    return (
        f"{upload.name}: {has}more than {limits.pixels / 1e6:g} million pixels, which is the most"
    )
