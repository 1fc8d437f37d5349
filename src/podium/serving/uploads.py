"""The images of a request: read into memory, never to a disk, within the limits, and decoded."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from io import BytesIO
from pathlib import PureWindowsPath

from fastapi import HTTPException, Request
from PIL import Image, UnidentifiedImageError
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from podium.files.image_io import SizedImage, UnreadableImage, decode_sized, shrink
from podium.predictions.tta import VIEWS
from podium.serving.schema import RequestLimits

FORM = "multipart/form-data"
SEND = f"send images as {FORM}, in the field 'images'"  # a field of any other name is read as well
HEADER = 65_536  # bytes, in which most headers end
MAX_NAME = 80  # characters of a file's name that are repeated
DRAINED = SILENT = 5.0  # seconds
# What browsers and cameras make. Pillow reads more, and for some starts other programs (EPS).
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")

# A core decodes 16 million pixels in half a second, and files of one color pack thousands of them
# into a byte: beyond that an image needs as many bytes as any photo has.
FLAT, PIXELS_PER_BYTE = 16_000_000, 100
RLE = 4  # Pillow decodes a run-length encoded BMP in Python, as slowly as so many pixels
SCANS = 64  # of a progressive JPEG; each takes as long as a small image does. Ten are usual


class _InMemory(MultiPartParser):
    spool_max_size = sys.maxsize  # beyond it Starlette would write to a temporary file


async def read_uploads(
    request: Request, limits: RequestLimits, hold: Callable[[int], object] = lambda came: None
) -> list[tuple[str, bytes]]:
    """Read the names and bytes of all files of a form, whatever their fields are called.

    Args:
        hold: is told how many bytes have come, and may refuse more.

    Raises:
        HTTPException: too large (413), too slow (408), no form (415), or no file in it (422).
    """
    content_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    parser = _InMemory(request.headers, _bounded(request, limits, hold), max_files=limits.images)
    try:
        if content_type != FORM:
            status = 415 if content_type else 422
            raise HTTPException(status, f"{SEND}; {content_type[:60] or 'nothing'} came")
        async with asyncio.timeout(limits.seconds):
            form = await parser.parse()
    except TimeoutError:
        detail = f"it was not sent within {limits.seconds:g} s, or paused for {SILENT:g} s"
        raise HTTPException(408, detail, {"Connection": "close"}) from None
    except ClientDisconnect:
        raise HTTPException(400, "the connection broke off") from None
    except (HTTPException, MultiPartException) as error:
        await _drain(request)
        if isinstance(error, HTTPException):
            raise
        if "Too many files" in error.message:
            raise HTTPException(413, f"more than {limits.images} images came") from error
        raise HTTPException(400, f"the form cannot be read: {error.message}") from error
    files = [file for _, file in form.multi_items() if not isinstance(file, str)]
    if not files:
        raise HTTPException(422, f"no image came: {SEND}")
    # The name without a path, whichever system it came from.
    names = [PureWindowsPath(file.filename or "").name[:MAX_NAME] or "image" for file in files]
    return [(name, await file.read()) for name, file in zip(names, files, strict=True)]


async def _bounded(
    request: Request, limits: RequestLimits, hold: Callable[[int], object]
) -> AsyncIterator[bytes]:
    """Yield the body as it comes, as long as it does and is not too long."""
    came, stream = 0, request.stream()
    while True:
        async with asyncio.timeout(SILENT):
            chunk = await anext(stream, None)
        if chunk is None:
            return
        hold(len(chunk))
        came += len(chunk)
        if came > limits.request_bytes:
            most = f"{limits.megabytes:g} MB and a request {limits.request_bytes / 1e6:.0f} MB"
            raise HTTPException(413, f"too large: an image may have {most}")
        yield chunk


async def _drain(request: Request) -> None:
    """Let the rest come and forget it: who is still sending would not read a response."""
    with contextlib.suppress(ClientDisconnect, TimeoutError, RuntimeError):
        async with asyncio.timeout(DRAINED):
            async for _ in request.stream():
                pass


def megapixels(data: bytes, limits: RequestLimits) -> float:
    """What decoding an image will cost, by its header: all that is allowed where that is hidden."""
    try:
        with Image.open(BytesIO(data[:HEADER]), formats=FORMATS) as header:
            return 1 + header.width * header.height / 1e6
    except Exception:  # decoders raise anything for broken bytes
        return 1 + limits.pixels / 1e6


def decode_upload(
    name: str, data: bytes, limits: RequestLimits, side: int, size: int
) -> SizedImage:
    """Decode an image to a square, in the same way as a training does.

    Args:
        side: what the shorter side is shrunk to first, pixels.
        size: of the square, pixels.

    Raises:
        HTTPException: too large (413), no image (415), or a broken one (422).
    """
    if not data:
        raise HTTPException(422, f"{name}: the file is empty")
    if len(data) > 1e6 * limits.megabytes:
        raise HTTPException(413, f"{name}: larger than the limit, {limits.megabytes:g} MB")
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as header:
            pixels = header.width * header.height
            if pixels > limits.pixels:
                raise Image.DecompressionBombError
            by_runs = header.format == "BMP" and header.info.get("compression") in (1, 2)
            scans = data.count(b"\xff\xda") if header.format == "JPEG" else 1
            cost = pixels * (RLE if by_runs else 1)
            if cost > max(FLAT, PIXELS_PER_BYTE * len(data)) or scans > SCANS:
                detail = f"{pixels / 1e6:.0f} million pixels in {len(data) / 1e3:.0f} kB"
                raise HTTPException(413, f"{name}: costs too much to decode ({detail})")
        image = decode_sized(data, name, side)
    except Image.DecompressionBombError as error:
        most = f"{limits.pixels / 1e6:g} million pixels"
        raise HTTPException(413, f"{name}: more than the limit, {most}") from error
    except HTTPException:
        raise
    except UnidentifiedImageError as error:
        raise HTTPException(415, f"{name}: not an image ({', '.join(FORMATS)})") from error
    except UnreadableImage as error:
        raise HTTPException(422, str(error)) from error
    except Exception as error:  # decoders raise anything for broken bytes
        raise HTTPException(422, f"{name}: broken ({error})") from error
    return replace(image, pixels=VIEWS[0](shrink(image.pixels, side), size))
