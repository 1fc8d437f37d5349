"""A recipe with every key wrong in turn, from the keys' own types and bounds: new keys are in it.

For each key of each table: every wrong type, what is beyond each bound, another word, and its name
misspelled. An error is right if it is one line that begins with the file and the key and names what
is allowed: the bound, each word, the type, or the key that was meant.
"""

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podium.recipes.recipe import Recipe
from podium.recipes.recipe_file import RecipeError, load_recipe

LONGEST = 1000  # characters of a message
# A value of each type that a JSON schema has.
VALUES: dict[str, Any] = {
    "boolean": True,
    "integer": 1,
    "number": 0.9,
    "string": "x",
    "array": [],
    "object": {},
}
SAID = {
    "boolean": "true or false",
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "array": "list",
    "object": "table",
}
PATTERN = "letters"  # what a message about a pattern says in place of the pattern
# A sound recipe that has each table.
SOUND: dict[str, Any] = {
    "competition": "cars",
    "backbone": "resnet-small",
    "head": {},
    "box": {},
    "augmentation": {},
    "one_cycle": {},
    "stages": [
        {"unfreeze": "head", "epochs": 1, "learning_rate": 0.1, "pseudo": {"from": "a-run"}}
    ],
}
WHOLE: Any = Recipe.model_json_schema()
Place = tuple[str | int, ...]  # of a table: ("stages", 0, "pseudo")


@dataclass(frozen=True)
class Wrong:
    """A recipe with one mistake, and what its error has to say."""

    recipe: dict[str, Any]
    key: str  # dotted
    what: str
    says: tuple[str, ...]  # all of these


def every_wrong_recipe() -> Iterator[Wrong]:
    """All that can be wrong with the keys of each table."""
    for place, table in _tables(WHOLE):
        for name, field in table["properties"].items():
            key = _dotted(place, name)
            for value, says in _wrong_values(_kinds(field)):
                yield Wrong(_recipe(place, name, value), key, f"{key} = {value!r}", says)
            for misspelled in _misspelled(name, table["properties"]):
                there = _dotted(place, misspelled)
                meant = (f"did you mean {key}?",)
                yield Wrong(_recipe(place, misspelled, 1), there, f"{there} for {key}", meant)


def every_key() -> list[str]:
    """The dotted keys of all tables."""
    return [_dotted(place, name) for place, table in _tables(WHOLE) for name in table["properties"]]


def complaint(wrong: Wrong, path: Path) -> str:
    """What is wrong with the error about a recipe; "" if it is as it should be."""
    lines = (f"{key} = {_toml(value)}\n" for key, value in wrong.recipe.items())
    path.write_text("".join(lines), encoding="utf-8")
    try:
        load_recipe(path)
    except RecipeError as error:
        message = str(error)
    except Exception as error:  # whatever else it is, it is a finding
        return f"{wrong.what}: {type(error).__name__}: {error}"
    else:
        return f"{wrong.what}: was taken"
    if "\n" in message or len(message) > LONGEST:
        return f"{wrong.what}: too long: {message[:200]!r}"
    about = message.removeprefix(f"{path}: ")
    absent = [word for word in wrong.says if word not in about]
    if about == message or not about.startswith(wrong.key) or absent:
        return f"{wrong.what}: {message!r} lacks {absent}"
    return ""


def _wrong_values(kinds: list[Any]) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """Values that none of the types takes, with what has to be said of each."""
    types = {kind["type"] for kind in kinds}
    said = tuple(_allowed(kind) for kind in kinds)
    for other, value in VALUES.items():
        is_taken = other in types or (other == "integer" and "number" in types)
        if not is_taken:
            yield value, said
    yield from ((value, (said[0],)) for kind in kinds for value, said in _beyond(kind))


def _beyond(kind: Any) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """Values of the right type beyond its bounds."""
    number = float if kind["type"] == "number" else int
    for word, sign in (("minimum", -1), ("maximum", 1)):
        if word in kind:
            yield number(kind[word] + sign), (str(kind[word]),)
        if exclusive := kind.get(f"exclusive{word.capitalize()}"):
            yield number(exclusive), (str(exclusive),)
        elif exclusive == 0:
            yield 0.0, ("0",)
            yield -1.0, ("0",)
    if kind["type"] == "number":
        yield float("nan"), ("number",)
        yield float("inf"), ("number",)
    if "enum" in kind:
        for word in ("", kind["enum"][0].upper(), kind["enum"][-1] + "x"):
            yield word, (repr(kind["enum"][0]),)
    if "pattern" in kind:
        yield "../x", (PATTERN,)
        yield "", (PATTERN,)
    if kind["type"] == "array":
        item = _kinds(kind["items"])
        sound = item[0]["enum"][0] if "enum" in item[0] else VALUES[item[0]["type"]]
        if "maxItems" in kind:
            yield [sound] * (kind["maxItems"] + 1), (str(kind["maxItems"]),)
        if kind.get("minItems"):
            yield [], (str(kind["minItems"]),)
        if item[0]["type"] != "object":
            for value, says in _wrong_values(item):
                yield [value], (says[0],)


def _allowed(kind: Any) -> str:
    if "enum" in kind:
        return repr(kind["enum"][0])
    return SAID[kind["type"]]


def _misspelled(name: str, known: Any) -> list[str]:
    """The name with its middle left out, two letters swapped, one doubled, and a plural."""
    at = len(name) // 2
    changed = [
        name[:at] + name[at + 1 :],
        name[: at - 1] + name[at] + name[at - 1] + name[at + 1 :],
        name[:at] + name[at] + name[at:],
        name + "s",
    ]
    return [word for word in dict.fromkeys(changed) if word not in known and len(word) > 2]


def _dotted(place: Place, name: str) -> str:
    return ".".join(map(str, (*place, name)))


def _toml(value: Any) -> str:
    """A value in TOML, whose numbers, texts and lists are as in JSON."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return str(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def _tables(table: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """This table and all below it, each with its place."""
    yield place, table
    for name, field in table["properties"].items():
        for kind in _kinds(field):
            if kind["type"] == "object":
                yield from _tables(kind, (*place, name))
            elif kind["type"] == "array" and (item := _kinds(kind["items"])[0])["type"] == "object":
                yield from _tables(item, (*place, name, 0))


def _kinds(field: Any) -> list[Any]:
    """What a field takes: the schemas of its types, without that of nothing."""
    if "$ref" in field:
        return [WHOLE["$defs"][field["$ref"].rpartition("/")[2]]]
    if "anyOf" in field:
        return [kind for one in field["anyOf"] for kind in _kinds(one)]
    return [field] if field["type"] != "null" else []


def _recipe(place: Place, name: str, value: Any) -> dict[str, Any]:
    """The sound recipe with one other key."""
    recipe = copy.deepcopy(SOUND)
    table: Any = recipe
    for step in place:
        table = table[step]
    table[name] = value
    return recipe
