"""One run of a kernel, from the queue to its end."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaggle_stand_in.answers import Body, ConnectionBroken
from kaggle_stand_in.environment import clean_environment
from kaggle_stand_in.runner import Run, lay_out, remove_input

if TYPE_CHECKING:
    from kaggle_stand_in.server import StandIn

ENDED = ("COMPLETE", "ERROR", "CANCEL_ACKNOWLEDGED")
TOO_LONG = "Your notebook was stopped because it exceeded the max allowed execution duration."


class Session:
    """A version of a kernel, and its run.

    Attributes:
        pushed: the JSON of SaveKernel: text, kernelType, newTitle, enableInternet, …
        folder: holds kaggle/working/ and, of a notebook, executed.ipynb.
        status: QUEUED, RUNNING, COMPLETE, ERROR or CANCEL_ACKNOWLEDGED.
        log: what it printed: {"stream_name", "time", "data"} of each line.
        exit_code: of its process, once it has ended.
    """

    def __init__(self, version: int, pushed: dict[str, Any], folder: Path):
        self.version, self.pushed, self.folder = version, pushed, folder
        self.status = "QUEUED"
        self.failure_message = ""
        self.log: list[Body] = []
        self.exit_code: int | None = None
        self._run: Run | None = None
        self._is_cancelled = self._is_too_long = False
        self._changed = threading.Condition()

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def root(self) -> Path:
        return self.folder / "kaggle"

    @property
    def working(self) -> Path:
        return self.root / "working"

    @property
    def executed(self) -> Path:
        """The notebook with its outputs."""
        return self.folder / "executed.ipynb"

    @property
    def log_text(self) -> str:
        return "".join(str(event["data"]) for event in self.log)

    @property
    def outputs(self) -> dict[str, Path]:
        """What it left in working/, by name; nothing of a cancelled run."""
        if not self.ended or self._is_cancelled or (self._is_too_long and not self._keeps_ended()):
            return {}
        found = [path for path in self.working.rglob("*") if path.is_file()]
        return {path.relative_to(self.working).as_posix(): path for path in found}

    @property
    def is_attached(self) -> bool:
        """Whether other kernels get what it left."""
        return self.status == "COMPLETE" or (self._is_too_long and bool(self.outputs))

    def start(self, stand_in: "StandIn", ref: str, mounts: Mapping[str, Path]) -> None:
        """Queue it; it runs in a thread of its own."""
        self.folder.mkdir(parents=True)
        self._began = time.monotonic()
        self._ends_when = lambda log: stand_in.ends_when(log)
        self._keeps_ended = lambda: stand_in.keeps_ended
        self._break_after: Callable[[], int | None] = lambda: stand_in.breaks.next("log")
        self._thread = threading.Thread(target=self._live, args=(stand_in, ref, mounts))
        self._thread.start()

    def join(self) -> None:
        """Wait until nothing of it is left."""
        self._thread.join()

    def wait(self, seconds: float = 60.0) -> str:
        """Wait for its end; returns its status.

        Raises:
            TimeoutError: it has not ended within so many seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self.ended, seconds):
                raise TimeoutError(f"the run is still {self.status}")
        return self.status

    def cancel(self) -> None:
        """End it, if it has not ended."""
        with self._changed:
            if self.ended or self.exit_code is not None:
                return
            self._is_cancelled = True
        if self._run is not None:
            self._run.kill()

    def events(self) -> Iterator[Body]:
        """The lines of its log from the first, as they come, until it has ended."""
        break_after = None if self.ended else self._break_after()
        sent = 0
        while new := self._after(sent):
            for event in new:
                if sent == break_after:
                    raise ConnectionBroken
                sent += 1
                yield event

    def _after(self, number: int) -> list[Body]:
        """The lines after so many, once there are some; none once it has ended."""
        with self._changed:
            self._changed.wait_for(lambda: len(self.log) > number or self.ended)
            return self.log[number:]

    def _live(self, stand_in: "StandIn", ref: str, mounts: Mapping[str, Path]) -> None:
        status, message = "ERROR", "The stand-in failed"
        try:
            status, message = self._run_it(stand_in, ref, mounts)
        except Exception as error:
            stand_in.report(error)
        finally:
            with self._changed:
                self.status, self.failure_message = status, message
                self._changed.notify_all()

    def _run_it(self, stand_in: "StandIn", ref: str, mounts: Mapping[str, Path]) -> tuple[str, str]:
        """Run it to its end; returns how it ended."""
        while stand_in.hold_queue and not self._is_cancelled:
            time.sleep(0.01)
        instead = stand_in.run_instead
        text = instead(ref) if callable(instead) else instead
        kernel_type = self.pushed.get("kernelType", "") if text is None else "script"
        python = stand_in.python or clean_environment(
            str(self.pushed.get("machineShape")).startswith("Tpu")
        )
        lay_out(self.root, mounts)
        with self._changed:
            if not self._is_cancelled:
                self._run = Run(
                    python=python,
                    root=self.root,
                    text=self.pushed.get("text", "") if text is None else text,
                    kernel_type=kernel_type,
                    hear=self._hear,
                    executed=self.executed,
                    internet=self.pushed.get("enableInternet", True),
                    environment=stand_in.environment,
                )
                self.status = "RUNNING"
        if self._run is not None:
            self.exit_code = self._run.wait()
        remove_input(self.root)
        if self._is_cancelled:
            return "CANCEL_ACKNOWLEDGED", ""
        if self._is_too_long:
            return "ERROR", TOO_LONG
        if self.exit_code:
            return "ERROR", f"Your notebook exited with code {self.exit_code}"
        return "COMPLETE", ""

    def _hear(self, stream: str, line: str) -> None:
        since = round(time.monotonic() - self._began, 3)
        with self._changed:
            self.log.append({"stream_name": stream, "time": since, "data": line})
            self._changed.notify_all()
            ends = not self._is_too_long and self._ends_when(self.log_text)
            self._is_too_long |= ends
        if ends:  # by another thread: killing waits for this one to read to the end
            threading.Thread(target=self._run.kill).start()
