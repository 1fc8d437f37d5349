"""The entries: folders of kernels/ with a recipe each."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podium import paths
from podium.recipes.recipe import Recipe
from podium.recipes.recipe_file import RecipeError, load_recipe, read_toml
from podium.text import did_you_mean


@dataclass(frozen=True)
class Entry:
    """A folder of kernels/: recipe.toml, kernel.py and, for Kaggle, kernel-metadata.json."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def recipe_file(self) -> Path:
        return self.path / "recipe.toml"

    @property
    def declaration(self) -> Path:
        """The file that describes its competition, where no class of Podium's does."""
        return self.path / paths.DECLARATION

    @property
    def is_ensemble(self) -> bool:
        """Whether it averages runs of other entries instead of training one."""
        return "runs" in read_toml(self.recipe_file)

    def recipe(
        self, overrides: Iterable[str] = (), preset: Mapping[str, Any] | None = None
    ) -> Recipe:
        """The recipe of its training; where it starts from a run, that need not be here.

        Args:
            preset: keys in place of its own; the overrides win over them.

        Raises:
            RecipeError: it is refused, or the entry trains nothing.
        """
        if self.is_ensemble:
            raise RecipeError(
                f"{self.name} averages runs and trains none: podium blend {self.name}"
            )
        return load_recipe(self.recipe_file, overrides, preset)

    @property
    def metadata(self) -> Path:
        """What Kaggle is told of the entry's kernel; see kaggle/metadata.py."""
        return self.path / "kernel-metadata.json"

    @property
    def code(self) -> Path:
        """The few lines that run the entry, here and as the end of its kernel."""
        return self.path / "kernel.py"

    @property
    def machine(self) -> str:
        """What the entry is meant for: Kaggle's accelerator by its name there, or a CPU."""
        if not self.metadata.is_file():
            return "CPU"
        return json.loads(self.metadata.read_text(encoding="utf-8")).get("machine_shape") or "CPU"


def all_entries() -> list[Entry]:
    """The entries of this project, by name."""
    return [Entry(path.parent) for path in sorted(paths.entries().glob("*/recipe.toml"))]


def get_entry(name: str) -> Entry:
    """The entry of that name.

    Raises:
        ValueError: there is none.
    """
    entries = {entry.name: entry for entry in all_entries()}
    if name not in entries:
        known = ", ".join(entries) or "none: run podium inside the project's folder"
        raise ValueError(
            f"no entry {name!r} in {paths.entries()}; there are: {known}"
            + did_you_mean(name, entries)
        )
    return entries[name]
