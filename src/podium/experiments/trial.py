"""One experiment: a run as far as its score, trained unless that was done before."""

import hashlib
from dataclasses import dataclass

from podium import paths
from podium.experiments import own_process
from podium.experiments.grid import Combination
from podium.predictions.combine import FoldScores, score_folds
from podium.recipes.recipe import Recipe
from podium.runs.fold_folder import RunError
from podium.runs.merge import copy_whole
from podium.runs.run import Run
from podium.runs.run_folder import RunFolder, run_name
from podium.training.warm_start import resolve_backbone

# What decides which images there are and how they are split.
DATA = ("competition", "limit", "folds", "shares", "seed", "broken_images")


@dataclass(frozen=True)
class TrialResult:
    """What an experiment came to."""

    combination: Combination
    run: RunFolder
    combined: FoldScores
    seconds: int  # of training and scoring the folds
    peak_memory_gb: float

    def __str__(self) -> str:
        boxes = f", {self.combined.boxes.scores[0]}" if self.combined.boxes else ""
        return f"{self.combined.score}{boxes}, {self.seconds} seconds, {self.peak_memory_gb:.1f} GB"


def run_experiment(
    combination: Combination, folds: list[int], alike: RunFolder | None = None
) -> TrialResult:
    """Train what is not trained yet of an experiment, in a process of its own.

    Args:
        alike: an earlier run of the same comparison; where it has the same images they are not
            checked and split again, which takes long.

    Raises:
        Failed: a message for the user; the folds so far are kept.
    """
    run = run_of(combination)
    if not is_scored(run, folds):
        split = alike.path if alike and _same_data(alike, combination.recipe) else None
        words = combination.entry, combination.overrides, folds, run.name, split
        own_process.call(_train, *words)
    return measure(combination, run, folds)


def run_of(combination: Combination) -> RunFolder:
    """The run folder of a combination: the one that `podium train` uses.

    Where that is a run of another recipe, because the entry was changed since, it is one beside
    it: nothing that took hours to compute is replaced.
    """
    name = run_name(combination.entry, combination.overrides)
    folder = RunFolder(paths.runs() / name)
    if folder.exists and not _has_recipe(folder, combination.recipe):
        return RunFolder(paths.runs() / f"{name}-{digest(combination.recipe)}")
    return folder


def is_scored(run: RunFolder, folds: list[int]) -> bool:
    return set(folds) <= set(run.scored_folds())


def digest(recipe: Recipe) -> str:
    return hashlib.sha256(recipe.model_dump_json().encode()).hexdigest()[:8]


def measure(combination: Combination, run: RunFolder, folds: list[int]) -> TrialResult:
    """Score these folds of a run, and add up what they cost; nothing of the run is changed."""
    costs = [run.fold(fold).read_cost() for fold in folds]
    return TrialResult(
        combination,
        run,
        score_folds(Run.open(run), folds),
        sum(cost["seconds"] for cost in costs),
        max(cost["peak_memory_gb"] for cost in costs),
    )


def _train(
    entry: str, overrides: tuple[str, ...], folds: list[int], run: str, split: str | None
) -> None:
    """In the process of the experiment."""
    from podium.training.train import train_to_score

    folder = paths.runs() / run
    if split and not (folder / "pictures.csv").is_file():
        copy_whole(split / "pictures.csv", folder / "pictures.csv")
        if (split / "checked.json").is_file():
            copy_whole(split / "checked.json", folder / "checked.json")
    train_to_score(entry, overrides, folds, run)


def _has_recipe(folder: RunFolder, recipe: Recipe) -> bool:
    try:
        return folder.read_recipe() == resolve_backbone(recipe, folder)
    except RunError:  # of an older Podium, or no training run
        return False


def _same_data(run: RunFolder, recipe: Recipe) -> bool:
    other = run.read_recipe()
    return all(getattr(other, key) == getattr(recipe, key) for key in DATA)
