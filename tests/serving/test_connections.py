"""Connections on a real server: who keeps it waiting is cut off, an honest client is answered."""

import http.client
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn

from podium.serving import connections
from podium.serving.connections import Connection

ASKS = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
POSTS = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
LARGE = 30_000_000  # bytes, more than sockets hold


async def app(scope: dict, receive, send) -> None:
    """Reads the body; answers at /large with more than a client takes that does not read."""
    while (await receive()).get("more_body"):
        pass
    size = LARGE if scope["path"] == "/large" else 2
    headers = [(b"content-length", str(size).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for _ in range(size // 2 // 1000 or 1):
        await send(
            {"type": "http.response.body", "body": b"ok" * min(1000, size // 2), "more_body": True}
        )
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    for name, seconds in {"ASKING": 0.3, "SENDING": 0.6, "ANSWERED": 0.9}.items():
        monkeypatch.setattr(connections, name, seconds)
    monkeypatch.setattr(connections, "OF_A_CLIENT", 3)
    config = uvicorn.Config(app, http=Connection, ws="none", lifespan="off", log_level="error")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        yield port
        server.should_exit = True
        thread.join()
    assert not Connection.waiting


def connect(port: int, first: bytes = b"") -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), 10)
    made.sendall(first)
    return made


def is_answered(port: int) -> bool:
    place = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    place.request("POST", "/", b"x" * 9)
    answered = place.getresponse().read() == b"ok"
    place.close()
    return answered


def closed_after(made: socket.socket, drip: bytes = b"") -> float:
    """Seconds until the server closes it, read as far as it has been answered."""
    began = time.monotonic()
    made.settimeout(0.05)
    with made:
        while time.monotonic() - began < 10:
            try:
                if not made.recv(1000):
                    break
            except TimeoutError:
                made.sendall(drip)
            except OSError:
                break
    return time.monotonic() - began


@pytest.mark.parametrize(
    ("first", "drip", "seconds"),
    [
        (b"", b"", 0.3),
        (ASKS, b"", 0.3),
        (ASKS, b"x", 0.3),
        (POSTS, b"", 0.6),
        (ASKS + b"\r\n", b"", 0.3),
        (ASKS + b"\r\n" + ASKS, b"", 0.3),
    ],
    ids=["silent", "half headers", "dripped headers", "half body", "idle", "half of a second"],
)
def test_who_keeps_it_waiting_is_closed(port: int, first: bytes, drip: bytes, seconds: float):
    made = connect(port, first)
    assert is_answered(port)
    try:
        assert seconds - 0.2 < closed_after(made, drip) < seconds + 2
    except OSError:  # it sent when it was closed already
        assert drip


def test_who_does_not_read_is_closed(port: int) -> None:
    made = connect(port, b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
    time.sleep(1.5)
    came = 0
    with made, pytest.raises(ConnectionResetError):  # its answer was not complete
        while chunk := made.recv(1 << 20):
            came += len(chunk)
        raise ConnectionResetError
    assert came < LARGE


def test_of_too_many_that_wait_the_oldest_is_closed(port: int) -> None:
    made = [connect(port) for _ in range(3)]
    assert is_answered(port)  # as a fourth
    assert made[0].recv(1) == b""
    for other in made[1:]:
        other.sendall(ASKS + b"Connection: close\r\n\r\n")
        assert other.recv(1000).startswith(b"HTTP/1.1 200")
    for other in made:
        other.close()


def test_requests_one_after_the_other_are_answered(port: int) -> None:
    place = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for _ in range(8):  # longer than any deadline
        place.request("GET", "/")
        assert place.getresponse().read() == b"ok"
        time.sleep(0.15)
    place.close()


def test_what_is_no_http_gets_the_headers_as_well(port: int) -> None:
    with connect(port, b"\x16\x03\x01 hello\r\n\r\n") as made:
        answer = b""
        while chunk := made.recv(1000):
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"x-content-type-options: nosniff\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


BUSY = """
import asyncio, os, signal, threading, time
import uvicorn
from podium.serving import connections
connections.LAST_SECONDS = 0.5

async def app(scope, receive, send):
    threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGTERM]).start()
    await asyncio.to_thread(time.sleep, 60)

config = uvicorn.Config(
    app, port=PORT, http=connections.Connection, lifespan="off", timeout_graceful_shutdown=60
)
connections.Server(config).run()
"""


def test_a_signal_ends_it_whatever_a_thread_does() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    code = BUSY.replace("PORT", str(port))
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as process:
        for _ in range(400):
            try:
                made = connect(port, ASKS + b"\r\n")
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        with made:
            began = time.monotonic()
            assert process.wait(20) == 143
            assert time.monotonic() - began < 8
