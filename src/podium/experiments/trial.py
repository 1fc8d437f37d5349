"""A trial: one recipe trained as far as its score, in a process of its own or on a cluster.

Trials in one process would all show the peak memory of the largest so far, and one that the
machine has no memory for would end them all.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any

from tqdm import tqdm

from podium import paths
from podium.experiments.grid import Combination
from podium.files.atomic_write import copy_whole
from podium.files.locks import Busy
from podium.predictions.combine import score_folds
from podium.predictions.result import FoldScores
from podium.predictions.score import direction
from podium.recipes.recipe import Recipe
from podium.runs.fold_folder import RunError
from podium.runs.run import Run
from podium.runs.run_folder import RunFolder, name_with_digest, run_name
from podium.system import is_out_of_memory
from podium.training.cluster.driver import Cluster, Failures
from podium.training.train import open_to_train, train_to_score
from podium.training.warm_start import resolve_backbone

# The keys that decide which images there are and how they are split.
DATA = {"competition", "limit", "folds", "shares", "seed", "broken_images"}


class TrialFailed(ValueError):
    """An error that a user can do something about; it ends the trial, and no other."""


class TrialDiverged(TrialFailed):
    """A training whose loss became infinite."""


@dataclass(frozen=True)
class TrialResult:
    """The score of a trial and its costs."""

    combination: Combination
    run: RunFolder
    combined: FoldScores
    seconds: int  # of training and scoring the folds
    peak_memory_gb: float

    @property
    def goodness(self) -> float:
        """The score, negative where a lower one is better."""
        return direction(self.combination.competition.metric) * self.combined.score.value

    def __str__(self) -> str:
        boxes = f", {self.combined.boxes.scores[0]}" if self.combined.boxes else ""
        return f"{self.combined.score}{boxes}, {self.seconds} seconds, {self.peak_memory_gb:.1f} GB"


Outcome = TrialResult | TrialFailed


def run_trial(combination: Combination, folds: list[int], earlier: RunFolder | None) -> TrialResult:
    """Train those folds of a combination that have no score yet, and measure all of them.

    Args:
        earlier: a run of the same comparison, whose table is used if there is one of the same
            images: to check and split them takes long.

    Raises:
        TrialFailed: a message for the user; the folds so far are kept.
    """
    run = run_of(combination)
    if not is_scored(run, folds):
        copy_table(earlier, run, combination.recipe)
        in_own_process(_train, combination.entry, combination.overrides, folds, run.name)
    return measure(combination, run, folds)


def add_trial(
    cluster: Cluster,
    combination: Combination,
    folds: list[int],
    earlier: RunFolder | None,
    then: Callable[[Outcome], None],
) -> None:
    """Have those folds of a combination trained that have no score yet, side by side.

    Args:
        earlier: as `run_trial` has it.
        then: called with what came of it, at once where all is there already.
    """
    run, held = run_of(combination), ExitStack()
    if is_scored(run, folds):
        return then(measure(combination, run, folds))
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


def run_of(combination: Combination) -> RunFolder:
    """The run folder of a combination: the one that `podium train` uses.

    If the entry was changed since that was trained, it is another one beside it: nothing that
    took hours to compute is replaced.
    """
    name = run_name(combination.entry, combination.overrides)
    folder, recipe = RunFolder(paths.runs() / name), combination.recipe
    with suppress(RunError):  # of an older Podium, or no training run
        if not folder.exists or folder.read_recipe() == resolve_backbone(recipe, folder):
            return folder
    return RunFolder(paths.runs() / name_with_digest(name, recipe.model_dump_json()))


def is_scored(run: RunFolder, folds: list[int]) -> bool:
    return set(folds) <= set(run.scored_folds())


def measure(combination: Combination, run: RunFolder, folds: list[int]) -> TrialResult:
    """Score these folds of a run, and add up their costs; nothing of the run is changed."""
    costs = [run.fold(fold).read_cost() for fold in folds]
    seconds = sum(cost["seconds"] for cost in costs)
    peak = max(cost["peak_memory_gb"] for cost in costs)
    return TrialResult(combination, run, score_folds(Run.open(run), folds), seconds, peak)


def in_own_process(function: Callable[..., None], *arguments: Any) -> None:
    """Call a function of a module in a process that ends with this one, however that ends.

    Raises:
        TrialFailed: the process was killed. An error of the function is raised as it is.
    """
    spawn = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
    with ProcessPoolExecutor(1, spawn, _end_with_parent) as pool:
        try:
            pool.submit(function, *arguments).result()
        except BrokenProcessPool:
            raise TrialFailed("its process was killed: was there too little memory?") from None
        except KeyboardInterrupt:
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def _end_with_parent() -> None:
    """Watch the parent: if it is killed, its next start would train the same run beside this."""

    def watch() -> None:
        wait([multiprocessing.parent_process().sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _train(entry: str, overrides: tuple[str, ...], folds: list[int], run: str) -> None:
    tqdm.set_lock(threading.RLock())  # an interrupted process would leak a semaphore
    try:
        train_to_score(entry, overrides, folds, run)
    except Busy:
        raise
    except Exception as error:
        if not (isinstance(error, ValueError | OSError) or is_out_of_memory(error)):
            raise
        name = type(error).__name__  # the class itself would import TensorFlow into the parent
        kind = TrialDiverged if name == "TrainingDiverged" else TrialFailed
        raise kind(str(error) or name) from error


def copy_table(source: RunFolder | None, target: RunFolder, recipe: Recipe) -> None:
    """Copy the table of a run, if there is one of the same images."""
    if source is None or not source.exists:
        return
    if recipe.model_dump(include=DATA) != source.read_recipe().model_dump(include=DATA):
        return
    for name in ("pictures.csv", "checked.json"):
        if (source.path / name).is_file() and not (target.path / name).exists():
            copy_whole(source.path / name, target.path / name)
