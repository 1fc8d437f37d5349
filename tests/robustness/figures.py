"""A figure of the campaign with its limit, and the table of them."""

import operator
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from podium.text import format_table

ROOT = Path(__file__).parents[2]
COMPARE: dict[str, Callable[[float, float], bool]] = {
    "=": operator.eq,
    "≤": operator.le,
    "<": operator.lt,
    "≥": operator.ge,
}


@dataclass(frozen=True)
class Figure:
    """One number of the campaign.

    Args:
        what: was counted or measured, with its unit.
        limit: a sign of `COMPARE` and a number, "= 100" or "≤ 1e-5"; empty where the figure
            only informs.
        note: what a reader must know to read the number.
    """

    what: str
    value: float
    limit: str = ""
    note: str = ""

    @classmethod
    def of_failures(cls, what: str, failures: list[str], tried: int | None = None) -> "Figure":
        """The number of failures, which must be 0; the first of them are in the note."""
        tried_in_all = [] if tried is None else [f"of {tried}"]
        return cls(what, len(failures), "= 0", "; ".join([*tried_in_all, *failures[:5]]))

    @property
    def held(self) -> bool | None:
        if not self.limit:
            return None
        sign, limit = self.limit.split()
        return bool(COMPARE[sign](self.value, float(limit)))

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "held": self.held}


def table(figures: list[Figure]) -> str:
    """The figures as text, with the notes below."""
    held = {None: "", True: "yes", False: "NO"}
    rows = [(f.what, f"{f.value:.6g}", f.limit, held[f.held]) for f in figures]
    notes = [f"{f.what}: {f.note}" for f in figures if f.note]
    return "\n".join([*format_table([("what", "came out", "limit", "held"), *rows]), "", *notes])


def say(text: str) -> None:
    """Print progress, beside the table that goes to standard output."""
    print(text, file=sys.stderr, flush=True)
