"""The images of a request: read into memory, never to a disk, and no more than allowed."""

import asyncio
import contextlib
import re
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from podium.serving.limits import MemoryHold, RequestError, RequestLimits

FIELD = "images"
FORM = "multipart/form-data"
MAX_NAME = 80  # characters of a file's name that are repeated
FIELDS = 20  # of a form, beside the images
DRAINED = 5.0  # seconds


@dataclass(frozen=True)
class Upload:
    name: str
    data: bytes


class _InMemory(MultiPartParser):
    spool_max_size = sys.maxsize  # beyond it Starlette would write to a temporary file


async def read_uploads(request: Request, limits: RequestLimits, held: MemoryHold) -> list[Upload]:
    """All files of a form, whatever their fields are called.

    Raises:
        Refused: too large, too slow, not a form, or no file in it.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind and kind != FORM:
        await _drain(request)
        raise RequestError(415, f"send images as {FORM}, in the field {FIELD!r}; {kind[:60]} came")
    if not kind:
        raise RequestError(422, _no_file())
    try:
        async with asyncio.timeout(limits.seconds):
            return await _parse(request, limits, held)
    except TimeoutError:
        raise RequestError(408, f"it was not sent within {limits.seconds:g} s") from None
    except ClientDisconnect:
        raise RequestError(400, "the connection broke off") from None


async def _parse(request: Request, limits: RequestLimits, held: MemoryHold) -> list[Upload]:
    parser = _InMemory(
        request.headers, _bounded(request, limits, held), max_files=limits.images + 1
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        await _drain(request)
        if "Too many files" in error.message:
            raise RequestError(413, f"more than {limits.images} images in one request") from error
        raise RequestError(400, f"the form cannot be read: {error.message}") from error
    files = [one for _, one in form.multi_items() if isinstance(one, UploadFile)]
    uploads = [Upload(plain_name(one.filename), await one.read()) for one in files]
    uploads = [one for one, file in zip(uploads, files, strict=True) if one.data or file.filename]
    if not uploads:
        raise RequestError(422, _no_file())
    if len(uploads) > limits.images:
        raise RequestError(413, f"more than {limits.images} images in one request")
    return uploads


async def _bounded(
    request: Request, limits: RequestLimits, held: MemoryHold
) -> AsyncIterator[bytes]:
    """The body as it comes, as long as it is not too long."""
    too_large = RequestError(
        413,
        f"too large: an image may have {limits.megabytes:g} MB and a request "
        f"{limits.request_bytes / 1e6:.0f} MB",
    )
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limits.request_bytes:
        await _drain(request)
        raise too_large
    came = 0
    async for chunk in request.stream():
        came += len(chunk)
        if came > limits.request_bytes:
            await _drain(request)
            raise too_large
        held.add(len(chunk))
        yield chunk


async def _drain(request: Request) -> None:
    """Let the rest come and forget it: who is still sending would not read an answer."""
    ends = time.monotonic() + DRAINED
    with contextlib.suppress(ClientDisconnect, TimeoutError, RuntimeError):
        async with asyncio.timeout(DRAINED):
            async for _ in request.stream():
                if time.monotonic() > ends:
                    break


def plain_name(name: str | None) -> str:
    """A file's name without its path and without what no name needs; for people to read only."""
    last = re.split(r"[/\\]", name or "")[-1]
    printable = "".join(one for one in last if one.isprintable()).strip()
    return printable[:MAX_NAME] if printable.strip(".") else "image"


def _no_file() -> str:
    return f"no image came: send files as {FORM}, in the field {FIELD!r}"
