"""`podium recipe`: each key described once, with bounds, default and an entry's value."""

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

from podium.recipes import tables
from podium.recipes.keys import recipe_keys
from podium.recipes.recipe import Recipe
from podium.recipes.recipe_file import parse_recipe
from small_competitions import write_entry

Command = Callable[..., tuple[int, str, str]]
TABLES = ("Head", "BoxHead", "Augmentation", "OneCycle", "Stage", "Pseudo")
REPOSITORY = Path(__file__).parents[2]
RECIPE = """competition = "cars"
backbone = "resnet-small"
weights = "none"
image_size = 64
head.dropout = 0.5
[[stages]]
epochs = 3
learning_rate = 0.1
[[stages]]
epochs = 4
learning_rate = 0.01
pseudo.from = "a-run"
"""


def test_every_key_has_a_meaning() -> None:
    keys = recipe_keys()
    assert len({key.name for key in keys}) == len(keys) > 70
    assert all(key.meaning.endswith(".") and key.allowed for key in keys)
    inner = [getattr(tables, name) for name in TABLES]
    fields = sum(len(table.model_fields) for table in (Recipe, *inner))
    assert len(keys) == fields - len(inner), "a table is no key itself"


def test_bounds_and_defaults_are_those_that_a_recipe_is_held_to() -> None:
    keys = {key.name: key for key in recipe_keys()}
    assert keys["image_size"].allowed == "integer from 16 to 1024"
    assert keys["head.dropout"].allowed == "number from 0 below 1"
    assert keys["stages.N.unfreeze"].allowed == '"head", "half", "all" or integer from 1'
    assert keys["shares"].allowed == "list of at most 3, each number from 0 to 1"
    assert keys["ema"].default == "none" and keys["backbone"].default == ""
    stage = {"epochs": 1, "learning_rate": 0.1}
    base = {"competition": "cars", "backbone": "resnet-small", "stages": [stage]}
    dumped = parse_recipe(base, "here").model_dump()
    for key in keys.values():
        if key.default and not key.name.startswith(("box.", "stages.N.pseudo")):
            assert key.value(dumped) == key.default, key


def test_an_entry_shows_its_values(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_entry(tmp_path, "mine", RECIPE)
    code, out, _ = command("recipe", "mine")
    assert code == 0
    lines = {line.split(" = ")[0]: line for line in out.splitlines() if " = " in line[:40]}
    assert lines["image_size"].split() == (
        "image_size = 64 integer from 16 to 1024; default 224".split()
    )
    assert "= 3, 4 " in lines["stages.N.epochs"]
    assert '= "a-run" ' in lines["stages.N.pseudo.from"]
    assert "= none " in lines["box.width"] and "default" in lines["head.dropout"]
    assert "Side of the square image, pixels." in out
    code, plain, _ = command("recipe")
    assert code == 0 and "image_size = 224 " in plain and "default" not in plain
    assert command("recipe", "other")[0] == 1


def test_the_page_has_the_same_table() -> None:
    made = runpy.run_path(str(REPOSITORY / "docs" / "keys.py"))
    page = (REPOSITORY / "docs" / "recipes.md").read_text("utf-8")
    assert made["key_table"]() in page, "run `python docs/keys.py`"
