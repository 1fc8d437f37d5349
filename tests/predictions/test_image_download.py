"""Images from a real server on 127.0.0.1, which also lies, stalls and leads astray."""

import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from podium.files.image_io import UnreadableImage
from podium.predictions.image_download import CannotFetch, fetch, fetch_image

PIXELS = np.arange(12 * 10 * 3, dtype=np.uint8).reshape(12, 10, 3)
Answer = Callable[[BaseHTTPRequestHandler], None]


def png() -> bytes:
    file = BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG")
    return file.getvalue()


class Server(ThreadingHTTPServer):
    """Answers each path as `answers` has it; keeps what was asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.ended = threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is what some tests are about."""

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.headers.append(dict(self.headers))
        self.server.answers[self.path](self)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.ended.set()
    server.shutdown()
    server.server_close()


def sends(body: bytes, status: int = 200, claimed: int | None = None, **headers: str) -> Answer:
    """An answer with this body, which says that it has another length if one is `claimed`."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body) if claimed is None else claimed))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def leads_to(place: str) -> Answer:
    return sends(b"", status=302, Location=place)


def test_an_image_comes_as_it_is(server: Server) -> None:
    server.answers["/a.png?size=2"] = sends(png(), Content_Type="image/png")
    np.testing.assert_array_equal(fetch_image(server.url("/a.png?size=2")).pixels, PIXELS)


def test_what_an_image_is_called_does_not_matter(server: Server) -> None:
    server.answers["/a"] = sends(png(), Content_Type="text/plain")
    np.testing.assert_array_equal(fetch_image(server.url("/a")).pixels, PIXELS)


def test_redirects_are_followed_on_the_web_alone(server: Server, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(png())
    server.answers |= {
        "/a": leads_to("/b/../c"),
        "/c": leads_to(server.url("/d.png")),
        "/d.png": sends(png()),
        "/file": leads_to(secret.as_uri()),
        "/ftp": leads_to("ftp://127.0.0.1/x.png"),
        "/data": leads_to("data:image/png;base64,AAAA"),
        "/round": leads_to("/round"),
    }
    np.testing.assert_array_equal(fetch_image(server.url("/a")).pixels, PIXELS)
    for path, place in (("/file", "file://"), ("/ftp", "ftp://127.0.0.1/x.png"), ("/data", "data")):
        with pytest.raises(CannotFetch, match=rf"{path}: leads to {place}.*only http:// and"):
            fetch_image(server.url(path))
    with pytest.raises(CannotFetch, match="redirected more than 5 times"):
        fetch(server.url("/round"))
    assert server.asked.count("/round") == 6


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/a.png", "FILE:///a.png"])
def test_other_schemes_are_refused(url: str) -> None:
    with pytest.raises(CannotFetch, match=f"^{url}: only http:// and https:// are fetched"):
        fetch(url)


def test_an_address_without_a_server_is_refused() -> None:
    with pytest.raises(CannotFetch, match="names no server"):
        fetch("http:///a.png")
    with pytest.raises(CannotFetch, match=r"http://\[1/a.png: .* is no address"):
        fetch("http://[1/a.png")


def test_what_says_that_it_is_too_large_is_not_read(server: Server) -> None:
    server.answers["/a"] = sends(b"", claimed=2_000_001)
    with pytest.raises(CannotFetch, match="/a: larger than 2 MB"):
        fetch(server.url("/a"), max_bytes=2_000_000)


def test_what_says_nothing_of_its_length_is_read_to_the_limit(server: Server) -> None:
    sent = []

    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not server.ended.is_set():
            handler.wfile.write(b"x" * 100_000)
            sent.append(100_000)

    server.answers["/a"] = endless
    with pytest.raises(CannotFetch, match="/a: larger than 1 MB"):
        fetch(server.url("/a"), max_bytes=1_000_000)
    assert sum(sent) < 50_000_000


def test_what_unpacks_beyond_the_limit_is_too_large(server: Server) -> None:
    packed = gzip.compress(b"\0" * 3_000_000)
    assert len(packed) < 10_000
    server.answers["/a"] = sends(packed, Content_Encoding="gzip")
    with pytest.raises(CannotFetch, match="/a: larger than 1 MB"):
        fetch(server.url("/a"), max_bytes=1_000_000)


def test_a_body_shorter_than_it_says_broke_off(server: Server) -> None:
    server.answers["/a"] = sends(png(), claimed=100_000)
    with pytest.raises(CannotFetch, match="/a: broke off") as raised:
        fetch_image(server.url("/a"))
    assert "\n" not in str(raised.value)


def test_a_body_longer_than_it_says_is_cut_off_there(server: Server) -> None:
    whole = png()
    server.answers["/a"] = sends(whole, claimed=len(whole) // 2)
    with pytest.raises(UnreadableImage, match=r"/a: (truncated|broken)"):
        fetch_image(server.url("/a"))


@pytest.mark.parametrize("drips", ["nothing", "headers", "body"])
def test_a_slow_server_is_left_in_time(server: Server, drips: str) -> None:
    # Each byte comes soon enough for a time limit that begins anew with every byte.
    def slow(handler: BaseHTTPRequestHandler) -> None:
        if drips == "body":
            sends(b"", claimed=1000)(handler)
        elif drips == "headers":
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not server.ended.wait(0.05):
            if drips != "nothing":
                handler.wfile.write(b"x")

    server.answers["/a"] = slow
    with pytest.raises(CannotFetch, match=r"/a: not there within 0\.5 s"):
        fetch(server.url("/a"), seconds=0.5)


def test_a_page_in_place_of_an_image_is_called_so(server: Server) -> None:
    page = b"<!DOCTYPE html><html><body>a cat</body></html>"
    server.answers |= {
        "/typed": sends(page, Content_Type="text/html; charset=utf-8"),
        "/untyped": sends(b"\n " + page, Content_Type="image/png"),
        "/other": sends(b"\x00\x01\x02", Content_Type="application/octet-stream"),
        "/empty": sends(b"", Content_Type="image/png"),
    }
    with pytest.raises(UnreadableImage, match=r"/typed: a web page \(text/html\) came in place"):
        fetch_image(server.url("/typed"))
    with pytest.raises(UnreadableImage, match="/untyped: a web page"):
        fetch_image(server.url("/untyped"))
    with pytest.raises(UnreadableImage, match="/other: not an image in a known format"):
        fetch_image(server.url("/other"))
    with pytest.raises(UnreadableImage, match="/empty: the file is empty"):
        fetch_image(server.url("/empty"))


def test_a_refusal_is_told(server: Server) -> None:
    server.answers |= {"/gone": sends(png(), status=404), "/trouble": sends(b"", status=503)}
    with pytest.raises(CannotFetch, match="/gone: the server answers 404 Not Found"):
        fetch_image(server.url("/gone"))
    with pytest.raises(CannotFetch, match="/trouble: the server answers 503"):
        fetch_image(server.url("/trouble"))


def test_no_server_is_one_line() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(CannotFetch, match=r"the connection failed \(.*refused") as raised:
        fetch(f"http://127.0.0.1:{port}/a.png")
    assert "\n" not in str(raised.value)


def test_passwords_of_other_programs_are_not_sent(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server.answers["/a.png"] = sends(png())
    fetch(server.url("/a.png"))
    assert "Authorization" not in server.headers[0]
