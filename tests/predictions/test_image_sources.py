"""Images by name, and from a real server on 127.0.0.1 that also lies, stalls and leads astray."""

import gzip
import os
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
from podium.predictions import image_sources
from podium.predictions.image_sources import find_images, load_image

WriteImage = Callable[..., Path]
Answer = Callable[[BaseHTTPRequestHandler], None]
PIXELS = np.arange(12 * 10 * 3, dtype=np.uint8).reshape(12, 10, 3)
PAGE = b"<!DOCTYPE html><html><body>a cat</body></html>"
SIDE = 100


# --- Files and folders


def test_a_folder_gives_its_own_images_sorted(tmp_path: Path, write_image: WriteImage) -> None:
    for name in ("b.PNG", "a.jpg", "10.webp", "9.gif", "deeper/c.png"):
        write_image(tmp_path / name)
    (tmp_path / "folder.png").mkdir()
    for name in ("notes.txt", ".hidden.png", "model.h5"):
        (tmp_path / name).write_text("no image")
    names = [Path(name).name for name in find_images([tmp_path])]
    assert names == ["9.gif", "a.jpg", "b.PNG", "10.webp"]


def test_what_a_folder_has_besides_is_told(
    tmp_path: Path, write_image: WriteImage, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(tmp_path / "a.JFIF")
    write_image(tmp_path / "b.png").rename(tmp_path / "b")
    assert [Path(name).name for name in find_images([tmp_path])] == ["a.JFIF", "b"]
    assert capsys.readouterr() == ("", "")
    write_image(tmp_path / "deeper" / "c.png")
    for name in ("notes.txt", "x.heic", "Thumbs.db", "._a.jpg"):
        (tmp_path / name).write_text("no image")
    assert len(find_images([tmp_path])) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"{tmp_path}: left out: 3 files (")
    assert err.endswith(f"); nothing is used of {tmp_path / 'deeper'}\n")
    assert "(.heic 1, .png 1, .txt 1)" in err


def test_a_name_that_is_not_utf_8_is_told(
    tmp_path: Path, write_image: WriteImage, capsys: pytest.CaptureFixture[str]
) -> None:
    good = write_image(tmp_path / "a.png")
    write_image(tmp_path / "b.png").rename(tmp_path / os.fsdecode(b"\xe7.png"))
    assert find_images([tmp_path]) == [str(good)]
    err = capsys.readouterr().err
    assert err.endswith(f"; rename what is not UTF-8: {tmp_path}/\\udce7.png\n")


def test_the_order_is_that_of_the_names(tmp_path: Path, write_image: WriteImage) -> None:
    inside = [write_image(tmp_path / "some" / name) for name in ("a.png", "b.png")]
    alone, url = write_image(tmp_path / "z.png"), "http://127.0.0.1/x.png"
    found = find_images([alone, tmp_path / "some", url, alone])
    assert found == [str(alone), *map(str, inside), url, str(alone)]


def test_a_folder_without_images_is_a_problem(tmp_path: Path) -> None:
    assert find_images([tmp_path]) == [str(tmp_path)]
    with pytest.raises(UnreadableImage, match=rf"^{tmp_path}: there is no image file in this"):
        load_image(str(tmp_path), SIDE)


def test_an_image_is_shrunk_and_never_enlarged(tmp_path: Path, write_image: WriteImage) -> None:
    large = str(write_image(tmp_path / "large.png", height=100, width=300))
    assert load_image(large, 20).pixels.shape == (20, 60, 3)
    assert load_image(large, 200).pixels.shape == (100, 300, 3)


# --- Addresses


class Server(ThreadingHTTPServer):
    """Answers each path as `answers` has it."""

    daemon_threads = True

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.ended = threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is what some tests are about."""

    def load(self, path: str) -> np.ndarray:
        return load_image(f"http://127.0.0.1:{self.server_address[1]}{path}", SIDE).pixels


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.answers[self.path](self)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(image_sources, "MAX_BYTES", 1_000_000)
    monkeypatch.setattr(image_sources, "SECONDS", 0.5)
    server = Server()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.ended.set()
    server.shutdown()
    server.server_close()


def png() -> bytes:
    file = BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG")
    return file.getvalue()


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


def test_an_image_comes_whatever_it_is_called(server: Server) -> None:
    server.answers["/a?size=2"] = sends(png(), Content_Type="text/plain")
    np.testing.assert_array_equal(server.load("/a?size=2"), PIXELS)


def test_redirects_are_followed_on_the_web_alone(server: Server, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(png())
    for path, target in {
        "/a": "/b/../c",
        "/file": secret.as_uri(),
        "/ftp": "ftp://127.0.0.1/x.png",
        "/round": "/round",
    }.items():
        server.answers[path] = sends(b"", status=302, Location=target)
    server.answers["/c"] = sends(png())
    np.testing.assert_array_equal(server.load("/a"), PIXELS)
    for path in ("/file", "/ftp", "/round"):
        with pytest.raises(UnreadableImage, match=rf"{path}: cannot be fetched"):
            server.load(path)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "127.1", "2130706433", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]"],
)
def test_a_redirect_to_this_machine_is_not_followed(server: Server, host: str) -> None:
    asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as inner:
        inner.answers = {"/secret": lambda handler: (asked.append(1), sends(png())(handler))}
        threading.Thread(target=inner.serve_forever, args=(0.02,), daemon=True).start()
        secret = f"http://{host}:{inner.server_address[1]}/secret"
        server.answers["/a"] = sends(b"", status=302, Location=secret)
        server.answers["/b"] = sends(b"", status=302, Location=secret.removeprefix("http:"))
        for path in ("/a", "/b"):
            with pytest.raises(UnreadableImage, match=rf"{path}: cannot .*it redirects to .*only"):
                server.load(path)
        assert not asked
        named = f"http://127.0.0.1:{inner.server_address[1]}/secret"
        assert load_image(named, SIDE).pixels.shape == PIXELS.shape  # what the user names
        inner.shutdown()


def test_a_redirect_to_a_link_local_address_is_not_followed(server: Server) -> None:
    for number, host in enumerate(("169.254.169.254", "[fe80::1]")):
        server.answers[f"/{number}"] = sends(b"", status=307, Location=f"http://{host}/latest/")
        with pytest.raises(UnreadableImage, match=r"it redirects to .*, which only this machine"):
            server.load(f"/{number}")


def test_the_body_of_a_redirect_is_not_waited_for(server: Server) -> None:
    server.answers |= {
        "/a": sends(b"x" * 1000, status=302, claimed=10**9, Location="/b"),
        "/b": sends(png()),
    }
    np.testing.assert_array_equal(server.load("/a"), PIXELS)


def test_an_image_that_comes_byte_by_byte_is_left_in_time(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        sends(b"", claimed=10_000)(handler)
        while not server.ended.wait(0.05):
            handler.wfile.write(b"x")

    monkeypatch.setattr(image_sources, "MAX_SECONDS", 0.5)
    server.answers["/a"] = drip
    with pytest.raises(UnreadableImage, match=r"/a: did not come within 0.5 s"):
        server.load("/a")


ODD_ADDRESSES = [
    "http://[::1",
    "http://[::1]]/a",
    "http://127.0.0.1:99999/",
    "http://127.0.0.1:port/",
    f"http://{'a' * 70}.com/",
    "http://a..b/",
    "http://xn--/",
    "http://a b/",
    "http://a\0b/",
    "http://\udcff/",
    "http://",
    "http://*/",
]


@pytest.mark.parametrize("url", ODD_ADDRESSES)
def test_an_odd_address_is_told_as_any_other(server: Server, url: str) -> None:
    with pytest.raises(UnreadableImage, match=r"cannot be fetched \(.+\)$"):
        load_image(url, SIDE)
    if url.isprintable() and " " not in url:
        server.answers["/a"] = sends(b"", status=302, Location=url)
        with pytest.raises(UnreadableImage, match=r"/a: cannot be fetched \(.+\)$"):
            server.load("/a")


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/a.png", "S3://b/a.png"])
def test_other_schemes_are_refused(url: str) -> None:
    with pytest.raises(UnreadableImage, match=f"^{url}: only http:// and https:// are fetched"):
        load_image(url, SIDE)


def test_a_file_larger_than_the_limit_is_refused(server: Server) -> None:
    sent = []

    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not server.ended.is_set():
            handler.wfile.write(b"x" * 100_000)
            sent.append(100_000)

    server.answers |= {
        "/endless": endless,
        "/packed": sends(gzip.compress(b"\0" * 3_000_000), Content_Encoding="gzip"),
    }
    for path in server.answers:
        with pytest.raises(UnreadableImage, match=f"{path}: larger than the limit, 1 MB"):
            server.load(path)
    assert sum(sent) < 50_000_000


def test_a_silent_server_is_left_in_time(server: Server) -> None:
    server.answers["/a"] = lambda _: server.ended.wait()
    with pytest.raises(UnreadableImage, match=r"/a: cannot be fetched \(.*timed out"):
        server.load("/a")


def test_other_failures_are_told_in_a_line(server: Server) -> None:
    server.answers |= {
        "/gone": sends(png(), status=404),
        "/short": sends(png(), claimed=100_000),
        "/page": sends(PAGE, Content_Type="text/html; charset=utf-8"),
        "/other": sends(b"\x00\x01\x02", Content_Type="application/octet-stream"),
    }
    for path, why in {
        "/gone": "the server answers 404 Not Found",
        "/short": "cannot be fetched",
        "/page": r"a web page \(text/html\) came in place of an image",
        "/other": "not an image in a known format",
    }.items():
        with pytest.raises(UnreadableImage, match=f"{path}: {why}") as raised:
            server.load(path)
        assert "\n" not in str(raised.value)


def test_an_address_without_a_server_is_told_in_a_line() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for url, why in {f"http://127.0.0.1:{port}/a.png": "refused", "http:///a.png": "host"}.items():
        with pytest.raises(UnreadableImage, match=rf"cannot be fetched \(.*{why}") as raised:
            load_image(url, SIDE)
        assert "\n" not in str(raised.value)
