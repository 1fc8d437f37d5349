"""Files that are there whole or not at all: written under a temporary name, then renamed."""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from podium.machine import is_another_process

HEADERS = 4_000_000  # bytes that the headers of a file with thousands of arrays may take


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; it takes the name `path` only once it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The ending stays, because Keras and pandas choose the format by it.
    part = path.with_name(f".part-{os.getpid()}-{path.name}")
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Delete the temporary files that killed writers left in a folder and below it.

    Args:
        name: only what was to become a file of this name.
    """
    for part in folder.rglob(".part-*"):
        _, pid, whole_name = part.name.split("-", 2)
        # Another process may be writing: folds of one run can be trained side by side.
        if name in (None, whole_name) and not is_another_process(int(pid)):
            part.unlink(missing_ok=True)


def write_json(path: Path, data: dict[str, Any]) -> None:
    with whole(path) as part:
        part.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_csv(path: Path, table: pd.DataFrame, index: bool = True) -> None:
    """Write a table; float32 keep every bit (nine digits)."""
    with whole(path) as part:
        table.to_csv(part, index=index, float_format="%.9g", lineterminator="\n")


def require_space(folder: Path, needed: int) -> None:
    """Refuse to begin a large file that the disk has no room for.

    HDF5 ends the whole process with a segmentation fault when a disk fills up under it.

    Raises:
        OSError: names what is needed and what is free.
    """
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    needed = round(needed * 1.05) + HEADERS
    if needed > free:
        raise OSError(
            errno.ENOSPC,
            f"no space left: the next file needs {needed / 1e6:.1f} MB, {free / 1e6:.1f} MB are "
            "free. Make room, and the same command goes on",
            str(folder),
        )
