"""Ctrl-C and SIGTERM end a command alike: at once, in one line, and with the exit code of a shell.

What is being written has a temporary name until it is whole, so that there is nothing to finish.
"""

import signal
from types import FrameType
from typing import Any, Self

INTERRUPTED = 130  # what Typer makes of a KeyboardInterrupt
WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


class Stopping:
    """In its context the first of these signals raises KeyboardInterrupt; a second one kills."""

    def __init__(self) -> None:
        self.by = signal.SIGINT

    def __enter__(self) -> Self:
        before = {one: signal.getsignal(one) for one in WORDS}
        # Ignored: a command in the background, or under nohup. None: not Python's to change.
        self._before = {k: v for k, v in before.items() if v not in (signal.SIG_IGN, None)}
        for one in self._before:
            signal.signal(one, self._stop)
        return self

    def __exit__(self, *error: Any) -> None:
        for one, handler in self._before.items():
            signal.signal(one, handler)

    @property
    def exit_code(self) -> int:
        return 128 + self.by

    def __str__(self) -> str:
        return f"{WORDS[self.by]}; the same command goes on from here"

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.by = signal.Signals(number)
        # What ends here may take a while to, and must not be interrupted with a traceback.
        self._before = dict.fromkeys(self._before, signal.SIG_DFL)
        for one in self._before:
            signal.signal(one, signal.SIG_DFL)
        raise KeyboardInterrupt
