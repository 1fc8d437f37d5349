"""A run, from an entry's recipe to its submission: the way through, in that order."""

import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from podium import paths
from podium.competitions import get_competition
from podium.data.table import prepare_table, read_table
from podium.files.atomic_write import require_writable
from podium.predictions.combine import RunResult, assemble, write_submission, write_test
from podium.recipes.entries import get_entry
from podium.recipes.recipe import Recipe
from podium.runs.find_run import find_run
from podium.runs.fold_folder import RunError
from podium.runs.run import Run
from podium.runs.run_folder import RunFolder, check_name, run_name
from podium.system import about_this_run, import_tensorflow, training_minutes
from podium.training.preflight import check_recipe
from podium.training.warm_start import check_warm_starts, resolve_backbone

if TYPE_CHECKING:  # imports TensorFlow, which takes seconds
    from podium.training.fold_runner import FoldRunner


def train(
    entry: str,
    overrides: Iterable[str] = (),
    folds: Iterable[int] = (),
    run: str | None = None,
    fresh: bool = False,
) -> RunResult:
    """Train an entry, or go on where a killed run stopped.

    Args:
        overrides: `key=value` changes to the entry's recipe.
        folds: which to train; all if none is given.
        run: name of the run folder; by default the entry's name and the overrides.
        fresh: begin again where there is a run of that name.

    Raises:
        ValueError: a user's mistake, with what to do about it.
    """
    folder, fold_run = _train_folds(entry, overrides, folds, run, fresh, test=True)
    outcome = assemble(folder)
    from podium.reports.report import report_after_training  # matplotlib takes a second

    trained = fold_run is not None
    return replace(outcome, report=report_after_training(folder, fold_run, keep=not trained))


def train_to_score(entry: str, overrides: Iterable[str], folds: Iterable[int], run: str) -> None:
    """As `train`, but only as far as an experiment needs it: no test image is predicted.

    `train` and `predict` do that later, with the weights that are there.
    """
    _train_folds(entry, overrides, folds, run, fresh=False, test=False)


def _train_folds(
    entry: str,
    overrides: Iterable[str],
    folds: Iterable[int],
    run: str | None,
    fresh: bool,
    test: bool,
) -> "tuple[RunFolder, FoldRunner | None]":
    """The run's folder, and what has trained its folds, if some were to be trained."""
    began = time.monotonic()
    overrides = list(overrides)
    name = run_name(entry, overrides) if run is None else check_name(run)
    folder = RunFolder(paths.runs() / name)
    recipe = resolve_backbone(get_entry(entry).recipe(overrides), folder, fresh)
    check_recipe(recipe, folder, fresh)
    competition = get_competition(recipe.competition)
    chosen = _chosen_folds(recipe, folds)
    competition.folder()  # without data no run begins and, with --fresh, none is erased
    require_writable(paths.submission(name).parent)  # a folder that is needed at the very end
    folder.begin(recipe, {"entry": entry, **about_this_run()}, fresh)
    table = prepare_table(competition, recipe, folder)

    fold_run = None
    there = folder.finished_folds() if test else folder.scored_folds()
    to_do = [fold for fold in chosen if fold not in there]
    check_warm_starts(Run(folder, recipe, competition, table), to_do)
    if to_do:
        import_tensorflow(recipe.threads)
        from podium.training.fold_runner import (
            FoldRunner,  # imports TensorFlow, which takes seconds
        )

        fold_run = FoldRunner(competition, recipe, folder, table)
        for number, fold in enumerate(to_do, start=1):
            print(f"\nfold {fold} ({number} of {len(to_do)})", flush=True)
            if not folder.fold(fold).can_predict:
                fold_run.train(fold, _deadline(recipe, began, number / len(to_do)))
                fold_run.score(fold, recipe.views)
            if test:
                fold_run.predict_test(fold, recipe.views)
    return folder, fold_run


def predict(run: str, views: int | None = None) -> tuple[RunFolder, Path]:
    """Predict the test images of a trained run again, and write its submission.

    Args:
        run: name or path of the run folder.
        views: how many of `VIEWS`, which all count alike; by default those of the recipe, of
            which those are averaged that gain.
    """
    folder = find_run(run)
    recipe = folder.read_recipe()
    competition = get_competition(recipe.competition)
    table = read_table(competition, folder)
    folds = folder.scored_folds()
    if not folds:
        raise RunError(f"{folder.path} has no trained fold yet: train it to its end first")
    import_tensorflow(recipe.threads)
    from podium.training.fold_runner import FoldRunner

    fold_run = FoldRunner(competition, recipe, folder, table)
    for number, fold in enumerate(folds, start=1):
        print(f"\nfold {fold} ({number} of {len(folds)})", flush=True)
        fold_run.predict_test(fold, views or recipe.views)
    if views is None:
        return folder, assemble(folder).submission
    write_test(folder, competition, table, folds)
    return folder, write_submission(folder, competition, table.test.index)


def _chosen_folds(recipe: Recipe, folds: Iterable[int]) -> list[int]:
    chosen = sorted(set(folds)) or recipe.fold_numbers
    for fold in chosen:
        recipe.check_fold(fold)
    return chosen


def _deadline(recipe: Recipe, began: float, share: float) -> float | None:
    """When the fold must be predicted that ends this share of the time budget."""
    minutes = training_minutes(recipe.time_budget)
    return began + minutes * 60 * share if minutes else None
