"""Where things lie: data, pretrained weights, runs, submissions, entries."""

import os
from pathlib import Path

KAGGLE_INPUT = Path("/kaggle/input")
KAGGLE_WORKING = Path("/kaggle/working")


def project() -> Path:
    """The folder that holds kernels/: the nearest at or above this one, else this one.

    Inside a Kaggle kernel it is /kaggle/working, the only place that may be written.
    """
    if KAGGLE_WORKING.is_dir():
        return KAGGLE_WORKING
    here = Path.cwd()
    return next((place for place in (here, *here.parents) if (place / "kernels").is_dir()), here)


def inputs() -> list[Path]:
    """Where downloaded data may lie, best first."""
    chosen = os.environ.get("PODIUM_INPUT")
    places = [Path(chosen)] if chosen else []
    return [*places, project() / "input", KAGGLE_INPUT]


def pretrained() -> list[Path]:
    """Where files of pretrained weights may lie, best first."""
    chosen = os.environ.get("PODIUM_PRETRAINED")
    places = [Path(chosen)] if chosen else []
    return [
        *places,
        project() / "weights" / "pretrained",
        KAGGLE_INPUT,
        Path.home() / ".keras" / "models",
    ]


def runs() -> Path:
    return project() / "weights"


def submissions() -> Path:
    return project() / "submissions"


def entries() -> Path:
    return project() / "kernels"
