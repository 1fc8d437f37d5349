"""A CSV as text, cell by cell as it was written; what is none is named with what to do about it.

Not by pandas: it takes a longer first row for an index, and fills shorter ones up.
"""

import csv
import io
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from podium.competitions.errors import MissingData, WrongTable
from podium.text import single_line, summarize

SAVE = "save it as CSV (UTF-8), its cells separated by commas"
# How files begin that are often taken for a CSV.
FOREIGN = {
    b"PK": "an archive or a spreadsheet",
    b"\x1f\x8b": "an archive",
    b"\xd0\xcf\x11\xe0": "a spreadsheet",
    b"\xff\xfe": "in UTF-16",
    b"\xfe\xff": "in UTF-16",
    b"%PDF": "a PDF",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
}
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}

Rows = list[tuple[int, list[str]]]


def read_csv(path: Path, columns: list[str]) -> pd.DataFrame:
    """Read these columns of a CSV as text; the first of them are ids, each there once.

    Raises:
        MissingData: no such file, other columns, empty cells, or ids doubled or with spaces around.
    """
    if not path.is_file():
        raise MissingData(f"{path} is missing; unpack the download again")
    try:
        rows = read_rows(path)
    except WrongTable as error:
        raise MissingData(str(error)) from error
    header = rows[0][1] if rows else []
    if not set(columns) <= set(header):
        raise MissingData(
            f"{path}: expected the columns {shown(columns)}, came {shown(header)}"
            f"{other_separator(header) or '; unpack the download again'}"
        )
    if len(rows) == 1:
        raise MissingData(f"{path} has no rows; unpack the download again")
    if max(map(header.count, columns)) > 1:
        raise MissingData(f"{path}: two columns are called alike in {shown(header)}; rename one")
    if odd := uneven(path, rows):
        raise MissingData(odd)
    places = [header.index(name) for name in columns]
    cells = [(line, [row[place] for place in places]) for line, row in rows[1:]]
    _check_cells(path, cells)
    return pd.DataFrame([row for _, row in cells], columns=columns, dtype=str)


def _check_cells(path: Path, rows: Rows) -> None:
    """Raises MissingData where a cell is empty, or the first one is no id or another row's."""
    empty = [line for line, row in rows if not all(cell.strip() for cell in row)]
    if empty:
        raise MissingData(
            f"{path}: {len(empty)} rows have empty cells: lines {summarize(empty)}; "
            "fill them in, or delete these lines"
        )
    spaced = [f"line {line}: {row[0]!r}" for line, row in rows if row[0] != row[0].strip()]
    if spaced:
        raise MissingData(
            f"{path}: {len(spaced)} ids have spaces around them ({summarize(spaced)}); remove them"
        )
    counts = Counter(row[0] for _, row in rows)
    doubled = [name for name, count in counts.items() if count > 1]
    if doubled:
        raise MissingData(
            f"{path}: {len(doubled)} ids are there twice ({summarize(doubled)}); keep one of each"
        )


def read_rows(path: Path, spaces: bool = False) -> Rows:
    """The rows of a CSV that have a cell, each with its line number; the header comes first.

    A spreadsheet's byte order mark and line ends are as good as any.

    Args:
        spaces: those after a comma belong to the cell.

    Raises:
        WrongTable: no CSV in UTF-8.
    """
    data = path.read_bytes()
    kind = next((kind for start, kind in FOREIGN.items() if data.startswith(start)), "")
    if not kind and b"\0" in data:
        kind = "a binary file"
    if kind:
        raise WrongTable(f"{path} is not a CSV in UTF-8: it is {kind}; {SAVE}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        came = data[error.start : error.start + 1].hex()
        raise WrongTable(
            f"{path} is not a CSV in UTF-8: line {line} has the byte 0x{came}; {SAVE}"
        ) from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=not spaces)
    try:
        return [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        why = "a quote is opened and not closed" if "end of data" in str(error) else str(error)
        raise WrongTable(
            f"{path} is not a CSV in UTF-8: line {reader.line_num}: {single_line(why)}; {SAVE}"
        ) from error


def other_separator(header: Sequence[str]) -> str:
    """What to say of a header whose cells are separated by something else than commas."""
    for sign, name in SEPARATORS.items():
        if any(sign in cell for cell in header):
            return f"; its cells are separated by {name}: {SAVE}"
    return ""


def shown(cells: Sequence[str], most: int = 60) -> str:
    """Cells as a message has them: on one line, and not all of many."""
    text = ",".join(cells)
    return repr(f"{text[:most]}…" if len(text) > most else text)


def uneven(path: Path, rows: Rows) -> str:
    """What to say of the lines that have more or fewer cells than the header; "" if none has."""
    cells = len(rows[0][1])
    odd = [line for line, row in rows if len(row) != cells]
    if not odd:
        return ""
    have = "line has" if len(odd) == 1 else "lines have"
    return (
        f"{path}: expected {cells} cells in each line, {len(odd)} {have} others: {summarize(odd)}; "
        "mend them, and put quotes around a cell with a comma in it"
    )


def likely_mistake(strange: Iterable[str], missing: Iterable[str]) -> str:
    """Why ids that nobody knows are probably others that are missed, and what to do; "" else."""
    strange, missing = list(strange), list(missing)
    for fold, why in (
        (str.strip, "spaces around them: remove them"),
        (same_form, "the form of their accents (NFC or NFD): write them as they are asked for"),
        (str.casefold, "capital letters: write them as they are asked for"),
        (lambda name: Path(name).stem, "the ending: write them as they are asked for"),
    ):
        count = len({fold(name) for name in strange} & {fold(name) for name in missing})
        if count:
            return f"{count} of these ids differ only in {why}"
    return ""


def same_form(name: str) -> str:
    """A name with its accents in the one form (NFC): macOS and its archives write the other."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)
