"""How runs on the stand-in end, and the stand-in itself: nothing is left behind."""

import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

import kaggle_stand_in
from kaggle_stand_in import StandIn, runner
from kaggle_stand_in.small_kernels import REF, WAITS, run_kernel, write_kernel
from podium.kaggle.client import connect

if TYPE_CHECKING:  # importing it checks an access token
    from kaggle.api.kaggle_api_extended import KaggleApi


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


def test_an_error_of_the_stand_in_is_raised_when_it_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_in: StandIn
) -> None:
    (tmp_path / "no.zip").write_text("not a zip")
    with pytest.raises(zipfile.BadZipFile), StandIn(tmp_path / "other") as kaggle:
        monkeypatch.setenv("PODIUM_KAGGLE_ENDPOINT", kaggle.url)
        kaggle.add_dataset("someone/broken", tmp_path / "no.zip")
        folder = write_kernel(tmp_path / "kernel", "", dataset_sources=["someone/broken"])
        connect().kernels_push(str(folder))
        assert kaggle.kernels[REF].last.wait() == "ERROR"
