"""The entries: folders of kernels/ with a recipe each."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from podium import places
from podium.competitions import MissingData, get_competition
from podium.models.weights_files import find_weights, weights_file
from podium.recipe import Recipe, load_recipe


@dataclass(frozen=True)
class Entry:
    """A folder of kernels/: recipe.toml, kernel.py and, for Kaggle, kernel-metadata.json."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    def recipe(self, overrides: Iterable[str] = ()) -> Recipe:
        return load_recipe(self.path / "recipe.toml", overrides)

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
    return [Entry(path.parent) for path in sorted(places.entries().glob("*/recipe.toml"))]


def get_entry(name: str) -> Entry:
    """The entry of that name.

    Raises:
        ValueError: there is none.
    """
    entries = {entry.name: entry for entry in all_entries()}
    if name not in entries:
        known = ", ".join(entries) or "none: run podium inside the project's folder"
        raise ValueError(f"no entry {name!r} in {places.entries()}; there are: {known}")
    return entries[name]


def describe_entries() -> str:
    """A table of the entries: name, competition, backbone, machine, what is missing here."""
    rows = [("entry", "competition", "backbone", "meant for", "missing here")]
    for entry in all_entries():
        recipe = entry.recipe()
        missing = ", ".join(_missing(recipe)) or "nothing"
        rows.append((entry.name, recipe.competition, recipe.backbone, entry.machine, missing))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _missing(recipe: Recipe) -> list[str]:
    """What the recipe needs and this machine does not have."""
    missing = []
    competition = get_competition(recipe.competition)
    try:
        competition.folder()
    except MissingData:
        missing.append(f"data in input/{competition.slug}")
    file = weights_file(recipe.backbone, recipe.weights)
    if file and find_weights(file) is None:
        missing.append(f"weights {file}")
    return missing
