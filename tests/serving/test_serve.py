"""`podium serve` as a process: large and slow senders, and mistakes told before it begins."""

import http.client
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from small_web import COMMAND, serving

from podium.serving import serve

HEAD = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n\r\n'
TAIL = b"\r\n--x--\r\n"
KIND = {"Content-Type": "multipart/form-data; boundary=x"}


@pytest.fixture(scope="module")
def server(served: Path) -> Iterator[tuple[str, subprocess.Popen]]:
    with serving(served, "--examples", "0") as found:
        yield found


@pytest.fixture
def connection(server: tuple[str, subprocess.Popen]) -> Iterator[http.client.HTTPConnection]:
    made = http.client.HTTPConnection(urlsplit(server[0]).netloc, timeout=30)
    yield made
    made.close()


def peak_memory(process: subprocess.Popen) -> int:
    """In bytes, so far."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line[:6] == "VmHWM:")


def answer(connection: http.client.HTTPConnection) -> tuple[int, dict]:
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def test_it_answers(connection: http.client.HTTPConnection, unseen: list[Path]) -> None:
    connection.request("POST", "/api/classify", HEAD + unseen[0].read_bytes() + TAIL, KIND)
    status, found = answer(connection)
    assert status == 200
    assert found["images"][0]["status"] == 200


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="/proc tells peak memory")
@pytest.mark.parametrize("announced", [True, False], ids=["announced", "unannounced"])
def test_200_megabytes_are_refused_and_not_held(
    server: tuple[str, subprocess.Popen], connection: http.client.HTTPConnection, announced: bool
) -> None:
    before = peak_memory(server[1])
    chunk = bytes(1_000_000)
    length = {"Content-Length": str(200 * len(chunk))} if announced else {}
    body = (chunk if number else HEAD + chunk[len(HEAD) :] for number in range(200))
    connection.request("POST", "/api/classify", body, KIND | length, encode_chunked=not announced)
    status, found = answer(connection)
    assert (status, found["detail"].split(":")[0]) == (413, "too large")
    assert peak_memory(server[1]) - before < 120e6


def test_responses_are_sent_at_once() -> None:
    """Nagle's algorithm would hold back a part until the client has acknowledged the others."""
    with (
        serve.listen("127.0.0.1", 0) as listening,
        socket.create_connection(listening.getsockname()),
        listening.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_more_files_than_usual_may_be_open() -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] < 4096:
        pytest.skip("nor may they here")
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
        serve.raise_file_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(serve.FILES, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_who_hangs_up_harms_nobody(
    server: tuple[str, subprocess.Popen],
    connection: http.client.HTTPConnection,
    unseen: list[Path],
) -> None:
    place = urlsplit(server[0])
    for _ in range(5):
        with socket.create_connection((place.hostname, place.port)) as leaving:
            leaving.sendall(b"POST /api/classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Le")
        with socket.create_connection((place.hostname, place.port)) as leaving:
            start = "POST /api/classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 900\r\n"
            leaving.sendall(f"{start}Content-Type: {KIND['Content-Type']}\r\n\r\n".encode() + HEAD)
    connection.request("POST", "/api/classify", HEAD + unseen[0].read_bytes() + TAIL, KIND)
    assert answer(connection)[0] == 200


# --- What cannot be served


def refused(project: Path, *words: str) -> str:
    """What is said, in one line."""
    done = subprocess.run([*COMMAND, *words], cwd=project, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


def test_a_run_that_is_not_there_is_told_with_those_that_are(served: Path) -> None:
    said = refused(served, "gone")
    assert "no run 'gone'" in said and said.endswith("there are: tiny")


def test_a_port_that_is_taken_costs_no_time(served: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(served, "tiny", "--port", str(port))
        assert f"cannot listen at 127.0.0.1:{port}" in said
        assert f"--port {port + 1}" in said


def test_without_its_packages_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "PACKAGES", ("fastapi", "no_such_package"))
    with pytest.raises(ValueError, match=r"^no_such_package missing: pip install 'podium\[web\]'$"):
        serve.serve("tiny", "127.0.0.1", 0, 1, 0, browser=False)
