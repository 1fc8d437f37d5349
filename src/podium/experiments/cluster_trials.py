"""Trials on a cluster: the folds of many recipes side by side, each to its score."""

import time
from collections.abc import Callable
from contextlib import ExitStack

import optuna

from podium.experiments.grid import Combination
from podium.experiments.trial import (
    TrialDiverged,
    TrialFailed,
    TrialResult,
    copy_table,
    is_scored,
    measure,
    run_of,
)
from podium.files.locks import Busy
from podium.runs.run_folder import RunFolder
from podium.training.cluster.driver import Cluster, Failures
from podium.training.train import open_to_train

Outcome = TrialResult | TrialFailed


def add_trial(
    cluster: Cluster,
    combination: Combination,
    folds: list[int],
    earlier: RunFolder | None,
    then: Callable[[Outcome], None],
) -> None:
    """Have those folds of a combination trained that have no score yet.

    Args:
        earlier: as `run_trial` has it.
        then: called with what came of it, at once where all is there already.
    """
    run, held = run_of(combination), ExitStack()
    if is_scored(run, folds):
        return then(measure(combination, run, folds))
    if earlier is not None and earlier.exists:
        copy_table(earlier, run, combination.recipe)
    asked = open_to_train(combination.entry, combination.overrides, folds, run.name, test=False)
    try:
        opened, to_do = held.enter_context(asked)
    except Busy:
        raise
    except (ValueError, OSError) as error:
        return then(TrialFailed(str(error)))

    def ended(failures: Failures) -> None:
        held.close()
        if not failures:
            return then(measure(combination, run, folds))
        fold, (kind, reason) = min(failures.items())
        failed = TrialDiverged if kind == "diverged" else TrialFailed
        return then(failed(f"fold {fold}: {reason}"))

    return cluster.add_folds(opened, to_do, None, False, ended)


def search(
    cluster: Cluster,
    study: optuna.Study,
    suggest: Callable[[optuna.Trial], Combination],
    tell: Callable[[optuna.Trial, Outcome], None],
    folds: list[int],
    goes_on: Callable[[int], bool],
    heartbeat: float,
    tables: list[RunFolder],
) -> None:
    """Ask a study for as many trials as there is room for, and for the next when one has ended.

    Args:
        suggest: the recipe of a trial.
        tell: the study what came of it.
        goes_on: whether another trial begins beside so many that run.
        heartbeat: seconds between two signs of life of what runs, in the study.
        tables: runs whose table of images a trial may take; its own joins them.
    """
    running: dict[str, optuna.Trial] = {}
    beaten = time.monotonic()

    def ask() -> None:
        while goes_on(len(running)):
            trial = study.ask()
            combination = suggest(trial)
            run = run_of(combination)
            if run.name in running:  # the same once more: it is asked again when that one is told
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
                return
            running[run.name] = trial
            earlier = next((one for one in tables if one.exists), None)
            tables.append(run)

            def ended(outcome: Outcome, name: str = run.name) -> None:
                tell(running[name], outcome)
                del running[name]

            add_trial(cluster, combination, folds, earlier, ended)

    def idle() -> None:
        nonlocal beaten
        if time.monotonic() - beaten >= heartbeat:
            beaten = time.monotonic()
            for trial in running.values():
                study._storage.record_heartbeat(trial._trial_id)
        ask()

    optuna.storages.fail_stale_trials(study)
    cluster.scheduler.idle = idle
    try:
        while goes_on(len(running)):
            ask()
            cluster.run()
    except BaseException:
        for trial in running.values():
            study.enqueue_trial(trial.params)  # the same call goes on with it
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        raise
