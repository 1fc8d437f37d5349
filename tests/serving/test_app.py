"""The API on a real run: predictions, and every bad input with its status."""

import asyncio
import io
import json
import re
import shutil
import struct
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import chdir, contextmanager
from pathlib import Path

import numpy as np
import pytest
from fastapi import HTTPException, Request
from fastapi.testclient import TestClient
from PIL import Image
from small_web import encoded

from podium.predictions.combine import score_folds
from podium.predictions.score import Score
from podium.runs.run import Run
from podium.runs.run_folder import RunFolder
from podium.serving.app import describe_run, find_examples, make_app
from podium.serving.engine import Engine
from podium.serving.schema import RequestLimits
from podium.serving.uploads import decode_upload, megapixels, read_uploads

HERE = "http://127.0.0.1"
LIMITS = RequestLimits(megabytes=1, pixels=1_000_000, images=4, seconds=30, requests=20)
pytestmark = pytest.mark.usefixtures("in_the_project")


@contextmanager
def client_of(engine: Engine, limits: RequestLimits = LIMITS) -> Iterator[TestClient]:
    app = make_app(engine, limits, find_examples(engine.run, 0, 4), ["127.0.0.1"])
    with TestClient(app, base_url=HERE) as client:
        yield client


@pytest.fixture(scope="module")
def client(engine: Engine, served: Path) -> Iterator[TestClient]:
    with chdir(served), client_of(engine) as made:
        yield made


def ask(client: TestClient, *files: tuple[str, bytes], field: str = "images"):
    return client.post("/api/classify", files=[(field, file) for file in files])


def hold_up(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Make the networks wait until the event is set."""
    go, predict = threading.Event(), engine.predict

    def wait(images: np.ndarray):
        assert go.wait(20)
        return predict(images)

    monkeypatch.setattr(engine, "predict", wait)
    return go


# --- Predictions


@pytest.mark.parametrize("field", ["images", "pictures"])
def test_an_image_gets_classes_heat_and_box(
    client: TestClient, engine: Engine, unseen: list[Path], field: str
) -> None:
    response = ask(client, ("a.jpg", unseen[0].read_bytes()), field=field)
    assert response.status_code == 200
    (found,) = response.json()["images"]
    assert (found["name"], found["width"], found["height"]) == ("a.jpg", 28, 24)
    assert sorted(score["name"] for score in found["classes"]) == sorted(engine.classes)
    assert sum(score["probability"] for score in found["classes"]) == pytest.approx(1, abs=1e-3)
    assert np.shape(found["classes"][0]["heat"]) == (4, 4)
    box = found["box"]
    assert 0 <= box["x_min"] <= box["x_max"] <= 1 and 0 <= box["y_min"] <= box["y_max"] <= 1
    assert found["ood"] is False and found["ood_score"] <= found["ood_limit"]


def test_a_foreign_image_is_out_of_distribution(client: TestClient, foreign: bytes) -> None:
    (found,) = ask(client, ("foreign.png", foreign)).json()["images"]
    assert found["ood"] is True and found["ood_score"] > found["ood_limit"]
    assert found["ood_p_value"] < 0.05


def test_a_bad_image_spoils_no_other(client: TestClient, unseen: list[Path]) -> None:
    good = unseen[0].read_bytes()
    response = ask(client, ("1.jpg", good), ("2.jpg", b"no image"), ("3.jpg", good))
    assert response.status_code == 200
    first, bad, last = response.json()["images"]
    assert bad["status"] == 415 and "2.jpg" in bad["detail"]
    assert first["classes"] == last["classes"]


def test_requests_at_the_same_time_share_batches_and_get_their_own(
    engine: Engine, unseen: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = [path.read_bytes() for path in unseen]
    batches, predict = [], engine.predict

    def count(images: np.ndarray):
        batches.append(len(images))
        return predict(images)

    monkeypatch.setattr(engine, "predict", count)
    with client_of(engine) as client, ThreadPoolExecutor(12) as threads:
        alone = [ask(client, ("x", one)).json()["images"][0]["classes"] for one in data]
        batches.clear()
        responses = list(threads.map(lambda n: ask(client, ("x", data[n % 4])).json(), range(12)))
    assert sum(batches) == 12 and max(batches) > 1
    for number, response in enumerate(responses):
        for found, expected in zip(
            response["images"][0]["classes"], alone[number % 4], strict=True
        ):
            assert found["name"] == expected["name"]
            assert found["probability"] == pytest.approx(expected["probability"], abs=1e-4)


# --- Errors


def png_of(width: int, height: int) -> bytes:
    """A small file that says it is a large image."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(100_000))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


@pytest.mark.parametrize(
    ("data", "status", "says"),
    [
        (b"not an image at all", 415, "not an image"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"></svg>', 415, "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/a) run\n", 415, "not an image"),
        (b"", 422, "empty"),
        (encoded(np.zeros((50, 50, 3)), "JPEG")[:400], 422, "broken|truncated"),
        (encoded(np.random.default_rng(0).integers(0, 256, (64, 64)), "PNG")[:900], 422, "trunc"),
        (png_of(50_000, 50_000), 413, "more than the limit, 1 million pixels"),
        (png_of(1001, 1000), 413, "more than the limit, 1 million pixels"),
        (bytes(1_000_001), 413, "larger than the limit, 1 MB"),
        (bytes(2_200_000), 413, "too large"),
    ],
    ids=["text", "svg", "eps", "empty", "cut", "cut png", "bomb", "pixels", "bytes", "request"],
)
def test_each_bad_file_has_its_status(client: TestClient, data: bytes, status: int, says: str):
    response = ask(client, ("a.png", data))
    assert response.status_code == status
    assert re.search(says, response.json()["detail"])


def bmp_of_runs(side: int) -> bytes:
    """A bitmap of lines that end before they begin, which Pillow fills in Python."""
    body, start = b"\1\0\0\0" * side, 14 + 40 + 1024
    info = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(body), 0, 0, 256, 0)
    head = b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start)
    return head + info + bytes(1024) + body


def jpeg_of_scans(side: int, more: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    file = io.BytesIO()
    Image.new("L", (side, side)).save(file, "JPEG", progressive=True)
    whole = file.getvalue()
    last = whole[whole.rindex(b"\xff\xda") : -2]
    return whole[:-2] + more * last + b"\xff\xd9"


@pytest.mark.parametrize(
    "make",
    [
        lambda: encoded(np.zeros((4200, 4200, 3)), "PNG"),
        lambda: encoded(np.zeros((4200, 4200, 3)), "WEBP"),
        lambda: encoded(np.zeros((4200, 4200, 3)), "AVIF"),
        lambda: bmp_of_runs(2100),
        lambda: jpeg_of_scans(1000, 1000),
    ],
    ids=["png", "webp", "avif", "runs", "scans"],
)
def test_what_costs_seconds_for_kilobytes_is_refused(make: Callable[[], bytes]) -> None:
    data = make()
    assert len(data) < 100_000
    began = time.process_time()
    with pytest.raises(HTTPException) as error:
        decode_upload("a", data, RequestLimits(), 256, 224)
    assert error.value.status_code == 413
    assert "costs too much to decode" in error.value.detail
    assert time.process_time() - began < 0.1


@pytest.mark.parametrize(
    "data",
    [
        encoded(np.zeros((4000, 4000)), "PNG"),  # flat, but not so large
        encoded(
            np.random.default_rng(0).integers(0, 9, (4500, 4500)), "PNG"
        ),  # as large as it says
        bmp_of_runs(300),
        jpeg_of_scans(500, 9),
    ],
    ids=["flat", "large", "runs", "scans"],
)
def test_what_photos_and_scanners_make_is_decoded(data: bytes) -> None:
    image = decode_upload("a", data, RequestLimits(), 256, 224)
    assert image.pixels.shape == (224, 224, 3)


def test_what_decoding_costs_is_told_by_the_header() -> None:
    for kind in ("PNG", "JPEG", "BMP"):
        assert megapixels(encoded(np.zeros((500, 400, 3)), kind), LIMITS) == pytest.approx(1.2)
    for hidden in (b"", b"no image", b"\xff\xd8" + b"\xff\xfe\x00\x02" * 100_000):
        assert megapixels(hidden, LIMITS) == 2, "all that is allowed"


FORM = {"content-type": "multipart/form-data"}
BOUND = {"content-type": "multipart/form-data; boundary=x"}


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ({}, 422),
        ({"data": {"images": "a word"}}, 415),
        ({"json": {"images": []}}, 415),
        ({"files": {"images": ("", b"")}}, 422),
        ({"content": b"--x", "headers": FORM}, 400),
        ({"content": b"rubbish", "headers": BOUND}, 400),
    ],
    ids=["nothing", "urlencoded", "json", "no file chosen", "no boundary", "rubbish"],
)
def test_without_a_file_the_status_says_why(client: TestClient, words: dict, status: int) -> None:
    response = client.post("/api/classify", **words)
    assert response.status_code == status
    assert response.json()["detail"]


def never_ending() -> Request:
    """A part of a form came, and then nothing."""
    parts = [{"type": "http.request", "body": b"--x\r\n", "more_body": True}]

    async def receive() -> dict[str, object]:
        return parts.pop() if parts else await asyncio.Event().wait()

    headers = [(name.encode(), value.encode()) for name, value in BOUND.items()]
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


def test_who_sends_too_slowly_is_told() -> None:
    with pytest.raises(HTTPException) as error:
        asyncio.run(read_uploads(never_ending(), RequestLimits(seconds=0.1)))
    assert error.value.status_code == 408


def test_who_pauses_in_a_body_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("podium.serving.uploads.SILENT", 0.1)
    with pytest.raises(HTTPException) as error:
        asyncio.run(read_uploads(never_ending(), RequestLimits(seconds=30)))
    assert error.value.status_code == 408
    assert error.value.headers == {"Connection": "close"}


def test_what_is_in_memory_is_limited(client: TestClient, engine: Engine) -> None:
    """Of a client it is half of what all requests together may have."""
    large = encoded(np.random.default_rng(0).integers(0, 256, (560, 560, 3)), "BMP")
    with client_of(engine, RequestLimits(megabytes=1, requests=1)) as narrow:
        assert ask(narrow, ("a.bmp", large)).status_code == 200
        response = ask(narrow, ("a.bmp", large), ("b.bmp", large))
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0


def test_more_images_than_the_limit_are_refused(client: TestClient, foreign: bytes) -> None:
    assert ask(client, *[("a.png", foreign)] * 4).status_code == 200
    response = ask(client, *[("a.png", foreign)] * 5)
    assert response.status_code == 413
    assert "more than 4 images" in response.json()["detail"]


def test_a_body_of_unknown_length_is_counted(client: TestClient) -> None:
    def body() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="p"; filename="p"\r\n\r\n'
        yield from (bytes(100_000) for _ in range(30))

    assert client.post("/api/classify", content=body(), headers=BOUND).status_code == 413


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ("../../etc/passwd.png", "passwd.png"),
        ("C:\\images\\a.png", "a.png"),
        ("<img src=x>.png", "<img src=x>.png"),
        ("x" * 500, "x" * 80),
    ],
)
def test_names_are_repeated_without_paths(client: TestClient, foreign: bytes, sent: str, told: str):
    response = ask(client, (sent, foreign))
    assert response.headers["content-type"] == "application/json"
    assert response.json()["images"][0]["name"] == told


def test_too_many_requests_are_refused_until_there_is_room(
    engine: Engine, foreign: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = hold_up(engine, monkeypatch)
    with client_of(engine, RequestLimits(requests=2)) as client, ThreadPoolExecutor(3) as threads:
        asked = [threads.submit(ask, client, ("a.png", foreign)) for _ in range(3)]
        refused = next(as_completed(asked)).result()  # two wait for the networks
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert client.get("/health").status_code == 200
        go.set()
        assert sorted(one.result().status_code for one in asked) == [200, 200, 503]
        assert ask(client, ("a.png", foreign)).status_code == 200


def test_a_slow_prediction_is_told_and_over(
    engine: Engine, foreign: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = hold_up(engine, monkeypatch)
    with client_of(engine, RequestLimits(seconds=0.2)) as client:
        assert ask(client, ("a.png", foreign)).status_code == 504
        go.set()
        # The batch that was computed for nobody may still be on its way.
        assert 200 in (ask(client, ("a.png", foreign)).status_code for _ in range(100))


def test_uploads_are_never_on_a_disk(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With nowhere to put temporary files, large ones still come through."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    large = encoded(np.random.default_rng(0).integers(0, 256, (560, 560, 3)), "BMP")
    response = ask(client, ("a.bmp", large), ("b.bmp", large))
    assert response.status_code == 200
    assert len(response.json()["images"]) == 2


# --- Around


def test_only_names_of_this_machine_are_answered(client: TestClient) -> None:
    response = client.get("/api/run", headers={"host": "evil.example"})
    assert response.status_code == 400
    assert response.headers["x-content-type-options"] == "nosniff"


def test_a_page_from_elsewhere_may_not_ask_for_classes(client: TestClient, foreign: bytes) -> None:
    files = [("images", ("a.png", foreign))]
    for origin, status in {HERE: 200, "http://evil.example": 403}.items():
        response = client.post("/api/classify", files=files, headers={"origin": origin})
        assert response.status_code == status


def test_the_run_its_limits_and_examples(client: TestClient, engine: Engine) -> None:
    told = client.get("/api/run").json()
    assert told["run"] == "tiny" and told["classes"] == engine.classes and told["boxes"]
    assert told["limits"] == LIMITS.model_dump()
    assert told["score"].startswith("out-of-fold accuracy ")
    assert [example["name"] for example in told["examples"]] == ["cat", "dog", "cat", "dog"]
    for example in told["examples"]:
        image = client.get(f"/{example['address']}")
        assert image.headers["content-type"] == "image/jpeg"
        found = ask(client, ("example.jpg", image.content)).json()["images"][0]
        assert found["classes"][0]["name"] == example["name"], "it learns these colors"
    assert client.get("/examples/4").status_code == 404
    assert client.get("/health").json() == {"status": "ok", "run": "tiny"}


def test_the_score_is_of_all_folds_that_are_there(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = describe_run(engine, LIMITS, []).score
    folder = RunFolder(tmp_path / "tiny")
    shutil.copytree(engine.run.folder.path, folder.path)
    older = score_folds(Run.open(folder), [0]).as_dict(folder)
    (folder.path / "score.json").write_text(json.dumps(older))
    monkeypatch.setattr(engine, "run", Run.open(folder))
    assert describe_run(engine, LIMITS, []).score == known
    assert known != f"out-of-fold {Score.from_dict(older['score'])}"
    (folder.fold(1).path / "validation.csv").unlink()
    assert describe_run(engine, LIMITS, []).score is None


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
    assert page.headers["cache-control"] == "no-store"


def test_the_schema_has_the_field_and_the_statuses(client: TestClient) -> None:
    described = client.get("/openapi.json").json()["paths"]["/api/classify"]["post"]
    form = described["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"]["images"]["items"]["format"] == "binary"
    expected = {"200", "400", "408", "413", "415", "422", "503", "504"}
    assert set(described["responses"]) == expected
