"""The recipe of the whole, read from top to bottom: from an entry to its submission."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from podium import paths
from podium.competitions import get_competition
from podium.data.table import open_to_predict, prepare_run
from podium.files.atomic_write import require_writable
from podium.predictions.combine import assemble, write_submission, write_test
from podium.predictions.result import RunResult
from podium.recipes.recipe import Recipe
from podium.runs.find_run import find_run
from podium.runs.fold_folder import RunError
from podium.runs.run import Run
from podium.runs.run_folder import RunFolder, check_name, run_name
from podium.system import about_this_run, start_backend, training_minutes
from podium.training.preflight import check_recipe, read_recipe
from podium.training.warm_start import find_initial_weights, resolve_backbone

if TYPE_CHECKING:  # imports TensorFlow, which takes seconds
    from podium.training.cluster.driver import Cluster
    from podium.training.fold_runner import FoldRunner


def train(
    entry: str,
    overrides: Iterable[str] = (),
    folds: Iterable[int] = (),
    run: str | None = None,
    fresh: bool = False,
    minutes: float | None = None,
    preset: str | None = None,
    cluster: "Cluster | None" = None,
) -> RunResult:
    """Train an entry, or go on where a killed run stopped, and write its submission.

    Args:
        overrides: `key=value` changes to the entry's recipe.
        folds: to train; all if none is given.
        run: name of the run folder; by default the entry's name, the preset and the overrides.
        fresh: begin again where there is a run of that name.
        minutes: that this may take, prediction included; by default what the recipe says.
        preset: a key of `PRESETS`, whose recipe takes the place of the entry's.
        cluster: trains the folds in place of this machine.

    Raises:
        ValueError: a user's mistake, with what to do about it.
    """
    began = time.monotonic()
    with open_to_train(entry, overrides, folds, run, fresh, True, preset) as (opened, to_do):
        end, runner = _end(began, minutes, opened.recipe), None
        if to_do and cluster:
            cluster.train(opened, to_do, end, test=True)
        elif to_do:
            runner = train_opened(opened, to_do, end, test=True)

    # ---- Combine: folds joined by id, views kept where they gain, score, submission -------------
    with opened.folder.sharing():
        return replace(assemble(opened.folder), runner=runner)


def train_to_score(entry: str, overrides: Iterable[str], folds: Iterable[int], run: str) -> None:
    """Train as `train` does, as far as an experiment needs it: no test image is predicted.

    `train` and `predict` do that later, with the weights that are there.
    """
    began = time.monotonic()
    with open_to_train(entry, overrides, folds, run, test=False) as (opened, to_do):
        if to_do:
            train_opened(opened, to_do, _end(began, None, opened.recipe), test=False)


def _end(began: float, minutes: float | None, recipe: Recipe) -> float | None:
    """`time.monotonic()` at which a run must have ended; None: no limit."""
    minutes = training_minutes(minutes or recipe.time_budget)
    return None if minutes is None else began + 60 * minutes


@contextmanager
def open_to_train(
    entry: str,
    overrides: Iterable[str],
    folds: Iterable[int],
    run: str | None,
    fresh: bool = False,
    test: bool = True,
    preset: str | None = None,
) -> Iterator[tuple[Run, list[int]]]:
    """The run, checked, with its table, and those of the folds that are to be trained.

    Nobody else writes these folds meanwhile.
    """
    # ---- Recipe: the entry's, with the changes of the command line ------------------------------
    overrides = list(overrides)
    named = f"{entry}-{preset}" if preset else entry
    name = check_name(run_name(named, overrides) if run is None else run)
    folder = RunFolder(paths.runs() / name)
    recipe = resolve_backbone(read_recipe(entry, overrides, preset), folder, fresh)

    # ---- Checks: whatever would fail only after minutes -----------------------------------------
    check_recipe(recipe, folder, fresh)
    chosen = sorted(set(folds)) or recipe.fold_numbers
    for fold in chosen:
        recipe.check_fold(fold)
    # Without data no run begins and, with --fresh, none is erased.
    competition = get_competition(recipe.competition)
    competition.folder()
    require_writable(paths.submission(name).parent)  # needed at the very end
    # One process writes a fold; what the folds share is written while no other process does.
    with folder.writing(chosen):
        with folder.sharing():
            about = {"entry": entry, **({"preset": preset} if preset else {}), **about_this_run()}
            recipe = folder.begin(recipe, about, fresh)
            folder.keep_declaration(competition.declared_in)

            # ---- Table: images read, near-duplicates grouped, folds split; stored once ----------
            opened = prepare_run(folder, recipe)
        finished = folder.finished_folds() if test else folder.scored_folds()
        to_do = [fold for fold in chosen if fold not in finished]
        for fold in to_do:  # each has a network to start from, where the recipe asks for one
            if not folder.fold(fold).can_predict:
                find_initial_weights(opened, fold)
        yield opened, to_do


def train_opened(opened: Run, to_do: list[int], end: float | None, test: bool) -> "FoldRunner":
    """Train, score and, for a `test`, predict these folds until the time is over."""
    recipe, folder = opened.recipe, opened.folder

    # ---- Folds: each trains its stages, is scored, and predicts the test images -----------------
    runner = start_runner(opened)
    for number, fold in enumerate(to_do, start=1):
        print(f"\nfold {fold} ({number} of {len(to_do)})", flush=True)
        if not folder.fold(fold).can_predict:
            now, left = time.monotonic(), len(to_do) - number + 1  # folds, which share the time
            runner.train(fold, None if end is None else now + (end - now) / left)
            runner.score(fold)
        if test:
            runner.predict_test(fold, recipe.views)
    return runner


def predict(
    run: str, views: int | None = None, cluster: "Cluster | None" = None
) -> tuple[RunFolder, Path]:
    """Predict the test images of a trained run again, and write its submission.

    Args:
        run: name or path of the run folder.
        views: how many of `VIEWS`, which all count alike; by default those of the recipe, of
            which those are averaged that gain.
    """
    folder = find_run(run)
    folds = folder.scored_folds()
    if not folds:
        raise RunError(f"{folder.path} has no trained fold yet: train it to its end first")
    with folder.writing(folds):
        opened = open_to_predict(folder)
        if not opened.competition.has_test:
            raise RunError(
                f"{opened.competition.name} has no test images; podium classify predicts"
            )
        if cluster is not None:
            cluster.predict(opened, folds, views or opened.recipe.views)
        else:
            runner = start_runner(opened)
            for number, fold in enumerate(folds, start=1):
                print(f"\nfold {fold} ({number} of {len(folds)})", flush=True)
                runner.predict_test(fold, views or opened.recipe.views)
        with folder.sharing():
            if views is None:
                return folder, assemble(folder).submission
            write_test(Run.open(folder), folds)
            return folder, write_submission(folder, opened.competition)


def start_runner(run: Run) -> "FoldRunner":
    """Import and start what Keras computes with, for the folds of an opened run."""
    start_backend(run.recipe.threads, run.recipe.deterministic)
    from podium.training.fold_runner import FoldRunner

    return FoldRunner(run)
