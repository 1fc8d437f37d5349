"""The search space of `podium tune`: a range for each of some keys of a recipe."""

import re
from dataclasses import dataclass

import optuna

from podium.experiments.grid import value_at
from podium.recipes.recipe import Recipe
from podium.recipes.tables import Augmentation

UNUSED = {"crop": 1.0, "mixed": 1.0}  # values of an augmentation that do nothing; others: 0


@dataclass(frozen=True)
class Range:
    """The values of a key, ends included; whole numbers if both ends are of type int."""

    key: str
    low: float
    high: float
    log: bool = False

    def __str__(self) -> str:
        return f"{self.key}={self.low:g}:{self.high:g}" + (":log" if self.log else "")

    def suggest(self, trial: optuna.Trial) -> str:
        """The value that a trial takes, as an override."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            return f"{self.key}={trial.suggest_int(self.key, self.low, self.high, log=self.log)}"
        value = _round(trial.suggest_float(self.key, self.low, self.high, log=self.log))
        return f"{self.key}={min(max(value, self.low), self.high)}"


def parse_range(text: str, recipe: Recipe) -> Range:
    """The range of `key=low:high` or `key=low:high:log`.

    Raises:
        ValueError: it has another form.
    """
    parts = re.fullmatch(r"([^=]+)=([^:]+):([^:]+)(:log)?", text)
    try:
        key, low, high = parts[1].strip(), float(parts[2]), float(parts[3])
        is_log = parts[4] is not None
        if not low < high or (is_log and low <= 0):
            raise ValueError
    except (TypeError, ValueError):
        raise ValueError(f"--search {text}: expected key=low:high or key=low:high:log") from None
    value = value_at(recipe.model_dump(), key)
    is_written_whole = parts[2].isdecimal() and parts[3].isdecimal()
    if is_written_whole and not isinstance(value, float):
        return Range(key, int(low), int(high), is_log)
    return Range(key, low, high, is_log)


def default_ranges(recipe: Recipe) -> list[Range]:
    """Ranges around the learning rates, the regularization, and the augmentation in use."""
    decay = recipe.weight_decay
    ranges = [
        *(
            _around(f"stages.{number}.learning_rate", stage.learning_rate, 5, most=10.0)
            for number, stage in enumerate(recipe.stages)
        ),
        _around("weight_decay", decay, 10, most=1.0) if decay else Range("weight_decay", 0.0, 0.05),
        Range("head.dropout", 0.0, max(0.6, recipe.head.dropout)),
        Range("label_smoothing", 0.0, max(0.2, recipe.label_smoothing)),
    ]
    for name, value in recipe.augmentation.model_dump().items():
        if isinstance(value, bool) or value == UNUSED.get(name, 0):
            continue
        bounds = Augmentation.model_fields[name].metadata
        most = min([2 * value, *(bound.le for bound in bounds if hasattr(bound, "le"))])
        low = value / 2 if name == "crop" else 0  # others from off to twice as strong
        number = int if isinstance(value, int) else _round
        ranges.append(Range(f"augmentation.{name}", number(low), number(most)))
    return ranges


def values_in(ranges: list[Range], recipe: Recipe) -> dict[str, float] | None:
    """The values of a recipe for the keys of the ranges; None if one is not in its range."""
    values = {one.key: value_at(recipe.model_dump(), one.key) for one in ranges}
    if None in values.values():
        return None
    is_inside = all(one.low <= values[one.key] <= one.high for one in ranges)
    return values if is_inside else None


def _around(key: str, value: float, factor: float, most: float) -> Range:
    return Range(key, _round(value / factor), min(_round(value * factor), most), log=True)


def _round(value: float) -> float:
    """Three digits: more say nothing and are hard to read."""
    return float(f"{value:.3g}")
