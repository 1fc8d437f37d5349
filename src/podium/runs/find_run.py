"""The runs there are: found by name or path, here or among what is attached to a kernel."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from podium import paths
from podium.runs.fold_folder import RunError
from podium.runs.merge import merge_run
from podium.runs.run_folder import RunFolder


def find_run(run: str) -> RunFolder:
    """The run of that name or path.

    Inside a Kaggle kernel it may be in the outputs of other kernels. If it is there in parts,
    a kernel each, they are put together in a folder that lasts as long as this process.

    Raises:
        RunError: there is none, its parts do not fit together, or a link leads out of it.
    """
    for path in (Path(run), paths.runs() / run):
        if RunFolder(path).exists:
            return _without_links(RunFolder(path.resolve()))
    attached = _attached(run)
    if len(attached) == 1:
        return attached[0]
    if attached:
        return _put_together(run, tuple(attached))
    known = sorted(path.parent.name for path in paths.runs().glob("*/run.json"))
    place = paths.kaggle_input()
    elsewhere = f", and in {place} there is none of that name" if place else ""
    raise RunError(
        f"no run {run!r}; in {paths.runs()} there are: {', '.join(known) or 'none'}{elsewhere}"
    )


def _without_links(folder: RunFolder) -> RunFolder:
    """The folder, unless it leads out of itself: what is read is its own, and what is written too.

    Raises:
        RunError: names the link.
    """
    for path in folder.path.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(folder.path):
            raise RunError(
                f"{path} is a link that leads out of its run, to {path.readlink()}: put the file "
                "itself there, or do not use this run"
            )
    return folder


def _attached(run: str) -> list[RunFolder]:
    """The run folders of that name among what is attached to this kernel."""
    if Path(run).name != run:
        return []
    found = [
        RunFolder(path)
        for place in paths.find_in_kaggle_input(run)
        # A kernel or dataset may have the name of its run.
        for path in (place, place / "weights" / run)
    ]
    return [folder for folder in found if folder.exists]


@cache  # a run that is asked for twice is the same one
def _put_together(run: str, parts: tuple[RunFolder, ...]) -> RunFolder:
    paths.scratch().mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=paths.scratch()))
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    whole = RunFolder(scratch / run)
    for part in parts:
        merge_run(part, whole)
    return whole
