"""An image from the web: only over http(s), no larger and no slower than it may be."""

import queue
import threading
import time
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import requests

from podium.files.image_io import SizedImage, UnreadableImage, decode_sized

MAX_BYTES = 30_000_000
SECONDS = 30.0  # for one image, from the name lookup to its last byte
REDIRECTS = 5
CHUNK = 65_536  # bytes
SCHEMES = ("http", "https")


class CannotFetch(UnreadableImage):
    """An address that gives no file: says which and why."""


@dataclass(frozen=True)
class Body:
    """What a server sent."""

    data: bytes
    kind: str  # as it calls it, such as image/png

    @property
    def is_page(self) -> bool:
        """Whether it is meant to be read by people."""
        start = self.data[:200].lstrip().lower()
        return self.kind.startswith("text/") or start.startswith((b"<!doctype", b"<html"))


def fetch_image(
    url: str,
    shorter_side: int | None = None,
    max_bytes: int = MAX_BYTES,
    seconds: float = SECONDS,
) -> SizedImage:
    """Fetch and decode an image, see `read_image`.

    Raises:
        CannotFetch: another scheme, no answer in time, too large, refused, or broken off.
        UnreadableImage: what came is no image.
    """
    body = fetch(url, max_bytes, seconds)
    try:
        return decode_sized(body.data, url, shorter_side)
    except UnreadableImage as error:
        if not body.is_page:
            raise
        raise UnreadableImage(
            f"{url}: a web page ({body.kind or 'HTML'}) came in place of an image; give the "
            "address of the image itself"
        ) from error


def fetch(url: str, max_bytes: int = MAX_BYTES, seconds: float = SECONDS) -> Body:
    """What lies at an address, of at most so many bytes and within so many seconds in all.

    Raises:
        CannotFetch: it cannot be had, or not within these limits.
    """
    _check_scheme(url, url)
    outcome: queue.SimpleQueue[Body | BaseException] = queue.SimpleQueue()
    deadline = time.monotonic() + seconds

    def work() -> None:
        try:
            outcome.put(_download(url, max_bytes, deadline))
        except BaseException as error:
            outcome.put(error)

    # Time limits of sockets begin anew with each byte, and a name lookup has none at all. So a
    # thread does it that nobody waits for after that time.
    threading.Thread(target=work, daemon=True).start()
    try:
        found = outcome.get(timeout=seconds)
    except queue.Empty:
        raise CannotFetch(f"{url}: not there within {seconds:g} s") from None
    if isinstance(found, requests.Timeout):
        raise CannotFetch(f"{url}: not there within {seconds:g} s") from found
    if isinstance(found, requests.RequestException):
        raise CannotFetch(f"{url}: {_reason(found)}") from found
    if isinstance(found, BaseException):
        raise found
    return found


def _download(url: str, max_bytes: int, deadline: float) -> Body:
    """Follow redirects to the file and read it."""
    with requests.Session() as session:
        # A password that ~/.netrc has for a host is for other programs.
        session.auth = _no_auth
        place = url
        for _ in range(REDIRECTS + 1):
            left = max(deadline - time.monotonic(), 0.01)
            answer = session.get(
                place,
                stream=True,
                allow_redirects=False,
                timeout=left,
                headers={"User-Agent": "podium", "Accept": "image/*,*/*;q=0.5"},
            )
            with answer:
                if not answer.is_redirect:
                    return _read(url, answer, max_bytes, deadline)
                place = urljoin(place, answer.headers["Location"])
            _check_scheme(url, place)
    raise CannotFetch(f"{url}: redirected more than {REDIRECTS} times")


def _read(url: str, answer: requests.Response, max_bytes: int, deadline: float) -> Body:
    """Read an answer's body, whatever it says of its length."""
    if answer.status_code != 200:
        said = f"{answer.status_code} {answer.reason}".strip()
        raise CannotFetch(f"{url}: the server answers {said}")
    too_large = CannotFetch(f"{url}: larger than {max_bytes / 1e6:g} MB, which is the limit")
    announced = answer.headers.get("Content-Length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise too_large
    data = bytearray()
    for chunk in answer.iter_content(CHUNK):  # unpacked, if it was sent packed
        data += chunk
        if len(data) > max_bytes:
            raise too_large
        if time.monotonic() > deadline:  # nobody waits any more
            raise requests.Timeout
    return Body(bytes(data), answer.headers.get("Content-Type", "").split(";")[0].strip().lower())


def _check_scheme(url: str, place: str) -> None:
    """Refuse what is not on the web: a redirect to file:// would read this machine's own files."""
    try:
        parts = urlsplit(place)
        scheme, host = parts.scheme.lower(), parts.hostname
    except ValueError as error:
        raise CannotFetch(f"{url}: {place} is no address ({error})") from error
    if scheme not in SCHEMES:
        leads = "" if place == url else f"leads to {place}: "
        raise CannotFetch(f"{url}: {leads}only http:// and https:// are fetched")
    if not host:
        raise CannotFetch(f"{url}: {place} names no server")


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _reason(error: requests.RequestException) -> str:
    """Why it failed, in one line: the cause at the bottom, which the client wraps several times."""
    broken_off = isinstance(error, requests.exceptions.ChunkedEncodingError)
    cause: BaseException = error
    while isinstance(inner := cause.__cause__ or cause.__context__, BaseException):
        cause = inner
    said = " ".join((str(cause) or type(cause).__name__).split())
    return f"{'broke off' if broken_off else 'the connection failed'} ({said})"
