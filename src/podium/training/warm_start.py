"""Runs that start from another run: with the backbone that it has trained, and a new head.

A fold starts from a network that has not been trained on what the fold scores. Of a run of the
same competition that is the network of the same fold, where both have the same split; a run of
another competition may give any. `fold-k/started_from.json` keeps what a network stems from.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from podium import paths
from podium.competitions import get_competition
from podium.recipes.recipe import RUN, Recipe
from podium.runs.fold_folder import FoldFolder, Row, RunError
from podium.runs.merge import gather_run
from podium.runs.run_folder import RunFolder
from podium.runs.table import Table
from podium.training.leakage import leak_reason, scored_by

if TYPE_CHECKING:  # takes seconds
    from podium.models.transfer import LayerWeights


class WarmStartError(RunError):
    """A run whose backbone cannot start another training, or must not."""


@dataclass(frozen=True)
class InitialWeights:
    """The network whose backbone a fold starts from."""

    name: str  # of its run, as the recipe has it
    run: RunFolder
    fold: int

    @property
    def lineage(self) -> list[Row]:
        """What is kept of it in the folder of the fold that starts: itself, then its own origin."""
        folder = self.run.fold(self.fold)
        competition = self.run.read_recipe().competition
        itself = {"run": self.name, "fold": self.fold, "competition": competition}
        return [{**itself, "weights": folder.digest()}, *folder.read_start()]

    def __str__(self) -> str:
        line = f"the backbone starts as that of run {self.name}, fold {self.fold}"
        recipe = self.run.read_recipe()
        if recipe.weights == "none" or self._learned(recipe):
            return line
        return f"warning: {line}, which is just {recipe.weights}: no stage there has changed it"

    def _learned(self, recipe: Recipe) -> bool:
        """Whether a stage trained the backbone, up to the epoch whose weights were kept."""
        try:
            rows = self.run.fold(self.fold).read_history()
        except FileNotFoundError:  # a soup's, whose ingredients' epochs are elsewhere
            return True
        kept = rows.iloc[rows["val_loss"].argmin() if recipe.keep == "best" else -1]
        return any(stage.unfreeze != "head" for stage in recipe.stages[: int(kept["stage"]) + 1])


def resolve_backbone(recipe: Recipe, into: RunFolder | None = None, fresh: bool = False) -> Recipe:
    """The recipe as it is run: its backbone is a network's name, whatever run the weights are of.

    So the run is read, and predicts, without the other one.

    Args:
        into: the folder of the run, where it is known. One that goes on has its backbone.
        fresh: it begins again.

    Raises:
        RunError: there is no run of that name, or it is a blend.
    """
    if recipe.started_from is None:
        return recipe
    weights = RUN + _same_everywhere(recipe.started_from)
    named = recipe.model_copy(update={"weights": weights})
    if not recipe.backbone.startswith(RUN):
        return named
    goes_on = into is not None and into.exists and not fresh
    before = into.read_recipe() if goes_on else None
    if before is None or before.weights != weights:
        before = gather_run(recipe.started_from).read_recipe()
    return named.model_copy(update={"backbone": before.backbone})


def check_warm_start(recipe: Recipe, into: RunFolder | None = None) -> None:
    """See that the run that a resolved recipe starts from is here and fits.

    Args:
        into: the folder that will be trained, where it is known.

    Raises:
        ValueError: it is missing, without weights, of another network, or this run itself.
    """
    name = recipe.started_from
    if name is None:
        return
    run = gather_run(name)
    if into is not None and run.path.resolve() == into.path.resolve():
        raise WarmStartError(
            f"weights from run {name!r}: it is this run itself; train under another name with "
            "--run NAME"
        )
    theirs = run.read_recipe().backbone
    if theirs != recipe.backbone:
        raise WarmStartError(
            f"weights from run {name!r}: its backbone is {theirs}, this recipe has "
            f'{recipe.backbone}; write backbone = "{RUN}{name}"'
        )
    _trained_folds(run)


def check_warm_starts(
    recipe: Recipe, folder: RunFolder, table: Table, folds: Iterable[int]
) -> None:
    """See that each of these folds, as far as it is still to begin, has a network to start from.

    Raises:
        ValueError: as `find_initial_weights`.
    """
    for fold in folds:
        if not folder.fold(fold).can_predict:
            find_initial_weights(recipe, folder, table, fold)


def find_initial_weights(
    recipe: Recipe, folder: RunFolder, table: Table, fold: int
) -> InitialWeights | None:
    """The network that a fold starts from; None where none is needed: it goes on, or from no run.

    Raises:
        ValueError: each network there has seen images that the fold scores, or the run is gone.
    """
    if recipe.started_from is None or _has_begun(folder.fold(fold)):
        return None
    check_warm_start(recipe, folder)
    run = gather_run(recipe.started_from)
    scored = scored_by(table, fold)
    reasons = []
    for number in sorted(_trained_folds(run), key=lambda number: (number != fold, number)):
        start = InitialWeights(recipe.started_from, run, number)
        why = _why_it_knows(start, scored, recipe.competition)
        if not why:
            return start
        reasons.append(why)
    raise WarmStartError(
        f"fold {fold} cannot start from run {recipe.started_from!r}: {reasons[0]}, so that its "
        f"score would be too good. Start from a run with the same split ({_split(recipe)}) that "
        "has this fold, or from one of other images"
    )


def read_backbone(start: InitialWeights) -> "LayerWeights":
    """The weights of the network's backbone.

    Raises:
        RunError: the file is damaged.
    """
    from podium.models.network import build_network
    from podium.models.transfer import backbone_weights

    recipe = start.run.read_recipe()
    classes = get_competition(recipe.competition).classes
    network = build_network(recipe, len(classes), pretrained=False)
    folder = start.run.fold(start.fold)
    try:
        folder.read_weights(network.model)
    except RunError:
        raise
    except (ValueError, KeyError, OSError) as error:
        raise WarmStartError(f"{folder.weights} cannot be read: {error}") from error
    return backbone_weights(network)


def _same_everywhere(name: str) -> str:
    """A path of a run in the project becomes its name, so that all machines say the same."""
    path = Path(name)
    if path.name != name and path.parent.resolve() == paths.runs().resolve():
        return path.name
    return name


def _has_begun(folder: FoldFolder) -> bool:
    """Whether the fold's training goes on from a state of its own."""
    progress = folder.read_progress()
    return bool(progress and progress["history"])


def _trained_folds(run: RunFolder) -> list[int]:
    folds = [fold for fold in run.scored_folds() if run.fold(fold).can_predict]
    if not folds:
        raise WarmStartError(
            f"weights from run {run.name!r}: no fold of it is trained and has kept its weights "
            "(podium tune keeps only those of its best trial); train it to its end first"
        )
    return folds


def _why_it_knows(start: InitialWeights, scored: pd.Index, competition: str) -> str:
    """Why a network may have been trained on these images, itself or what it stems from."""
    recipe = start.run.read_recipe()
    images = _images_of(competition)
    if _images_of(recipe.competition) == images:
        # What it stems from has not seen what its own fold scores, among which all of these are.
        return leak_reason(start.run, start.fold, scored)
    origins = start.run.fold(start.fold).read_start()
    if recipe.started_from and not origins:
        return f"{start.run.name} does not say what its fold {start.fold} was started from"
    reasons = (
        _why_origin_knows(origin, scored)
        for origin in origins
        if _images_of(origin["competition"]) == images
    )
    return next((f"{start.run.name} stems from {why}" for why in reasons if why), "")


def _images_of(competition: str) -> str:
    """The competition that tells whose training images these are."""
    return get_competition(competition).same_images_as or competition


def _why_origin_knows(origin: Row, scored: pd.Index) -> str:
    name, fold = origin["run"], origin["fold"]
    try:
        run = gather_run(name)
    except RunError:
        return f"{name}, which is not here, so that nobody can say what it has seen"
    folder = run.fold(fold)
    if not folder.weights.is_file() or folder.digest() != origin["weights"]:
        return f"{name}, whose fold {fold} is another one by now"
    why = leak_reason(run, fold, scored)
    return f"{name}, and {why}" if why else ""


def _split(recipe: Recipe) -> str:
    """What makes the split of a recipe."""
    parts = f"shares = {recipe.shares}" if recipe.shares else f"folds = {recipe.folds}"
    limit = "no limit" if recipe.limit is None else f"limit = {recipe.limit}"
    return f"{parts}, seed = {recipe.seed}, {limit}"
