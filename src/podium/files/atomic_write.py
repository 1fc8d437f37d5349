"""Files that are there whole or not at all: written under a temporary name, then renamed."""

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd

from podium.system import is_another_process

HEADERS = 4_000_000  # bytes that the headers of a file with thousands of arrays may take
MAKE_ROOM = "Make room, and the same command goes on"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk, what one may have of it, or of a file
LOCKED = (errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; it takes the name `path` only once it is complete.

    Raises:
        OSError: where the disk is full or may not be written to, with what to do about it.
    """
    # The ending stays, because Keras and pandas choose the format by it.
    part = path.with_name(f".part-{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with suppress(OSError):  # on a disk that may not be written to there is none
            part.unlink(missing_ok=True)
        raise _explained(error, path) from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _explained(error: OSError, path: Path) -> OSError:
    """What keeps a file from being written, told by its own name; any other trouble as it is."""
    named = Path(error.filename) if isinstance(error.filename, str | Path) else path
    if named not in (path, *path.parents) and named.parent not in (path, path.parent):
        return error  # of a file that was read for it
    if error.errno in FULL:
        return OSError(error.errno, f"no space left to write here. {MAKE_ROOM}", str(path))
    if error.errno in LOCKED:
        why = os.strerror(error.errno).lower()
        text = f"{why}: nothing can be written here. Change that, and the same command goes on"
        return OSError(error.errno, text, str(path))
    return error


def remove_temp_files(folder: Path, name: str | None = None) -> None:
    """Delete the temporary files that killed writers left in a folder and below it.

    Args:
        name: only what was to become a file of this name.
    """
    for part in folder.rglob(".part-*"):
        written = re.fullmatch(r"\.part-(\d+)-(.+)", part.name)
        if not written or name not in (None, written[2]):
            continue
        # Another process may be writing: folds of one run can be trained side by side.
        if not is_another_process(int(written[1])):
            part.unlink(missing_ok=True)


def write_json(path: Path, data: dict[str, Any]) -> None:
    with atomic_write(path) as part:
        part.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_csv(path: Path, table: pd.DataFrame, index: bool = True) -> None:
    """Write a table; float32 keep every bit (nine digits)."""
    with atomic_write(path) as part:
        table.to_csv(part, index=index, float_format="%.9g", lineterminator="\n")


def require_space(folder: Path, needed: int) -> None:
    """Refuse to begin a large file that the disk has no room for.

    HDF5 ends the whole process with a segmentation fault when a disk fills up under it.

    Raises:
        OSError: names what is needed and what is free.
    """
    needed = round(needed * 1.05) + HEADERS
    with _trial(folder) as file:
        free = shutil.disk_usage(folder).free
        if needed > free:
            raise OSError(
                errno.ENOSPC,
                f"no space left: the next file needs {needed / 1e6:.1f} MB, {free / 1e6:.1f} MB "
                f"are free. {MAKE_ROOM}",
                str(folder),
            )
        preallocate(file, needed)  # one may have less of the disk than is free


def require_writable(folder: Path) -> None:
    """See that files can be made in a folder, before hours go into what is to lie there.

    Raises:
        OSError: they cannot, and why.
    """
    with _trial(folder):
        pass


@contextmanager
def _trial(folder: Path) -> Iterator[int]:
    """An open file without a name in a folder, which is made if it is not there."""
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(tempfile.TemporaryFile(dir=folder))
        except OSError as error:
            raise _explained(error, folder) from error
        yield file.fileno()


def preallocate(file: int, size: int) -> None:
    """Give an open file all of its bytes now: a full disk ends a process that writes to a map.

    Raises:
        OSError: there is no room for them.
    """
    if not hasattr(os, "posix_fallocate"):
        return  # not Linux
    try:
        os.posix_fallocate(file, 0, size)
    except OSError as error:
        if error.errno not in FULL:
            return  # a disk that cannot do it
        text = f"no space left: the next file needs {size / 1e6:.1f} MB. {MAKE_ROOM}"
        raise OSError(error.errno, text) from error
