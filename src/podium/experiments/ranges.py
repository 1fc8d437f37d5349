"""Where `podium tune` searches: a range for each of some keys of a recipe."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from podium.experiments.grid import value_at
from podium.recipes.recipe import Recipe
from podium.recipes.tables import Augmentation

if TYPE_CHECKING:
    import optuna

DIGITS = 3  # of a value that is tried: more say nothing and are hard to read
UNUSED = {"crop": 1.0, "mixed": 1.0}  # what an augmentation has that does nothing; others: 0


@dataclass(frozen=True)
class Range:
    """The values of a key, ends included."""

    key: str
    low: float
    high: float
    log: bool = False
    whole: bool = False  # only whole numbers

    def __str__(self) -> str:
        return f"{self.key}={self.low:g}:{self.high:g}{':log' * self.log}"

    def suggest(self, trial: "optuna.Trial") -> str:
        """The value that a trial takes, as an override."""
        if self.whole:
            low, high = int(self.low), int(self.high)
            return f"{self.key}={trial.suggest_int(self.key, low, high, log=self.log)}"
        value = trial.suggest_float(self.key, self.low, self.high, log=self.log)
        if self.log:
            value = _rounded(value)
        else:  # to a thousandth of the range, or finer
            value = round(value, DIGITS - 1 - math.floor(math.log10(self.high - self.low)))
        return f"{self.key}={min(max(value, self.low), self.high)}"


def parse_range(text: str, recipe: Recipe) -> Range:
    """The range of `key=low:high` or `key=low:high:log`.

    Raises:
        ValueError: it has another form, or the recipe has no number there.
    """
    key, _, ends = text.partition("=")
    key, (low_text, *others) = key.strip(), ends.split(":")
    try:
        low, high = float(low_text), float(others[0])
        if others[1:] not in ([], ["log"]):
            raise ValueError
    except (ValueError, IndexError):
        raise ValueError(
            f"--search {text}: expected key=low:high or key=low:high:log, for example "
            "stages.0.learning_rate=1e-4:1e-2:log"
        ) from None
    if not low < high or ("log" in others and low <= 0):
        raise ValueError(
            f"--search {text}: the low end must be below the high one, and above 0 with :log"
        )
    value = value_at(recipe.model_dump(), key)
    if isinstance(value, bool | str | list | dict):
        raise ValueError(
            f"--search {text}: {key} is {value!r}, no number; podium compare tries such values"
        )
    written_whole = low_text.isdecimal() and others[0].isdecimal()
    whole = isinstance(value, int) or (value is None and written_whole)
    if whole and not written_whole:
        raise ValueError(f"--search {text}: {key} takes whole numbers")
    return Range(key, low, high, "log" in others, whole)


def default_ranges(recipe: Recipe, leave_out: Iterable[str] = ()) -> list[Range]:
    """Around what the recipe has: rates, what regularizes, and the augmentation that it uses."""
    ranges = [
        Range(
            f"stages.{number}.learning_rate",
            _rounded(stage.learning_rate / 5),
            min(_rounded(stage.learning_rate * 5), 10.0),
            log=True,
        )
        for number, stage in enumerate(recipe.stages)
    ]
    ranges += [
        _around_decay(recipe.weight_decay),
        Range("head.dropout", 0.0, max(0.6, recipe.head.dropout)),
        Range("label_smoothing", 0.0, max(0.2, recipe.label_smoothing)),
    ]
    for name, value in recipe.augmentation.model_dump().items():
        if not isinstance(value, bool) and value != UNUSED.get(name, 0):
            ranges.append(_around_strength(name, value))
    left_out = set(leave_out)
    return [one for one in ranges if one.key not in left_out]


def values_of(recipe: Recipe, ranges: list[Range]) -> dict[str, Any] | None:
    """What a recipe has for the keys of the ranges; None where one of them is not in its range."""
    data = recipe.model_dump()
    values = {one.key: value_at(data, one.key) for one in ranges}
    inside = all(
        values[one.key] is not None and one.low <= values[one.key] <= one.high for one in ranges
    )
    return values if inside else None


def _around_decay(decay: float) -> Range:
    if decay == 0:
        return Range("weight_decay", 0.0, 0.05)
    return Range("weight_decay", _rounded(decay / 10), min(_rounded(decay * 10), 1.0), log=True)


def _around_strength(name: str, value: float) -> Range:
    """From off to twice as strong."""
    key = f"augmentation.{name}"
    if name == "crop":
        return Range(key, _rounded(value / 2), 1.0)
    bounds = Augmentation.model_fields[name].metadata
    most = next((bound.le for bound in bounds if hasattr(bound, "le")), 2 * value)
    return Range(key, 0, _rounded(min(2 * value, most)), whole=isinstance(value, int))


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
