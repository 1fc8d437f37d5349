"""Commands of Podium that report each change of a file, and are harmed at one of them.

Each is a fork of one process that has imported TensorFlow, which saves most of a start; TensorFlow
survives a fork as long as it has computed nothing. An audit hook sees all that Python does with
files. HDF5 writes beneath Python, but an atomic write opens what it has written once more, to sync
it.
"""

import contextlib
import multiprocessing
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from robustness.disks import fill
from robustness.projects import PATIENCE, RUN

# What a fork need not import again; a module that is not there is passed over.
PRELOADED = ["podium.training.train", "podium.training.fold_runner", "podium.reports.report"]
HISTORIES = f"weights/{RUN}/fold-*/history.csv"
TEMPORARY = re.compile(r"\.part-\d+-")
WRITING, MAKING = os.O_WRONLY | os.O_RDWR, os.O_CREAT | os.O_TRUNC
POLL = 0.005  # seconds


@dataclass(frozen=True)
class FileEvent:
    """The moment before something happens to a file.

    Args:
        kind: write, sync (the file is complete under its temporary name), rename or remove.
        name: the path in the project that it has or shall have.
        epochs: that are in the histories of all folds by then.
    """

    kind: str
    name: str
    epochs: int = 0

    def reached_by(self, other: "FileEvent") -> bool:
        return (other.kind, other.name) == (self.kind, self.name) and other.epochs >= self.epochs


@dataclass(frozen=True)
class Harm:
    """What is done to a command.

    Args:
        at: the event to send itself a signal at.
        fill_at: the number of the write before which the disk is filled up, with the filler.
        largest_file: bytes that a file may have at the most.
        more_memory: bytes that may be added to the address space.
        variables: of the environment, besides those that all commands have.
    """

    at: FileEvent | None = None
    number: int = signal.SIGKILL
    fill_at: int = 0
    filler: Path = Path()
    largest_file: int = 0
    more_memory: int = 0
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int  # the exit code; minus the signal that ended it
    said: str  # on both its streams
    seconds: float
    events: list[tuple[float, FileEvent]]  # and when they were

    @property
    def last(self) -> str:
        """The last line."""
        return ["", *self.said.strip().splitlines()][-1]

    @property
    def is_clear(self) -> bool:
        """Whether it ended by itself with one line that says why."""
        return self.code == 1 and "Traceback" not in self.said and self.last.startswith("podium: ")


class Command:
    """A command that runs in a project."""

    def __init__(self, project: Path, words: list[str], harm: Harm) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        # By pipes: neither full disks nor limits of a file's size are in the way.
        self._log, log = context.Pipe(duplex=False)
        self._reports, reports = context.Pipe(duplex=False)
        self._process = context.Process(target=run, args=(project, words, harm, log, reports))
        self.began = time.time()
        self._process.start()
        self.pid = self._process.pid
        self._said = bytearray()
        self.events: list[tuple[float, FileEvent]] = []
        log.close()
        reports.close()

    def wait(self, look: Callable[[], None] = lambda: None) -> Ended:
        """Wait for its end; `look` is called all the time until then."""
        while self._process.exitcode is None:
            self._receive()
            look()
            if time.time() > self.began + PATIENCE:
                self._process.kill()
                raise TimeoutError(f"no end in {PATIENCE} s; it said {self._said[-500:]!r}")
            time.sleep(POLL)
        seconds = time.time() - self.began
        self._receive()
        said = self._said.decode(errors="replace")
        return Ended(self._process.exitcode, said, seconds, self.events)

    def _receive(self) -> None:
        while self._log.poll() and (some := os.read(self._log.fileno(), 1 << 16)):
            self._said += some
        with contextlib.suppress(EOFError):  # it has ended
            while self._reports.poll():
                self.events.append(self._reports.recv())


def ended(project: Path, words: list[str], harm: Harm | None = None) -> Ended:
    """Run a command to its end."""
    return Command(project, words, harm or Harm()).wait()


def run(project: Path, words: list[str], harm: Harm, log: Connection, reports: Connection) -> None:
    """Run `podium WORDS` in this process."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it in the background
    os.chdir(project)
    for name in [name for name in os.environ if name.startswith("PODIUM_")]:
        del os.environ[name]  # it finds nothing but the project
    os.environ.update(harm.variables)
    for stream in (1, 2):
        os.dup2(log.fileno(), stream)
    writes, is_filling = 0, False

    def happened(event: FileEvent) -> None:
        nonlocal writes, is_filling
        if is_filling:
            return
        reports.send((time.time(), event))
        writes += event.kind == "write"
        if harm.at and harm.at.reached_by(event):
            os.kill(os.getpid(), harm.number)
        if event.kind == "write" and writes == harm.fill_at:
            is_filling = True
            fill(harm.filler)
            is_filling = False

    sys.addaudithook(_hook(Path.cwd(), happened))
    if harm.largest_file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (harm.largest_file, harm.largest_file))
    if harm.more_memory:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + harm.more_memory
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    sys.argv = ["podium", *words]
    from podium.cli import main

    main()


def epochs_in(project: Path) -> int:
    """Epochs that are in the histories of the run."""
    return sum(path.read_bytes().count(b"\n") - 1 for path in project.glob(HISTORIES))


def _hook(project: Path, happened: Callable[[FileEvent], None]) -> Callable[[str, tuple], None]:
    def hook(event: str, arguments: tuple) -> None:
        if event == "open" and isinstance(arguments[0], str | Path):
            path, _, flags = arguments
            is_temporary = TEMPORARY.match(Path(path).name) is not None
            if is_temporary and not (flags or 0) & MAKING:
                report("sync", Path(path))
            elif (flags or 0) & WRITING:
                report("write", Path(path))
        elif event == "os.rename":
            report("rename", Path(arguments[1]))
        elif event == "os.remove" and Path(arguments[0]).exists():
            report("remove", Path(arguments[0]))

    def report(kind: str, path: Path) -> None:
        path = project / path
        if path.is_relative_to(project):
            name = path.with_name(TEMPORARY.sub("", path.name)).relative_to(project)
            happened(FileEvent(kind, str(name), epochs_in(project)))

    return hook
