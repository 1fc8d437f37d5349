"""Text for the terminal: tables, durations, the first few of many names, no line broken in two."""

from collections.abc import Sequence


def format_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of the same length as lines of text, their cells under each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def summarize(names: Sequence[object], most: int = 3) -> str:
    """The first few names, for an error message."""
    listed = ", ".join(single_line(str(name)) for name in list(names)[:most])
    return (listed + ", …" * (len(names) > most)) or "none"


def single_line(text: str) -> str:
    """A text from elsewhere, for an error message: what would break the line is spelled out."""
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text
    )


def duration(seconds: float) -> str:
    """A time in the unit that one would say it in: 45 s, 12 min, 3 h 05 min."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
