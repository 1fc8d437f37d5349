"""The grid of a comparison: each combination of the values to try, once, in one spelling."""

import itertools
import json
import random
import tomllib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from podium.competitions import get_competition
from podium.recipes.entries import get_entry
from podium.recipes.recipe import Recipe
from podium.recipes.recipe_file import RecipeError
from podium.training.preflight import check_recipe
from podium.training.warm_start import resolve_backbone

SAMPLE_SEED = 0


@dataclass(frozen=True)
class Combination:
    """An entry with changes to its recipe, each spelled in the one way that is kept."""

    entry: str
    overrides: tuple[str, ...]
    recipe: Recipe  # as written: it may name a run as its backbone

    @property
    def change(self) -> str:
        return ", ".join(self.overrides) or "as it is"

    def values(self, keys: Iterable[str]) -> str:
        """The values of these keys, changed or not; without any key, the change."""
        return ", ".join(_spell(self.recipe, key) for key in keys) or self.change


def get_combination(entry: str, overrides: Iterable[str]) -> Combination:
    """An entry with these changes: those that change nothing left out, the rest in one order.

    However a combination was asked for, it has the same overrides then, and so the same run.

    Raises:
        ValueError: the recipe is refused, or cannot run here.
    """
    load = get_entry(entry).recipe
    recipe = load(overrides)
    check_recipe(resolve_backbone(recipe))
    get_competition(recipe.competition)
    # The last of a key counts, and a table comes before a key in it.
    kept = dict(sorted({key_of(override): override for override in overrides}.items()))
    for key in list(kept):
        others = [override for other, override in kept.items() if other != key]
        with suppress(RecipeError):  # the others make no sense without this one
            if load(others) == recipe:
                del kept[key]
    return Combination(entry, tuple(_spell(recipe, key) for key in kept), recipe)


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
        found.setdefault(combination.recipe.model_dump_json(), combination)
    return list(found.values())


def sample(combinations: list[Combination], size: int | None) -> list[Combination]:
    """A random sample, the same each time; a larger one holds the smaller one."""
    shuffled = sorted(combinations, key=lambda combination: combination.overrides)
    random.Random(SAMPLE_SEED).shuffle(shuffled)
    return [combination for combination in combinations if combination in shuffled[:size]]


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
        raise ValueError(
            f"--try {text}: expected a key and its values, for example head.dropout=0,0.25,0.5"
        )
    return key.strip(), parts


def key_of(override: str) -> str:
    return override.partition("=")[0].strip()


def value_at(values: Any, key: str) -> Any:
    """The value of a dumped recipe at a dotted key; None where there is no such place."""
    for name in key.split("."):
        try:
            values = values[int(name)] if isinstance(values, list) else values[name]
        except (KeyError, IndexError, ValueError, TypeError):
            return None
    return values


def _spell(recipe: Recipe, key: str) -> str:
    """The value of a recipe at a key, as an override; a table without its default values."""
    value = value_at(recipe.model_dump(), key)
    if isinstance(value, dict | list):
        short = value_at(recipe.model_dump(exclude_defaults=True), key)
        value = {} if short is None and isinstance(value, dict) else short or value
    return f"{key}={write_value(value)}"


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
    if isinstance(value, str | bool):
        return json.dumps(value, ensure_ascii=False)
    return repr(value)
