"""What a kernel does, what it is called and reads, and whether Kaggle would take it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from podium import paths
from podium.kaggle.metadata import (
    KernelMetadata,
    check_machine,
    check_runs,
    check_sources,
    kernel_name,
    read_metadata,
    to_predict,
    without_runs,
)
from podium.recipes.entries import Entry, get_entry
from podium.recipes.recipe import Recipe
from podium.recipes.recipe_file import EnsembleRecipe, load_ensemble
from podium.runs.run_folder import run_name


class BuildError(ValueError):
    """A kernel that cannot be built, or that Kaggle would not take."""


@dataclass(frozen=True)
class Kernel:
    """What a kernel does: it trains an entry or a fold of it, blends its runs, or predicts.

    One that predicts trains nothing: it takes runs that are trained, from datasets of `podium
    upload` or from the kernels that trained them, and predicts whatever test images it finds.

    Args:
        overrides: `key=value` changes to the entry's recipe, as `podium train --set` takes them.
        fold: the only one that it trains.
        hours: after which it ends, finished or not; its epochs are not scaled to fit. Of one that
            predicts, the limit of the competition.
        on: the machine, a key of MACHINES; by default what the metadata say.
        other_run: that predicts, if it is not named after the entry and the overrides.
    """

    entry_name: str
    overrides: Sequence[str] = ()
    fold: int | None = None
    hours: float | None = None
    on: str | None = None
    predicts: bool = False
    other_run: str | None = None

    @property
    def entry(self) -> Entry:
        return get_entry(self.entry_name)

    @property
    def recipe(self) -> Recipe | EnsembleRecipe:
        if self.entry.is_ensemble:
            return load_ensemble(self.entry.recipe_file)
        return self.entry.recipe(self.overrides)

    @property
    def run(self) -> str:
        return self.other_run or run_name(self.entry_name, self.overrides)

    @property
    def name(self) -> str:
        return f"{self.run}-predict" if self.predicts else kernel_name(self.run, self.fold)

    @property
    def folder(self) -> Path:
        """Where it is built."""
        return paths.project() / "build" / self.name

    @property
    def reads(self) -> list[str]:
        """The runs that are attached to it."""
        own, recipe = [self.run] if self.predicts else [], self.recipe
        if isinstance(recipe, EnsembleRecipe):
            return own + recipe.runs
        return own or recipe.needed_runs

    @property
    def arguments(self) -> list[str]:
        """Those of its command."""
        words = [word for override in self.overrides for word in ("--set", override)]
        return words if self.fold is None else [*words, "--fold", str(self.fold)]

    def check(self) -> KernelMetadata:
        """Its metadata, without an owner; what would fail on Kaggle is refused.

        Raises:
            MetadataError: kernel-metadata.json says what Kaggle would misunderstand, or too little.
            BuildError: an ensemble has no folds, and no recipe to change.
            RecipeError: the recipe or an override is refused.
            ValueError: the recipe has no such fold.
        """
        entry, recipe = self.entry, self.recipe
        metadata = read_metadata(entry, self.on)
        if self.predicts:
            return to_predict(metadata, recipe, self.reads)
        metadata = without_runs(metadata)
        if isinstance(recipe, Recipe):
            if self.fold is not None:
                recipe.check_fold(self.fold)
            check_sources(entry, metadata, recipe)
            check_machine(entry, metadata, recipe, self.hours)
        elif self.arguments:
            raise BuildError(f"{entry.name} averages runs: it has no folds, and nothing to --set")
        check_runs(entry, metadata, self.reads)
        return metadata
