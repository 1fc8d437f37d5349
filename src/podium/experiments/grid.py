"""Which recipes are compared: each combination of the values to try, once, in one spelling."""

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
UNCHANGED = "as it is"
BRACKETS = {"[": 1, "{": 1, "]": -1, "}": -1}


@dataclass(frozen=True)
class Combination:
    """An entry with these changes to its recipe, written in the one way that is kept."""

    entry: str
    overrides: tuple[str, ...]
    recipe: Recipe  # as written: it may name a run as its backbone

    @property
    def change(self) -> str:
        return ", ".join(self.overrides) or UNCHANGED

    def values(self, keys: Iterable[str]) -> str:
        """What it has for these keys, changed or not; without any, what is changed."""
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
    # The last of a key counts, and a whole table comes before a key in it.
    left = dict(sorted({_key(override): override for override in overrides}.items()))
    for key in list(left):
        others = [text for other, text in left.items() if other != key]
        with suppress(RecipeError):  # this one makes sense only with that one
            if load(others) == recipe:
                del left[key]
    return Combination(entry, tuple(_spell(recipe, key) for key in left), recipe)


def all_combinations(
    entry: str, tries: Iterable[str], overrides: Iterable[str] = ()
) -> list[Combination]:
    """Each combination of the values to try; those whose recipes are the same only once.

    Args:
        tries: `key=a,b,c` each.
        overrides: `key=value` of all of them.

    Raises:
        ValueError: a recipe is refused, or a key is to be tried and set, or twice to be tried.
    """
    overrides = list(overrides)
    values: dict[str, list[str]] = {}
    for text in tries:
        key, texts = parse_try(text)
        if key in values:
            raise ValueError(f"--try {key} came twice: give all its values in one, {key}=a,b")
        if key in map(_key, overrides):
            raise ValueError(f"{key} came with --try and with --set: leave one of them out")
        values[key] = [f"{key}={value}" for value in texts]
    found: dict[str, Combination] = {}
    for chosen in itertools.product(*values.values()):
        combination = get_combination(entry, [*overrides, *chosen])
        found.setdefault(combination.recipe.model_dump_json(), combination)
    return list(found.values())


def sample(combinations: list[Combination], size: int | None) -> list[Combination]:
    """A random sample, the same each time; a larger one holds the smaller one."""
    if size is None or size >= len(combinations):
        return combinations
    shuffled = sorted(combinations, key=lambda one: one.overrides)
    random.Random(SAMPLE_SEED).shuffle(shuffled)
    return [one for one in combinations if one in shuffled[:size]]


def parse_try(text: str) -> tuple[str, list[str]]:
    """Key and values of `key=a,b,c`; a comma within brackets or quotes separates nothing.

    Raises:
        ValueError: no key, no value, or an empty one.
    """
    key, _, values = text.partition("=")
    parts = split_values(values)
    if not key.strip() or not all(parts):
        raise ValueError(
            f"--try {text}: expected a key and its values, for example head.dropout=0,0.25,0.5"
        )
    return key.strip(), parts


def split_values(text: str) -> list[str]:
    """Split at the commas that are in no list, table or string of TOML."""
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character == "," and depth == 0:
            parts.append("")
            continue
        else:
            depth += BRACKETS.get(character, 0)
        parts[-1] += character
    return [part.strip() for part in parts]


def value_at(values: Any, key: str) -> Any:
    """What a dumped recipe has at a dotted key; None where there is no such place."""
    for name in key.split("."):
        try:
            values = values[int(name)] if isinstance(values, list) else values[name]
        except (KeyError, IndexError, ValueError, TypeError):
            return None
    return values


def _spell(recipe: Recipe, key: str) -> str:
    """What a recipe has at a key, as an override; a table without what it has by default."""
    value = value_at(recipe.model_dump(), key)
    if isinstance(value, dict | list):
        short = value_at(recipe.model_dump(exclude_defaults=True), key)
        value = {} if short is None and isinstance(value, dict) else short or value
    return f"{key}={write_value(value)}"


def write_value(value: Any) -> str:
    """A value of a recipe as `--set` and recipe.toml read it; a word stays bare for `--set`."""
    if isinstance(value, str) and _is_bare(value):
        return value
    return write_toml(value)


def write_toml(value: Any) -> str:
    """A value of a recipe in TOML, on one line."""
    if isinstance(value, dict):
        # TOML has no null: what is None in a recipe is what was left out.
        pairs = [f"{key} = {write_toml(one)}" for key, one in value.items() if one is not None]
        return "{ " + ", ".join(pairs) + " }" if pairs else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(write_toml(one) for one in value) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value)


def _is_bare(word: str) -> bool:
    """Whether `--set` takes the word for itself, because it is no TOML."""
    try:
        tomllib.loads(f"value = {word}")
    except tomllib.TOMLDecodeError:
        return bool(word) and word == word.strip()
    return False


def _key(override: str) -> str:
    return override.partition("=")[0].strip()
