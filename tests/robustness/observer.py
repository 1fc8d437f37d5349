"""A second process that reads each file of a folder as soon as it changes.

`python -m robustness.observer FOLDER` does so until its standard input is closed, and then prints
how often it looked, what it read, and what of it was incomplete.
"""

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from robustness.projects import READERS, environment

PAUSE = 0.01  # seconds between two looks
WRITTEN = ("**/weights", "**/submissions")


@contextmanager
def observed(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield a dictionary that gets what the process saw, once the block has ended."""
    seen: dict[str, Any] = {}
    command = [sys.executable, "-m", "robustness.observer", str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    ) as process:
        yield seen
        said, _ = process.communicate()
    seen |= json.loads(said)


def observe(folder: Path, over: threading.Event) -> dict[str, Any]:
    """Look until it is over: at what runs have written, but for temporary names."""
    looks, reads, damaged = 0, Counter[str](), []
    states: dict[Path, tuple[int, int, int]] = {}
    is_last = False
    while not is_last:
        is_last = over.wait(PAUSE)
        looks += 1
        for path in _files(folder):
            try:
                about = path.stat()
                state = about.st_ino, about.st_mtime_ns, about.st_size
                if states.get(path) == state:
                    continue
                READERS[path.suffix](path)
            except FileNotFoundError:  # deleted or renamed since it was listed
                continue
            except Exception as error:  # whatever a reader raises of half a file
                damaged.append(f"{path.relative_to(folder)}: {error!r}")
            states[path] = state
            reads[path.suffix] += 1
    return {"looks": looks, "reads": reads, "damaged": damaged}


def _files(folder: Path) -> Iterator[Path]:
    for pattern in WRITTEN:
        for top in folder.glob(pattern):
            for place, _, names in os.walk(top):
                yield from (Path(place, name) for name in names if not name.startswith(".part-"))


def main() -> None:
    over = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=wait, daemon=True).start()
    print(json.dumps(observe(Path(sys.argv[1]), over)))


if __name__ == "__main__":
    main()
