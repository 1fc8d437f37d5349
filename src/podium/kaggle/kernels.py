"""The commands for kernels: push an entry, or each of its folds, and collect what they leave."""

import shlex
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from podium import paths
from podium.kaggle.build import KernelBuild, build, check
from podium.kaggle.client import KaggleError, connect, user_name
from podium.kaggle.following import KernelRun, push, push_and_follow, quota_left
from podium.kaggle.metadata import kernel_name, read_metadata
from podium.kaggle.projection import project
from podium.predictions.blend import adopt_blend
from podium.predictions.combine import assemble
from podium.predictions.result import RunResult
from podium.predictions.score import Score
from podium.recipes.entries import Entry, get_entry
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


@dataclass(frozen=True)
class RunOnKaggle:
    """A run of an entry, which one kernel trains, or one for each of its folds.

    Args:
        name: of the entry.
        folds: a kernel for each of these folds.
        each_fold: a kernel for each of all folds.
        on: a key of MACHINES; by default the machine that the metadata name.
        hours: after which a kernel ends, finished or not; its epochs are not scaled to fit.
    """

    name: str
    overrides: Sequence[str] = ()
    folds: Sequence[int] = ()
    each_fold: bool = False
    on: str | None = None
    hours: float | None = None

    @property
    def entry(self) -> Entry:
        return get_entry(self.name)

    @property
    def here(self) -> RunFolder:
        return RunFolder(paths.runs() / run_name(self.name, self.overrides))

    @property
    def kernels(self) -> list[Fold]:
        """The fold of each kernel."""
        folds = self.entry.recipe(self.overrides).fold_numbers if self.each_fold else self.folds
        return [*folds] or [None]

    def check(self, fold: Fold = None) -> None:
        """Refuse what would fail on Kaggle, or cannot be asked of this entry."""
        check(self.entry, self.overrides, fold, self.hours, self.on)

    def kernel(self, api: "KaggleApi", fold: Fold) -> KernelRun:
        name = kernel_name(self.here.name, fold)
        ref = read_metadata(self.entry).filled(user_name(api), name).id
        return KernelRun(api, ref, paths.project() / "build" / name, fold=fold)

    def build(self, api: "KaggleApi", fold: Fold, resume: bool) -> KernelBuild:
        """Build the kernel; to `resume`, its last version must have left a run."""
        left = self._sources_of_last_version(self.kernel(api, fold)) if resume else None
        return build(self.name, user_name(api), self.overrides, fold, self.hours, left, self.on)

    def command(self, word: str, folds: Iterable[Fold] = ()) -> str:
        """The command line that does this with these folds' kernels."""
        changes = [f"--set {shlex.quote(override)}" for override in self.overrides]
        numbers = [f"--fold {fold}" for fold in folds if fold is not None]
        on = [f"--on {self.on}"] if self.on and word == "push" else []
        return " ".join(["podium", word, self.name, *changes, *numbers, *on])

    def _sources_of_last_version(self, kernel: KernelRun) -> str:
        """What the last version of a kernel was made from, whose run is there to go on with.

        Raises:
            KaggleError: there is none, it runs still, or it left no run, or another recipe's.
        """
        kernel.ask()
        if not kernel.has_ended:
            raise KaggleError(
                f"{kernel.ref} is {kernel.status}: --resume goes on once it has ended"
            )
        name = self.here.name
        with tempfile.TemporaryDirectory() as folder:
            left = RunFolder(Path(folder, "weights", name))
            kernel.fetch_output(Path(folder), only=f"weights/{name}/run.json")
            if not left.exists:
                raise KaggleError(
                    f"the last version of {kernel.ref} left no run {name}, so that there is "
                    "nothing to resume: push it without --resume"
                )
            sources = str(left.read_run().get("sources"))
            try:
                recipe = resolve_backbone(self.entry.recipe(self.overrides), left)
                left.begin(recipe, {}, fresh=False)
            except RunError as error:  # the kernel would say so as well, but only once it runs
                raise KaggleError(str(error).replace(str(left.path), kernel.ref)) from error
        return sources


def push_entry(
    run: RunOnKaggle,
    wait: bool = False,
    fresh: bool = False,
    resume: bool = False,
    at_once: int | None = None,
    poll_seconds: float = POLL_SECONDS,
) -> RunResult | CollectedBlend | None:
    """Build and push an entry; with `wait`, follow it and collect its run.

    Args:
        fresh: replace what is in weights/ already; else each fold is one that is not there yet.
        resume: go on with the run that the kernel's last version left unfinished.
        at_once: kernels that may run at the same time; by default what accounts usually may.

    Raises:
        KernelFailed: names what did not run to its end; what did is collected all the same.
        KaggleError: Kaggle refuses, or cannot be reached, or there is nothing to resume.
    """
    if run.entry.is_ensemble and (resume or run.hours):
        raise KaggleError(f"{run.name} averages runs, which takes no time: push it as it is")
    to_push = _folds_to_push(run, fresh, resume)
    if not to_push:
        print(f"all folds are in {run.here.path} already; --fresh pushes them again")
        return _combine(run.here)
    for fold in to_push:
        run.check(fold)  # before any call
    api = connect()
    builds = [run.build(api, fold, resume) for fold in to_push]
    machine = builds[0].metadata.machine
    estimate = project(run.name, machine, run.overrides, run.folds, run.hours)
    quota = [quota_left(api, machine.kind)] if machine.shape else []
    print(*builds, estimate, *quota, sep="\n\n", end="\n\n", flush=True)
    collect_command = run.command("collect", to_push)
    at_once = at_once or machine.sessions
    if not wait:
        if len(builds) > at_once:
            raise KaggleError(
                f"{len(builds)} kernels, and {at_once} may run at once: --wait pushes the others "
                "as places get free"
            )
        for built in builds:
            print(f"pushed: {push(api, built).page}", flush=True)
        print(f"when it has run: {collect_command}")
        return None
    try:
        ended = push_and_follow(api, builds, at_once, poll_seconds)
    except KeyboardInterrupt as error:
        raise KaggleError(
            f"interrupted; what was pushed runs on, and `{collect_command} --wait` follows it again"
        ) from error
    _collect_complete(ended, run.here, fresh)
    _raise_failed(ended, run)
    return _combine(run.here)


def collect_entry(
    run: RunOnKaggle,
    wait: bool = False,
    fresh: bool = False,
    poll_seconds: float = POLL_SECONDS,
) -> RunResult | CollectedBlend:
    """Bring the run of an entry that was pushed earlier into weights/.

    Raises:
        KernelFailed: the kernel, or a fold's, ended with an error or runs still.
    """
    run.check()
    api = connect()
    kernels = [run.kernel(api, fold) for fold in run.kernels]
    for kernel in kernels:
        kernel.label = f"[{kernel.folder.name}] " if len(kernels) > 1 else ""
        kernel.follow(poll_seconds) if wait else kernel.ask()
    _collect_complete(kernels, run.here, fresh)
    failed = [str(kernel) for kernel in kernels if not kernel.is_complete]
    if failed:
        hint = "" if wait else ". --wait shows the log of what has ended"
        raise KernelFailed("; ".join(failed) + hint)
    return _combine(run.here)


def _folds_to_push(run: RunOnKaggle, fresh: bool, resume: bool) -> list[Fold]:
    """One kernel for all folds, or one for each that is asked for and not here yet."""
    finished = [] if fresh else run.here.finished_folds()
    if run.each_fold:
        return [fold for fold in run.kernels if fold not in finished]
    doubled = [fold for fold in finished if not run.folds or fold in run.folds]
    if doubled and not resume:  # which brings a run with these folds in it
        raise RunError(
            f"{run.here.path} has fold {', '.join(map(str, doubled))} already: go on with "
            "--resume, push what is missing with --each-fold, or all of it again with --fresh"
        )
    return run.kernels


def _collect_complete(kernels: Sequence[KernelRun], run: RunFolder, fresh: bool) -> None:
    """Collect what completed; what is wrong with one output keeps none of the others away.

    Raises:
        Busy: another process writes one of the folds.
        KernelFailed: an output is not this run's, or not whole.
    """
    errors = []
    for kernel in kernels:
        if kernel.is_complete:
            try:
                with run.writing(None if kernel.fold is None else [kernel.fold]):
                    _collect(kernel, run, fresh)
            except (KaggleError, RunError) as error:
                errors.append(str(error))
    if errors:
        raise KernelFailed("; ".join(errors))


def _collect(kernel: KernelRun, into: RunFolder, fresh: bool) -> None:
    """Fetch what a kernel left and add it to the run in weights/.

    Raises:
        KernelFailed: it ended before all its folds were finished; those that are were taken.
        KaggleError: this run is not in its output.
        RunError: weights/ has another run of this name. The output stays in build/.
    """
    output = kernel.folder / "output"
    shutil.rmtree(output, ignore_errors=True)
    kernel.fetch_output(output)
    part = RunFolder(output / "weights" / into.name)
    if not part.exists:
        raise KaggleError(
            f"{kernel.ref} left no run {into.name}; what it did leave, and its log, is in {output}"
        )
    unfinished: set[int] = set()
    with into.sharing():
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
    if run.read_blended():
        return CollectedBlend(run)
    with run.sharing():
        return assemble(run)


def _raise_failed(ended: Sequence[KernelRun], run: RunOnKaggle) -> None:
    """Name what did not run to its end, and the command that pushes that alone."""
    failed = [kernel for kernel in ended if not kernel.is_complete]
    if failed:
        reasons = (
            f"{kernel} (its log: {kernel.log_file})" if kernel.log_file.is_file() else f"{kernel}"
            for kernel in failed
        )
        again = run.command("push", [kernel.fold for kernel in failed])
        raise KernelFailed(
            f"{'; '.join(reasons)}. On from where it stopped, or again: {again} [--resume] --wait"
        )
