"""recipe.toml of a training or an ensemble: read, changed by `--set`, every mistake named."""

import copy
import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import Field, ValidationError

from podium.recipes.recipe import DEFAULT_IMAGE_SIZE, Recipe, default_stages
from podium.recipes.tables import RUN_NAME, StrictTable
from podium.text import single_line

LONGEST = 120  # characters of a value in a message

AnyTable = TypeVar("AnyTable", bound=StrictTable)


class RecipeError(ValueError):
    """A recipe that cannot be run: says which key, what came, and what is allowed."""


class EnsembleRecipe(StrictTable):
    """All choices of an ensemble: the recipe.toml of an entry that names runs."""

    competition: str
    runs: Annotated[list[Annotated[str, Field(pattern=RUN_NAME)]], Field(min_length=2)]


def load_recipe(
    path: Path, overrides: Iterable[str] = (), preset: Mapping[str, Any] | None = None
) -> Recipe:
    """Read a recipe.toml and apply `key=value` overrides; dots reach into tables and lists.

    Args:
        preset: keys that take the place of the file's, before the overrides.

    Raises:
        RecipeError: the file is no TOML, or a key or value is refused.
    """
    data, overrides = {**read_toml(path), **copy.deepcopy(dict(preset or {}))}, list(overrides)
    # A stage's keys come last: where the stages are the default ones, the image size makes them.
    for override in sorted(overrides, key=lambda override: override.startswith("stages.")):
        _override(data, override)
    return parse_table(Recipe, data, str(path), [*overrides])


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
    except (ValueError, RecursionError) as error:  # the latter of too many brackets
        raise RecipeError(f"{path} is not valid TOML: {single_line(str(error))}") from error


def parse_recipe(data: dict[str, Any], source: str) -> Recipe:
    """Check a recipe given as a dictionary; `source` is named in the error.

    Raises:
        RecipeError: with a clause per refused key: what came and what is allowed.
    """
    return parse_table(Recipe, data, source)


def parse_table(
    kind: type[AnyTable], data: dict[str, Any], source: str, overrides: Sequence[str] = ()
) -> AnyTable:
    """Check the whole of a recipe.toml, of whichever kind; as `parse_recipe`.

    Args:
        overrides: that were applied to it, and are blamed for the keys that they set.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        by_key: dict[str, list[Any]] = {}
        for details in error.errors():
            by_key.setdefault(_key(details), []).append(details)
        clauses: dict[str, list[str]] = {}
        for key, errors in by_key.items():
            blamed = _to_blame(key, source, overrides)
            clauses.setdefault(blamed, []).append(_explain(kind, key, errors))
        told = [f"{blamed}: {'; '.join(each)}" for blamed, each in clauses.items()]
        raise RecipeError(single_line("; ".join(told))) from error


def _to_blame(key: str, source: str, overrides: Sequence[str]) -> str:
    """The overrides that set a key, or one within it; for keys that do not fit, all of them."""
    keys = {override: override.partition("=")[0].strip() for override in overrides}
    setting = [one for one, name in keys.items() if f"{key}.".startswith(f"{name}.")]
    words = " ".join(f"--set {override}" for override in setting or overrides)
    if setting:
        return words
    return source if key or not words else f"{source} with {words}"


def _override(data: dict[str, Any], override: str) -> None:
    """Apply one `key=value`, e.g. `image_size=224`, `head.dropout=0.5`, `stages.0.epochs=2`."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise RecipeError(f"--set {single_line(override)}: expected key=value, as image_size=224")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except ValueError:
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
        raise RecipeError(single_line(f"--set {override}: the recipe has no {key}")) from error


def _key(details: Any) -> str:
    """The dotted key that one of pydantic's errors is about."""
    parts = [str(part) for part in details["loc"]]
    # Where a key takes several types, pydantic adds the type: literal['head','half','all'].
    if len(parts) > 1 and re.match(r"literal\[|constrained-", parts[-1]):
        parts.pop()
    return ".".join(parts)


def _explain(whole: type[StrictTable], key: str, errors: list[Any]) -> str:
    """One clause for pydantic's errors about a key: one for each type that it takes."""
    if errors[0]["type"] == "extra_forbidden":
        return f"{key}: unknown key; {_likely_key(whole, key)}"
    if errors[0]["type"] == "missing":
        return f"{key}: is missing; add it"
    noise = "^Value error, |^Input (?=should be )"
    clause = " or ".join(re.sub(noise, "", error["msg"]) for error in errors)
    came = repr(errors[0]["input"])
    came = came if len(came) <= LONGEST else f"{came[:LONGEST]}…"
    return f"{key}: came {came}, {clause}" if key else clause


def _likely_key(whole: type[StrictTable], key: str) -> str:
    """What was probably meant by an unknown key: one that is written alike, or in a table."""
    name = re.sub(r"\.\d+", "", key)
    known = [other for other in _keys(whole) if not name.startswith(f"{other}.")]
    close = difflib.get_close_matches(name, known, n=1)
    close += [other for other in known if other.endswith(f".{name}")]
    return f"did you mean {close[0]}?" if close else f"see {whole.DESCRIBED_IN}"


def _keys(table: type[StrictTable], place: str = "") -> Iterator[str]:
    """The keys of a table and of those within it, dotted, as they are written in TOML."""
    for name, field in table.model_fields.items():
        yield place + (field.alias or name)
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, StrictTable):
                yield from _keys(kind, f"{place}{name}.")
