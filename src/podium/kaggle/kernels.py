"""The commands for kernels: push an entry, or each of its folds, and collect what they leave."""

import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from podium import paths
from podium.kaggle.build import KernelBuild, build, check
from podium.kaggle.client import KaggleError, connect, explained, user_name
from podium.kaggle.collect import CollectedBlend, collect, write_collected
from podium.kaggle.follow import POLL_SECONDS, KaggleKernel, KernelStatus, follow, status_of
from podium.kaggle.metadata import check_owner, kernel_name
from podium.kaggle.push import push, run_kernels
from podium.predictions.combine import RunResult
from podium.recipes.entries import get_entry
from podium.runs.fold_folder import RunError
from podium.runs.run_folder import RunFolder, run_name

if TYPE_CHECKING:
    from kaggle.api.kaggle_api_extended import KaggleApi

Fold = int | None  # None: all of them in one kernel


class KernelFailed(KaggleError):
    """A kernel ended without having done its work."""


def push_entry(
    entry: str,
    overrides: Iterable[str] = (),
    folds: Iterable[int] = (),
    each_fold: bool = False,
    wait: bool = False,
    fresh: bool = False,
    at_once: int | None = None,
    poll_seconds: float = POLL_SECONDS,
) -> RunResult | CollectedBlend | None:
    """Build and push an entry; with `wait`, follow it and collect its run.

    Args:
        folds: a kernel for each of these folds.
        each_fold: a kernel for each fold that is not in weights/ yet.
        fresh: replace what is in weights/ already.
        at_once: kernels that may run at the same time; by default what accounts usually may.

    Raises:
        KernelFailed: names what did not run to its end; what did is collected all the same.
        KaggleError: Kaggle refuses, or cannot be reached.
    """
    overrides = list(overrides)
    run = RunFolder(paths.runs() / run_name(entry, overrides))
    to_push = _to_push(entry, overrides, list(folds), each_fold, run, fresh)
    if not to_push:
        print(f"all folds are in {run.path} already; --fresh pushes them again")
        return write_collected(run)
    for fold in to_push:
        check(get_entry(entry), overrides, fold)  # before any call
    api = connect()
    user = user_name(api)
    builts = [build(entry, user, overrides, fold) for fold in to_push]
    for built in builts:
        check_owner(built.metadata, user)
        print(f"{built}\n", flush=True)
    command = _command("collect", entry, overrides, to_push)
    at_once = at_once or builts[0].metadata.sessions
    if not wait:
        _push_only(api, builts, at_once, command)
        return None
    try:
        ended = run_kernels(api, builts, at_once, poll_seconds)
    except KeyboardInterrupt as error:
        raise KaggleError(
            f"interrupted; what was pushed runs on, and `{command} --wait` follows it again"
        ) from error
    _collect_all(api, ended, run.name, fresh, builts[0].payload.sources)
    _raise_failed(ended, builts, _command("push", entry, overrides, ()))
    return write_collected(run)


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
    run = run_name(entry, overrides)
    chosen: list[Fold] = [*folds]
    if each_fold:
        chosen = [*get_entry(entry).recipe(overrides).fold_numbers]
    metadata = check(get_entry(entry), overrides)
    api = connect()
    ended = []
    for fold in chosen or [None]:
        name = kernel_name(run, fold)
        kernel = KaggleKernel(
            metadata.of(user_name(api), name).id,
            paths.project() / "build" / name,
            f"[{name}] " if len(chosen) > 1 else "",
        )
        ended.append(follow(api, kernel, poll_seconds) if wait else _ask(api, kernel))
    _collect_all(api, ended, run, fresh)
    failed = [str(end) for end in ended if not end.complete]
    if failed:
        log = "" if wait else ". --wait shows the log of what has ended"
        raise KernelFailed("; ".join(failed) + log)
    return write_collected(RunFolder(paths.runs() / run))


def _collect_all(
    api: "KaggleApi", ended: list[KernelStatus], run: str, fresh: bool, sources: str | None = None
) -> None:
    """Bring what completed; what is wrong with one output keeps none of the others away."""
    errors: list[ValueError] = []
    for end in ended:
        if end.complete:
            try:
                collect(api, end.kernel, run, fresh, sources)
            except (KaggleError, RunError) as error:
                errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise KernelFailed("; ".join(str(error) for error in errors))


def _to_push(
    entry: str, overrides: list[str], folds: list[int], each_fold: bool, run: RunFolder, fresh: bool
) -> list[Fold]:
    """One kernel for all folds, or one for each that is asked for and not here yet."""
    here = [] if fresh else run.finished_folds()
    if each_fold:
        numbers = get_entry(entry).recipe(overrides).fold_numbers
        return [fold for fold in numbers if fold not in here]
    doubled = [fold for fold in here if not folds or fold in folds]
    if doubled:
        raise RunError(
            f"{run.path} has fold {', '.join(map(str, doubled))} already: push what is missing "
            "with --each-fold, or all of it again with --fresh"
        )
    return [*folds] or [None]


def _push_only(api: "KaggleApi", builts: Sequence[KernelBuild], at_once: int, command: str) -> None:
    if len(builts) > at_once:
        raise KaggleError(
            f"{len(builts)} kernels, and {at_once} may run at once: --wait pushes the others as "
            "places get free"
        )
    for built in builts:
        print(f"pushed: {push(api, built)}", flush=True)
    print(f"when it has run: {command}")


def _ask(api: "KaggleApi", kernel: KaggleKernel) -> KernelStatus:
    """How a kernel is now; one that still runs has not completed."""
    unknown = f"no kernel {kernel.ref} on Kaggle, or it is not yours: push it first"
    with explained(f"asking how {kernel.ref} is", unknown, unknown):
        status, message = status_of(api, kernel.ref)
    return KernelStatus(kernel, status, message)


def _raise_failed(ended: list[KernelStatus], builts: Sequence[KernelBuild], command: str) -> None:
    """Name what did not run to its end, and the command that pushes that alone."""
    folds = {built.metadata.id: built.fold for built in builts}
    failed = [end for end in ended if not end.complete]
    if not failed:
        return
    said = "; ".join(
        f"{end}" + f" (its log: {end.kernel.log})" * end.kernel.log.is_file() for end in failed
    )
    words = [
        f"--fold {folds[end.kernel.ref]}" for end in failed if folds[end.kernel.ref] is not None
    ]
    raise KernelFailed(f"{said}. Again: {' '.join([command, *words])} --wait")


def _command(word: str, entry: str, overrides: list[str], folds: Iterable[Fold]) -> str:
    changes = [f"--set {shlex.quote(override)}" for override in overrides]
    numbers = [f"--fold {fold}" for fold in folds if fold is not None]
    return " ".join(["podium", word, entry, *changes, *numbers])
