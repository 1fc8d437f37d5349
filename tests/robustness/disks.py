"""Disks that are small, full or locked; where nothing can be mounted, there are none."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def fill(path: Path, leave: int = 0) -> None:
    """Fill the disk with this file, but for so many bytes."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        disk = os.fstatvfs(descriptor)
        size = disk.f_bavail * disk.f_frsize - leave
        if size > 0:
            os.posix_fallocate(descriptor, 0, size)
    finally:
        os.close(descriptor)


@contextmanager
def disk(folder: Path, size: int) -> Iterator[bool]:
    """A small disk of its own at a folder; False where that may not be."""
    if not _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)):
        yield False
        return
    try:
        yield True
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let nothing be written to a folder; only where disks can be mounted."""
    _mount("--bind", str(folder), str(folder))
    try:
        if not _mount("-o", "remount,ro,bind", str(folder)):
            raise OSError(f"{folder} cannot be made read-only")
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _mount(*words: str) -> bool:
    try:
        return not subprocess.run(["mount", *words], capture_output=True).returncode
    except OSError:  # there is no such command
        return False
