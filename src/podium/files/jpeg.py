"""The plain JPEGs, which OpenCV decodes to Pillow's pixels in two thirds of the time."""

import re
import struct
from io import BytesIO

import cv2
import numpy as np
from PIL import ExifTags, Image

START, END = b"\xff\xd8", b"\xff\xd9"
SCAN = 0xDA  # the marker of the segment before the compressed pixels
FRAMES = (0xC0, 0xC1)  # markers of the segment with the sides: one scan, Huffman-coded
NOTES = 0xE1  # EXIF or XMP, either of which may turn the image
FOREIGN = re.compile(rb"\xff[^\x00\xd0-\xd7]")  # no stuffed zero and no restart of the coding

# Each has the bit that shrinks by 2, 4 or 8; older versions of OpenCV only have blue first.
RGB = getattr(cv2, "IMREAD_COLOR_RGB", cv2.IMREAD_COLOR)
SHRUNK = {
    1: 0,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}


def read_plain_jpeg(data: bytes, enough: int | None, max_pixels: int) -> np.ndarray | None:
    """Decode a file's bytes to uint8 (height, width, 3) RGB; None for any but a plain JPEG.

    OpenCV decodes what is broken without a word, so that it only gets what is whole: a JPEG of
    one scan, in which no marker but those of restarts comes before the last, at the file's end.

    Args:
        enough: pixels that are enough of the shorter side, see `shrinking`.
        max_pixels: of an image that is decoded.
    """
    sides = _sides_of_plain(data)
    if sides is None or sides[0] * sides[1] > max_pixels:
        return None
    flags = RGB | SHRUNK[shrinking(min(sides), enough)] | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None or RGB != cv2.IMREAD_COLOR:
        return image
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)


def shrinking(side: int, enough: int | None) -> int:
    """By what a decoder of JPEGs may divide a side of so many pixels: 1, 2, 4 or 8."""
    return next(by for by in (8, 4, 2, 1) if by == 1 or (enough and side // by >= enough))


def _sides_of_plain(data: bytes) -> tuple[int, int] | None:
    """Height and width of a plain and upright JPEG, or None."""
    sides, noted, at = None, False, len(START)
    if not (data.startswith(START) and data.endswith(END)):
        return None
    # Segment after segment, each of which says its length.
    while data[at : at + 1] == b"\xff" and at + 10 < len(data):
        marker = data[at + 1]
        if marker in FRAMES:
            bits, height, width, channels = struct.unpack_from(">BHHB", data, at + 4)
            sides = (height, width) if bits == 8 and channels in (1, 3) else None
        elif marker == SCAN:
            foreign = FOREIGN.search(data, at + 2)
            whole = foreign and foreign.start() == len(data) - len(END)
            return sides if whole and not (noted and _turned(data)) else None
        noted |= marker == NOTES
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None  # something lies between the segments


def _turned(data: bytes) -> bool:
    with Image.open(BytesIO(data)) as pil_image:
        return pil_image.getexif().get(ExifTags.Base.Orientation, 1) != 1
