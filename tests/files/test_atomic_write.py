"""Files that are there whole or not at all, whatever keeps them from being written."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from podium.files.atomic_write import atomic_write, remove_temp_files, write_json


def test_a_file_appears_once_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with atomic_write(path) as part:
        part.write_text("all of it")
        assert not path.exists()
        assert part.suffix == ".txt"  # by which Keras and pandas choose the format
    assert path.read_text() == "all of it"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_the_old_file_survives_a_writer_that_fails_halfway(
    tmp_path: Path, error: BaseException
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(error)) as caught, atomic_write(path) as part:
        part.write_text("hal")
        raise error
    if isinstance(error, OSError):
        assert caught.value.errno == errno.ENOSPC
        assert "no space left" in str(caught.value)
        assert str(path) in str(caught.value)
    else:
        assert caught.value is error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_trouble_with_another_file_is_told_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    error = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "there" / "b.txt"))
    with pytest.raises(PermissionError) as caught, atomic_write(tmp_path / "here" / "a.txt"):
        raise error
    assert caught.value is error


def test_what_only_looks_like_a_leftover_is_left_alone(tmp_path: Path) -> None:
    for name in (".part-", ".part-x-a.txt", ".part-12"):
        (tmp_path / name).touch()
    (tmp_path / ".part-999999999-a.txt").touch()
    remove_temp_files(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".part-", ".part-x-a.txt", ".part-12"}


def test_room_that_the_disk_does_not_give_is_told_at_once(tmp_path: Path) -> None:
    code = f"""
import resource
from pathlib import Path
from podium.files.atomic_write import require_space
require_space(Path({str(tmp_path)!r}), 10**6)
resource.setrlimit(resource.RLIMIT_FSIZE, (10**7, 10**7))  # as a quota, less than is free
require_space(Path({str(tmp_path)!r}), 10**6)
try:
    require_space(Path({str(tmp_path)!r}), 10**7)
except OSError as error:
    assert "no space left: the next file needs 14.5 MB" in str(error), error
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert not list(tmp_path.iterdir())


def test_nothing_is_left_of_a_first_writing_that_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), atomic_write(tmp_path / "a.txt") as part:
        part.write_text("hal")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_writes_nothing_is_not_taken_for_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "a.txt"):
        pass
    assert (tmp_path / "a.txt").read_text() == "old"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError):
            write_json(tmp_path / "a.json", {"new": 1})
        assert (tmp_path / "a.json").read_text() == "{}"
        assert len(list(tmp_path.iterdir())) == 1
    finally:
        tmp_path.chmod(0o700)


def test_a_file_where_the_folder_should_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("not a folder")
    with pytest.raises(OSError, match="run"):
        write_json(tmp_path / "run" / "a.json", {})
    assert (tmp_path / "run").read_text() == "not a folder"


def test_json_that_cannot_be_written_leaves_the_old(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"name": "Škoda"})
    with pytest.raises(TypeError):
        write_json(path, {"name": object()})
    assert json.loads(path.read_text(encoding="utf-8")) == {"name": "Škoda"}
