"""How much the progress of Keras shows."""

import sys


def verbosity() -> int:
    """A moving bar for a person at a terminal, a line per epoch for a log file."""
    return 1 if sys.stdout.isatty() else 2
