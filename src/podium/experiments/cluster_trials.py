"""Trials on a cluster: all folds of a recipe side by side, and others beside it."""

from collections.abc import Callable
from contextlib import ExitStack

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
