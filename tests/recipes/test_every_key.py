"""A recipe with each of its keys wrong in turn: the error is one line that names file and key."""

from collections.abc import Iterator
from typing import Any

from podium.recipes.recipe import Recipe
from podium.recipes.recipe_file import RecipeError, parse_recipe

LONGEST = 700  # characters of a message


def test_every_wrong_key_is_named_in_one_line() -> None:
    keys = list(wrong_keys(Recipe.model_json_schema()))
    assert len(keys) > 200
    complaints = [(key, complaint(key, value)) for key, value in keys]
    assert not [f"{key}: {problem}" for key, problem in complaints if problem]


def wrong_keys(
    schema: dict, table: dict | None = None, place: str = ""
) -> Iterator[tuple[str, object]]:
    """Each key of a recipe: misspelled, of a wrong type, and beyond its bounds."""
    for name, about in (table or schema)["properties"].items():
        kinds = about.get("anyOf", [about])
        yield f"{place}{name}s", 1
        yield f"{place}{name}", {"no": "such table"}
        for kind in kinds:
            for bound, sign in (("minimum", -1), ("maximum", 1)):
                limit = kind.get(bound, kind.get(f"exclusive{bound.capitalize()}"))
                if limit is not None:
                    yield f"{place}{name}", limit + sign
            inner = kind.get("items", kind).get("$ref", "").rpartition("/")[2]
            if inner and "properties" in schema["$defs"][inner]:
                number = "0." if "items" in kind else ""
                yield from wrong_keys(schema, schema["$defs"][inner], f"{place}{name}.{number}")


def complaint(key: str, value: object) -> str:
    """What is wrong with the error about a recipe with this value; "" if nothing."""
    stage: dict[str, Any] = {"unfreeze": "head", "epochs": 1, "learning_rate": 0.1}
    recipe = {"competition": "cars", "backbone": "resnet-small", "stages": [stage]}
    *steps, name = key.split(".")
    table: Any = recipe
    for step in steps:
        if step == "pseudo":
            table[step] = {"from": "a-run"}
        table = table[int(step)] if step.isdigit() else table.setdefault(step, {})
    table[name] = value
    try:
        parse_recipe(recipe, "here")
    except RecipeError as error:
        message = str(error)
        is_right = message.startswith(f"here: {key}") and "\n" not in message
        return "" if is_right and len(message) <= LONGEST else message
    except Exception as error:  # whatever else it is, it is a finding
        return f"{type(error).__name__}: {error}"
    return f"{key} = {value!r} was taken"
