"""Packed files: the same bytes from the same names and contents."""

import subprocess
import sys
from pathlib import Path

from podium.files.payload import CARRIED, carried, library, pack, unpack

CAPTURED = {"capture_output": True, "text": True}


def test_bytes_depend_on_names_and_contents_alone(tmp_path: Path) -> None:
    packed = pack({"b/c.txt": "words", "a": b"\0"})
    assert packed == pack({"a": b"\0", "b/c.txt": "words"})
    assert packed != pack({"a": b"\1", "b/c.txt": "words"})
    unpack(packed, tmp_path)
    assert (tmp_path / "b" / "c.txt").read_text() == "words"
    assert (tmp_path / "a").read_bytes() == b"\0"


def test_the_library_runs_from_where_it_was_unpacked(tmp_path: Path) -> None:
    unpack(pack({**library(), **carried(CARRIED)}), tmp_path)
    words = "import podium, podium.training.cluster.worker as worker; print(worker.__file__)"
    command = [sys.executable, "-c", words]
    done = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, **CAPTURED)
    assert done.stdout.startswith(str(tmp_path)), done.stderr
