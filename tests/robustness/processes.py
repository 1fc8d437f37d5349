"""Commands of Podium that report each change of a file, and are harmed at one of them.

An audit hook sees all that Python does with files. HDF5 writes beneath Python, but an atomic write
opens what it has written once more, to sync it.
"""

import json
import multiprocessing
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from robustness.disks import fill
from robustness.projects import PATIENCE, RUN, environment

# What a fork need not import again; a module that is not there is passed over.
PRELOADED = ["podium.training.train", "podium.training.fold_runner", "podium.reports.report"]
HISTORIES = f"weights/{RUN}/fold-*/history.csv"
TEMPORARY = re.compile(r"\.part-\d+-")
WRITING = os.O_WRONLY | os.O_RDWR
POLL = 0.005  # seconds
PIPES = ("log", "events")


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
        environment: variables that are changed.
    """

    at: FileEvent | None = None
    number: int = signal.SIGKILL
    fill_at: int = 0
    filler: str = ""
    largest_file: int = 0
    more_memory: int = 0
    environment: tuple[tuple[str, str], ...] = ()


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
        return (["", *self.said.strip().splitlines()])[-1]

    @property
    def is_clear(self) -> bool:
        """Whether it ended by itself with one line that says why."""
        return self.code == 1 and "Traceback" not in self.said and self.last.startswith("podium: ")

    @property
    def writes(self) -> int:
        return sum(event.kind == "write" for _, event in self.events)


class Command:
    """A command that runs in a project.

    Args:
        scratch: a folder outside the project, for two pipes: neither full disks nor limits of a
            file's size are in the way of what the command says.
        fork: run in a fork of a process that has imported TensorFlow, which saves most of a start;
            TensorFlow survives a fork as long as it has computed nothing. Else in a new process.
    """

    def __init__(
        self, project: Path, words: list[str], scratch: Path, harm: Harm, fork: bool
    ) -> None:
        self._received = {name: bytearray() for name in PIPES}
        self._events: list[tuple[float, FileEvent]] = []
        self._threads = []
        for name, received in self._received.items():
            path = scratch / name
            path.unlink(missing_ok=True)
            os.mkfifo(path)
            self._threads.append(threading.Thread(target=_receive, args=(path, received)))
            self._threads[-1].daemon = True
            self._threads[-1].start()
        self.began = time.time()
        self.project = project
        words_and_harm = (str(project), words, str(scratch), asdict(harm))
        if fork:
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(PRELOADED)
            os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
            process = context.Process(target=run, args=words_and_harm)
            process.start()
            self._exit_code: Callable[[], int | None] = lambda: process.exitcode
        else:
            command = [sys.executable, "-m", "robustness.processes", json.dumps(words_and_harm)]
            process = subprocess.Popen(command, env=environment())
            self._exit_code = process.poll
        self.pid = process.pid

    def wait(self, look: Callable[[], None] = lambda: None) -> Ended:
        """Wait for its end; `look` is called all the time until then."""
        while (code := self._exit_code()) is None:
            look()
            if time.time() > self.began + PATIENCE:
                os.kill(self.pid, signal.SIGKILL)
                raise TimeoutError(f"no end in {PATIENCE} s; it said {self.said()[-500:]}")
            time.sleep(POLL)
        for thread in self._threads:
            thread.join(5)  # it waits for a process that has ended before it opened the pipe
        return Ended(code, self.said(), time.time() - self.began, self.events())

    def said(self) -> str:
        return self._received["log"].decode(errors="replace")

    def events(self) -> list[tuple[float, FileEvent]]:
        """Those so far, and when they were."""
        complete, _, _ = self._received["events"].decode().rpartition("\n")
        for line in complete.splitlines()[len(self._events) :]:
            when, event = json.loads(line)
            self._events.append((when, FileEvent(**event)))
        return self._events


def _receive(pipe: Path, received: bytearray) -> None:
    with pipe.open("rb", buffering=0) as stream:
        while some := stream.read(1 << 16):
            received.extend(some)


def ended(project: Path, words: list[str], scratch: Path, harm: Harm | None = None) -> Ended:
    """Run a command in a fork to its end."""
    return Command(project, words, scratch, harm or Harm(), fork=True).wait()


def run(project: str, words: list[str], scratch: str, harm: dict[str, Any]) -> None:
    """Run `podium WORDS` in this process."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it in the background
    os.chdir(project)
    log, events = (os.open(Path(scratch, name), os.O_WRONLY) for name in PIPES)
    for stream in (1, 2):
        os.dup2(log, stream)
    at = FileEvent(**harm["at"]) if harm["at"] else None
    writes, is_filling = 0, False

    def happened(event: FileEvent) -> None:
        nonlocal writes, is_filling
        if is_filling:
            return
        os.write(events, f"{json.dumps([time.time(), asdict(event)])}\n".encode())
        writes += event.kind == "write"
        if at and at.reached_by(event):
            os.kill(os.getpid(), harm["number"])
        if event.kind == "write" and writes == harm["fill_at"]:
            is_filling = True
            fill(Path(harm["filler"]))
            is_filling = False

    sys.addaudithook(_hook(Path.cwd(), happened))
    os.environ.update(harm["environment"])
    if size := harm["largest_file"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    if more := harm["more_memory"]:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + more
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
            if (flags or 0) & WRITING:
                report("write", Path(path))
            elif TEMPORARY.match(Path(path).name):
                report("sync", Path(path))
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


if __name__ == "__main__":
    run(*json.loads(sys.argv[1]))
