"""`EnsembleRecipe`: an entry that trains nothing and averages the runs of others."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from podium.recipes.recipe_file import parse_table, read_toml
from podium.recipes.tables import RUN_NAME, StrictTable


class EnsembleRecipe(StrictTable):
    """All choices of an ensemble: the recipe.toml of an entry that names runs."""

    competition: str
    runs: Annotated[list[Annotated[str, Field(pattern=RUN_NAME)]], Field(min_length=2)]

    @model_validator(mode="after")
    def _runs_are_different(self) -> Self:
        doubled = sorted({run for run in self.runs if self.runs.count(run) > 1})
        if doubled:
            raise ValueError(f"runs: {', '.join(doubled)} is named twice")
        return self


def is_ensemble(path: Path) -> bool:
    """Whether this recipe.toml names runs, and so is no recipe of a training.

    Raises:
        RecipeError: the file cannot be read or is no TOML.
    """
    return "runs" in read_toml(path)


def load_ensemble(path: Path) -> EnsembleRecipe:
    """Read the recipe.toml of an ensemble.

    Raises:
        RecipeError: the file is no TOML, or a key or value is refused.
    """
    return parse_table(EnsembleRecipe, read_toml(path), source=str(path))
