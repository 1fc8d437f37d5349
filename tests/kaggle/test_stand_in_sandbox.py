"""The sandbox of the stand-in: Kaggle's packages and folders, no internet, nothing left behind."""

import json
import os
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest
import requests

import kaggle_stand_in
from kaggle_stand_in import StandIn, runner
from kaggle_stand_in.small_kernels import REF, WAITS, run_kernel, write_kernel, write_zip
from podium.kaggle.client import connect

if TYPE_CHECKING:  # importing it checks an access token
    from kaggle.api.kaggle_api_extended import KaggleApi


def test_a_script_runs_and_its_output_is_collected(
    stand_in: StandIn, api: "KaggleApi", tmp_path: Path
) -> None:
    code = """
import os, sys
from pathlib import Path
print("one", flush=True)
print("zwei · ü", file=sys.stderr, flush=True)
Path("weights/run/fold-0").mkdir(parents=True)
Path("weights/run/fold-0/best.weights.h5").write_bytes(b"w" * 5)
Path("submission.csv").write_text("id,label\\n")
print(sorted(os.environ), os.getcwd() == os.environ["PODIUM_KAGGLE_ROOT"] + "/working")
"""
    answer = api.kernels_push(str(write_kernel(tmp_path / "kernel", code)))
    assert answer.version_number == 1
    assert answer.url == f"https://www.kaggle.com/code/{REF}"
    session = stand_in.kernels[REF].last
    assert session.wait() == "COMPLETE"
    status = api.kernels_status(REF)
    assert (status.status.name, status.failure_message) == ("COMPLETE", "")
    files, _ = api.kernels_output(REF, str(tmp_path / "out"))
    assert sorted(Path(file).relative_to(tmp_path / "out").as_posix() for file in files) == [
        "first-kernel.log",
        "submission.csv",
        "weights/run/fold-0/best.weights.h5",
    ]
    assert (tmp_path / "out/weights/run/fold-0/best.weights.h5").read_bytes() == b"wwwww"
    log = json.loads((tmp_path / "out" / "first-kernel.log").read_text())
    assert {(event["stream_name"], event["data"]) for event in log} >= {
        ("stdout", "one\n"),
        ("stderr", "zwei · ü\n"),
    }
    assert [event["time"] for event in log] == sorted(event["time"] for event in log)
    names = "['HOME', 'KAGGLE_KERNEL_RUN_TYPE', 'KAGGLE_STAND_IN_INTERNET', 'LANG', 'PATH', "
    assert f"{names}'PODIUM_KAGGLE_ROOT', 'TMPDIR'] True" in session.log_text


def test_a_notebook_runs_and_is_kept_with_its_outputs(
    stand_in: StandIn, api: "KaggleApi", tmp_path: Path
) -> None:
    cells = ["print('in the first')", "open('left.txt', 'w').write('x');", "1 / int('0')"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    kind = {"code_file": "kernel.ipynb", "kernel_type": "notebook"}
    log = run_kernel(stand_in, api, tmp_path / "kernel", nbformat.writes(notebook), **kind)
    session = stand_in.kernels[REF].last
    assert session.status == "ERROR"
    assert "in the first\n" in log
    assert "ZeroDivisionError" in log
    assert list(session.outputs) == ["left.txt"]
    first, _, last = nbformat.read(session.executed, as_version=4).cells
    assert first.outputs[0].text == "in the first\n"
    assert last.outputs[0].ename == "ZeroDivisionError"
    refused = api.kernels_push(str(write_kernel(tmp_path / "script", "print()")))
    assert "type" in refused.error


def test_a_kernel_has_kaggles_packages_and_not_what_kaggle_lacks(
    stand_in: StandIn, api: "KaggleApi", tmp_path: Path
) -> None:
    code = """
import importlib, importlib.util
for name in ("podium", "efficientnet", "keras_applications"):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        print(error)
for name in ("tensorflow", "keras", "cv2", "albumentations", "pydantic", "typer"):
    print(name, importlib.util.find_spec(name) is not None)
"""
    assert run_kernel(stand_in, api, tmp_path / "kernel", code).splitlines() == [
        "No module named 'podium'",
        "No module named 'efficientnet'",
        "No module named 'keras_applications'",
        "tensorflow True",
        "keras True",
        "cv2 True",
        "albumentations True",
        "pydantic True",
        "typer True",
    ]


LEAVE = """
import socket, urllib.request
for reach in (
    lambda: urllib.request.urlopen("https://www.kaggle.com", timeout=5),
    lambda: socket.socket().connect(("192.0.2.1", 80)),
):
    try:
        reach()
    except OSError as error:
        print(error)
here = socket.create_server(("127.0.0.1", 0))
socket.create_connection(here.getsockname())
print("loopback works")
urllib.request.urlopen("https://www.kaggle.com", timeout=5)
"""


@pytest.mark.parametrize("permitted", [True, False], ids=["namespaces", "no namespaces"])
def test_a_kernel_has_no_internet(
    stand_in: StandIn,
    api: "KaggleApi",
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    permitted: bool,
) -> None:
    if not permitted:
        monkeypatch.setattr(runner, "namespaces", tuple)
    log = run_kernel(stand_in, api, tmp_path / "kernel", LEAVE)
    assert "name resolution (this kernel has no internet: www.kaggle.com)" in log
    assert "Network is unreachable (this kernel has no internet: 192.0.2.1)" in log
    assert "loopback works" in log
    assert api.kernels_status(REF).status.name == "ERROR"
    assert api.kernels_status(REF).failure_message == "Your notebook exited with code 1"


def test_namespaces_alone_take_the_internet_and_lock_the_input(
    stand_in: StandIn, api: "KaggleApi", tmp_path: Path
) -> None:
    if not runner.namespaces():
        pytest.skip("namespaces are not permitted here")
    # The switch of the audit hook, which leaves the namespaces as they are.
    stand_in.environment["KAGGLE_STAND_IN_INTERNET"] = "1"
    code = """
import os, socket
print([name for _, name in socket.if_nameindex()])
try:
    socket.socket().connect(("192.0.2.1", 80))
except OSError as error:
    print(error)
try:
    open(os.environ["PODIUM_KAGGLE_ROOT"] + "/input/x", "w")
except OSError as error:
    print(error.strerror)
"""
    assert run_kernel(stand_in, api, tmp_path / "kernel", code).splitlines() == [
        "['lo']",
        "[Errno 101] Network is unreachable",
        "Read-only file system",
    ]


def test_a_kernel_that_asks_for_the_internet_may_try(
    stand_in: StandIn, api: "KaggleApi", tmp_path: Path
) -> None:
    # This very server is reached from no namespace without the internet.
    code = f"""
import socket, urllib.request
try:
    socket.create_connection(("192.0.2.1", 80), timeout=0.1)
except OSError as error:
    print(error)
urllib.request.urlopen({stand_in.url!r} + "/x")
"""
    log = run_kernel(stand_in, api, tmp_path / "kernel", code, enable_internet=True)
    assert "this kernel has no internet" not in log
    assert "HTTP Error 403" in log
    assert ("GET", {"path": "/x", "range": None}) in stand_in.calls


@pytest.mark.parametrize("nested", [False, True])
def test_sources_are_found_below_input(
    stand_in: StandIn, api: "KaggleApi", tmp_path: Path, nested: bool
) -> None:
    inner = write_zip(tmp_path / "train.zip", {"a.jpg": "a"}).read_bytes()
    with zipfile.ZipFile(tmp_path / "cars.zip", "w") as archive:
        archive.writestr("train.zip", inner)
        archive.writestr("test/b.jpg", "b")
    stand_in.add_competition("cars", tmp_path / "cars.zip")
    stand_in.add_dataset("other/flowers", write_zip(tmp_path / "flowers.zip", {"rose/1.jpg": "r"}))
    stand_in.nested_input = nested
    other = {"id": "someone/earlier", "title": "earlier"}
    run_kernel(stand_in, api, tmp_path / "earlier", "open('left.txt', 'w').write('x')", **other)
    sources = {
        "competition_sources": ["cars"],
        "dataset_sources": ["other/flowers/3"],
        "kernel_sources": ["someone/earlier"],
    }
    code = """
import os
from pathlib import Path
root = Path(os.environ["PODIUM_KAGGLE_ROOT"]) / "input"
for path in sorted(path for path in root.rglob("*") if path.is_file()):
    print(path.relative_to(root), oct(path.stat().st_mode & 0o777))
"""
    lines = run_kernel(stand_in, api, tmp_path / "kernel", code, **sources).splitlines()
    files = ("cars/test/b.jpg", "cars/train.zip", "earlier/left.txt", "flowers/rose/1.jpg")
    place = {
        "cars": "competitions/",
        "earlier": "notebooks/someone/",
        "flowers": "datasets/other/",
    }
    expected = [place[file.split("/")[0]] * nested + file for file in files]
    assert lines == [f"{file} 0o444" for file in sorted(expected)]


def test_a_built_kernel_can_be_run_on_its_own(tmp_path: Path) -> None:
    code = """
import os
from pathlib import Path
print((Path(os.environ["PODIUM_KAGGLE_ROOT"]) / "input/flowers/a.txt").read_text())
raise SystemExit(5)
"""
    folder = write_kernel(tmp_path / "kernel", code)
    flowers = write_zip(tmp_path / "flowers.zip", {"a.txt": "a rose"})
    command = [sys.executable, "-m", "kaggle_stand_in", "run", str(folder)]
    command += ["--root", str(tmp_path / "root"), "--mount", f"flowers={flowers}"]
    tests = str(Path(kaggle_stand_in.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": tests}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout) == (5, "a rose\n"), done.stderr


def processes_of(folder: Path) -> list[str]:
    """Command lines of the processes that work somewhere in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve().is_relative_to(folder):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # it has ended in the meantime
    return found


def until(condition: Callable[[], bool]) -> None:
    """Wait for what comes in an instant."""
    for _ in range(200):
        if condition():
            return
        time.sleep(0.01)
    assert condition()


def test_a_cancelled_kernel_is_gone(stand_in: StandIn, api: "KaggleApi", tmp_path: Path) -> None:
    api.kernels_push(str(write_kernel(tmp_path / "kernel", WAITS)))
    session = stand_in.kernels[REF].last
    next(session.events())
    assert processes_of(session.working)
    stand_in.cancel(REF)
    assert session.wait() == "CANCEL_ACKNOWLEDGED"
    assert api.kernels_status(REF).status.name == "CANCEL_ACKNOWLEDGED"
    assert session.outputs == {}
    assert "line 0" in session.log_text
    until(lambda: processes_of(session.working) == [])


SLEEP = "import subprocess; subprocess.Popen(['sleep', '60'])\n"


@pytest.mark.parametrize("permitted", [True, False], ids=["namespaces", "no namespaces"])
def test_nothing_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_in: StandIn, permitted: bool
) -> None:
    if not permitted:
        monkeypatch.setattr(runner, "namespaces", tuple)
    threads = set(threading.enumerate())
    with requests.Session() as kept_open, StandIn(tmp_path / "other") as kaggle:
        monkeypatch.setenv("PODIUM_KAGGLE_ENDPOINT", kaggle.url)
        api = connect()
        api.kernels_push(str(write_kernel(tmp_path / "kernel", SLEEP + WAITS)))
        listening = threading.Thread(target=lambda: list(api.kernels_logs_stream(REF)))
        listening.start()
        next(kaggle.kernels[REF].last.events())
        # A process that is just beginning has no command line yet.
        until(lambda: any("sleep" in line for line in processes_of(kaggle.folder)))
        kept_open.get(kaggle.url)
    listening.join(5)
    assert set(threading.enumerate()) <= threads
    until(lambda: processes_of(kaggle.folder) == [])
    with pytest.raises(requests.ConnectionError):
        requests.get(kaggle.url)


@pytest.mark.parametrize("permitted", [True, False], ids=["namespaces", "no namespaces"])
def test_what_a_kernel_leaves_running_ends_with_it(
    stand_in: StandIn,
    api: "KaggleApi",
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    permitted: bool,
) -> None:
    if not permitted:
        monkeypatch.setattr(runner, "namespaces", tuple)
    began = time.monotonic()
    run_kernel(stand_in, api, tmp_path / "kernel", SLEEP)
    assert time.monotonic() - began < 20
    until(lambda: processes_of(stand_in.folder) == [])
    assert api.kernels_status(REF).status.name == "COMPLETE"


@pytest.mark.parametrize("path", ["/usr/local/bin:/usr/bin:/bin", ""], ids=["usual", "no unshare"])
def test_a_kernel_ends_with_whoever_runs_it(tmp_path: Path, path: str) -> None:
    silent = "print('running', flush=True)\nimport time; time.sleep(60)"
    folder, root = write_kernel(tmp_path / "kernel", SLEEP + silent), tmp_path / "root"
    command = [sys.executable, "-m", "kaggle_stand_in", "run", str(folder), "--root", str(root)]
    tests = str(Path(kaggle_stand_in.__file__).parents[1])
    environment = {"PATH": path, "PYTHONPATH": tests, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"running\n"
        assert processes_of(root)
        running.kill()  # as a CI does whose patience is over
    until(lambda: processes_of(root) == [])
