"""The entries: folders of kernels/ with a recipe each."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from podium import paths
from podium.competitions import COMPETITIONS, MissingData, get_competition
from podium.models.pretrained import WEIGHTS_FILES, find_weights, weights_file
from podium.recipes.ensemble import is_ensemble, load_ensemble
from podium.recipes.recipe import RUN, Recipe
from podium.recipes.recipe_file import RecipeError, load_recipe
from podium.runs.run_folder import RunFolder
from podium.text import format_table


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
    def is_ensemble(self) -> bool:
        """Whether it averages runs of other entries instead of training one."""
        return is_ensemble(self.recipe_file)

    def recipe(self, overrides: Iterable[str] = ()) -> Recipe:
        """The recipe of its training; where it starts from a run, that need not be here.

        Raises:
            RecipeError: it is refused, names what nobody knows, or the entry trains nothing.
        """
        if self.is_ensemble:
            raise RecipeError(
                f"{self.name} averages runs and trains nothing: podium blend {self.name}"
            )
        recipe = load_recipe(self.recipe_file, overrides)
        _check_names(recipe, str(self.recipe_file))
        return recipe

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
        raise ValueError(f"no entry {name!r} in {paths.entries()}; there are: {known}")
    return entries[name]


def describe_entries() -> str:
    """A table of the entries: name, competition, backbone, machine, what is missing here."""
    rows = [("entry", "competition", "backbone", "meant for", "missing here")]
    for entry in all_entries():
        rows.append((entry.name, *_describe(entry)))
    return "\n".join(format_table(rows))


def _check_names(recipe: Recipe, source: str) -> None:
    """Refuse names of a competition, a backbone or weights that Podium does not know."""
    known = {"competition": (recipe.competition, list(COMPETITIONS))}
    if not recipe.backbone.startswith(RUN):
        known["backbone"] = recipe.backbone, list(WEIGHTS_FILES)
        path = Path(recipe.weights)  # whether it is there, training/preflight.py looks
        is_path = path.suffix or len(path.parts) > 1 or path.is_file()
        if not is_path and not recipe.weights.startswith(RUN):
            names = [*WEIGHTS_FILES.get(recipe.backbone, ()), "none"]
            known["weights"] = recipe.weights, names
    for key, (came, names) in known.items():
        if came in names:
            continue
        close = "".join(f"; did you mean {name}?" for name in get_close_matches(came, names, n=1))
        more = ", or the path of an .h5 file" if key == "weights" else ""
        raise RecipeError(
            f"{source}: {key}: came {came!r}, should be one of {', '.join(names)}{more}{close}"
        )


def _describe(entry: Entry) -> tuple[str, str, str, str]:
    """Competition, backbone, machine and what is missing."""
    if entry.is_ensemble:
        ensemble = load_ensemble(entry.recipe_file)
        missing = _missing_runs(ensemble.runs)
        what = f"{len(ensemble.runs)} runs"
        return ensemble.competition, what, entry.machine, ", ".join(missing) or "nothing"
    recipe = entry.recipe()
    missing = _missing(recipe)
    return recipe.competition, recipe.backbone, entry.machine, ", ".join(missing) or "nothing"


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
    return missing + _missing_runs(recipe.needed_runs)


def _missing_runs(runs: list[str]) -> list[str]:
    return [f"run {run}" for run in runs if not RunFolder(paths.runs() / run).exists]
