"""The grid of a comparison: each combination of the values to try, once, in one spelling."""

import itertools
import json
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from podium.competitions import Competition, get_competition
from podium.recipes.entries import get_entry
from podium.recipes.recipe import Recipe
from podium.training.preflight import check_recipe
from podium.training.warm_start import resolve_backbone


@dataclass(frozen=True)
class Combination:
    """An entry with changes to its recipe, each spelled in the one way that is kept."""

    entry: str
    overrides: tuple[str, ...]
    recipe: Recipe  # as written: it may name a run as its backbone
    tried: str = field(default="", compare=False)  # what was asked for, changed or not

    @property
    def competition(self) -> Competition:
        return get_competition(self.recipe.competition)

    def check_folds(self, folds: Iterable[int]) -> None:
        """Raises ValueError for a fold that the recipe has not, and where the data is not here."""
        for fold in folds:
            self.recipe.check_fold(fold)
        self.competition.folder()

    @property
    def change(self) -> str:
        return ", ".join(self.overrides) or "as it is"

    def __str__(self) -> str:
        return self.tried or self.change


def get_combination(entry: str, overrides: Iterable[str]) -> Combination:
    """An entry with these changes, spelled as the difference between the two recipes.

    However a combination was asked for, it has the same overrides then, and so the same run.

    Raises:
        ValueError: the recipe is refused, or cannot run here.
    """
    load = get_entry(entry).recipe
    recipe = load(overrides)
    check_recipe(resolve_backbone(recipe))
    short = recipe.model_dump(exclude_defaults=True)
    changes = []
    for key, value in sorted(_differences(load([]).model_dump(), recipe.model_dump())):
        if isinstance(value, dict | list):  # without its default values
            value = value_at(short, key) or value
        changes.append(f"{key}={write_value(value)}")
    return Combination(entry, tuple(changes), recipe)


def _differences(before: Any, after: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of what is not the same."""
    if key == "stages" and len(before) == len(after):
        before, after = dict(enumerate(before)), dict(enumerate(after))
    if not isinstance(before, dict) or not isinstance(after, dict):
        if before != after:
            yield key, after
        return
    found = {}
    for name in after:
        found |= _differences(before.get(name), after[name], f"{key}.{name}" if key else str(name))
    # A key of TOML can be left out, but not set to nothing: then its table is set as a whole.
    yield from [(key, after)] if key and None in found.values() else found.items()


def all_combinations(
    entry: str, tries: Iterable[str], overrides: Iterable[str] = ()
) -> list[Combination]:
    """Each combination of the values to try; those whose recipes are the same only once.

    Raises:
        ValueError: a recipe is refused.
    """
    values: dict[str, list[str]] = {}
    for key, texts in map(parse_try, tries):
        values.setdefault(key, []).extend(f"{key}={text}" for text in texts)
    found: dict[str, Combination] = {}
    for chosen in itertools.product(*values.values()):
        combination = get_combination(entry, [*overrides, *chosen])
        tried = replace(combination, tried=", ".join(chosen))
        found.setdefault(combination.recipe.model_dump_json(), tried)
    return list(found.values())


def parse_try(text: str) -> tuple[str, list[str]]:
    """Key and values of `key=a,b,c`: values of TOML, or words without a comma.

    Raises:
        ValueError: no key, no value, or an empty one.
    """
    key, _, values = text.partition("=")
    try:
        parts = [write_value(value) for value in tomllib.loads(f"a = [{values}]")["a"]]
    except tomllib.TOMLDecodeError:
        parts = [part.strip() for part in values.split(",")]
    if not key.strip() or not parts or not all(parts):
        raise ValueError(f"--try {text}: expected values of a key, as in head.dropout=0,0.25,0.5")
    return key.strip(), parts


def value_at(values: Any, key: str) -> Any:
    """The value of a dumped recipe at a dotted key; None where there is no such place."""
    for name in key.split("."):
        try:
            values = values[int(name)] if isinstance(values, list) else values[name]
        except (KeyError, IndexError, ValueError, TypeError):
            return None
    return values


def write_value(value: Any) -> str:
    """A value of a recipe as `--set` and recipe.toml read it; a word stays bare for `--set`."""
    if not isinstance(value, str) or not value or value != value.strip():
        return write_toml(value)
    try:
        tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        return value
    return write_toml(value)  # bare, it would be read as a number or the like


def write_toml(value: Any) -> str:
    """A value of a recipe in TOML, on one line."""
    if isinstance(value, dict):
        # TOML has no null: a key that is None in a recipe was left out.
        pairs = [f"{key} = {write_toml(item)}" for key, item in value.items() if item is not None]
        return "{ " + ", ".join(pairs) + " }" if pairs else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(write_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
