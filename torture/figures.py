"""What the parts of the campaign share: a figure with its limit, and how a part is run."""

import argparse
import contextlib
import json
import operator
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from podium.text import format_table

ROOT = Path(__file__).parents[1]
HEADINGS = ("what", "came out", "limit", "held")
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
        note: what a reader must know to read the number; for one that is out of bounds, which
            cases these were.
    """

    what: str
    value: float
    limit: str = ""
    note: str = ""

    @property
    def held(self) -> bool | None:
        if not self.limit:
            return None
        sign, limit = self.limit.split()
        return COMPARE[sign](self.value, float(limit))

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "held": self.held}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Figure":
        return cls(**{key: data[key] for key in cls.__dataclass_fields__})


Campaign = Callable[[bool, Path], list[Figure]]


def table(figures: list[Figure]) -> str:
    """The figures as text, with the notes below."""
    held = {None: "", True: "yes", False: "NO"}
    rows = [(f.what, f"{f.value:.6g}", f.limit, held[f.held]) for f in figures]
    notes = [f"{f.what}: {f.note}" for f in figures if f.note]
    return "\n".join([*format_table([HEADINGS, *rows]), *([""] if notes else []), *notes])


def say(text: str) -> None:
    """Progress, beside the table that goes to standard output."""
    print(text, file=sys.stderr, flush=True)


def main(campaign: Campaign) -> None:
    """Run a part: `campaign(quick, scratch)` gives its figures.

    Args:
        campaign: gets whether a small sample is enough, and a folder that is deleted afterwards.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a small sample, as in `make test`")
    parser.add_argument("--json", type=Path, help="where to write the figures as well")
    words = parser.parse_args()
    # What is tortured may print; standard output is for the table.
    with (
        tempfile.TemporaryDirectory(prefix="podium-torture-") as scratch,
        contextlib.redirect_stdout(sys.stderr),
    ):
        figures = campaign(words.quick, Path(scratch))
    if words.json:
        words.json.write_text(json.dumps([f.as_json() for f in figures], ensure_ascii=False))
    print(table(figures))
