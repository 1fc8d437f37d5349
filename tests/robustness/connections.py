"""Clients that connect to `podium serve` and keep it waiting, or busy, beside honest ones."""

import http.client
import os
import re
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from io import BytesIO
from pathlib import Path

from PIL import Image

from robustness.figures import Figure, say
from robustness.projects import PODIUM, RUN, SMALL, TINY, environment, make_project, podium, train

SOFT_LIMIT = 1024  # files that a process may open at first, on most machines
KIND = "multipart/form-data; boundary=x"
HEAD = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n\r\n'
ASKS = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
POSTS = f"POST /api/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: {KIND}\r\n".encode()
# What each sends at first, and then again and again.
WAYS = {
    "silent": (b"", b""),
    "half of the headers": (ASKS, b""),
    "headers byte by byte": (ASKS, b"x"),
    "half of a body": (POSTS + b"Content-Length: 100000\r\n\r\n" + HEAD, b""),
    "a body byte by byte": (POSTS + b"Content-Length: 100000\r\n\r\n" + HEAD, b"x"),
    "answers not read": (ASKS + b"\r\n", b""),
}
BUSY, OTHER = "127.0.0.2", "127.0.0.3"  # clients; Linux has all of 127.0.0.0/8
EVERY = 0.5  # seconds between what is sent again, and between honest requests
PATIENCE = 60.0  # seconds


def campaign(quick: bool, scratch: Path) -> list[Figure]:
    make_project(scratch, TINY)
    podium(scratch, *train([SMALL]), check=True)
    # A busy machine of tests is given more time.
    count, limit = (200, "≤ 5") if quick else (2000, "≤ 1")
    figures = []
    with serving(scratch) as (port, process):
        ask(port)
        figures.append(Figure("seconds, alone", max(ask(port) for _ in range(10))))
        for ways in [list(WAYS)[:4:3]] if quick else [[way] for way in WAYS]:
            what = f"{count} connections, {', '.join(ways)}"
            slowest, closed = besieged(port, ways, count)
            figures += [
                Figure(f"{what}: seconds of the slowest honest answer", slowest, limit),
                Figure("seconds until the last of them was closed", closed, "≤ 35"),
            ]
            say(f"{what}: {slowest:.2f} s, closed after {closed:.1f} s")
        requests = 4 if quick else 15
        if not quick:
            with heavy(port, requests):
                figures.append(small_image(port, "the same", BUSY))
        with heavy(port, requests):
            figures.append(small_image(port, "another", OTHER))
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)
            seconds = time.monotonic() - began
            figures.append(Figure("seconds from SIGTERM to the end", seconds, "≤ 8"))
    return figures


@contextmanager
def serving(project: Path) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """`podium serve`, with as many files as a process may open at first: its port."""
    own = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (own, own))  # this process has as many connections
    with subprocess.Popen(
        [*PODIUM, "serve", RUN, "--port", "0", "--examples", "0"],
        cwd=project,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (SOFT_LIMIT, own)),
    ) as process:
        try:
            for line in process.stdout:
                if found := re.search(r"is at http://127\.0\.0\.1:(\d+)/", line):
                    break
            else:
                raise RuntimeError("the server ended")
            yield int(found[1]), process
        finally:
            process.kill()


def ask(port: int, source: str = "127.0.0.1", files: tuple[bytes, ...] = ()) -> float:
    """Seconds until the page was answered, or these images; raises where they were not."""
    began = time.monotonic()
    with closing(http.client.HTTPConnection("127.0.0.1", port, PATIENCE, (source, 0))) as place:
        if files:
            body = b"\r\n".join(HEAD + file for file in files) + b"\r\n--x--\r\n"
            place.request("POST", "/api/classify", body, {"Content-Type": KIND})
        else:
            place.request("GET", "/")
        response = place.getresponse()
        response.read()
        if response.status != 200:
            raise RuntimeError(f"status {response.status}")
    return time.monotonic() - began


def besieged(port: int, ways: list[str], count: int) -> tuple[float, float]:
    """Seconds of the slowest honest answer, and until the last of these connections was closed."""
    small, slowest, began = png(16), 0.0, time.monotonic()
    held = []
    for number in range(count):
        first, again = WAYS[ways[number % len(ways)]]
        place = socket.create_connection(("127.0.0.1", port), PATIENCE)
        place.setblocking(False)
        with suppress(OSError):  # closed already: too many wait
            place.sendall(first)
        held.append((place, again))
    while held and time.monotonic() - began < PATIENCE:
        slowest = max(slowest, ask(port), ask(port, files=(small,)))
        time.sleep(EVERY)
        held = [(place, again) for place, again in held if _is_open(place, again)]
    closed = time.monotonic() - began
    for place, _ in held:
        place.close()
    return slowest, closed


def _is_open(place: socket.socket, again: bytes) -> bool:
    """Whether the server has not closed it, to which it sends some more."""
    try:
        place.send(again)
        if place.recv(1 << 16):
            return True
    except BlockingIOError:
        return True
    except OSError:
        pass
    place.close()
    return False


@contextmanager
def heavy(port: int, requests: int) -> Iterator[None]:
    """A client that sends so many requests of 16 images, each of which takes a second."""
    # With fewer bytes it would be refused; some requests are, as too slow.
    images = (png(7700) + os.urandom(600_000),) * 16
    with ThreadPoolExecutor(requests) as pool:
        for _ in range(requests):
            pool.submit(ask, port, BUSY, images)
        time.sleep(2)
        yield


def small_image(port: int, whose: str, source: str) -> Figure:
    seconds = max(ask(port, source, (png(16),)) for _ in range(3))
    return Figure(f"seconds of an image of {whose} client beside heavy ones", seconds, "≤ 20")


def png(side: int) -> bytes:
    file = BytesIO()
    Image.new("RGB", (side, side)).save(file, "PNG")
    return file.getvalue()
