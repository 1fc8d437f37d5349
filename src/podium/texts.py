"""Text for the terminal: tables, and the first few of many names."""

from collections.abc import Sequence


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of the same length as lines of text, their cells under each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def some(names: Sequence[object], most: int = 3) -> str:
    """The first few names, for an error message."""
    listed = ", ".join(str(name) for name in list(names)[:most])
    return (listed + ", …" * (len(names) > most)) or "none"
