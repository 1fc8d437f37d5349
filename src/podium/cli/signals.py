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
    before = {number: signal.getsignal(number) for number in SIGNALS}
    # Ignored: a command in the background, or under nohup. None: not Python's to change.
    handled = [number for number in before if before[number] not in (signal.SIG_IGN, None)]

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(number)
        for other in handled:
            signal.signal(other, signal.SIG_DFL)
        raise KeyboardInterrupt

    for number in handled:
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
            for number in handled:
                signal.signal(number, before[number])
