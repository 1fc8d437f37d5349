"""The commands for kernels: push an entry, or each of its folds, and collect what they leave."""

import shlex
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from podium import paths
from podium.kaggle.build import build
from podium.kaggle.client import KaggleError, connect, user_name
from podium.kaggle.following import KernelRun, push, push_and_follow, quota_left
from podium.kaggle.kernel import Kernel
from podium.kaggle.projection import project
from podium.predictions.blend import adopt_blend
from podium.predictions.combine import assemble
from podium.predictions.result import RunResult
from podium.predictions.score import Score
from podium.runs.fold_folder import RunError
from podium.runs.merge import merge_run
from podium.runs.run_folder import RunFolder
from podium.training.warm_start import resolve_backbone

if TYPE_CHECKING:
    from kaggle.api.kaggle_api_extended import KaggleApi


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
        whole: the kernel of all folds; that of one differs from it by the fold alone.
        folds: a kernel for each of these folds.
        each_fold: a kernel for each of all folds.
    """

    whole: Kernel
    folds: Sequence[int] = ()
    each_fold: bool = False

    @property
    def here(self) -> RunFolder:
        return RunFolder(paths.runs() / self.whole.run)

    @property
    def kernels(self) -> list[Kernel]:
        folds = self.folds
        if self.each_fold:
            folds = self.whole.entry.recipe(self.whole.overrides).fold_numbers
        return [replace(self.whole, fold=fold) for fold in folds or [None]]

    def command(self, word: str, kernels: Iterable[Kernel | KernelRun]) -> str:
        """The command line that does this with these of its kernels."""
        whole = self.whole
        words = ["podium", word, whole.entry_name, *whole.arguments]
        for kernel in kernels:
            words += ["--fold", str(kernel.fold)] if kernel.fold is not None else []
        if whole.on and word == "push":
            words += ["--on", whole.on]
        return shlex.join(words)


def push_entry(
    run: RunOnKaggle,
    wait: bool = False,
    fresh: bool = False,
    resume: bool = False,
    at_once: int | None = None,
    poll_seconds: float = 10.0,
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
    whole, entry = run.whole, run.whole.entry
    if entry.is_ensemble and (resume or whole.hours):
        raise KaggleError(f"{entry.name} averages runs, which takes no time: push it as it is")
    to_push = _kernels_to_push(run, fresh, resume)
    if not to_push:
        print(f"all folds are in {run.here.path} already; --fresh pushes them again")
        return _combine(run.here)
    for kernel in to_push:
        kernel.check()  # before any call
    api = connect()
    builds = []
    for kernel in to_push:
        left = _sources_of_last_version(api, kernel) if resume else None
        builds.append(build(kernel, user_name(api), left))
    machine = builds[0].metadata.machine
    estimate = project(whole, machine, run.folds)
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
    poll_seconds: float = 10.0,
) -> RunResult | CollectedBlend:
    """Bring the run of an entry that was pushed earlier into weights/.

    Raises:
        KernelFailed: the kernel, or a fold's, ended with an error or runs still.
    """
    run.whole.check()
    api = connect()
    kernels = [KernelRun.last(api, kernel) for kernel in run.kernels]
    for kernel in kernels:
        kernel.label = f"[{kernel.folder.name}] " if len(kernels) > 1 else ""
        kernel.follow(poll_seconds) if wait else kernel.ask()
    _collect_complete(kernels, run.here, fresh)
    failed = [str(kernel) for kernel in kernels if not kernel.is_complete]
    if failed:
        hint = "" if wait else ". --wait shows the log of what has ended"
        raise KernelFailed("; ".join(failed) + hint)
    return _combine(run.here)


def _kernels_to_push(run: RunOnKaggle, fresh: bool, resume: bool) -> list[Kernel]:
    """One kernel for all folds, or one for each that is asked for and not here yet."""
    finished = [] if fresh else run.here.finished_folds()
    if run.each_fold:
        return [kernel for kernel in run.kernels if kernel.fold not in finished]
    doubled = [fold for fold in finished if not run.folds or fold in run.folds]
    if doubled and not resume:  # which brings a run with these folds in it
        raise RunError(
            f"{run.here.path} has fold {', '.join(map(str, doubled))} already: go on with "
            "--resume, push what is missing with --each-fold, or all of it again with --fresh"
        )
    return run.kernels


def _sources_of_last_version(api: "KaggleApi", kernel: Kernel) -> str:
    """What the last version of a kernel was made from, whose run is there to go on with.

    Raises:
        KaggleError: there is none, it runs still, or it left no run, or another recipe's.
    """
    last, name = KernelRun.last(api, kernel), kernel.run
    last.ask()
    if not last.has_ended:
        raise KaggleError(f"{last.ref} is {last.status}: --resume goes on once it has ended")
    with tempfile.TemporaryDirectory() as folder:
        left = RunFolder(Path(folder, "weights", name))
        last.fetch_output(Path(folder), only=f"weights/{name}/run.json")
        if not left.exists:
            raise KaggleError(
                f"the last version of {last.ref} left no run {name}, so that there is nothing to "
                "resume: push it without --resume"
            )
        sources = str(left.read_run().get("sources"))
        try:
            recipe = resolve_backbone(kernel.entry.recipe(kernel.overrides), left)
            left.begin(recipe, {}, fresh=False)
        except RunError as error:  # the kernel would say so as well, but only once it runs
            raise KaggleError(str(error).replace(str(left.path), last.ref)) from error
    return sources


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
        again = run.command("push", failed)
        raise KernelFailed(
            f"{'; '.join(reasons)}. On from where it stopped, or again: {again} [--resume] --wait"
        )
