"""The weights that a soup is made of: found in runs, and checked to belong together."""

from dataclasses import dataclass
from typing import Any

from podium.recipes.recipe import Recipe
from podium.runs.fold_folder import FoldFolder, RunError
from podium.runs.merge import gather_run
from podium.runs.run_folder import RunFolder
from podium.runs.table import HELD_OUT, Table, stored_table
from podium.text import summarize


class CannotSoup(RunError):
    """Runs whose weights cannot be averaged, or not honestly."""


@dataclass(frozen=True)
class SoupRun:
    """A run whose weights are averaged."""

    folder: RunFolder
    recipe: Recipe
    table: Table

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def folds(self) -> list[int]:
        """Those that are trained, and whose weights were kept."""
        return [n for n in self.folder.scored_folds() if self.folder.fold(n).can_predict]

    @property
    def identity(self) -> dict[str, Any]:
        """What tells this run from another one of the same name."""
        return {"run": self.name, "started": self.folder.read_run().get("started")}


@dataclass(frozen=True)
class Ingredient:
    """The best weights of a run's fold, or those after one of its last epochs."""

    run: str
    folder: FoldFolder
    epoch: int | None  # of a checkpoint, counted from 1; None: the best weights

    def read(self, model: Any) -> None:
        if self.epoch is None:
            self.folder.read_weights(model)
        else:
            self.folder.read_checkpoint(model, self.epoch)

    def __str__(self) -> str:
        return "best" if self.epoch is None else f"epoch {self.epoch}"


def read_runs(runs: list[str]) -> list[SoupRun]:
    """Find the runs, and see that their weights may be averaged.

    Raises:
        RunError: one is missing, is a blend or a soup, is of another network or another split,
            or there is nothing to average.
    """
    members = [_read_run(run) for run in runs]
    if not members:
        raise CannotSoup("name a run, or several of the same network")
    first = members[0]
    for number, member in enumerate(members):
        if member.folder.path in [other.folder.path for other in members[:number]]:
            raise CannotSoup(f"the run {member.name} is named twice")
        if member.name in [other.name for other in members[:number]]:
            raise CannotSoup(f"two runs are called {member.name}: rename the folder of one")
        _check_network(first, member)
        _check_split(first, member)
    if not first.folds:
        raise CannotSoup(
            f"{first.folder.path} has no trained fold with its weights: train it first"
        )
    for fold in first.folds:
        if len(ingredients_of(members, fold)) < 2:
            raise CannotSoup(
                f"fold {fold} of {first.name} has one set of weights, and so nothing to average: "
                "train with --set checkpoints=5, or name more runs of the same network"
            )
    return members


def ingredients_of(members: list[SoupRun], fold: int) -> list[Ingredient]:
    """All weights that there are of a fold, each run's best ones first."""
    found = []
    for member in members:
        if fold in member.folds:
            folder = member.folder.fold(fold)
            epochs = [None, *folder.checkpoints()]
            found += [Ingredient(member.name, folder, epoch) for epoch in epochs]
    return found


def _read_run(run: str) -> SoupRun:
    folder = gather_run(run)
    recipe = folder.read_recipe()
    if souped := folder.read_souped():
        raise CannotSoup(
            f"{folder.path} is a soup of {', '.join(souped)}, chosen on the images that another "
            "choice would be judged on: name these runs"
        )
    if recipe.head.centers:
        raise CannotSoup(
            f"{folder.path} has a head of kernels, which compares images with training images: "
            "their mean is no image"
        )
    return SoupRun(folder, recipe, stored_table(folder))


def _check_network(first: SoupRun, member: SoupRun) -> None:
    """Refuse weights that are of other layers, or of other classes."""
    mine, theirs = _architecture(first.recipe), _architecture(member.recipe)
    for key, value in mine.items():
        if value != theirs[key]:
            raise CannotSoup(
                f"{member.name} is another network than {first.name}: {key} is {theirs[key]!r}, "
                f"not {value!r}; networks of different layers can be blended: podium blend"
            )


def _architecture(recipe: Recipe) -> dict[str, Any]:
    head = recipe.head.model_dump(exclude={"dropout"})  # which has no weights
    return {
        "competition": recipe.competition,
        "backbone": recipe.backbone,
        **{f"head.{key}": value for key, value in head.items()},
        "box": recipe.box and recipe.box.model_dump(exclude={"dropout", "loss_weight"}),
    }


def _check_split(first: SoupRun, member: SoupRun) -> None:
    """Refuse a run that was trained on images which the first one's folds are scored on."""
    for fold in first.folds:
        if fold not in member.folds:
            continue
        mine, theirs = first.table.train, member.table.train
        scored = mine[mine["fold"].isin([fold, HELD_OUT])]
        trained = theirs.index[~theirs["fold"].isin([fold, HELD_OUT])]
        # With an image its near-copies count as seen.
        groups = mine.loc[mine.index.intersection(trained), "group"]
        seen = scored.index[scored.index.isin(trained) | scored["group"].isin(groups)]
        if len(seen):
            raise CannotSoup(
                f"{member.name} has another split than {first.name}: its fold {fold} was trained "
                f"on {len(seen)} of the {len(scored)} images that fold {fold} of {first.name} is "
                f"scored on ({summarize(seen)}); train both with the same seed and folds"
            )
