"""Ctrl-C and SIGTERM end a command alike: at once, in one line, with the exit code of a shell."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130  # the exit code that Typer makes of a KeyboardInterrupt
SIGNALS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


@contextmanager
def one_line_on_signal() -> Iterator[None]:
    """Raise KeyboardInterrupt at the first signal, and let a second one kill.

    Whatever is being written has a temporary name until it is complete: nothing is to be finished.
    """
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(number)
        for other in before:
            signal.signal(other, signal.SIG_DFL)
        raise KeyboardInterrupt

    # Those that are ignored stay so: a command in the background, or under nohup.
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    before = {number: one for number, one in handlers.items() if one is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    except SystemExit as end:
        if end.code != INTERRUPTED or not received:
            raise
        word = SIGNALS[signal.Signals(received[0])]
        print(f"\npodium: {word}; the same command goes on from here", file=sys.stderr)
        sys.exit(128 + received[0])
    finally:
        if not received:
            for number, one in before.items():
                signal.signal(number, one)
