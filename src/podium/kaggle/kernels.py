"""The commands for kernels: push an entry, or each of its folds, and collect what they leave."""

import shlex
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from podium import paths
from podium.kaggle.build import build, check
from podium.kaggle.client import KaggleError, connect, user_name
from podium.kaggle.following import KernelRun, NoOutput, push, push_and_follow
from podium.kaggle.metadata import kernel_name, read_metadata
from podium.predictions.blend import adopt_blend
from podium.predictions.combine import RunResult, assemble
from podium.predictions.score import Score
from podium.recipes.entries import get_entry
from podium.runs.fold_folder import RunError
from podium.runs.merge import merge_run
from podium.runs.run_folder import RunFolder, run_name
from podium.training.warm_start import resolve_backbone

if TYPE_CHECKING:
    from kaggle.api.kaggle_api_extended import KaggleApi

POLL_SECONDS = 10.0

Fold = int | None  # None: all of them in one kernel


class KernelFailed(KaggleError):
    """A kernel ended without having done its work."""


@dataclass(frozen=True)
class CollectedBlend:
    """A blend that was made on Kaggle, from runs that need not be here."""

    folder: RunFolder

    def __str__(self) -> str:
        score = Score.from_dict(self.folder.read_score()["score"])
        return (
            f"run         {self.folder.path}\n"
            f"score       out-of-fold {score}\n"
            f"submission  {paths.submission(self.folder.name)}"
        )


def push_entry(
    entry: str,
    overrides: Iterable[str] = (),
    folds: Iterable[int] = (),
    each_fold: bool = False,
    wait: bool = False,
    fresh: bool = False,
    at_once: int | None = None,
    poll_seconds: float = POLL_SECONDS,
    resume: bool = False,
    hours: float | None = None,
) -> RunResult | CollectedBlend | None:
    """Build and push an entry; with `wait`, follow it and collect its run.

    Args:
        folds: a kernel for each of these folds.
        each_fold: a kernel for each fold that is not in weights/ yet.
        fresh: replace what is in weights/ already.
        at_once: kernels that may run at the same time; by default what accounts usually may.
        resume: go on with the run that the kernel's last version left unfinished.
        hours: after which a kernel ends, finished or not; its epochs are not scaled to fit.

    Raises:
        KernelFailed: names what did not run to its end; what did is collected all the same.
        KaggleError: Kaggle refuses, or cannot be reached, or there is nothing to resume.
    """
    overrides = list(overrides)
    if get_entry(entry).is_ensemble and (resume or hours):
        raise KaggleError(f"{entry} averages runs, which takes no time: push it as it is")
    run = RunFolder(paths.runs() / run_name(entry, overrides))
    to_push = _folds_to_push(entry, overrides, list(folds), each_fold, run, fresh, resume)
    if not to_push:
        print(f"all folds are in {run.path} already; --fresh pushes them again")
        return _combine(run)
    for fold in to_push:
        check(get_entry(entry), overrides, fold)  # before any call
    api = connect()
    builds = []
    for fold in to_push:
        kernel = _kernel(api, entry, overrides, fold)
        left = _sources_of_last_version(kernel, entry, overrides) if resume else None
        builds.append(build(entry, user_name(api), overrides, fold, hours, left))
    print(*builds, sep="\n\n", end="\n\n", flush=True)
    collect_command = _command("collect", entry, overrides, to_push)
    at_once = at_once or builds[0].metadata.sessions
    if not wait:
        if len(builds) > at_once:
            raise KaggleError(
                f"{len(builds)} kernels, and {at_once} may run at once: --wait pushes the others "
                "as places get free"
            )
        for built in builds:
            print(f"pushed: {push(api, built)}", flush=True)
        print(f"when it has run: {collect_command}")
        return None
    try:
        ended = push_and_follow(api, builds, at_once, poll_seconds)
    except KeyboardInterrupt as error:
        raise KaggleError(
            f"interrupted; what was pushed runs on, and `{collect_command} --wait` follows it again"
        ) from error
    sources = {built.metadata.id: built.sources for built in builds}
    _collect_complete(ended, run, fresh, sources)
    _raise_failed(ended, _command("push", entry, overrides, ()))
    return _combine(run)


def collect_entry(
    entry: str,
    overrides: Iterable[str] = (),
    folds: Iterable[int] = (),
    each_fold: bool = False,
    wait: bool = False,
    fresh: bool = False,
    poll_seconds: float = POLL_SECONDS,
) -> RunResult | CollectedBlend:
    """Bring the run of an entry that was pushed earlier into weights/.

    Raises:
        KernelFailed: the kernel, or a fold's, ended with an error or runs still.
    """
    overrides = list(overrides)
    run = RunFolder(paths.runs() / run_name(entry, overrides))
    chosen: list[Fold] = [*folds] or [None]
    if each_fold:
        chosen = [*get_entry(entry).recipe(overrides).fold_numbers]
    check(get_entry(entry), overrides)
    api = connect()
    kernels = [_kernel(api, entry, overrides, fold) for fold in chosen]
    for kernel in kernels:
        kernel.label = f"[{kernel.folder.name}] " if len(chosen) > 1 else ""
        kernel.follow(poll_seconds) if wait else kernel.ask()
    _collect_complete(kernels, run, fresh)
    failed = [str(kernel) for kernel in kernels if not kernel.is_complete]
    if failed:
        hint = "" if wait else ". --wait shows the log of what has ended"
        raise KernelFailed("; ".join(failed) + hint)
    return _combine(run)


def _kernel(api: "KaggleApi", entry: str, overrides: list[str], fold: Fold) -> KernelRun:
    """The kernel of a run, or of one of its folds."""
    name = kernel_name(run_name(entry, overrides), fold)
    ref = read_metadata(get_entry(entry)).filled(user_name(api), name).id
    return KernelRun(api, ref, paths.project() / "build" / name, fold=fold)


def _sources_of_last_version(kernel: KernelRun, entry: str, overrides: list[str]) -> str:
    """What the last version of a kernel was made from, whose run is there to go on with.

    Raises:
        KaggleError: there is none, it runs still, or it left no run, or that of another recipe.
    """
    run = run_name(entry, overrides)
    kernel.ask()
    if not kernel.has_ended:
        raise KaggleError(f"{kernel.ref} is {kernel.status}: --resume goes on once it has ended")
    with tempfile.TemporaryDirectory() as folder:
        left = RunFolder(Path(folder, "weights", run))
        with suppress(NoOutput):
            kernel.fetch_output(Path(folder), only=f"weights/{run}/run.json")
        if not left.exists:
            raise KaggleError(
                f"the last version of {kernel.ref} left no run {run}, so that there is nothing to "
                "resume: push it without --resume"
            )
        sources = str(left.read_run().get("sources"))
        try:
            left.begin(resolve_backbone(get_entry(entry).recipe(overrides), left), {}, fresh=False)
        except RunError as error:  # the kernel would say so as well, but only once it runs
            raise KaggleError(str(error).replace(str(left.path), kernel.ref)) from error
    return sources


def _folds_to_push(
    entry: str,
    overrides: list[str],
    folds: list[int],
    each_fold: bool,
    run: RunFolder,
    fresh: bool,
    resume: bool,
) -> list[Fold]:
    """One kernel for all folds, or one for each that is asked for and not here yet."""
    finished = [] if fresh else run.finished_folds()
    if each_fold:
        numbers = get_entry(entry).recipe(overrides).fold_numbers
        return [fold for fold in numbers if fold not in finished]
    doubled = [fold for fold in finished if not folds or fold in folds]
    if doubled and not resume:  # which brings a run with these folds in it
        raise RunError(
            f"{run.path} has fold {', '.join(map(str, doubled))} already: go on with --resume, "
            "push what is missing with --each-fold, or all of it again with --fresh"
        )
    return [*folds] or [None]


def _collect_complete(
    kernels: Sequence[KernelRun],
    run: RunFolder,
    fresh: bool,
    sources: Mapping[str, str] | None = None,
) -> None:
    """Collect what completed; what is wrong with one output keeps none of the others away."""
    errors = []
    for kernel in kernels:
        if kernel.is_complete:
            try:
                _collect(kernel, run, fresh, (sources or {}).get(kernel.ref))
            except (KaggleError, RunError) as error:
                errors.append(str(error))
    if errors:
        raise KernelFailed("; ".join(errors))


def _collect(kernel: KernelRun, into: RunFolder, fresh: bool, sources: str | None) -> None:
    """Fetch what a kernel left and add it to the run in weights/.

    Args:
        sources: the hash of what was pushed, where that is known: an output of other sources is
            that of an earlier version of the kernel.

    Raises:
        KernelFailed: it ended before all its folds were finished; those that are were taken.
        KaggleError: no output, or not this run's.
        RunError: weights/ has another run of this name. The output stays in build/.
    """
    output = kernel.folder / "output"
    shutil.rmtree(output, ignore_errors=True)
    kernel.fetch_output(output)
    part = RunFolder(output / "weights" / into.name)
    if not part.exists:
        raise KaggleError(
            f"{kernel.ref} left no run {into.name}; what it did leave is in {output}, and its log "
            "on Kaggle says more"
        )
    made_from = part.read_run().get("sources")
    if sources is not None and made_from != sources:
        raise KaggleError(
            f"the output of {kernel.ref} was made from the sources {str(made_from)[:12]}, pushed "
            f"were {sources[:12]}: it is an earlier version's. Wait, then `podium collect`"
        )
    unfinished: set[int] = set()
    if part.read_blended():
        adopt_blend(part, into, fresh)
    else:
        folds = part.read_recipe().fold_numbers if kernel.fold is None else [kernel.fold]
        unfinished = set(folds) - set(part.finished_folds())
        if len(unfinished) < len(folds):
            merge_run(part, into, fresh)
    shutil.rmtree(output)
    if unfinished:
        raise KernelFailed(
            f"{kernel.ref} ended before fold {', '.join(map(str, sorted(unfinished)))} was "
            "finished: push it again with --resume, and it goes on from there"
        )


def _combine(run: RunFolder) -> RunResult | CollectedBlend:
    """Combine the folds that are in weights/ by now; a blend is complete as it came."""
    return CollectedBlend(run) if run.read_blended() else assemble(run)


def _raise_failed(ended: Sequence[KernelRun], command: str) -> None:
    """Name what did not run to its end, and the command that pushes that alone."""
    failed = [run for run in ended if not run.is_complete]
    if failed:
        logs = {run: f" (its log: {run.log_file})" for run in failed if run.log_file.is_file()}
        reasons = "; ".join(f"{run}{logs.get(run, '')}" for run in failed)
        numbers = [f"--fold {run.fold}" for run in failed if run.fold is not None]
        again = " ".join([command, *numbers])
        raise KernelFailed(
            f"{reasons}. On from where it stopped, or again: {again} [--resume] --wait"
        )


def _command(word: str, entry: str, overrides: list[str], folds: Iterable[Fold]) -> str:
    changes = [f"--set {shlex.quote(override)}" for override in overrides]
    numbers = [f"--fold {fold}" for fold in folds if fold is not None]
    return " ".join(["podium", word, entry, *changes, *numbers])
