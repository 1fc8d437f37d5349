"""Commands of Podium that wait at each change of a file for what is done to them.

Each is a fork of one process that has imported TensorFlow, which saves most of a start; TensorFlow
survives a fork as long as it has computed nothing. An audit hook sees all that Python does with
files. HDF5 writes beneath Python, but an atomic write opens what it has written once more, to sync
it.
"""

import contextlib
import math
import multiprocessing
import os
import re
import resource
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from robustness.projects import PATIENCE, RUN
from small_competitions import make_project

# What a fork need not import again; a module that is not there is passed over.
PRELOADED = ["podium.training.train", "podium.training.fold_runner", "podium.reports.report"]
TEMPORARY = re.compile(r"\.part-\d+-")
WRITING, MAKING = os.O_WRONLY | os.O_RDWR, os.O_CREAT | os.O_TRUNC
FILLER = "filler"
POLL = 0.005  # seconds


@dataclass(frozen=True)
class FileEvent:
    """The moment before something happens to a file.

    Args:
        kind: write, sync (the file is complete under its temporary name), rename or remove.
        name: the path in the project that it has or shall have.
        epochs: that are in the histories of all folds by then; it is the same event at others.
    """

    kind: str
    name: str
    epochs: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Kill:
    """A signal, and when it comes.

    Args:
        at: an event of a file, of kind "half" while the file is being written; None: the start.
        delay: seconds after it; 0 just before it.
    """

    at: FileEvent | None
    number: signal.Signals = signal.SIGKILL
    delay: float = 0.0

    def is_due(self, event: FileEvent | None, project: Path) -> bool:
        """Whether it has come to that; `event` is what is happening, if anything is."""
        if self.at is None:
            return True
        path = project / self.at.name
        if self.at.kind == "half" and any(path.parent.glob(f".part-*-{path.name}")):
            return epochs_in(project) >= self.at.epochs
        return event is not None and event == self.at and event.epochs >= self.at.epochs


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int  # the exit code; minus the signal that ended it
    said: str  # on both its streams
    seconds: float
    events: list[tuple[float, FileEvent]]  # and when they were
    kill: Kill | None
    after_signal: float  # seconds

    @property
    def last(self) -> str:
        """The last line."""
        return ["", *self.said.strip().splitlines()][-1]

    @property
    def is_clear(self) -> bool:
        """Whether it ended by itself with one line that says why."""
        return self.code == 1 and "Traceback" not in self.said and self.last.startswith("podium: ")

    def checked(self) -> "Ended":
        """Itself; raises RuntimeError, with the end of what it said, unless it ended well."""
        if self.code:
            raise RuntimeError(self.said[-3000:])
        return self


def ended(
    project: Path, words: list[str], kill: Kill | None = None, fill_at: int = 0, **own: Any
) -> Ended:
    """Run `podium WORDS` to its end.

    Args:
        fill_at: the number of the write before which the disk is filled up, with FILLER.
        own: what the process begins with, as `run` has it.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # By pipes: neither full disks nor limits of a file's size are in the way.
    log, its_log = context.Pipe(duplex=False)
    reports, its_reports = context.Pipe()
    words_and_pipes = (project, words, its_log, its_reports)
    process = context.Process(target=run, args=words_and_pipes, kwargs=own)
    said, began = bytearray(), time.time()
    events: list[tuple[float, FileEvent]] = []
    writes, due, signaled = 0, math.inf, math.inf  # when the signal is to come, and came
    process.start()
    its_log.close()
    its_reports.close()
    while True:
        code, event = process.exitcode, None
        while log.poll() and (some := os.read(log.fileno(), 1 << 16)):
            said += some
        if code is not None:
            break
        with contextlib.suppress(EOFError, ConnectionError):  # it ends
            if reports.poll():
                event = FileEvent(*reports.recv(), epochs_in(project))
                events.append((time.time(), event))
                writes += event.kind == "write"
                if event.kind == "write" and writes == fill_at:
                    fill(project / FILLER)
        if kill and due == math.inf and kill.is_due(event, project):
            due = time.time() + kill.delay
        with contextlib.suppress(ConnectionError, ProcessLookupError):  # it was faster
            if signaled == math.inf and time.time() >= due:
                signaled = time.time()
                os.kill(process.pid, kill.number)
            if event:
                reports.send("go on")
        if time.time() > began + PATIENCE:
            process.kill()
            raise TimeoutError(f"no end in {PATIENCE} s; it said {said[-500:]!r}")
        wait([log, reports, process.sentinel], POLL)
    text, now = said.decode(errors="replace"), time.time()
    return Ended(code, text, now - began, events, kill, max(0.0, now - signaled))


def two_runs(project: Path) -> Path:
    """A project of the cars with two runs, `tiny` and `other`, which has checkpoints."""
    make_project(project, "cars")
    for changes in ((), ("--run", "other", "--set", "checkpoints=2", "--set", "stages.0.epochs=2")):
        ended(project, ["train", RUN, *changes]).checked()
    return project


def run(
    project: Path,
    words: list[str],
    log: Connection,
    reports: Connection,
    largest_file: int = 0,
    more_memory: int = 0,
    variables: Mapping[str, str] | None = None,
) -> None:
    """Run `podium WORDS` in this process.

    Args:
        largest_file: bytes that a file may have at the most.
        more_memory: bytes that may be added to the address space.
        variables: of the environment, besides those that all commands have.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it in the background
    os.chdir(project)
    for name in [name for name in os.environ if name.startswith("PODIUM_")]:
        del os.environ[name]  # it finds nothing but the project
    os.environ.update(variables or {})
    for stream in (1, 2):
        os.dup2(log.fileno(), stream)
    sys.addaudithook(_hook(Path.cwd(), reports))
    if largest_file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    if more_memory:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + more_memory
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    sys.argv = ["podium", *words]
    from podium.cli import main

    main()


def epochs_in(project: Path) -> int:
    """Epochs that are in the histories of the run."""
    histories = project.glob(f"weights/{RUN}/fold-*/history.csv")
    return sum(path.read_bytes().count(b"\n") - 1 for path in histories)


def _hook(project: Path, reports: Connection) -> Callable[[str, tuple], None]:
    """Reports what is about to happen to a file, and waits for the word to go on."""
    turn = threading.RLock()  # files are written in several threads

    def hook(event: str, arguments: tuple) -> None:
        kind, path = "", arguments[0] if arguments else None
        if event == "open" and isinstance(path, str | Path):
            flags = arguments[2] or 0
            if TEMPORARY.match(Path(path).name) and not flags & MAKING:
                kind = "sync"
            elif flags & WRITING:
                kind = "write"
        elif event == "os.rename":
            kind, path = "rename", arguments[1]
        elif event == "os.remove" and Path(path).exists():
            kind = "remove"
        if kind and (project / path).is_relative_to(project):
            name = TEMPORARY.sub("", Path(path).name)
            with turn:
                reports.send((kind, str((project / path).with_name(name).relative_to(project))))
                reports.recv()

    return hook


def fill(path: Path, leave: int = 0) -> None:
    """Fill the disk with this file, but for so many bytes."""
    with path.open("wb") as file:
        if (size := shutil.disk_usage(path).free - leave) > 0:
            os.posix_fallocate(file.fileno(), 0, size)
