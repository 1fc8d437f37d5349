"""A run that is stopped at one moment after another, started again each time, and let end."""

import contextlib
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torture import struck
from torture.figures import ROOT
from torture.struck import Moment, rows_of

PATIENCE = 1800.0  # seconds that one start may take, on a machine that others use too
POLL = 0.004
EXIT_CODES = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143, signal.SIGINT: 130}


@dataclass(frozen=True)
class Blow:
    """A signal, and when it comes.

    Args:
        at: a moment of a file, of any kind of `struck`. Of kind "half" it comes while the file is
            being written; of kind "said" once the log has a match of the name, a regex.
        delay: seconds after a moment of the latter kinds.
    """

    at: Moment
    number: signal.Signals = signal.SIGKILL
    delay: float = 0.0

    def __str__(self) -> str:
        return f"{self.number.name} at {self.at.kind} {self.at.name}, {self.at.rows} epochs"


@dataclass
class Start:
    """What came of one start.

    Args:
        seconds: from the signal to the end of the process.
    """

    code: int
    said: str
    blow: Blow | None = None
    seconds: float = 0.0

    @property
    def struck(self) -> bool:
        """Whether the signal has ended it."""
        return self.blow is not None and self.code == EXIT_CODES[self.blow.number]

    @property
    def ended_well(self) -> bool:
        """A run that was not struck to its end, one that was in a line where it could say one."""
        if not self.struck:
            return self.code == 0
        last = self.said.strip().splitlines()[-1:] or [""]
        line = re.fullmatch(r"podium: (interrupted|terminated); the same command .*", last[0])
        return self.blow.number == signal.SIGKILL or bool(line and "Traceback" not in self.said)


class Forked:
    """As Popen: in a fork of a process that has imported TensorFlow, which saves most of a start.

    TensorFlow survives a fork as long as it has computed nothing.
    """

    def __init__(self, words: dict[str, Any]) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["podium.training.fold_runner", "podium.reports.report"])
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        self._process = context.Process(target=struck.run, kwargs=words)
        self._process.start()
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode


def fresh(words: dict[str, Any]) -> subprocess.Popen[bytes]:
    """A process with nothing in it yet, as a user starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "torture.struck", json.dumps(words)],
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
    )


@dataclass
class Chain:
    """One run in a project of its own."""

    project: Path
    run: str
    words: list[str]  # of the command
    begin: Callable[[dict[str, Any]], Any] = fresh
    starts: list[Start] = field(default_factory=list)
    heard: dict[str, float] = field(default_factory=dict)  # when the log first had a match of each

    @property
    def moments(self) -> list[Moment]:
        """All that happened to files so far."""
        return [moment for _, moment in self._told()]

    def moments_before(self, when: float) -> int:
        """How many of them there were at that time."""
        return sum(one < when for one, _ in self._told())

    def _told(self) -> list[tuple[float, Moment]]:
        path = self.project / "told.jsonl"
        lines = path.read_text().splitlines() if path.is_file() else []
        return [(when, Moment(**one)) for when, one in map(json.loads, lines)]

    def start(self, blow: Blow | None = None, listen: Iterable[str] = ()) -> Start:
        """Start the command; it is struck if it comes to that moment.

        Args:
            listen: regexes that go to `heard` once the log matches them.
        """
        log, earlier = self.project / "log.txt", len(self._told())
        before = log.stat().st_size if log.is_file() else 0
        inside = blow if blow and blow.at.kind not in ("half", "said") else None
        process = self.begin(
            {
                "project": str(self.project),
                "words": self.words,
                "histories": self._histories,
                "log": str(log),
                "told": str(self.project / "told.jsonl"),
                "at": asdict(inside.at) if inside else None,
                "number": int(inside.number) if inside else 0,
            }
        )
        until, hit, awaited = time.time() + PATIENCE, 0.0, set(listen)
        while process.poll() is None:
            for text in [one for one in awaited if self._said(one, log, before)]:
                awaited.remove(text)
                self.heard[text] = time.time()
            if blow and not inside and not hit and self._reached(blow.at, log, before):
                time.sleep(blow.delay)
                hit = time.time()
                with contextlib.suppress(ProcessLookupError):  # it was faster
                    os.kill(process.pid, blow.number)
            if time.time() > until:
                os.kill(process.pid, signal.SIGKILL)
                raise TimeoutError(f"{blow}: no end in {PATIENCE:.0f} s; see {log}")
            time.sleep(POLL)
        said = log.read_bytes()[before:].decode(errors="replace") if log.is_file() else ""
        if inside:
            told = self._told()[earlier:]
            hit = next((when for when, moment in told if blow.at.reached_by(moment)), 0.0)
        self.starts.append(Start(process.poll(), said, blow, time.time() - hit if hit else 0.0))
        return self.starts[-1]

    def _reached(self, at: Moment, log: Path, before: int) -> bool:
        if at.kind == "said":
            return self._said(at.name, log, before)
        place = self.project / at.name
        return any(place.parent.glob(f".part-*-{place.name}")) and self._rows() >= at.rows

    @staticmethod
    def _said(text: str, log: Path, before: int) -> bool:
        said = log.read_bytes()[before:] if log.is_file() else b""
        return re.search(text, said.decode(errors="replace")) is not None

    def _rows(self) -> int:
        return rows_of(self.project, self._histories)

    @property
    def _histories(self) -> str:
        return f"weights/{self.run}/fold-*/history.csv"
