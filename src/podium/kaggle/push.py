"""Kernels are pushed and followed to their end, no more at once than the account may run."""

import io
import re
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from podium.kaggle.build import Built
from podium.kaggle.client import KaggleError, explained, is_passing
from podium.run_folder import whole

if TYPE_CHECKING:
    from kaggle.api.kaggle_api_extended import KaggleApi

ENDED = {"COMPLETE", "ERROR", "CANCEL_ACKNOWLEDGED"}
REFUSED = "REFUSED"  # our own word for a kernel that was never begun
POLL_SECONDS = 10.0
PATIENCE = 90  # times in a row that a status may not be had: a quarter of an hour
LAST_LINES = 5.0  # seconds that the log may take to arrive once the kernel has ended


class PushRefused(KaggleError):
    """Kaggle does not run the kernel, or runs it without something that it needs."""


class SessionsFull(PushRefused):
    """As many kernels run as the account may have at once."""


class KernelFailed(KaggleError):
    """A kernel ended without having done its work."""


@dataclass(frozen=True)
class Kernel:
    """A kernel on Kaggle."""

    ref: str  # owner/slug
    folder: Path  # where it was built, and where its log goes
    label: str = ""  # before each line of its log

    @property
    def log(self) -> Path:
        return self.folder / "kernel.log"


@dataclass(frozen=True)
class Ended:
    """How a kernel ended, why it never began, or that it goes on."""

    kernel: Kernel
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


def push(api: "KaggleApi", built: Built) -> str:
    """Push a built kernel, which starts it; returns its page.

    Raises:
        SessionsFull: the account runs as many as it may.
        PushRefused: with Kaggle's own words, which the client would only print.
    """
    ref = built.metadata.id
    with explained(f"pushing {ref}"), redirect_stdout(io.StringIO()):
        answer = api.kernels_push(str(built.folder))
    if answer.error:
        full = re.search(r"session count|concurrent|maximum.*session", answer.error, re.IGNORECASE)
        kind = SessionsFull if full else PushRefused
        raise kind(f"pushing {ref}: Kaggle refuses: {answer.error.rstrip('.')}")
    missing = [
        f"{key}: {', '.join(names)}"
        for key in ("dataset_sources", "competition_sources", "kernel_sources", "model_sources")
        if (names := getattr(answer, f"invalid_{key}"))
    ]
    if missing:
        raise PushRefused(
            f"pushing {ref}: Kaggle took it, and runs it without what it cannot find or may not "
            f"show you: {'; '.join(missing)}. Mend kernel-metadata.json (or accept the "
            "competition's rules), and push again"
        )
    return answer.url


def run_kernels(
    api: "KaggleApi",
    builts: Sequence[Built],
    at_once: int,
    poll_seconds: float = POLL_SECONDS,
) -> list[Ended]:
    """Push kernels as places get free, follow them all, and return how each ended.

    Raises:
        KaggleError: the connection stayed away. What was pushed runs on.
    """
    waiting, following = deque(builts), list[_Following]()
    ended: list[Ended] = []
    tries = 0  # in a row, of the first that waits
    while waiting or following:
        while waiting and len(following) < at_once:
            label = f"[{waiting[0].folder.name}] " if builts[1:] else ""
            kernel = Kernel(waiting[0].metadata.id, waiting[0].folder, label)
            try:
                print(f"{label}pushed: {push(api, waiting[0])}", flush=True)
            except KaggleError as error:
                tries += 1
                if _may_try_again(error, tries):
                    if tries == 1:
                        print(f"{label}{error}. Trying again", flush=True)
                    break
                ended.append(Ended(kernel, REFUSED, str(error)))
            else:
                following.append(_Following(api, kernel))
            waiting.popleft()
            tries = 0
        if following or waiting:
            time.sleep(poll_seconds)
        ended += [end for each in following if (end := each.ask())]
        following = [each for each in following if not each.ended]
    return ended


def _may_try_again(error: KaggleError, tries: int) -> bool:
    """A place gets free some time; a connection that stays away is told."""
    if isinstance(error, SessionsFull):
        return True
    return error.__cause__ is not None and is_passing(error.__cause__) and tries <= PATIENCE


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


def follow(api: "KaggleApi", kernel: Kernel, poll_seconds: float = POLL_SECONDS) -> Ended:
    """Follow a kernel that was pushed earlier to its end."""
    following = _Following(api, kernel)
    while not (end := following.ask()):
        time.sleep(poll_seconds)
    return end


class _Following:
    """A kernel that runs: its log is printed as it comes, its status asked for."""

    def __init__(self, api: "KaggleApi", kernel: Kernel):
        self.api, self.kernel = api, kernel
        self.ended = False
        self.status = ""
        self._failures = 0
        self._log = _LogPrinter(api, kernel)

    def ask(self) -> Ended | None:
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
        if status != self.status:
            self.status = status
            print(f"{self.kernel.label}{self.kernel.ref}: {self.status}", flush=True)
        if status in (*ENDED, "RUNNING") and self._log.ident is None:
            self._log.start()  # not before: while it is queued there may be an earlier run's
        if status not in ENDED:
            return None
        self.ended = True
        self._log.finish()
        return Ended(self.kernel, status, message)


class _LogPrinter(threading.Thread):
    """Prints the log of a kernel while it runs, and keeps it in a file.

    A thread of its own, because a stream that has gone silent tells nobody that it has.
    """

    def __init__(self, api: "KaggleApi", kernel: Kernel):
        super().__init__(daemon=True)
        self.api, self.kernel = api, kernel
        self.lines: list[str] = []
        self._over = threading.Event()

    def run(self) -> None:
        while True:
            seen = 0
            try:
                # After a break the stream begins again from the first event.
                for event in self.api.kernels_logs_stream(self.kernel.ref):
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
        with whole(self.kernel.log) as part:
            part.write_text("".join(self.lines), encoding="utf-8")

    def _print(self, text: str) -> None:
        line = text if text.endswith("\n") else text + "\n"
        self.lines.append(line)
        print(self.kernel.label + line, end="", flush=True)
