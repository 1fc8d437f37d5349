"""Text for the terminal and for spreadsheets: tables, durations, names that do no harm."""

import math
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a cell begins that a spreadsheet would run


def format_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of the same length as lines of text, their cells under each other, on a line each."""
    rows = [[single_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def summarize(names: Sequence[object], most: int = 3) -> str:
    """The first few names, for an error message."""
    listed = ", ".join(single_line(str(name)) for name in list(names)[:most])
    return (listed + ", …" * (len(names) > most)) or "none"


def id_difference(first: Iterable[str], name: str, second: Iterable[str], other: str) -> str:
    """What is in only one of two sets of ids, for an error message; "" where they are the same."""
    ids, other_ids = set(first), set(second)
    only = (name, sorted(ids - other_ids)), (other, sorted(other_ids - ids))
    return ", ".join(
        f"{len(some)} only in {where} ({summarize(some)})" for where, some in only if some
    )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A remedy for an unknown name where one is written much like it; else nothing."""
    as_written = {one.lower(): one for one in known}
    is_word = any(map(str.isalpha, name))  # no number is like another
    close = get_close_matches(name.lower(), as_written, n=1) if is_word else []
    return f"; did you mean {as_written[close[0]]}?" if close else ""


def single_line(text: str) -> str:
    """A text from elsewhere, for a line: what would break it or move the cursor is spelled out."""
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text
    )


def printable(text: object) -> str:
    """A text of several lines that holds texts from elsewhere, each line as `single_line`."""
    return "\n".join(map(single_line, str(text).split("\n")))


def defused(cell: str) -> str:
    """A text cell of a CSV that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.startswith(FORMULA) else cell


def duration(seconds: float) -> str:
    """Seconds, or minutes or hours where these are many; "" where they are NaN."""
    if math.isnan(seconds):
        return ""
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
