"""Folders that are there whole or not at all; of files see tests/runs/test_run_folder.py."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from podium.files.atomic_write import atomic_folder


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_work_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "cars"
    living = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    others = [f".part-{living.pid}-cars", ".part-x-cars", ".part-1-cars-b6"]
    for name in [*others, f".part-{os.getpid()}-cars", ".part-99999999-cars"]:
        (tmp_path / name / "train").mkdir(parents=True)
    with atomic_folder(target):
        pass
    living.communicate(b"\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*others, "cars"])


def test_a_folder_is_replaced_only_by_a_whole_one(tmp_path: Path) -> None:
    target = tmp_path / "cars"
    target.mkdir()
    (target / "old").write_bytes(b"old")
    with pytest.raises(RuntimeError), atomic_folder(target, replace=True) as part:
        (part / "new").write_bytes(b"new")
        raise RuntimeError
    assert files_in(tmp_path) == {"cars/old": b"old"}
    with atomic_folder(target, replace=True) as part:
        (part / "new").write_bytes(b"new")
        assert files_in(target) == {"old": b"old"}
    assert files_in(tmp_path) == {"cars/new": b"new"}


def test_a_folder_that_was_being_replaced_at_a_kill_is_put_back(tmp_path: Path) -> None:
    """Between the two renames the old folder has another name, and the new one none yet."""
    (tmp_path / ".old-cars").mkdir()
    (tmp_path / ".old-cars" / "old").write_bytes(b"old")
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "cars", replace=True):
        raise RuntimeError
    assert files_in(tmp_path) == {"cars/old": b"old"}
