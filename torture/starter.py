"""Podium's commands, many in a row, each in a fork of one process that has imported TensorFlow.

Importing it takes longer than a small run. The forks are as fresh as new processes: nothing of
TensorFlow was used before.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torture.disks import fill


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int  # the exit code; minus the signal that ended it
    said: str  # on both its streams
    seconds: float
    writes: int  # files that it opened to write to, below the folder that it was to count in

    @property
    def last(self) -> str:
        """Its last line."""
        lines = [line for line in self.said.splitlines() if line.strip()]
        return lines[-1] if lines else ""

    @property
    def clear(self) -> bool:
        """Whether it ended by itself with one line that says why."""
        traceback = "Traceback (most recent call last)" in self.said
        return self.code == 1 and not traceback and self.last.startswith("podium: ")


class Starter:
    """The process that forks."""

    def __init__(self, process: subprocess.Popen[str]):
        self._process = process

    def run(self, words: list[str], folder: Path, **how: Any) -> Ended:
        """Run `podium` with these words in a folder.

        Args:
            how: `environment`, `more_memory` (bytes that may be added to the address space),
                `largest_file` (bytes), `fill_at` (the write before which the disk is filled up)
                and `filler` (the file that fills it).
        """
        case = {"words": words, "folder": str(folder), **how}
        self._process.stdin.write(json.dumps(case) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the starter has ended, see above")
        return Ended(**json.loads(line))


@contextmanager
def starter() -> Iterator[Starter]:
    """A starter that ends with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "torture.starter"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONUNBUFFERED": "1"},
    )
    try:
        yield Starter(process)
    finally:
        process.stdin.close()
        process.wait(60)


def _serve() -> None:
    import podium.reports.report
    import podium.training.fold_runner
    import podium.training.train
    import podium.training.trainer  # noqa: F401

    for line in sys.stdin:
        print(json.dumps(_start(json.loads(line))), flush=True)


def _start(case: dict[str, Any]) -> dict[str, Any]:
    began = time.monotonic()
    heard, said = os.pipe()
    counted, count = os.pipe()
    child = os.fork()
    if not child:
        os.close(heard)
        os.dup2(said, 1)
        os.dup2(said, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        _command(case, count)
    os.close(said)
    os.close(count)
    with os.fdopen(heard, errors="replace") as stream, os.fdopen(counted) as writes:
        text, number = stream.read(), writes.read()
    _, status = os.waitpid(child, 0)
    return {
        "code": os.waitstatus_to_exitcode(status),
        "said": text,
        "seconds": time.monotonic() - began,
        "writes": len(number),
    }


def _command(case: dict[str, Any], count: int) -> None:
    """In the fork: run the command; it does not return."""
    code = 70
    try:
        os.chdir(case["folder"])
        os.environ.update(case.get("environment", {}))
        _count_writes(Path(case["folder"]), count, case.get("fill_at"), case.get("filler"))
        if size := case.get("largest_file"):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        if more := case.get("more_memory"):
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            limit = pages * os.sysconf("SC_PAGE_SIZE") + more
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        sys.argv = ["podium", *case["words"]]
        from podium.cli import main

        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _count_writes(folder: Path, count: int, fill_at: int | None, filler: str | None) -> None:
    """Tell of each file that is opened to be written below the folder; fill the disk at one."""
    number = 0
    filling = False

    def watch(event: str, words: tuple[Any, ...]) -> None:
        nonlocal number, filling
        if event != "open" or filling or not isinstance(words[0], str | bytes | os.PathLike):
            return
        path, flags = os.fsdecode(words[0]), words[2] or 0
        if not flags & (os.O_WRONLY | os.O_RDWR):
            return
        if not Path.cwd().joinpath(path).is_relative_to(folder):
            return
        number += 1
        os.write(count, b".")
        if number == fill_at:
            filling = True
            fill(Path(filler))
            filling = False

    sys.addaudithook(watch)


if __name__ == "__main__":
    _serve()
