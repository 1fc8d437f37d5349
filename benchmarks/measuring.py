"""What the benchmarks share: measuring in turns, rows of the table, and processes of their own."""

import argparse
import contextlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
HEADINGS = ("what", "against", "ours", "theirs", "ratio", "to reach", "reached")


@dataclass
class Row:
    """One comparison: what was measured in each turn, of both.

    Args:
        ours, theirs: a value per turn, in `unit`; neither where there was nothing to compare with.
        gain: of a turn's two values, what is compared with `to_reach`; see `GAINS`.
        to_reach: "≥ 2" or "≤ 1.05"; empty where the row only informs.
        note: what a reader must know to read the numbers.
    """

    what: str
    against: str
    unit: str
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)
    gain: str = "ours / theirs"
    to_reach: str = ""
    note: str = ""

    @classmethod
    def left_out(cls, what: str, against: str, why: str) -> "Row":
        """In place of a comparison that could not be made here."""
        return cls(what, against, unit="", note=f"left out: {why}")

    @property
    def ratio(self) -> float | None:
        """The median over the turns: what slows the machine down for a while slows both."""
        turns = zip(self.ours, self.theirs, strict=True)
        return median([GAINS[self.gain](*turn) for turn in turns]) if self.ours else None

    @property
    def reached(self) -> bool | None:
        if not self.to_reach or self.ratio is None:
            return None
        sign, limit = self.to_reach.split()
        return self.ratio >= float(limit) if sign == "≥" else self.ratio <= float(limit)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": self.ratio, "reached": self.reached}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Row":
        return cls(**{key: data[key] for key in cls.__dataclass_fields__})


GAINS: dict[str, Callable[[float, float], float]] = {
    "ours / theirs": lambda ours, theirs: ours / theirs,
    "theirs / ours": lambda ours, theirs: theirs / ours,
    "ours - theirs": lambda ours, theirs: ours - theirs,
}


def in_turns(
    contenders: dict[str, Callable[[], float]], turns: int, warm_up: bool = True
) -> dict[str, list[float]]:
    """Call each in turn, so many times over; every other time in the opposite order.

    Args:
        contenders: by their names, functions that do their work and return what they measured.
        warm_up: call each once before, for what is only slow the first time.

    Returns:
        Under each name a value per turn.
    """
    measured: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(-int(warm_up), turns):
        say(f"  turn {turn + 1} of {turns}" if turn >= 0 else "  warming up")
        names = list(contenders) if turn % 2 == 0 else list(reversed(contenders))
        for name in names:
            value = contenders[name]()
            if turn >= 0:
                measured[name].append(value)
    return measured


def seconds(work: Callable[[], Any]) -> float:
    """How long a call takes, by the clock on the wall."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def say(text: str) -> None:
    """Progress, beside the table that goes to standard output."""
    print(text, file=sys.stderr, flush=True)


def in_child(module: str, settings: dict[str, Any], limit: float = 900, **env: str) -> Any:
    """Call `module.child(**settings)` in a new process, for its own memory or environment.

    Args:
        limit: seconds after which the process is ended.

    Raises:
        subprocess.TimeoutExpired: it took longer than its limit.
        RuntimeError: it failed; with the end of what it said.
    """
    command = [sys.executable, "-m", "benchmarks.measuring", module, json.dumps(settings)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=limit, cwd=ROOT, env=os.environ | env
    )
    if done.returncode:
        raise RuntimeError(f"{module} {settings} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def table(rows: list[Row]) -> str:
    """The rows as text, columns under each other, with the notes below."""
    notes = list(dict.fromkeys(row.note for row in rows if row.note))
    cells = [HEADINGS, *(_cells(row, notes) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADINGS))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join([*lines, "", *(f"[{n}] {note}" for n, note in enumerate(notes, start=1))])


def _cells(row: Row, notes: list[str]) -> tuple[str, ...]:
    mark = f" [{notes.index(row.note) + 1}]" if row.note else ""
    ratio = "" if row.ratio is None else f"{row.ratio:.3g}"
    if ratio and row.gain == "ours - theirs":
        ratio += f" {row.unit} more"
    reached = {None: "", True: "yes", False: "NO"}[row.reached]
    ours, theirs = (_span(values, row.unit) for values in (row.ours, row.theirs))
    return row.what + mark, row.against, ours, theirs, ratio, row.to_reach, reached


def _span(values: list[float], unit: str) -> str:
    if not values:
        return "-"
    return f"{median(values):.3g} ({min(values):.3g} to {max(values):.3g}) {unit}".rstrip()


def main(measure: Callable[[bool, Path], list[Row]]) -> None:
    """Run a script: `measure(quick, scratch)` gives its rows.

    Args:
        measure: gets whether a tiny size is enough, and a folder that is deleted afterwards.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a tiny size, to see that it runs")
    parser.add_argument("--json", type=Path, help="where to write the rows as well")
    words = parser.parse_args()
    # What is measured may print; standard output is for the table.
    with (
        tempfile.TemporaryDirectory(prefix="podium-bench-") as scratch,
        contextlib.redirect_stdout(sys.stderr),
    ):
        rows = measure(words.quick, Path(scratch))
    if words.json:
        words.json.write_text(json.dumps([row.as_json() for row in rows], ensure_ascii=False))
    print(table(rows))


if __name__ == "__main__":  # the other end of `in_child`
    print(json.dumps(importlib.import_module(sys.argv[1]).child(**json.loads(sys.argv[2]))))
