"""Podium: Kaggle image classification from input/ to a submission, with scores to trust."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from podium.predictions.open_run import OpenRun

__version__ = "0.1.0"


def open_run(name: str) -> "OpenRun":
    """Open a run or a blend by its name or path: docs/api.md.

    Raises:
        RunError: there is none.
    """
    from podium.predictions.open_run import OpenRun
    from podium.runs.find_run import find_run

    return OpenRun(find_run(name))
