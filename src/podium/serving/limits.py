"""How much a server takes on: bytes, pixels, seconds, images and waiting requests."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

RETRY_AFTER = 2  # seconds, told to whom is turned away


@dataclass(frozen=True)
class RequestLimits:
    """What is refused beyond it, and with which status."""

    megabytes: float = 20  # of an image; 413
    pixels: int = 60_000_000  # of an image, known from its header; 413
    images: int = 16  # in a request; 413
    seconds: float = 20  # for sending a request (408), and for answering it (504)
    waiting: int = 64  # requests that are being sent, wait or are answered; 503

    @property
    def image_bytes(self) -> int:
        return int(self.megabytes * 1e6)

    @property
    def request_bytes(self) -> int:
        """Of all images together and of the form around them; 413."""
        return 2 * self.image_bytes + 100_000

    @property
    def held_bytes(self) -> int:
        """Of all requests that are in memory at a time; 503."""
        return 10 * self.image_bytes


class RequestError(Exception):
    """Something that gets no answer but a status and a reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class RequestGate:
    """Lets requests in as long as there is room; only ever used by one thread, the event loop's."""

    def __init__(self, limits: RequestLimits) -> None:
        self._limits = limits
        self._requests = self._bytes = 0

    @contextmanager
    def enter(self) -> Iterator["MemoryHold"]:
        """A place for a request, as long as it lasts.

        Raises:
            Refused: all are taken.
        """
        if self._requests >= self._limits.waiting:
            raise RequestError(
                503, f"{self._requests} requests are waiting already: try again soon"
            )
        held = MemoryHold(self)
        self._requests += 1
        try:
            yield held
        finally:
            self._requests -= 1
            self._bytes -= held.bytes

    def hold(self, count: int) -> None:
        if self._bytes + count > self._limits.held_bytes:
            raise RequestError(503, "too much is being sent at the same time: try again soon")
        self._bytes += count


class MemoryHold:
    """What a request has in memory."""

    def __init__(self, gate: RequestGate) -> None:
        self._gate, self.bytes = gate, 0

    def add(self, count: int) -> None:
        """Raises Refused where all requests together would hold too much."""
        self._gate.hold(count)
        self.bytes += count
