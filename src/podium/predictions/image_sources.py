"""Images by the names that a user gives: files, folders and addresses on the web."""

import ipaddress
import re
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from os.path import isdir  # a Path raises where a name is longer than any
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from podium.competitions.image_folders import images_in, is_utf8, left_out
from podium.files.image_io import SizedImage, UnreadableImage, decode_sized, read_bytes, shrink

ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
MAX_BYTES = 30_000_000  # of an image from the web
SECONDS = 30  # that a server may be silent
MAX_SECONDS = 120  # for all of an image
CHUNK = 65_536  # bytes


def find_images(names: Sequence[str | Path]) -> list[str]:
    """Replace each folder by its own image files, sorted; other names stay as they are.

    What else is in it, and below it, is counted in a line of stderr. A folder without images stays
    as well: `load_image` says so.
    """
    found: list[str] = []
    for name in map(str, names):
        files = []
        if not ADDRESS.match(name) and isdir(name):  # noqa: PTH112
            folder = Path(name)
            own = [path for path in images_in(folder) if path.parent == folder and path.is_file()]
            files = [path for path in own if is_utf8(path.name)]
            if told := left_out([folder], files):
                print(f"{name}: {told}", file=sys.stderr)
        found += [str(path) for path in files] or [name]
    return found


def load_image(name: str, side: int) -> SizedImage:
    """Read or fetch an image, its shorter side shrunk to at most `side` pixels.

    Raises:
        UnreadableImage: it cannot be read or fetched; the message begins with its name.
    """
    content_type = ""
    if ADDRESS.match(name):
        data, content_type = fetch(name)
    elif isdir(name):  # noqa: PTH112
        raise UnreadableImage(f"{name}: there is no image file in this folder")
    else:
        data = read_bytes(Path(name))
    try:
        image = decode_sized(data, name, side)
    except UnreadableImage as error:
        if not content_type.startswith("text/"):
            raise
        raise UnreadableImage(
            f"{name}: a web page ({content_type}) came in place of an image; give the address of "
            "the image itself"
        ) from error
    return replace(image, pixels=shrink(image.pixels, side))


class _Session(requests.Session):
    """Follows redirects on the web, but not from there to what only this machine can reach."""

    def __init__(self, named: str) -> None:
        super().__init__()
        self._named = named

    def get_redirect_target(self, response: requests.Response) -> str | None:
        target = super().get_redirect_target(response)
        if target is not None:
            to = urlsplit(urljoin(response.url, target))
            if to.netloc != urlsplit(self._named).netloc and _is_inside(to.hostname or ""):
                raise requests.exceptions.InvalidURL(
                    f"it redirects to {to.netloc}, which only this machine can reach"
                )
            response._content = b""  # requests would read all of it, however long
        return target


def _is_inside(host: str) -> bool:
    """Whether an address of a host is a loopback or link-local one, where secrets may be read."""
    try:
        found = socket.getaddrinfo(host, None)
    except socket.gaierror:
        return False  # only a proxy may know it
    for *_, (name, *_) in found:
        address = ipaddress.ip_address(name)
        address = getattr(address, "ipv4_mapped", None) or address
        if address.is_loopback or address.is_link_local or address.is_unspecified:
            return True
    return False


def fetch(url: str) -> tuple[bytes, str]:
    """Download a file and its content type.

    Raises:
        UnreadableImage: not http(s), a redirect to what only this machine can reach, no answer in
            time, an error status, or too large.
    """
    if not url.lower().startswith(("http://", "https://")):  # nor does requests follow others
        raise UnreadableImage(f"{url}: only http:// and https:// are fetched")
    data, headers = bytearray(), {"User-Agent": "podium", "Accept": "image/*,*/*;q=0.5"}
    ends = time.monotonic() + MAX_SECONDS
    try:
        with (
            _Session(url) as session,
            session.get(url, stream=True, timeout=SECONDS, headers=headers) as response,
        ):
            if not response.ok:
                status = f"{response.status_code} {response.reason}".strip()
                raise UnreadableImage(f"{url}: the server answers {status}")
            while chunk := response.raw.read1(CHUNK, decode_content=True):
                data += chunk
                if len(data) > MAX_BYTES:
                    raise UnreadableImage(f"{url}: larger than the limit, {MAX_BYTES / 1e6:g} MB")
                if time.monotonic() > ends:
                    raise UnreadableImage(f"{url}: did not come within {MAX_SECONDS} s")
    except UnreadableImage:
        raise
    # Of some addresses requests lets through what urllib3, the sockets or the codecs raise.
    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError, OSError) as error:
        cause: BaseException = error  # requests and urllib3 wrap it several times
        while inner := cause.__cause__ or cause.__context__:
            cause = inner
        raise UnreadableImage(f"{url}: cannot be fetched ({cause})") from error
    return bytes(data), response.headers.get("Content-Type", "").split(";")[0].strip().lower()
