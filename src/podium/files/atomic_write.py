"""Files and folders that are there whole or not at all: written elsewhere, then renamed."""

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import psutil

HEADERS = 4_000_000  # bytes that the headers of a file with thousands of arrays may take
MAKE_ROOM = "Make room, and the same command goes on"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk, what one may have of it, or of a file
OLD = ".old-"  # before the name of a folder that is being replaced
LOCKED = (errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; it takes the name `path` only once it is complete.

    What killed writers of that name left is deleted.

    Raises:
        OSError: where the disk is full or may not be written to, with what to do about it.
    """
    part = _part(path)
    try:
        with _explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            remove_temp_files(path.parent, path.name)
            yield part
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            part.replace(path)
            _sync_folder(path.parent)
    except BaseException:
        with suppress(OSError):  # on a disk that may not be written to there is none
            part.unlink(missing_ok=True)
        raise


@contextmanager
def atomic_folder(target: Path, replace: bool = False) -> Iterator[Path]:
    """Give an empty folder to fill; it takes the name `target` only once it is complete.

    Args:
        replace: take the place of the folder that is there, which is kept until then.

    Raises:
        FileExistsError: it is there with something in it, and not to be replaced.
    """
    old, part = target.with_name(OLD + target.name), _part(target)
    clear_leftovers(target)
    try:
        part.mkdir(parents=True)
        yield part
        if hasattr(os, "sync"):
            os.sync()  # a rename may reach the disk before the files do
        if target.is_dir() and any(target.iterdir()):
            if not replace:
                raise FileExistsError(errno.EEXIST, "is there already", str(target))
            target.rename(old)
        elif target.is_dir():
            target.rmdir()
        part.rename(target)
        _sync_folder(target.parent)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def clear_leftovers(target: Path) -> None:
    """Delete what a kill left of replacing a folder, and bring the old one back where it must."""
    old = target.with_name(OLD + target.name)
    if old.is_dir() and not target.exists():
        old.rename(target)  # the kill came between the two renames
    elif old.is_dir():
        shutil.rmtree(old)
    remove_temp_files(target.parent, target.name)


def clear_all_leftovers(folder: Path) -> None:
    """The same for a folder and those in it, and all temporary files below it."""
    clear_leftovers(folder)
    for old in folder.glob(f"{OLD}*"):
        clear_leftovers(folder / old.name.removeprefix(OLD))
    remove_temp_files(folder)


def discard(folder: Path) -> None:
    """Delete a folder, which a kill leaves whole or without its name."""
    aside = _part(folder)
    folder.rename(aside)
    _sync_folder(folder.parent)
    shutil.rmtree(aside)


def remove_temp_files(folder: Path, name: str | None = None) -> None:
    """Delete the temporary files and folders that killed writers left in a folder and below it.

    Args:
        name: only what was to become a file or folder of this name, in this folder.
    """
    for part in list(folder.glob(".part-*") if name else folder.rglob(".part-*")):
        meant = abandoned_by_writer(part)
        if meant and name in (None, meant):
            shutil.rmtree(part) if part.is_dir() else part.unlink(missing_ok=True)


def abandoned_by_writer(part: Path) -> str | None:
    """The name that a temporary file or folder is of, if its writer is gone; else nothing."""
    written = re.fullmatch(r"\.part-(\d+)-(.+)", part.name)
    if not written:
        return None
    # Another writer may be alive: folds of one run can be trained side by side.
    is_left = int(written[1]) == os.getpid() or not psutil.pid_exists(int(written[1]))
    return written[2] if is_left else None


def write_json(path: Path, data: dict[str, Any]) -> None:
    with atomic_write(path) as part:
        part.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def copy_whole(source: Path, target: Path) -> None:
    """Copy a file so that it is there whole or not at all."""
    with atomic_write(target) as part:
        shutil.copyfile(source, part)


def write_csv(path: Path, table: pd.DataFrame, index: bool = True) -> None:
    """Write a table; float32 keep every bit (nine digits)."""
    with atomic_write(path) as part:
        table.to_csv(part, index=index, float_format="%.9g", lineterminator="\n")


def require_writable(folder: Path) -> None:
    """See that files can be made in a folder, before hours go into what is to lie there.

    Raises:
        OSError: they cannot, and why.
    """
    require_space(folder, 0)


def require_space(folder: Path, needed: int) -> None:
    """Refuse to begin a large file that the disk has no room for.

    HDF5 ends the whole process with a segmentation fault when a disk fills up under it.

    Raises:
        OSError: names what is needed.
    """
    with _explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        trial = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
    with trial:
        preallocate(trial.fileno(), round(needed * 1.05) + HEADERS)


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


def _part(path: Path) -> Path:
    """A temporary name; the ending stays, because Keras and pandas choose the format by it."""
    return path.with_name(f".part-{os.getpid()}-{path.name}")


def _sync_folder(folder: Path) -> None:
    """Bring a rename to the disk, as far as the system lets a folder be opened for that."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # of a disk that knows no such thing
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Say what to do where a full disk, or one that is locked, keeps `path` from being written."""
    try:
        yield
    except OSError as error:
        named = Path(error.filename or path)  # else of a file that was read for it
        is_here = not {named, named.parent}.isdisjoint({path, *path.parents})
        if error.errno in FULL:
            text = f"no space left to write here. {MAKE_ROOM}"
        elif error.errno in LOCKED and is_here:
            why = os.strerror(error.errno).lower()
            text = f"{why}: nothing can be written here. Change that, and the same command goes on"
        else:
            raise
        raise OSError(error.errno, text, str(path)) from error
