"""A second process that looks at files all the time, and reads each as soon as it is another.

`python -m torture.observer FOLDER OUT` does so until its standard input is closed, and then writes
to OUT how often it looked, what it read and what of it was not whole.
"""

import csv
import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

PAUSE = 0.01  # seconds between two looks
WRITTEN = ("**/weights", "**/submissions")


def read_json(path: Path) -> None:
    json.loads(path.read_text(encoding="utf-8"))


def read_csv(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if not text.endswith("\n"):
        raise ValueError("the last line does not end")
    widths = {len(row) for row in csv.reader(text.splitlines())}
    if len(widths) != 1:
        raise ValueError(f"rows of {sorted(widths)} columns")


def read_h5(path: Path) -> None:
    with h5py.File(path, "r") as file:
        found = []
        file.visititems(
            lambda _, one: found.append(one[()].size) if isinstance(one, h5py.Dataset) else None
        )
    if not found:
        raise ValueError("no weights in it")


def read_npz(path: Path) -> None:
    with np.load(path, allow_pickle=False) as arrays:
        for name in arrays.files:  # whose checksums are looked at
            arrays[name]


def read_png(path: Path) -> None:
    with Image.open(path) as image:
        image.load()


def read_html(path: Path) -> None:
    if not path.read_text(encoding="utf-8").rstrip().endswith("</html>"):
        raise ValueError("the page does not end")


READERS: dict[str, Callable[[Path], None]] = {
    ".json": read_json,
    ".csv": read_csv,
    ".h5": read_h5,
    ".npz": read_npz,
    ".png": read_png,
    ".html": read_html,
}


class Observer:
    """Reads what runs have written below a folder, but for what still has a temporary name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.looks = 0
        self.reads: Counter[str] = Counter()  # by name
        self.damaged: list[str] = []
        self._seen: dict[Path, tuple[int, int, int]] = {}

    def look(self) -> None:
        self.looks += 1
        for path in self._files():
            try:
                about = path.stat()
                state = about.st_ino, about.st_mtime_ns, about.st_size
                if self._seen.get(path) == state:
                    continue
                READERS[path.suffix](path)
            except FileNotFoundError:  # deleted, or renamed, since it was listed
                continue
            except Exception as error:  # whatever a reader raises of half a file
                self.damaged.append(f"{path.relative_to(self.folder)}: {error!r}")
            self._seen[path] = state
            self.reads[path.name] += 1

    def _files(self) -> Iterator[Path]:
        for pattern in WRITTEN:
            for top in self.folder.glob(pattern):
                for place, _, names in os.walk(top):
                    whole = (name for name in names if not name.startswith(".part-"))
                    yield from (Path(place, name) for name in whole)


def main() -> None:
    observer, over = Observer(Path(sys.argv[1])), threading.Event()

    def wait() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=wait, daemon=True).start()
    while not over.is_set():
        observer.look()
        time.sleep(PAUSE)
    observer.look()
    found = {key: getattr(observer, key) for key in ("looks", "reads", "damaged")}
    Path(sys.argv[2]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
