"""A call in a process of its own, which ends with this one however this one ends.

An experiment after another in one process would show the peak memory of the largest so far, and
one that the machine has no memory for would end them all.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any

from podium.system import out_of_memory

INTERRUPTED = 130  # exit code
GOODBYE = 60  # seconds that a process may take to end once it has answered


class Failed(ValueError):
    """The call ended with an error that a user can do something about, or with its process.

    Args:
        kind: the name of the error's class.
    """

    def __init__(self, message: str, kind: str = ""):
        super().__init__(message)
        self.kind = kind


def call(function: Callable[..., None], *arguments: Any) -> None:
    """Call a function of a module with arguments that can be pickled.

    Raises:
        Failed: with the error's message, if it is one that the command line would print.
        RuntimeError: anything else went wrong; the traceback has been printed.
    """
    # TensorFlow does not survive a fork.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(theirs, function, *arguments))
    process.start()
    theirs.close()
    try:
        failure = ours.recv()
        process.join(GOODBYE)
    except EOFError:
        process.join()
        raise _ended(process.exitcode) from None
    finally:
        process.terminate()  # if this one is interrupted, it would go on alone
        process.join()
        ours.close()
    if failure:
        raise Failed(*failure)


def _ended(code: int | None) -> BaseException:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        memory = ": was there too little memory?" if name == "SIGKILL" else ""
        return Failed(f"its process was ended by {name}{memory}")
    if code == INTERRUPTED:
        return KeyboardInterrupt()
    return RuntimeError(f"the process of an experiment ended with exit code {code}, see above")


def _answer(sender: Connection, function: Callable[..., None], *arguments: Any) -> None:
    """In the new process: call, and send what went wrong, or None."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        function(*arguments)
        failure = None
    except KeyboardInterrupt:
        os._exit(INTERRUPTED)  # the parent says it
    except (ValueError, OSError, *out_of_memory()) as error:
        if os.environ.get("PODIUM_DEBUG"):
            raise
        kind = type(error).__name__
        failure = (str(error) or kind, kind)
    sender.send(failure)


def _end_with_parent() -> None:
    """A killed parent cannot end its processes, and two would train one run after its restart."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
