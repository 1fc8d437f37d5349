"""The API on a real run: answers, and every bad input with its status."""

import re
import struct
import tempfile
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from small_web import encoded

from podium.serving.app import make_app
from podium.serving.engine import Engine
from podium.serving.examples import find_examples
from podium.serving.limits import RequestLimits

HERE = "http://127.0.0.1"
pytestmark = pytest.mark.usefixtures("in_the_project")

LIMITS = RequestLimits(megabytes=1, pixels=1_000_000, images=4, seconds=30, waiting=20)


@contextmanager
def client_of(engine: Engine, limits: RequestLimits = LIMITS) -> Iterator[TestClient]:
    app = make_app(engine, limits, find_examples(engine, 4), ["127.0.0.1"])
    with TestClient(app, base_url=HERE) as client:
        yield client


@pytest.fixture(scope="module")
def client(engine: Engine) -> Iterator[TestClient]:
    with client_of(engine) as made:
        yield made


def ask(client: TestClient, *files: tuple[str, bytes]):
    return client.post("/api/classify", files=[("images", one) for one in files])


def held_up(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Make the networks wait until the event is set."""
    go, see = threading.Event(), engine.see

    def wait(images: np.ndarray):
        assert go.wait(20)
        return see(images)

    monkeypatch.setattr(engine, "see", wait)
    return go


# --- Answers


def test_an_image_gets_classes_heat_and_box(client: TestClient, engine: Engine, unseen: list[Path]):
    response = ask(client, ("a.jpg", unseen[0].read_bytes()))
    assert response.status_code == 200
    (found,) = response.json()["images"]
    assert (found["name"], found["width"], found["height"]) == ("a.jpg", 28, 24)
    shares = [one["probability"] for one in found["classes"]]
    assert [one["name"] for one in sorted(found["classes"], key=lambda one: one["name"])] == sorted(
        engine.classes
    )
    assert shares == sorted(shares, reverse=True) and sum(shares) == pytest.approx(1, abs=1e-3)
    assert np.shape(found["classes"][0]["heat"]) == (4, 4)
    box = found["box"]
    assert 0 <= box["x_min"] <= box["x_max"] <= 1 and 0 <= box["y_min"] <= box["y_max"] <= 1
    assert found["unlike"] is False and found["score"] <= found["limit"]


def test_what_it_does_not_know_is_called_unlike(client: TestClient, foreign: bytes) -> None:
    (found,) = ask(client, ("foreign.png", foreign)).json()["images"]
    assert found["unlike"] is True and found["score"] > found["limit"]
    assert found["as_unlike"] < 0.05


def test_a_bad_image_spoils_no_other(client: TestClient, unseen: list[Path]) -> None:
    good = unseen[0].read_bytes()
    response = ask(client, ("1.jpg", good), ("2.jpg", b"no image"), ("3.jpg", good))
    assert response.status_code == 200
    first, bad, last = response.json()["images"]
    assert bad["status"] == 415 and "2.jpg" in bad["detail"]
    assert first["classes"] == last["classes"]


def test_those_who_come_together_share_batches_and_get_their_own(
    engine: Engine, unseen: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = [path.read_bytes() for path in unseen]
    with client_of(engine) as client:
        alone = [ask(client, ("x", one)).json()["images"][0]["classes"] for one in data]
        batches, see = [], engine.see

        def count(images: np.ndarray):
            batches.append(len(images))
            return see(images)

        monkeypatch.setattr(engine, "see", count)
    with client_of(engine) as client, ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda n: ask(client, ("x", data[n % 4])).json(), range(12)))
    assert sum(batches) == 12 and max(batches) > 1
    for number, answer in enumerate(answers):
        for found, expected in zip(answer["images"][0]["classes"], alone[number % 4], strict=True):
            assert found["name"] == expected["name"]
            assert found["probability"] == pytest.approx(expected["probability"], abs=1e-4)


# --- What is refused


def png_of(width: int, height: int) -> bytes:
    """A small file that says it is a large image."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(100_000))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run\n"


@pytest.mark.parametrize(
    ("data", "status", "says"),
    [
        (b"not an image at all", 415, "not an image"),
        (SVG, 415, "not an image"),
        (EPS, 415, "not an image"),
        (b"", 422, "empty"),
        (encoded(np.zeros((50, 50, 3)), "JPEG")[:400], 422, "broken|truncated"),
        (encoded(np.random.default_rng(0).integers(0, 256, (64, 64)), "PNG")[:900], 422, "trunc"),
        (png_of(50_000, 50_000), 413, "pixels"),
        (png_of(1001, 1000), 413, "1,001 × 1,000: more than 1 million pixels"),
        (bytes(1_000_001), 413, "larger than 1 MB"),
        (bytes(2_200_000), 413, "too large"),
    ],
    ids=["text", "svg", "eps", "empty", "cut", "cut png", "bomb", "pixels", "bytes", "request"],
)
def test_each_bad_file_has_its_status(client: TestClient, data: bytes, status: int, says: str):
    response = ask(client, ("a.png", data))
    assert response.status_code == status
    assert re.search(says, response.json()["detail"])


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ({}, 422),
        ({"data": {"images": "a word"}, "files": {}}, 415),
        ({"json": {"images": []}}, 415),
        ({"files": {"images": ("", b"")}}, 422),
        ({"content": b"--x", "headers": {"content-type": "multipart/form-data"}}, 400),
        (
            {"content": b"rubbish", "headers": {"content-type": "multipart/form-data; boundary=x"}},
            400,
        ),
    ],
    ids=["nothing", "urlencoded", "json", "no file chosen", "no boundary", "rubbish"],
)
def test_no_file_at_all(client: TestClient, words: dict, status: int) -> None:
    response = client.post("/api/classify", **words)
    assert response.status_code == status
    assert response.json()["detail"]


def test_more_images_than_allowed(client: TestClient, foreign: bytes) -> None:
    assert ask(client, *[("a.png", foreign)] * 4).status_code == 200
    for count in (5, 9):
        response = ask(client, *[("a.png", foreign)] * count)
        assert response.status_code == 413
        assert "more than 4 images" in response.json()["detail"]


def test_a_body_without_an_announced_length_is_counted(client: TestClient) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="p"; filename="p"\r\n\r\n'
    kind = {"content-type": "multipart/form-data; boundary=x"}

    def body() -> Iterator[bytes]:
        yield head
        for _ in range(30):
            yield bytes(100_000)

    response = client.post("/api/classify", content=body(), headers=kind)
    assert response.status_code == 413


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ("../../etc/passwd.png", "passwd.png"),
        ("C:\\images\\a.png", "a.png"),
        ("<script>alert(1)<script>.png", "<script>alert(1)<script>.png"),
        ("a\u202egnp.exe", "agnp.exe"),
        ("x" * 500, "x" * 80),
        ("..", "image"),
    ],
)
def test_names_are_repeated_without_paths(client: TestClient, foreign: bytes, sent: str, told: str):
    response = ask(client, (sent, foreign))
    assert response.headers["content-type"] == "application/json"
    assert response.json()["images"][0]["name"] == told


def test_a_full_house_turns_away_until_there_is_room(
    engine: Engine, foreign: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = held_up(engine, monkeypatch)
    with client_of(engine, RequestLimits(waiting=2)) as client, ThreadPoolExecutor(3) as threads:
        asked = [threads.submit(ask, client, ("a.png", foreign)) for _ in range(3)]
        turned_away = next(as_completed(asked)).result()  # two wait for the networks
        assert turned_away.status_code == 503
        assert int(turned_away.headers["retry-after"]) > 0
        assert client.get("/health").status_code == 200
        go.set()
        assert sorted(one.result().status_code for one in asked) == [200, 200, 503]
        assert ask(client, ("a.png", foreign)).status_code == 200


def test_too_much_at_the_same_time_is_turned_away(engine: Engine, foreign: bytes) -> None:
    class Small(RequestLimits):
        held_bytes = 10

    with client_of(engine, Small()) as client:
        assert ask(client, ("a.png", foreign)).status_code == 503


def test_what_takes_too_long_is_told_and_over(
    engine: Engine, foreign: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = held_up(engine, monkeypatch)
    with client_of(engine, RequestLimits(seconds=0.2)) as client:
        response = ask(client, ("a.png", foreign))
        assert response.status_code == 504
        go.set()
        # The batch that was computed for nobody may still be on its way.
        answers = (ask(client, ("a.png", foreign)).status_code for _ in range(100))
        assert 200 in answers


def test_nothing_goes_to_a_disk(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Not even for a moment: with nowhere to put temporary files, large ones still come through."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    large = encoded(np.random.default_rng(0).integers(0, 256, (560, 560, 3)), "BMP")
    assert len(large) > 900_000
    small = encoded(np.zeros((9, 9)), "PNG")
    response = ask(client, ("a.bmp", large), ("b.bmp", large), ("c.png", small))
    assert response.status_code == 200
    assert len(response.json()["images"]) == 3


# --- What is told around


def test_only_names_of_this_machine_are_answered(client: TestClient) -> None:
    assert client.get("/api/run", headers={"host": "evil.example"}).status_code == 400


def test_the_run_its_limits_and_examples(client: TestClient, engine: Engine) -> None:
    told = client.get("/api/run").json()
    assert told["run"] == "tiny" and told["classes"] == engine.classes and told["boxes"]
    assert told["limits"] == {"megabytes": 1, "pixels": 1e6, "images": 4, "seconds": 30}
    assert "accuracy" in told["score"]
    assert [one["name"] for one in told["examples"]] == ["cat", "cat", "dog", "dog"]
    for one in told["examples"]:
        image = client.get(f"/{one['address']}")
        assert image.headers["content-type"] == "image/jpeg"
        found = ask(client, ("example.jpg", image.content)).json()["images"][0]
        assert found["classes"][0]["name"] == one["name"], "it learns these colors"
    assert client.get("/examples/4.jpg").status_code == 404
    assert client.get("/health").json() == {"status": "ok", "run": "tiny"}


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_load_nothing_from_elsewhere(client: TestClient, path: str) -> None:
    page = client.get(path)
    assert page.status_code == 200
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert addresses
    for address in addresses:
        assert "//" not in address
        assert client.get("/" + address.lstrip("/")).status_code == 200, address
    assert "default-src 'self'" in page.headers["content-security-policy"]


def test_the_schema_names_field_and_statuses(client: TestClient) -> None:
    described = client.get("/openapi.json").json()["paths"]["/api/classify"]["post"]
    form = described["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"]["images"]["items"]["format"] == "binary"
    expected = {"200", "400", "408", "413", "415", "422", "503", "504"}
    assert set(described["responses"]) == expected
