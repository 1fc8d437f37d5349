"""A recipe with every key wrong in turn, from the keys' own types and bounds: new keys are in it.

For each key of each table: every wrong type, what is beyond each bound, another word, and its name
misspelled. An error is right if it is one line that begins with the file and the key and names what
is allowed: the bound, each word, the type, or the key that was meant.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podium.experiments.grid import write_toml
from podium.recipes.entries import Entry
from podium.recipes.recipe import Recipe
from podium.recipes.recipe_file import EnsembleRecipe, RecipeError, load_ensemble, load_recipe
from podium.recipes.tables import StrictTable

LONGEST = 1000  # characters of a message
# Whatever a recipe.toml may hold, by the type that it has in a JSON schema.
VALUES: dict[str, list[Any]] = {
    "boolean": [True],
    "integer": [1, 0, 3, 20],
    "number": [0.9, 1.5],
    "string": ["x", "head", ""],
    "array": [[], [1, 2]],
    "object": [{}],
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
LOADERS: dict[type[StrictTable], Any] = {Recipe: load_recipe, EnsembleRecipe: load_ensemble}


@dataclass(frozen=True)
class Wrong:
    """A recipe with one mistake, and what its error has to say."""

    kind: type[StrictTable]
    recipe: dict[str, Any]
    key: str  # dotted
    what: str
    says: tuple[str, ...]  # all of these


def every_wrong_recipe() -> Iterator[Wrong]:
    for kind in LOADERS:
        whole = kind.model_json_schema()
        sound = _instance(whole, whole)
        for place, table in _tables(whole, whole):
            yield from _wrong_tables(kind, whole, sound, place, table)


def every_key() -> list[str]:
    """The dotted keys of all tables."""
    wholes = [kind.model_json_schema() for kind in LOADERS]
    places = [(place, table) for whole in wholes for place, table in _tables(whole, whole)]
    return [
        ".".join(map(str, (*place, name)))
        for place, table in places
        for name in table["properties"]
    ]


def complaint(wrong: Wrong, path: Path) -> str:
    """What is wrong with the error about a recipe; "" if it is as it should be."""
    text = "".join(f"{key} = {write_toml(value)}\n" for key, value in wrong.recipe.items())
    path.write_text(text, encoding="utf-8")
    try:
        LOADERS[wrong.kind](path)
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


def wrong_names(folder: Path) -> Iterator[tuple[str, str]]:
    """Names that only the whole of Podium knows: (what, what is wrong with the error or "")."""
    path = folder / "recipe.toml"
    for key, word, meant in (
        ("competition", "dog-vs-cats", "dogs-vs-cats"),
        ("competition", "nothing like it", "cars, clocks-or-crocs"),
        ("backbone", "efficientnet-b01", "efficientnet-b0"),
        ("backbone", "nothing like it", "resnet-small"),
        ("weights", "imagenett", "imagenet"),
        ("weights", "nothing like it", ".h5"),
    ):
        names = {"competition": "cars", "backbone": "efficientnet-b0", key: word}
        path.write_text("".join(f'{key} = "{name}"\n' for key, name in names.items()))
        try:
            Entry(folder).recipe()
        except RecipeError as error:
            message = str(error)
        else:
            message = "was taken"
        right = message.startswith(f"{path}: {key}: came {word!r}") and meant in message
        yield f"{key} = {word!r}", "" if right and "\n" not in message else message


def _wrong_tables(
    kind: type[StrictTable], whole: Any, sound: dict[str, Any], place: tuple, table: Any
) -> Iterator[Wrong]:
    """All that can be wrong with the keys of one table."""
    for name, field in table["properties"].items():
        key = ".".join(map(str, (*place, name)))
        kinds = _kinds(whole, field)
        for value, says in _wrong_values(whole, kinds):
            data = _with(sound, whole, place, {name: value})
            yield Wrong(kind, data, key, f"{key} = {value!r}", says)
        for misspelled in _misspelled(name, table["properties"]):
            there = ".".join(map(str, (*place, misspelled)))
            data = _with(sound, whole, place, {misspelled: _first(whole, kinds)})
            yield Wrong(kind, data, there, f"{there} for {key}", (f"did you mean {key}?",))
        if name in table.get("required", ()) and name != "stages":  # it has default ones
            data = _with(sound, whole, place, {}, without=name)
            yield Wrong(kind, data, key, f"no {key}", ("missing", "add"))


def _wrong_values(whole: Any, kinds: list[Any]) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """Values that none of the types takes, with what has to be said of each."""
    types = {kind["type"] for kind in kinds}
    said = tuple(_allowed(kind) for kind in kinds)
    for other, values in VALUES.items():
        taken = other in types or (other == "integer" and "number" in types)
        if not taken:
            yield from ((value, said) for value in values[:1])
    yield from ((value, (said[0],)) for kind in kinds for value, said in _beyond(whole, kind))


def _beyond(whole: Any, kind: Any) -> Iterator[tuple[Any, tuple[str, ...]]]:
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
        item = _kinds(whole, kind["items"])
        sound = _first(whole, item)
        if "maxItems" in kind:
            yield [sound] * (kind["maxItems"] + 1), (str(kind["maxItems"]),)
        if kind.get("minItems"):
            yield [], (str(kind["minItems"]),)
        if item[0]["type"] != "object":
            for value, says in _wrong_values(whole, item):
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


def _tables(whole: Any, table: Any, place: tuple = ()) -> Iterator[tuple[tuple, Any]]:
    """This table and all below it, each with its place: ("stages", 0, "pseudo")."""
    yield place, table
    for name, field in table["properties"].items():
        for kind in _kinds(whole, field):
            if kind["type"] == "object":
                yield from _tables(whole, kind, (*place, name))
            elif kind["type"] == "array":
                item = _kinds(whole, kind["items"])[0]
                if item["type"] == "object":
                    yield from _tables(whole, item, (*place, name, 0))


def _kinds(whole: Any, field: Any) -> list[Any]:
    """What a field takes: the schemas of its types, without that of nothing."""
    if "$ref" in field:
        return [whole["$defs"][field["$ref"].rpartition("/")[2]]]
    if "anyOf" in field:
        return [kind for one in field["anyOf"] for kind in _kinds(whole, one)]
    return [field] if field["type"] != "null" else []


def _instance(whole: Any, table: Any) -> dict[str, Any]:
    """A sound table with no more than it needs."""
    fields = table["properties"]
    return {name: _first(whole, _kinds(whole, fields[name])) for name in table["required"]}


def _first(whole: Any, kinds: list[Any]) -> Any:
    """A value that the first of the types takes."""
    kind = kinds[0]
    if kind["type"] == "object":
        return _instance(whole, kind) if "required" in kind else {}
    if kind["type"] == "array":
        item = _kinds(whole, kind["items"])
        return [
            f"word{number}" if item[0]["type"] == "string" else _first(whole, item)
            for number in range(kind.get("minItems", 0))
        ]
    if "enum" in kind:
        return kind["enum"][0]
    if kind["type"] in ("string", "boolean"):
        return {"string": "word", "boolean": True}[kind["type"]]
    low = kind.get("minimum", kind.get("exclusiveMinimum", 0))
    high = kind.get("maximum", kind.get("exclusiveMaximum", low + 2))
    middle = (low + high) / 2
    return middle if kind["type"] == "number" else max(int(middle), low)


def _with(
    sound: dict[str, Any], whole: Any, place: tuple, change: dict[str, Any], without: str = ""
) -> dict[str, Any]:
    """The sound recipe with other keys in the table at a place, which is made if need be."""
    if not place:
        kept = {key: value for key, value in sound.items() if key != without}
        return {**kept, **change}
    table, inner = whole, change
    path: list[Any] = []
    for name in place:
        path.append((name, table))
        if isinstance(name, int):
            continue
        kind = next(k for k in _kinds(whole, table["properties"][name]) if k["type"] != "string")
        table = _kinds(whole, kind["items"])[0] if kind["type"] == "array" else kind
    needed = _instance(whole, table) if "required" in table else {}
    inner = {**{key: value for key, value in needed.items() if key != without}, **change}
    for name, outer in reversed(path):
        if isinstance(name, int):
            inner = [inner]
        else:
            needed = _instance(whole, outer) if "required" in outer else {}
            inner = {**needed, name: inner}
    return inner
