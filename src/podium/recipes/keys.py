"""Every key of a recipe.toml with its meaning, its bounds and its default, from the forms."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from podium.recipes.recipe import Recipe
from podium.text import format_table

BOUNDS = {  # of numbers in a JSON schema, and their words
    "minimum": "from {}",
    "exclusiveMinimum": "above {}",
    "maximum": "to {}",
    "exclusiveMaximum": "below {}",
}
NONE = "none"  # TOML has no null: the key is left out


@dataclass(frozen=True)
class Key:
    """A key as `--set` takes it, with N for the number of a stage."""

    name: str
    allowed: str
    default: str  # "" where it must be given
    meaning: str

    def value(self, dumped: Any) -> str:
        """What a dumped recipe has there; of stages, each one's."""
        found = [dumped]
        for step in self.name.split("."):
            if step == "N":
                found = [stage for stages in found for stage in stages]
            else:
                found = [table[step] for table in found if table is not None]
        return ", ".join(map(_toml, found)) or NONE


def recipe_keys() -> list[Key]:
    """All keys of a recipe, in the order in which it has them."""
    schema = Recipe.model_json_schema()
    return list(_keys(schema, schema["$defs"], ""))


def describe_keys(recipe: Recipe | None = None) -> str:
    """The keys as `podium recipe` prints them, with a recipe's values or else the defaults."""
    dumped = recipe and recipe.model_dump()
    keys, rows = recipe_keys(), []
    for key in keys:
        value = key.value(dumped) if dumped else key.default
        told = key.allowed
        if dumped and key.default and value != key.default:
            told += f"; default {key.default}"
        rows.append((f"{key.name} = {value}", told))
    lines = format_table(rows)
    told = (f"{line}\n    {key.meaning}" for line, key in zip(lines, keys, strict=True))
    return "\n".join(told)


def _keys(table: dict[str, Any], tables: dict[str, Any], place: str) -> Iterator[Key]:
    for name, about in table["properties"].items():
        kinds = [kind for kind in about.get("anyOf", [about]) if kind.get("type") != "null"]
        inner = tables.get(kinds[0].get("items", kinds[0]).get("$ref", "").rpartition("/")[2])
        if inner:
            number = ".N" if "items" in kinds[0] else ""
            yield from _keys(inner, tables, f"{place}{name}{number}.")
            continue
        required = name in table.get("required", [])
        default = "" if required else _toml(about.get("default", []))
        allowed = " or ".join(map(_allowed, kinds))
        meaning = re.sub(r"\s+", " ", about["description"])
        yield Key(f"{place}{name}", allowed, default, meaning)


def _allowed(kind: dict[str, Any]) -> str:
    """What a kind of value may be, in words."""
    if "enum" in kind:
        return ", ".join(map(_toml, kind["enum"]))
    if kind["type"] == "array":
        most = f" of at most {kind['maxItems']}" if "maxItems" in kind else ""
        return f"list{most}, each {_allowed(kind['items'])}"
    words = {"integer": "integer", "number": "number", "string": "text", "boolean": "true or false"}
    bounds = [word.format(_toml(kind[key])) for key, word in BOUNDS.items() if key in kind]
    return " ".join([words[kind["type"]], *bounds])


def _toml(value: Any) -> str:
    return NONE if value is None else json.dumps(value, ensure_ascii=False)
