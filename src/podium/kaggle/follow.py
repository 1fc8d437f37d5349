"""A kernel on Kaggle followed to its end: its log as it comes, its status until it is over."""

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from podium.files.atomic_write import atomic_write
from podium.kaggle.client import explained, is_passing

if TYPE_CHECKING:
    from kaggle.api.kaggle_api_extended import KaggleApi

ENDED = {"COMPLETE", "ERROR", "CANCEL_ACKNOWLEDGED"}
REFUSED = "REFUSED"  # our own word for a kernel that was never begun
POLL_SECONDS = 10.0
PATIENCE = 90  # times in a row that a status may not be had: a quarter of an hour
LAST_LINES = 5.0  # seconds that the log may take to arrive once the kernel has ended


@dataclass(frozen=True)
class KaggleKernel:
    """A kernel on Kaggle."""

    ref: str  # owner/slug
    folder: Path  # where it was built, and where its log goes
    label: str = ""  # before each line of its log

    @property
    def log(self) -> Path:
        return self.folder / "kernel.log"


@dataclass(frozen=True)
class KernelStatus:
    """How a kernel ended, why it never began, or that it goes on."""

    kernel: KaggleKernel
    status: str  # one of Kaggle's, or REFUSED
    message: str = ""

    @property
    def complete(self) -> bool:
        return self.status == "COMPLETE"

    def __str__(self) -> str:
        if self.status not in (*ENDED, REFUSED):
            return f"{self.kernel.ref} is {self.status}: --wait follows it to its end"
        said = f": {self.message}" if self.message else ""
        return f"{self.kernel.ref} ended as {self.status}{said}"


def status_of(api: "KaggleApi", ref: str) -> tuple[str, str]:
    """How a kernel is, by Kaggle's word for it, and its message where it failed.

    Raises:
        OSError: what `requests` raises where Kaggle refuses or does not answer.
    """
    try:
        answer = api.kernels_status(ref)
    except ValueError as error:
        if isinstance(error.__context__, OSError):  # replaced by guesses about other things
            raise error.__context__ from None
        raise
    return answer.status.name, answer.failure_message or ""


def follow(
    api: "KaggleApi", kernel: KaggleKernel, poll_seconds: float = POLL_SECONDS
) -> KernelStatus:
    """Follow a kernel that was pushed earlier to its end.

    Raises:
        KaggleError: the connection stayed away. The kernel runs on.
    """
    following = Following(api, kernel)
    try:
        while not (end := following.ask()):
            time.sleep(poll_seconds)
    finally:
        following.give_up()
    return end


class Following:
    """A kernel that runs: its log is printed as it comes, its status asked for."""

    def __init__(self, api: "KaggleApi", kernel: KaggleKernel):
        self.api, self.kernel = api, kernel
        self.ended = False
        self._status = ""
        self._failures = 0
        self._log = _LogPrinter(api, kernel)

    def ask(self) -> KernelStatus | None:
        """Ask for the status once; returns how the kernel ended, once it has."""
        try:
            status, message = status_of(self.api, self.kernel.ref)
        except OSError as error:  # all that requests raises
            self._failures += 1
            if not is_passing(error) or self._failures > PATIENCE:
                with explained(f"asking how {self.kernel.ref} is (it runs on)"):
                    raise
            if self._failures == 1:
                print(f"{self.kernel.label}no answer from Kaggle; asking again", flush=True)
            return None
        self._failures = 0
        if status != self._status:
            self._status = status
            print(f"{self.kernel.label}{self.kernel.ref}: {status}", flush=True)
        if status in (*ENDED, "RUNNING") and self._log.ident is None:
            self._log.start()  # not before: while it is queued there may be an earlier run's
        if status not in ENDED:
            return None
        self.ended = True
        self._log.finish()
        return KernelStatus(self.kernel, status, message)

    def give_up(self) -> None:
        """Follow it no longer; nothing happens where it has ended."""
        self._log.deafen()


class _LogPrinter(threading.Thread):
    """Prints the log of a kernel while it runs, and keeps it in a file.

    A thread of its own, because a stream that has gone silent tells nobody that it has.
    """

    def __init__(self, api: "KaggleApi", kernel: KaggleKernel):
        super().__init__(daemon=True)
        self.api, self.kernel = api, kernel
        self.lines: list[str] = []
        self._over = threading.Event()  # what comes at once is still heard
        self._deaf = False

    def run(self) -> None:
        while True:
            seen = 0
            try:
                # After a break the stream begins again from the first event.
                for event in self.api.kernels_logs_stream(self.kernel.ref):
                    if self._deaf:
                        return
                    seen += 1
                    if seen > len(self.lines):
                        self._print(str(event.get("data", "")))
                if self._over.is_set() or seen:
                    return
            except (OSError, ValueError):
                # No log yet, or the connection broke: the status will tell when it is over.
                if self._over.is_set():
                    return
            self._over.wait(2.0)

    def finish(self) -> None:
        """Let the last lines arrive, and write the log to its file."""
        self._over.set()
        self.join(LAST_LINES)
        self._deaf = True
        with atomic_write(self.kernel.log) as part:
            part.write_text("".join(self.lines), encoding="utf-8")

    def deafen(self) -> None:
        """Print nothing any more, and ask for nothing; a silent stream ends in its own time."""
        self._deaf = True
        self._over.set()

    def _print(self, text: str) -> None:
        line = text if text.endswith("\n") else text + "\n"
        self.lines.append(line)
        print(self.kernel.label + line, end="", flush=True)
