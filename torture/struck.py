"""A command of Podium that tells of each file it changes, and gets a signal before one of them.

An audit hook sees all that Python does with files. HDF5 writes beneath Python, but `whole` opens
what it has written once more, to sync it. Runs as `python -m torture.struck WORDS`, a JSON of the
arguments of `run`.
"""

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PART = re.compile(r"\.part-\d+-")
WRITING = os.O_WRONLY | os.O_RDWR


@dataclass(frozen=True)
class Moment:
    """Just before something happens to a file.

    Args:
        kind: write, sync (it is written whole under its temporary name), rename or remove.
        name: the path in the project that it has or shall have.
        rows: of histories that there are, of all folds: how far the training is.
    """

    kind: str
    name: str
    rows: int = 0

    def reached_by(self, other: "Moment") -> bool:
        return (other.kind, other.name) == (self.kind, self.name) and other.rows >= self.rows


def run(
    project: str,
    words: list[str],
    histories: str,
    log: str,
    told: str,
    at: dict[str, Any] | None = None,
    number: int = 0,
) -> None:
    """Run `podium WORDS` in a project.

    Args:
        histories: a glob of the run's, in the project.
        log: a file that gets what it prints.
        told: a file that gets a line for each moment: the time, and what it is.
        at: the moment to send itself the signal of this number.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it in the background
    os.chdir(project)
    said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(said, stream)
    tell = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    target = Moment(**at) if at else None

    def happened(moment: Moment) -> None:
        line = json.dumps([time.time(), asdict(moment)])
        os.write(tell, f"{line}\n".encode())
        if target and target.reached_by(moment):
            os.kill(os.getpid(), number)

    sys.addaudithook(_hook(Path.cwd(), histories, happened))
    sys.argv = ["podium", *words]
    from podium.cli import main

    main()


def rows_of(project: Path, histories: str) -> int:
    """Epochs that are in the histories of a run."""
    return sum(one.read_bytes().count(b"\n") - 1 for one in project.glob(histories))


def _hook(
    project: Path, histories: str, happened: Callable[[Moment], None]
) -> Callable[[str, tuple], None]:
    def hook(event: str, arguments: tuple) -> None:
        if event == "open" and isinstance(arguments[0], str | Path):
            path, _, flags = arguments
            if flags & WRITING:
                tell("write", Path(path))
            elif PART.match(Path(path).name):
                tell("sync", Path(path))
        elif event == "os.rename":
            tell("rename", Path(arguments[1]))
        elif event == "os.remove" and Path(arguments[0]).exists():
            tell("remove", Path(arguments[0]))

    def tell(kind: str, path: Path) -> None:
        path = project / path
        if path.is_relative_to(project):
            name = path.with_name(PART.sub("", path.name)).relative_to(project)
            happened(Moment(kind, str(name), rows_of(project, histories)))

    return hook


if __name__ == "__main__":
    run(**json.loads(sys.argv[1]))
