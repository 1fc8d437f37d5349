"""What can be made again, found and deleted; and a run deleted whole. Nothing that is in use."""

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from podium import paths
from podium.files.atomic_write import abandoned_by_writer, discard
from podium.files.locks import Busy, locked_folder
from podium.recipes.entries import all_entries
from podium.recipes.recipe_file import load_ensemble
from podium.runs.find_run import all_runs
from podium.runs.run_folder import RunFolder
from podium.text import format_table

# Seconds that a build must have been left alone: meanwhile its kernel may run, and its log come.
AT_REST = 24 * 3600


@dataclass(frozen=True)
class Leftover:
    """A file or folder that can be made again, and the locks of whoever writes or reads it."""

    kind: str
    path: Path
    locks: Sequence[Callable[[], AbstractContextManager[None]]] = ()


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    return sum(one.lstat().st_size for one in (path, *path.rglob("*")) if one.is_file())


def find_leftovers() -> list[Leftover]:
    """All that can be made again: by training, building or downloading once more."""
    return [one for one in _candidates() if one.path.exists()]


def _candidates() -> Iterator[Leftover]:
    for run in all_runs():
        for number in run.scored_folds():
            fold = run.fold(number)
            folder = fold.checkpoint(0).parent
            lock, state = [run.writing], fold.path / "state.npz"
            yield Leftover("checkpoints, of which podium soup makes one network", folder, lock)
            yield Leftover("resumable states of finished folds", state, lock)
    all_locks = [run.writing for run in all_runs()]
    yield Leftover("shrunk copies of images", paths.copies(), all_locks)
    yield Leftover("compiled networks", paths.compiled(), all_locks)
    for build in (paths.project() / "build").glob("*/"):
        newest = max((path.stat().st_mtime for path in build.rglob("*")), default=0.0)
        if time.time() - newest > AT_REST:
            yield Leftover("builds, and logs of their kernels", build)
    data = paths.inputs()[0].resolve()
    for archive in (data / ".downloads").glob("*.zip*"):
        target = data / archive.name.partition(".zip")[0]
        yield Leftover("downloads that broke off", archive, [partial(locked_folder, target)])
    for part in filter(abandoned_by_writer, paths.runs().glob(".part-*")):
        yield Leftover("runs half deleted, or half brought here, when a command was killed", part)


def describe(leftovers: Iterable[Leftover]) -> str:
    """The bytes by kind, in a table."""
    by_kind = Counter[str]()
    for one in leftovers:
        by_kind[one.kind] += size_of(one.path)
    rows = [(megabytes(size), kind) for kind, size in by_kind.items()]
    return "\n".join(format_table([*rows, (megabytes(by_kind.total()), "in all")]))


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def delete(leftovers: Iterable[Leftover]) -> list[str]:
    """Delete them, but for what is in use; returns why some stay."""
    stay = []
    for one in leftovers:
        try:
            with ExitStack() as held:
                for lock in one.locks:
                    held.enter_context(lock())
                shutil.rmtree(one.path) if one.path.is_dir() else one.path.unlink(missing_ok=True)
        except Busy as error:
            stay.append(f"{one.path} stays: {error}")
    return stay


def users(run: RunFolder) -> list[str]:
    """The blends and soups that are made of a run, the trainings that read it, and ensembles."""
    found = [
        entry.name
        for entry in all_entries()
        if entry.is_ensemble and run.name in load_ensemble(entry.recipe_file).runs
    ]
    for other in all_runs():
        with suppress(ValueError, KeyError, OSError):  # one that cannot be read uses nothing
            blended = other.read_blended()
            made_of = blended or [*other.read_souped(), *other.read_recipe().needed_runs]
            if run.name in made_of:
                found.append(other.name)
    return list(dict.fromkeys(found))


def delete_run(run: RunFolder) -> None:
    """Delete a run's folder.

    Raises:
        Busy: it is being trained.
    """
    with run.writing():
        discard(run.path)
