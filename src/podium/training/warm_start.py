"""Warm starts: a run that begins with the backbone of another run, and new heads.

Fold k starts from a network that has not been trained on what it scores (see leakage.py).
`fold-k/started_from.json` keeps the lineage of its network.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from podium.competitions import get_competition
from podium.recipes.recipe import RUN, Recipe
from podium.runs.find_run import find_run
from podium.runs.fold_folder import Row, RunError
from podium.runs.run import Run
from podium.runs.run_folder import RunFolder
from podium.training.leakage import leak_reason, scored_by

if TYPE_CHECKING:  # imports TensorFlow, which takes seconds
    from podium.models.network import LayerWeights


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
        """The rows of started_from.json: this network, then those that it was started from."""
        folder = self.run.fold(self.fold)
        competition = self.run.read_recipe().competition
        this = {"run": self.name, "fold": self.fold, "competition": competition}
        return [{**this, "weights": folder.digest()}, *folder.read_start()]

    def read_backbone(self) -> "LayerWeights":
        """Read the weights of the network's backbone.

        Raises:
            ValueError: the file is damaged.
        """
        from podium.models.network import backbone_weights, build_network

        recipe, folder = self.run.read_recipe(), self.run.fold(self.fold)
        form = get_competition(recipe.competition).head_form
        network = build_network(recipe, *form, pretrained=False)
        folder.read_weights(network.model)
        return backbone_weights(network)

    def __str__(self) -> str:
        line = f"the backbone starts as that of run {self.name}, fold {self.fold}"
        recipe = self.run.read_recipe()
        if recipe.weights == "none" or any(stage.unfreeze != "head" for stage in recipe.stages):
            return line
        return f"warning: {line}, which is just {recipe.weights}: no stage there has changed it"


def resolve_backbone(recipe: Recipe, into: RunFolder | None = None, fresh: bool = False) -> Recipe:
    """Name the network in a recipe whose backbone is "run:NAME".

    So the run is read, and predicts, without the other one.

    Args:
        into: the folder of the run, where it is known. One that goes on has its backbone.
        fresh: it begins again.

    Raises:
        RunError: there is no run of that name, or it is a blend.
    """
    if recipe.started_from is None:
        return recipe
    weights = RUN + recipe.started_from
    backbone = recipe.backbone
    if backbone.startswith(RUN):
        goes_on = into is not None and into.exists and not fresh
        source = into.read_recipe() if goes_on else None
        if source is None or source.weights != weights:
            source = find_run(recipe.started_from).read_recipe()
        backbone = source.backbone
    return recipe.model_copy(update={"backbone": backbone, "weights": weights})


def check_warm_start(recipe: Recipe, into: RunFolder | None = None) -> None:
    """Make sure that the run which a resolved recipe starts from is here and fits.

    Args:
        into: the folder that will be trained, where it is known.

    Raises:
        ValueError: it is missing, without weights, of another network, or this run itself.
    """
    name = recipe.started_from
    if name is None:
        return
    source = find_run(name)
    backbone = source.read_recipe().backbone
    problem = ""
    if into is not None and source.path.resolve() == into.path.resolve():
        problem = "it is this run itself; train under another name with --run NAME"
    elif backbone != recipe.backbone:
        problem = f"its backbone is {backbone}, this recipe has {recipe.backbone}; write "
        problem += f'backbone = "{RUN}{name}"'
    elif not trained_folds(source):
        problem = "no fold of it is trained and has kept its weights (podium tune keeps only "
        problem += "those of its best trial); train it to its end first"
    if problem:
        raise WarmStartError(f"weights from run {name!r}: {problem}")


def find_initial_weights(run: Run, fold: int) -> InitialWeights | None:
    """Find the network that a fold starts from; None if it goes on, or starts from no run.

    Raises:
        ValueError: each network there has seen images that the fold scores, or the run is gone.
    """
    recipe = run.recipe
    progress = run.folder.fold(fold).read_progress()
    if recipe.started_from is None or (progress and progress["history"]):
        return None
    check_warm_start(recipe, run.folder)
    source = find_run(recipe.started_from)
    scored = scored_by(run.table, fold)
    leaks = []
    for number in sorted(trained_folds(source), key=lambda number: (number != fold, number)):
        leak = leak_reason(source, number, scored, recipe.competition)
        if not leak:
            return InitialWeights(recipe.started_from, source, number)
        leaks.append(leak)
    split = f"shares = {recipe.shares}" if recipe.shares else f"folds = {recipe.folds}"
    limit = "no limit" if recipe.limit is None else f"limit = {recipe.limit}"
    raise WarmStartError(
        f"fold {fold} cannot start from run {recipe.started_from!r}, which would leak into its "
        f"score: {leaks[0]}. Start from a run with the same split ({split}, seed = {recipe.seed}, "
        f"{limit}) that has this fold, or from one of other images"
    )


def trained_folds(run: RunFolder) -> list[int]:
    """The folds that are trained, and whose weights were kept."""
    return [fold for fold in run.scored_folds() if run.fold(fold).can_predict]
