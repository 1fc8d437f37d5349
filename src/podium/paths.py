"""Where things lie, here and inside a Kaggle kernel: data, weights, runs, submissions, entries."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

NESTING = 5  # folders below Kaggle's input at the most, above what is looked for


def kaggle() -> Path | None:
    """The folder that holds input/ and working/ inside a Kaggle kernel; None on other machines."""
    root = Path(os.environ.get("PODIUM_KAGGLE_ROOT", "/kaggle"))
    return root if (root / "working").is_dir() else None


def kaggle_input() -> Path | None:
    """What is attached to a kernel: competitions, datasets and the outputs of other kernels."""
    root = kaggle()
    return root / "input" if root else None


def find_in_kaggle_input(name: str) -> Iterator[Path]:
    """Files or folders of that name among what is attached, the least nested first.

    Kaggle has mounted the same source as <slug>/, competitions/<slug>/ and
    datasets/<owner>/<slug>/. What lies inside a folder that was found is not looked through.
    """
    place = kaggle_input()
    level = [place] if place and place.is_dir() else []
    for _ in range(NESTING):
        below = []
        for folder in level:
            with os.scandir(folder) as entries:  # knows folders from files without a call for each
                found = sorted((entry.name, entry.is_dir()) for entry in entries)
            if (name, True) in found or (name, False) in found:
                yield folder / name
            below += [folder / other for other, is_folder in found if is_folder and other != name]
        level = below


def project() -> Path:
    """The folder that holds kernels/: the nearest at or above this one, else this one.

    Inside a Kaggle kernel it is /kaggle/working, the only place that may be written.
    """
    root = kaggle()
    if root:
        return root / "working"
    here = Path.cwd()
    return next((place for place in (here, *here.parents) if (place / "kernels").is_dir()), here)


def inputs() -> list[Path]:
    """Where downloaded data may lie, best first; see also `find_in_kaggle_input`."""
    chosen = os.environ.get("PODIUM_INPUT")
    return [*([Path(chosen)] if chosen else []), project() / "input"]


def pretrained() -> list[Path]:
    """Where files of pretrained weights may lie, best first; see also `find_in_kaggle_input`."""
    chosen = os.environ.get("PODIUM_PRETRAINED")
    return [
        *([Path(chosen)] if chosen else []),
        project() / "weights" / "pretrained",
        Path.home() / ".keras" / "models",
    ]


def runs() -> Path:
    return project() / "weights"


def submissions() -> Path:
    return project() / "submissions"


def submission(run: str) -> Path:
    """The CSV of a run; a kernel has one, under the name by which Kaggle offers to submit it."""
    return project() / "submission.csv" if kaggle() else submissions() / f"{run}.csv"


def docs() -> Path:
    """For the record of experiments."""
    return project() / "docs"


def entries() -> Path:
    """The entries of the project; a built kernel carries its own beside the package."""
    carried = Path(__file__).parents[1] / "kernels"
    return carried if carried.is_dir() else project() / "kernels"


def scratch() -> Path:
    """For what nobody needs after this process: never in what a kernel leaves as its output."""
    return Path(tempfile.gettempdir()) / f"podium-{os.getuid()}"
