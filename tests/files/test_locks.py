"""Locks between real processes: told at once, waited for, and given back by a kill."""

import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from podium.files.locks import Busy, locked

HOLD = """
import sys, time
from pathlib import Path
from podium.files.locks import locked
with locked(Path(sys.argv[1]), "it"):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


@contextmanager
def holder(path: Path, seconds: float = 60) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the lock."""
    words = [sys.executable, "-c", HOLD, str(path), str(seconds)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()


def test_the_second_is_told_at_once_who_has_it(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "0.lock"
    with holder(path) as process:
        began = time.monotonic()
        with pytest.raises(Busy) as caught, locked(path, "fold 0"):
            pytest.fail("two have it")
        assert time.monotonic() - began < 1
    start = f"fold 0 is being written by process {process.pid} on {platform.node()} since 20"
    assert str(caught.value).startswith(start)
    assert caught.value.exit_code == 75


def test_a_kill_gives_it_back(tmp_path: Path) -> None:
    path = tmp_path / "0.lock"
    with holder(path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        with locked(path, "fold 0"):
            assert str(os.getpid()) in path.with_suffix(".holder").read_text()
    with locked(path, "fold 0"):
        assert path.is_file()


def test_who_waits_says_for_whom(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.lock"
    with holder(path, seconds=0.5) as process, locked(path, "the table", wait=True):
        process.wait()
        assert process.returncode == 0
    said = capsys.readouterr().out
    assert said.startswith(f"waiting for process {process.pid} on ")
    assert said.endswith("to write the table\n")


def test_one_process_takes_it_again(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    with locked(path, "it"):
        with locked(path, "it"):
            pass
        code = HOLD.replace("time.sleep", "print")
        done = subprocess.run([sys.executable, "-c", code, str(path), "0"], capture_output=True)
        assert b"podium.files.locks.Busy: it is being written by" in done.stderr
