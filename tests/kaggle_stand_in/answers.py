"""What the server answers with besides JSON: refusals, redirects, files and their parts."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

BLOCK = 1 << 16  # bytes

Body = dict[str, object]  # JSON


class RefusedError(Exception):
    """A call that is answered with an error, as Kaggle words it."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None):
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers or {}


class ConnectionBroken(ConnectionError):
    """The stand-in breaks this connection off, as it was told to."""


@dataclass(frozen=True)
class Redirect:
    """The answer lies elsewhere."""

    url: str


@dataclass
class Breaks:
    """Connections that break while a file is sent: after so many bytes, so many times."""

    _planned: dict[str, list[int]] = field(default_factory=dict)

    def plan(self, what: str, after: int, times: int) -> None:
        self._planned.setdefault(what, []).extend([after] * times)

    def next(self, what: str) -> int | None:
        """After how many bytes the answer about to be sent breaks, or None."""
        planned = self._planned.get(what)
        return planned.pop(0) if planned else None


@dataclass(frozen=True)
class Part:
    """A file, or the part of it that a request asks for."""

    path: Path
    status: HTTPStatus
    headers: dict[str, str]
    start: int
    length: int

    def blocks(self, break_after: int | None = None) -> Iterator[bytes]:
        """Its bytes, no more than `break_after`."""
        left = self.length if break_after is None else min(self.length, break_after)
        with self.path.open("rb") as file:
            yield from _blocks(file, self.start, left)


def part_of(path: Path, asked: str | None, if_range: str | None) -> Part:
    """The part of a file that a request with these headers Range and If-Range is to get.

    Raises:
        RefusedError: the range begins behind the end.
    """
    about = path.stat()
    size = about.st_size
    headers = {
        "Content-Type": "application/zip" if path.suffix == ".zip" else "application/octet-stream",
        "Last-Modified": formatdate(about.st_mtime, usegmt=True),
        "ETag": f'"{about.st_mtime_ns:x}-{size:x}"',
        "Accept-Ranges": "bytes",
    }
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", asked or "")
    unchanged = if_range in (None, headers["ETag"], headers["Last-Modified"])
    if not wanted or not unchanged:
        return Part(path, HTTPStatus.OK, {**headers, "Content-Length": str(size)}, 0, size)
    start, end = int(wanted[1]), min(int(wanted[2] or size), size - 1)
    if start > end:
        raise RefusedError(416, "Range not satisfiable", {"Content-Range": f"bytes */{size}"})
    length = end - start + 1
    headers |= {"Content-Length": str(length), "Content-Range": f"bytes {start}-{end}/{size}"}
    return Part(path, HTTPStatus.PARTIAL_CONTENT, headers, start, length)


def _blocks(file: BinaryIO, start: int, left: int) -> Iterator[bytes]:
    file.seek(start)
    while left and (block := file.read(min(BLOCK, left))):
        left -= len(block)
        yield block
