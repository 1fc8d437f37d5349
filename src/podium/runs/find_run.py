"""Runs found by name or path, here or among what is attached to a kernel."""

from pathlib import Path

from podium import paths
from podium.runs.fold_folder import RunError
from podium.runs.run_folder import RunFolder
from podium.text import did_you_mean


def find_run(run: str) -> RunFolder:
    """The run of that name or path.

    Raises:
        RunError: there is none, it is attached in several parts, or a link leads out of it.
    """
    joined = [paths.joined_runs()] if paths.kaggle() else []  # no other machine has any
    for path in (Path(run), *(folder / run for folder in (paths.runs(), *joined))):
        if RunFolder(path).exists:
            return without_links(RunFolder(path.resolve()))
    attached = attached_runs(run)
    if len(attached) > 1:
        raise RunError(f"run {run!r} is attached in {len(attached)} places: detach all but one")
    if attached:
        return attached[0]
    known = [folder.name for folder in all_runs()]
    place = paths.kaggle_input()
    elsewhere = f", and in {place} there is none of that name" if place else ""
    raise RunError(
        f"no run {run!r}; in {paths.runs()} there are: {', '.join(known) or 'none'}{elsewhere}"
        + did_you_mean(run, known)
    )


def all_runs() -> list[RunFolder]:
    """The runs of weights/, by name."""
    found = (path for path in paths.runs().glob("*/run.json") if path.is_file())
    return [RunFolder(path.parent) for path in sorted(found)]


def without_links(folder: RunFolder) -> RunFolder:
    """The folder, unless a link leads out of it: what is read and written is its own."""
    for path in folder.path.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(folder.path.resolve()):
            raise RunError(f"{path} is a link that leads out of its run: put the file itself there")
    return folder


def attached_runs(run: str) -> list[RunFolder]:
    """The run folders of that name among what is attached to this kernel."""
    if Path(run).name != run:
        return []
    # A kernel or dataset may have the name of its run.
    found = [(place, place / "weights" / run) for place in paths.find_in_kaggle_input(run)]
    return [RunFolder(path) for pair in found for path in pair if RunFolder(path).exists]
