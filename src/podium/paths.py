"""Paths, here and inside a Kaggle kernel: data, weights, runs, submissions, entries."""

import getpass
import glob
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

DECLARATION = "competition.toml"  # in the folder of an entry or a run
NESTING = 5  # folders below Kaggle's input at the most, above what is looked for


def kaggle() -> Path | None:
    """The folder that holds input/ and working/ inside a Kaggle kernel; None on other machines."""
    root = Path(os.environ.get("PODIUM_KAGGLE_ROOT", "/kaggle"))
    return root if (root / "working").is_dir() else None


def kaggle_input() -> Path | None:
    """The folder of a kernel's attached competitions, datasets and outputs of other kernels."""
    root = kaggle()
    return root / "input" if root else None


def find_in_kaggle_input(name: str) -> Iterator[Path]:
    """Files or folders of that name among what is attached, the least nested first.

    Kaggle has mounted the same source as <slug>/, competitions/<slug>/ and
    datasets/<owner>/<slug>/. What lies inside a folder that was found is not looked through.
    """
    root, found = kaggle_input(), set[Path]()
    for depth in range(NESTING if root else 0):
        for path in sorted(root.glob("*/" * depth + glob.escape(name))):
            if found.isdisjoint(path.parents):
                found.add(path)
                yield path


def project() -> Path:
    """The folder that holds kernels/: the nearest at or above this one, else this one.

    Inside a Kaggle kernel it is /kaggle/working, the only place that may be written.
    """
    root = kaggle()
    if root:
        return root / "working"
    here = Path.cwd()
    return next((path for path in (here, *here.parents) if (path / "kernels").is_dir()), here)


def inputs() -> list[Path]:
    """Folders of downloaded data, best first; see also `find_in_kaggle_input`."""
    return [*_chosen("PODIUM_INPUT"), project() / "input"]


def home() -> Path | None:
    """The user's folder; None for a user without a name, as in some containers."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def pretrained() -> list[Path]:
    """Folders of pretrained weights, best first; see also `find_in_kaggle_input`."""
    own = home()
    of_keras = [own / ".keras" / "models"] if own else []
    return [*_chosen("PODIUM_PRETRAINED"), project() / "weights" / "pretrained", *of_keras]


def _chosen(variable: str) -> list[Path]:
    chosen = os.environ.get(variable)
    return [Path(chosen)] if chosen else []


def runs() -> Path:
    """The folder of runs: that which PODIUM_RUNS names, else weights/ of the project."""
    return [*_chosen("PODIUM_RUNS"), project() / "weights"][0]


def compiled() -> Path:
    """Where networks lie that JAX has compiled; no output of a kernel."""
    return (scratch() if kaggle() else runs()) / ".compiled"


def copies() -> Path:
    """Where shrunk copies of large images lie, for all runs; no output of a kernel."""
    return (scratch() if kaggle() else runs()) / ".copies"


def joined_runs() -> Path:
    """Where a kernel joins, at its start, runs of which several kernels left parts; no output."""
    return scratch() / "joined"


def submission(run: str) -> Path:
    """The CSV of a run; a kernel has one, under the name by which Kaggle offers to submit it."""
    return project() / ("submission.csv" if kaggle() else f"submissions/{run}.csv")


def entries() -> Path:
    """The entries of the project; a built kernel carries its own beside the package."""
    carried = Path(__file__).parents[1] / "kernels"
    return carried if carried.is_dir() else project() / "kernels"


def scratch() -> Path:
    """A user's own folder for temporary files: no kernel leaves them as its output.

    Its name can be guessed, so another user may have made it first, to have what lies in it taken
    for this user's.

    Raises:
        ValueError: it is a link or no folder, another user's, or others may write to it.
    """
    user = os.getuid() if hasattr(os, "getuid") else getpass.getuser()
    folder = Path(tempfile.gettempdir()) / f"podium-{user}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700, parents=True)
    if hasattr(os, "getuid"):  # Windows has a temporary folder for each user
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != user or found.st_mode & 0o022:
            raise ValueError(f"{folder} is not user {user}'s alone: remove it, or set TMPDIR")
        folder.chmod(0o700)
    return folder
