"""recipe.toml of a training or an ensemble: read, changed by `--set`, every mistake named."""

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar, get_args, get_origin

from pydantic import Field, ValidationError, model_validator

from podium.recipes.recipe import DEFAULT_IMAGE_SIZE, Recipe, default_stages
from podium.recipes.tables import RUN_NAME, StrictTable
from podium.text import single_line

# What pydantic says in Python's words, in those of whoever writes a recipe.
SHOULD_BE = {
    "bool_type": "Input should be true or false",
    "int_type": "Input should be a whole number",
    "float_type": "Input should be a number",
    "string_type": "Input should be text in quotes",
    "list_type": "Input should be a list in [ ]",
    "string_pattern_mismatch": (
        "Input should be a name and no path: letters, digits, and within it . _ -"
    ),
}
LONGEST = 120  # characters of a value in a message

AnyTable = TypeVar("AnyTable", bound=StrictTable)

# What tomllib raises: ValueError also for a whole number of thousands of digits, and beside it
# whatever too many brackets within each other come to.
UNREADABLE = (ValueError, RecursionError)


class RecipeError(ValueError):
    """A recipe that cannot be run: says which key, what came, and what is allowed."""


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


def load_recipe(path: Path, overrides: Iterable[str] = ()) -> Recipe:
    """Read a recipe.toml and apply `key=value` overrides; dots reach into tables and lists.

    Raises:
        RecipeError: the file is no TOML, or a key or value is refused.
    """
    data = read_toml(path)
    # A stage's keys come last: where the stages are the default ones, the image size makes them.
    for override in sorted(overrides, key=lambda override: override.startswith("stages.")):
        _override(data, override)
    return parse_recipe(data, source=str(path))


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


def read_toml(path: Path) -> dict[str, Any]:
    """Raises RecipeError where the file cannot be read or is no TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror or error}") from error
    except UNREADABLE as error:
        raise RecipeError(f"{path} is not valid TOML: {single_line(str(error))}") from error


def parse_recipe(data: dict[str, Any], source: str) -> Recipe:
    """Check a recipe given as a dictionary; `source` is named in the error.

    Raises:
        RecipeError: with a clause per refused key: what came and what is allowed.
    """
    return parse_table(Recipe, data, source)


def parse_table(kind: type[AnyTable], data: dict[str, Any], source: str) -> AnyTable:
    """Check the whole of a recipe.toml, of whichever kind; as `parse_recipe`."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        by_key: dict[str, list[Any]] = {}
        for details in error.errors():
            by_key.setdefault(_key(details), []).append(details)
        clauses = [_explain(kind, key, errors) for key, errors in by_key.items()]
        raise RecipeError(f"{source}: " + single_line("; ".join(clauses))) from error


def _override(data: dict[str, Any], override: str) -> None:
    """Apply one `key=value`, e.g. `image_size=224`, `head.dropout=0.5`, `stages.0.epochs=2`."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise RecipeError(
            f"--set {single_line(override)}: expected key=value, for example image_size=224"
        )
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except UNREADABLE:
        value = text  # a bare word is a string: --set optimizer=adamw
    *tables, last = key.strip().split(".")
    if tables and tables[0] == "stages":
        data.setdefault("stages", default_stages(data.get("image_size", DEFAULT_IMAGE_SIZE)))
    place: Any = data
    try:
        for name in tables:
            place = place[int(name)] if isinstance(place, list) else place.setdefault(name, {})
        place[int(last) if isinstance(place, list) else last] = value
    except (IndexError, ValueError, TypeError, AttributeError) as error:
        raise RecipeError(
            single_line(f"--set {override}: the recipe has no {key} to set")
        ) from error


def _key(details: Any) -> str:
    """The dotted key that one of pydantic's errors is about."""
    parts = [str(part) for part in details["loc"]]
    # Where a key takes several types, pydantic adds the type: literal['head','half','all'].
    if len(parts) > 1 and re.match(r"literal\[|constrained-", parts[-1]):
        parts.pop()
    return ".".join(parts)


def _explain(whole: type[StrictTable], key: str, errors: list[Any]) -> str:
    """One readable clause for pydantic's errors about a key: one for each type that it takes."""
    kind = errors[0]["type"]
    if kind == "extra_forbidden":
        return _say_unknown(whole, key)
    if kind == "missing":
        return f"{key}: is missing; add it"
    if kind == "model_type":
        return f"{key}: came {_shown(errors[0]['input'])}, should be a table"
    messages = [SHOULD_BE.get(error["type"], error["msg"]) for error in errors]
    noise = "^Value error, |^Input should be | after validation"
    allowed = [re.sub(noise, "", message) for message in messages]
    should_be = "should be " if messages[0].startswith("Input should be ") else ""
    clause = should_be + ", or ".join(text[0].lower() + text[1:] for text in allowed)
    return f"{key}: came {_shown(errors[0]['input'])}, {clause}" if key else clause


def _shown(value: Any) -> str:
    """What came, not all of it where it is long."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _say_unknown(whole: type[StrictTable], key: str) -> str:
    """What was probably meant: a key of the same table if one is alike, else of any."""
    *place, name = key.split(".")
    number = next((part for part in place if part.isdigit()), "0")  # of the stage
    tables = dict(_tables(whole, "", number))
    here = tables.pop(".".join(place), whole)
    for table, fields in {".".join(place): here, **tables}.items():
        close = difflib.get_close_matches(name, _keys(fields), n=1)
        if close:
            return f"{key}: unknown key; did you mean {f'{table}.{close[0]}'.removeprefix('.')}?"
    return f"{key}: unknown key; there are: {', '.join(_keys(here))}"


def _tables(table: Any, place: str, number: str) -> Iterator[tuple[str, type[StrictTable]]]:
    """A table and those within it, each with its dotted place; in a list as that number of it."""
    yield place, table
    for name, field in table.model_fields.items():
        for kind, inner in _within(field.annotation, f"{place}.{name}".lstrip("."), number):
            yield from _tables(kind, inner, number)


def _within(annotation: Any, place: str, number: str) -> Iterator[tuple[type[StrictTable], str]]:
    """The tables that a key may hold: itself, or one of a choice, or in a list."""
    if isinstance(annotation, type) and issubclass(annotation, StrictTable):
        yield annotation, place
    within = f"{place}.{number}" if get_origin(annotation) is list else place
    for part in get_args(annotation):
        yield from _within(part, within, number)


def _keys(table: type[StrictTable]) -> list[str]:
    """The keys of a table, as they are written in TOML."""
    return [field.alias or name for name, field in table.model_fields.items()]
