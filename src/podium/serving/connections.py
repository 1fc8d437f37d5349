"""Connections that keep the server waiting are closed; uvicorn itself closes only idle ones."""

import asyncio
import logging
import os
import threading
from types import FrameType
from typing import ClassVar

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from podium.serving.guard import safe_headers

OF_A_CLIENT = 100  # connections whose request has not come whole, at the most
ASKING, SENDING, ANSWERED = 8.0, 30.0, 60.0  # seconds for headers, for a body, and for an answer
LAST_SECONDS = 4.0  # from a signal until what still runs is cut off


class Connection(H11Protocol):
    """Has a deadline for all it does; of too many that wait for a client the oldest is closed.

    A newcomer is always let in: who sends a request at once is answered, whoever else connects.
    """

    waiting: ClassVar[dict["Connection", None]] = {}  # the longest first

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._host = self.client and self.client[0]
        self._state: tuple[object, float] | None = None
        self._watch()
        own = [other for other in self.waiting if other._host == self._host]
        if len(own) > OF_A_CLIENT:
            own[0]._cut()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, error: Exception | None) -> None:
        self._cut()
        super().connection_lost(error)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP: uvicorn would without the headers that all answers have."""
        lines = [f"{name}: {value}" for name, value in safe_headers("").items()]
        head = ["HTTP/1.1 400 Bad Request", "content-length: 0", "connection: close", *lines]
        self.transport.write("\r\n".join([*head, "", ""]).encode())
        self.transport.close()

    def _watch(self) -> None:
        """Set the deadline anew when the client begins to ask, to send, or to be answered."""
        cycle, seconds = self.cycle, ASKING
        if cycle is not None and not cycle.response_complete:
            seconds = SENDING if cycle.more_body else ANSWERED
        if (cycle, seconds) == self._state:
            return
        if self._state is not None:
            self._deadline.cancel()
        self._state = cycle, seconds
        self._deadline = self.loop.call_later(seconds, self._cut)
        if seconds == ANSWERED:
            self.waiting.pop(self, None)
        else:
            self.waiting.setdefault(self)

    def _cut(self) -> None:
        self._deadline.cancel()
        self.waiting.pop(self, None)
        self.transport.abort()


class Server(uvicorn.Server):
    """Ends soon after a signal, whatever a thread decodes: Python would wait for it."""

    def handle_exit(self, number: int, frame: FrameType | None) -> None:
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # requests that are cut off
        last = threading.Timer(LAST_SECONDS, os._exit, [128 + number])
        last.daemon = True
        last.start()
        super().handle_exit(number, frame)
