"""Kernels on Kaggle: pushed, followed to their end with their log, and their output fetched."""

import io
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from podium.files.atomic_write import atomic_write
from podium.kaggle.build import KernelBuild
from podium.kaggle.client import (
    KaggleError,
    explained,
    fetch_patiently,
    is_passing,
    user_name,
)
from podium.kaggle.kernel import Kernel
from podium.kaggle.metadata import read_metadata
from podium.text import single_line

if TYPE_CHECKING:
    from kaggle.api.kaggle_api_extended import KaggleApi

ENDED = {"COMPLETE", "ERROR", "CANCEL_ACKNOWLEDGED", "REFUSED"}  # the last is our own word
PATIENCE = 90  # times in a row that Kaggle may not answer: a quarter of an hour
LAST_LINES = 5.0  # seconds that the log may take to arrive once the kernel has ended
PAGE = 200  # files in one answer: the most that Kaggle gives


class PushRefused(KaggleError):
    """Kaggle does not run the kernel, or runs it without something that it needs."""


class SessionsFull(PushRefused):
    """The account runs as many kernels as it may at once."""


@dataclass(eq=False)
class KernelRun:
    """A run of a kernel: its status, its log, which is printed and kept, and its output."""

    api: "KaggleApi"
    ref: str  # owner/slug
    folder: Path  # where it was built, and where its log goes
    label: str = ""  # printed before each line of its log
    fold: int | None = None  # the only one that it trains, if it trains one
    version: int = 0  # the one that is meant; 0: the last
    page: str = ""
    status: str = ""  # one of Kaggle's, or REFUSED where the run never began
    message: str = ""

    def __post_init__(self) -> None:
        self.log_file = self.folder / "kernel.log"
        self._failures = 0
        self._lines: list[str] = []
        # A thread of its own, because a stream that has gone silent tells nobody that it has.
        self._listener = threading.Thread(
            target=self._listen, name=f"log of {self.ref}", daemon=True
        )
        self._is_over = threading.Event()  # what comes at once is still heard
        self._is_deaf = False

    @classmethod
    def last(cls, api: "KaggleApi", kernel: Kernel) -> Self:
        """That of a kernel's last version."""
        ref = read_metadata(kernel.entry).filled(user_name(api), kernel.name).id
        return cls(api, ref, kernel.folder, fold=kernel.fold)

    @property
    def is_complete(self) -> bool:
        return self.status == "COMPLETE"

    def __str__(self) -> str:
        if not self.has_ended:
            return f"{self.ref} is {self.status}: --wait follows it to its end"
        message = f": {self.message}" if self.message else ""
        return f"{self.ref} ended as {self.status}{message}"

    @property
    def _name(self) -> str:
        """As the client takes it, with the version if one is meant."""
        return f"{self.ref}/{self.version}" if self.version else self.ref

    def ask(self) -> None:
        """Ask Kaggle for the status.

        Raises:
            KaggleError: it refuses, or does not answer.
        """
        unknown = f"no kernel {self.ref} on Kaggle, or it is not yours: push it first"
        with explained(f"asking how {self.ref} is", unknown, unknown):
            answer = self.api.kernels_status(self._name)
        self.status, self.message = answer.status.name, single_line(answer.failure_message or "")

    def poll(self) -> bool:
        """Ask for the status, patiently, and print what is new; returns whether it has ended.

        Raises:
            KaggleError: the connection stayed away. The kernel runs on.
        """
        before = self.status
        try:
            self.ask()
        except KaggleError as error:
            self._failures += 1
            # A version that was pushed just now may be unknown for a moment.
            passing = is_passing(error.__cause__, 404 if self.version else None)
            if not passing or self._failures > PATIENCE:
                raise
            if self._failures == 1:
                print(f"{self.label}no answer from Kaggle; asking again", flush=True)
            return False
        self._failures = 0
        if self.status != before:
            print(f"{self.label}{self.ref}: {self.status}", flush=True)
        if self.status in (*ENDED, "RUNNING") and self._listener.ident is None:
            self._listener.start()  # not before: while it is queued there may be an earlier log
        if not self.has_ended:
            return False
        self._is_over.set()
        self._listener.join(LAST_LINES)
        self._is_deaf = True
        with atomic_write(self.log_file) as part:
            part.write_text("".join(self._lines), encoding="utf-8")
        return True

    def follow(self, poll_seconds: float) -> None:
        """Poll until it has ended."""
        try:
            while not self.poll():
                time.sleep(poll_seconds)
        finally:
            self.stop_listening()

    def stop_listening(self) -> None:
        """Print nothing any more; a silent stream ends in its own time."""
        self._is_deaf = True
        self._is_over.set()

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED

    def fetch_output(self, folder: Path, only: str | None = None) -> None:
        """Fetch all files that the run left, or only the one of that name, and its log.

        Raises:
            KaggleError: the connection failed, or a name leads out of the folder.
        """
        pattern = f"^{re.escape(only)}$" if only else None
        quiet = not sys.stderr.isatty()

        def fetch() -> None:
            self.api.kernels_output(self._name, str(folder), pattern, quiet=quiet, page_size=PAGE)

        with explained(f"fetching the output of {self.ref}"):
            fetch_patiently(fetch, folder)

    def _listen(self) -> None:
        """Print the log as it comes; after a break the stream begins again from the first line."""
        while True:
            seen = 0
            try:
                for event in self.api.kernels_logs_stream(self._name):
                    if self._is_deaf:
                        return
                    seen += 1
                    if seen > len(self._lines):
                        # Progress bars begin with what brings the cursor back.
                        lines = str(event.get("data", "")).strip("\r\n").split("\n")
                        safe = [single_line(line) + "\n" for line in lines]
                        self._lines.append("".join(safe))
                        print(*(self.label + line for line in safe), sep="", end="", flush=True)
                if seen:
                    return
            except (OSError, ValueError):
                pass  # no log yet, or the connection broke: the status will tell when it is over
            if self._is_over.is_set():
                return
            self._is_over.wait(2.0)


def quota_left(api: "KaggleApi", kind: str) -> str:
    """One line about the hours of this week that are left, or why they are not known.

    Args:
        kind: "GPU" or "TPU".
    """
    try:
        with explained("asking for it"):
            answer = api.quota_view()
    except KaggleError as error:
        return f"quota       not known: {single_line(str(error))}"
    quota = answer.gpu_quota if kind == "GPU" else answer.tpu_quota
    if quota is None or quota.total_time_allowed is None:
        return f"quota       not known: Kaggle tells none for {kind}s"
    total = quota.total_time_allowed.total_seconds() / 3600
    used = quota.time_used.total_seconds() / 3600 if quota.time_used else 0.0
    until = answer.quota_refresh_time
    week = f", until {until:%Y-%m-%d %H:%M} UTC" if until else ""
    return f"quota       {max(total - used, 0):.1f} of {total:.1f} hours on {kind}s are left{week}"


def push(api: "KaggleApi", built: KernelBuild, label: str = "") -> KernelRun:
    """Push a built kernel, which starts it; returns the run of this version.

    Args:
        label: printed before each line of its log.

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
        raise kind(f"pushing {ref}: Kaggle refuses: {single_line(answer.error.rstrip('.'))}")
    missing = [
        single_line(f"{key}: {', '.join(names)}")
        for key in ("dataset_sources", "competition_sources", "kernel_sources", "model_sources")
        if (names := getattr(answer, f"invalid_{key}"))
    ]
    if missing:
        raise PushRefused(
            f"pushing {ref}: Kaggle took it, and runs it without what it cannot find or may not "
            f"show you: {'; '.join(missing)}. Mend kernel-metadata.json (or accept the "
            "competition's rules), and push again"
        )
    version, page = answer.version_number or 0, single_line(answer.url)
    return KernelRun(api, ref, built.folder, label, built.kernel.fold, version, page)


def push_and_follow(
    api: "KaggleApi", builds: Sequence[KernelBuild], at_once: int, poll_seconds: float
) -> list[KernelRun]:
    """Push kernels as places get free, follow all to their end, and return their runs.

    Raises:
        KaggleError: the connection stayed away. What was pushed runs on.
    """
    waiting, running, ended, told = deque(builds), [], [], ""
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                first = waiting[0]
                label = f"[{first.folder.name}] " if len(builds) > 1 else ""
                try:
                    run = push(api, first, label)
                    print(f"{label}pushed: {run.page}", flush=True)
                    running.append(run)
                except SessionsFull as error:
                    if told != str(error):
                        print(f"{label}{single_line(str(error))}. Trying again", flush=True)
                    told = str(error)
                    break
                except KaggleError as error:
                    run = KernelRun(api, first.metadata.id, first.folder, fold=first.kernel.fold)
                    run.status, run.message = "REFUSED", single_line(str(error))
                    ended.append(run)
                waiting.popleft()
            time.sleep(poll_seconds)
            ended += [run for run in running if run.poll()]
            running = [run for run in running if run not in ended]
    finally:
        for run in running:
            run.stop_listening()
    return ended
