"""The search space: ranges that a user writes, and those that an entry suggests."""

from typing import Any

import pytest

from podium.experiments.search_space import Range, default_ranges, parse_range, values_in
from podium.recipes.recipe import Recipe
from podium.recipes.recipe_file import parse_recipe


def recipe(**changes: Any) -> Recipe:
    stages = [
        {"unfreeze": "head", "epochs": 5, "learning_rate": 1e-3},
        {"unfreeze": "all", "epochs": 5, "learning_rate": 4.0},
    ]
    data = {"competition": "cars", "backbone": "vgg16", "stages": stages, **changes}
    return parse_recipe(data, "here")


def test_a_range_is_read() -> None:
    assert parse_range("head.dropout=0:0.6", recipe()) == Range("head.dropout", 0, 0.6)
    rate = parse_range("stages.0.learning_rate=1e-5:1e-2:log", recipe())
    assert rate == Range("stages.0.learning_rate", 1e-5, 1e-2, log=True)
    assert str(rate) == "stages.0.learning_rate=1e-05:0.01:log"


def test_numbers_are_whole_where_the_recipe_has_whole_ones() -> None:
    for text, is_whole in (
        ("stages.0.epochs=2:8", True),
        ("patience=2:8", True),  # is not set
        ("clip_norm=0.5:8", False),
        ("head.dropout=0:1", False),
    ):
        assert isinstance(parse_range(text, recipe()).low, int) == is_whole


class Fixed:
    """Answers like a trial of Optuna that takes one value for everything."""

    def __init__(self, value: float) -> None:
        self.value = value

    def suggest_float(self, name: str, low: float, high: float, log: bool) -> float:
        assert low <= self.value <= high
        return self.value


@pytest.mark.parametrize(
    ("low", "high", "log", "value", "said"),
    [
        (0.0, 0.6, False, 0.123456, "0.123"),
        (0.0, 16.0, False, 15.9999, "16.0"),
        (0.1, 0.1234, False, 0.1234, "0.123"),
        (1e-5, 1e-2, True, 0.00123456, "0.00123"),
        (1e-5, 1.23456e-2, True, 1.23456e-2, "0.0123"),
        (1.23456e-5, 1e-2, True, 1.23456e-5, "1.23456e-05"),
    ],
)
def test_values_are_rounded_and_stay_in_their_range(
    low: float, high: float, log: bool, value: float, said: str
) -> None:
    assert Range("a", low, high, log).suggest(Fixed(value)) == f"a={said}"


@pytest.mark.parametrize(
    "text",
    [
        *("head.dropout", "head.dropout=0.5", "head.dropout=a:b", "head.dropout=0:1:2"),
        *("head.dropout=0.5:0.5", "weight_decay=0:0.1:log"),
    ],
)
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected key=low:high or key=low:high:log"):
        parse_range(text, recipe())


def ranges(**changes: Any) -> dict[str, Range]:
    return {one.key: one for one in default_ranges(recipe(**changes))}


def test_rates_are_searched_around_what_they_are() -> None:
    found = ranges()
    first, second = (found[f"stages.{number}.learning_rate"] for number in (0, 1))
    assert (first.low, first.high, first.log) == (0.0002, 0.005, True)
    assert second.high == 10.0, "no more than a recipe takes"
    assert (found["weight_decay"].low, found["weight_decay"].high) == (0.0, 0.05)
    decay = ranges(weight_decay=0.3)["weight_decay"]
    assert (decay.low, decay.high, decay.log) == (0.03, 1.0, True)


def test_of_the_augmentation_only_what_is_used_is_searched() -> None:
    used = {"crop": 0.5, "rotate": 8.0, "light": 0.6, "color": 0.0, "shift": 40, "mixup": 0.2}
    found = ranges(augmentation=used)
    strengths = {key: one for key, one in found.items() if key.startswith("augmentation.")}
    ends = {key.split(".")[1]: (one.low, one.high) for key, one in strengths.items()}
    assert ends == {
        "crop": (0.25, 1.0),
        "rotate": (0, 16.0),
        "light": (0, 1.0),  # a share
        "shift": (0, 64),  # the most that a recipe takes
        "mixup": (0, 0.4),
    }
    assert isinstance(strengths["augmentation.shift"].high, int)


def test_the_default_ranges_hold_what_the_recipe_has() -> None:
    found = default_ranges(recipe(weight_decay=0.01))
    values = values_in(found, recipe(weight_decay=0.01))
    assert values is not None and values["stages.0.learning_rate"] == 1e-3
    assert values_in([Range("head.dropout", 0.5, 0.6)], recipe()) is None
    assert values_in([Range("patience", 1, 5)], recipe()) is None  # is not set
