"""One combination is one run, however it was asked for; what cannot run is refused at once."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from podium.experiments.grid import (
    all_combinations,
    get_combination,
    parse_try,
    write_toml,
    write_value,
)
from small_competitions import RECIPE, write_entry


@pytest.fixture(autouse=True)
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A project with an entry and without data."""
    write_entry(tmp_path, "tiny", RECIPE.format(competition="sample"))
    monkeypatch.chdir(tmp_path)
    return "tiny"


def overrides(tries: list[str], base: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    return [one.overrides for one in all_combinations("tiny", tries, base)]


# --- Reading --try


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0,0.25,1e-3", ["0", "0.25", "0.001"]),
        ("[],[256],[256, 128]", ["[]", "[256]", "[256, 128]"]),
        ("{ a = 1, b = [2, 3] },{}", ["{ a = 1, b = [2, 3] }", "{}"]),
        ("vgg16, resnet50", ["vgg16", "resnet50"]),
        ('"a,b","c"', ["a,b", "c"]),
        ("a=b.h5,none", ["a=b.h5", "none"]),
        ("true,false", ["true", "false"]),
        ("one", ["one"]),
    ],
)
def test_values_are_toml_or_words(text: str, values: list[str]) -> None:
    assert parse_try(f"key={text}") == ("key", values)


@pytest.mark.parametrize("text", ["head.dropout", "head.dropout=", "=1,2", "image_size=16,,32"])
def test_a_try_without_key_or_value_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"--try .*: expected values of a key, as in"):
        parse_try(text)


def test_values_of_a_key_that_is_tried_twice_are_joined() -> None:
    assert overrides(["head.width=4,16", "head.width=2"]) == [
        ("head.width=4",),
        ("head.width=16",),
        ("head.width=2",),
    ]


@pytest.mark.parametrize(
    ("tries", "message"),
    [
        (["imagesize=16,32"], "imagesize: unknown key; did you mean image_size"),
        (["image_size=16,4"], "image_size: came 4, should be greater than or equal to 16"),
        (["backbone=resnet-small,vgg61"], "no backbone 'vgg61'"),
        (["weights=none,imagenet"], "came 'imagenet'"),
        (["competition=sample,cats"], "cats"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_does(tries: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        overrides(tries)


# --- One spelling


def test_the_product_in_the_order_asked() -> None:
    assert overrides(["head.dropout=0,0.5", "head.width=4,16"]) == [
        ("head.dropout=0.0", "head.width=4"),
        ("head.dropout=0.0", "head.width=16"),
        ("head.dropout=0.5", "head.width=4"),
        ("head.dropout=0.5", "head.width=16"),
    ]


def test_what_changes_nothing_is_left_out() -> None:
    assert overrides(["head.width=8,4", "head.dropout=0.25"]) == [(), ("head.width=4",)]
    assert get_combination("tiny", ["image_size=16"]).change == "as it is"


def test_each_recipe_is_there_once() -> None:
    tries = ["head.dropout=0.5,0.50,5e-1", "stages.0.learning_rate=0.001,1e-3"]
    assert overrides(tries) == [("head.dropout=0.5",)]


def test_the_same_combination_is_spelled_the_same_way() -> None:
    one = get_combination("tiny", ["label_smoothing=0.10", "head.dropout=0.5"])
    words = ["head.dropout=5e-1", "seed=3", "seed=0", "backbone=resnet-8"]
    other = get_combination("tiny", [*words, "label_smoothing=1e-1"])
    assert one.overrides == other.overrides == ("head.dropout=0.5", "label_smoothing=0.1")
    assert one == other


def test_a_table_and_a_key_in_it_are_kept_apart() -> None:
    found = get_combination("tiny", ["head={ width = 4, dropout = 0.1 }", "head.dropout=0.3"])
    assert found.recipe.head.width == 4 and found.recipe.head.dropout == 0.3
    assert get_combination("tiny", found.overrides).recipe == found.recipe


def test_another_number_of_stages_is_a_change_of_the_list() -> None:
    stage = '{ epochs = 1, learning_rate = 0.001, unfreeze = "all" }'
    found = get_combination("tiny", [f"stages=[{stage}, {stage}]", "stages.1.epochs=3"])
    (change,) = found.overrides
    assert change.startswith("stages=[{ ") and "solver" not in change, "what differs from defaults"
    assert [stage.epochs for stage in found.recipe.stages] == [1, 3]
    assert get_combination("tiny", found.overrides).recipe == found.recipe


def test_a_table_is_spelled_by_what_differs() -> None:
    words = ["head={ width = 8, dropout = 0.25, taps = ['a'] }", "augmentation={}"]
    found = get_combination("tiny", [*words, "one_cycle.momentum=[0.95, 0.85]"])
    assert found.overrides == ('head.taps=["a"]',)
    assert get_combination("tiny", found.overrides).recipe == found.recipe


def test_a_list_of_words_is_one_value(tmp_path: Path) -> None:
    recipe = RECIPE.format(competition="sample").replace("width = 8", 'width = 8, taps = ["a"]')
    write_entry(tmp_path, "small", recipe)
    assert get_combination("small", ["head.taps=['b']"]).overrides == ('head.taps=["b"]',)


def test_a_key_that_is_taken_away_is_a_change_of_its_table(tmp_path: Path) -> None:
    recipe = RECIPE.format(competition="sample").replace("epochs = 1", "epochs = 1, batch_size = 4")
    write_entry(tmp_path, "small", recipe)
    stage = '{ epochs = 2, learning_rate = 0.001, unfreeze = "all" }'
    found = get_combination("small", [f"stages=[{stage}]"])
    assert found.recipe.stages[0].batch_size is None
    assert get_combination("small", found.overrides).recipe == found.recipe


def test_set_is_part_of_every_combination() -> None:
    assert overrides(["head.width=4,16"], ("limit=10",)) == [
        ("head.width=4", "limit=10"),
        ("head.width=16", "limit=10"),
    ]
    assert overrides([], ("limit=10",)) == [("limit=10",)]


@pytest.mark.parametrize(
    "value",
    ["vgg16", "none", "true", "12", "a b", "", " x", 'with "quotes"', "a/path.h5", "é", "inf"],
)
def test_words_are_read_again_as_they_were(value: str) -> None:
    spelled = write_value(value)
    try:
        again: Any = tomllib.loads(f"value = {spelled}")["value"]
    except tomllib.TOMLDecodeError:
        again = spelled
    assert again == value


def test_any_value_of_a_recipe_is_read_again_as_it_was() -> None:
    recipe = get_combination("tiny", ["stages.0.image_size=32", "optimizer=adamw"]).recipe
    data = recipe.model_dump(exclude_none=True)
    lines = "\n".join(f"{key} = {write_toml(value)}" for key, value in data.items())
    assert tomllib.loads(lines) == data
    assert write_toml(1e-05) == "1e-05" and write_toml(True) == "true" and write_toml({}) == "{}"
