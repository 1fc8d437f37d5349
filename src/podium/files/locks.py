"""Locks that say who has them. The system gives them back when their process ends, however."""

import hashlib
import os
import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from podium import paths


class Busy(ValueError):
    """Another process writes what this one was to write."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h: later the same command may do


@contextmanager
def locked(path: Path, thing: str, wait: bool = False) -> Iterator[None]:
    """Hold a lock; a process that holds it already may take it again.

    The file stays: who deletes it lets the next process lock another one beside those that wait.

    Args:
        path: of the lock, which is made with its folder.
        thing: that is written, for messages.
        wait: for the process that has it, where that takes seconds.

    Raises:
        Busy: another process has it, and who.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, thread_local=False, is_singleton=True)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        who = "another process"
        with suppress(OSError):  # it may have taken it this very moment
            who = path.with_suffix(".holder").read_text("utf-8")[:200]
        if not wait:
            raise Busy(f"{thing} is being written by {who}: wait, or use another name") from None
        print(f"waiting for {who} to write {thing}", flush=True)
        lock.acquire()
    try:
        since = datetime.now().astimezone().isoformat(" ", "seconds")
        words = f"process {os.getpid()} on {platform.node()} since {since}"
        path.with_suffix(".holder").write_text(words, encoding="utf-8")
        yield
    finally:
        lock.release()


def locked_folder(folder: Path) -> AbstractContextManager[None]:
    """Hold the lock of a folder of data, which lies elsewhere: the data may be on another disk."""
    name = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    return locked(paths.scratch() / "locks" / f"{name}.lock", str(folder))
