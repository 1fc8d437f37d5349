"""CSV files read as text, cell by cell; what is none is named, with what to do about it.

Not by pandas: it takes a longer first row for an index, and fills shorter ones up.
"""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from podium.text import did_you_mean, single_line, summarize

SAVE = "save it as CSV (UTF-8), its cells separated by commas"
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}

Rows = list[tuple[int, list[str]]]


class MissingData(ValueError):
    """A competition's files are not there, or not where its layout has them."""


class WrongTable(MissingData):
    """A file that is not the table that it should be: names it, and says what to do."""


class WrongSubmission(ValueError):
    """A submission that the competition would not accept."""


def read_csv(
    path: Path,
    columns: list[str],
    classes: Sequence[str] | None = None,
    may_be_empty: Sequence[str] = (),
) -> pd.DataFrame:
    """Read these columns of a CSV as text; the first of them are ids, each there once.

    Args:
        classes: what the last of them may hold.
        may_be_empty: those of them whose cells need not be filled.

    Raises:
        MissingData: no such file, other columns, empty cells, ids doubled or with spaces around,
            or a label that is none of the classes.
    """
    if not path.is_file():
        raise MissingData(f"{path} is missing; unpack the download again")
    rows = read_rows(path)
    header = rows[0][1] if rows else []
    if not set(columns) <= set(header):
        expected = f"the columns {shown(columns)}"
        raise wrong_header(path, expected, header, "give the file that has them")
    table = as_table(path, rows)[columns]
    ids, filled = table[columns[0]], table.drop(columns=list(may_be_empty))
    is_empty = filled.apply(lambda column: column.str.strip()) == ""
    for wrong, what, remedy in (
        (table.index[is_empty.any(axis=1)], "rows have empty cells", "fill in or delete the lines"),
        (ids[ids != ids.str.strip()].map(repr), "ids have spaces around them", "remove them"),
        (ids[ids.duplicated()].unique(), "ids are there twice", "keep one line of each"),
    ):
        if len(wrong):
            raise WrongTable(f"{path}: {len(wrong)} {what} ({summarize(wrong)}); {remedy}")
    labels = table[columns[-1]]
    strange = labels[~labels.isin(labels if classes is None else classes)].drop_duplicates()
    if classes is not None and len(strange):
        numbered = f"{classes[0]} to {classes[-1]}" if classes[0].isdigit() else None
        raise WrongTable(
            f"{path}: {columns[-1]} must be {numbered or f'one of the {len(classes)} classes'}, "
            f"came {summarize(strange)}; mend line {summarize(strange.index)}"
            f"{did_you_mean(strange.iloc[0], classes)}"
        )
    return table.reset_index(drop=True)


def read_rows(path: Path) -> Rows:
    """The rows of a CSV that have a cell, each with its line number; the header comes first.

    A spreadsheet's byte order mark and line ends are as good as any.

    Raises:
        WrongTable: no CSV in UTF-8.
    """
    data = path.read_bytes()
    try:
        text = io.StringIO(data.decode("utf-8-sig"), newline="")
        reader = csv.reader(text, strict=True)
        if b"\0" in data:
            raise csv.Error("this is a binary file")
        return [(reader.line_num, row) for row in reader if row]
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        why = f"line {line} has the byte 0x{data[error.start]:02x}"
    except csv.Error as error:
        quote = "a quote is opened and not closed"
        problem = quote if "end of data" in str(error) else single_line(str(error))
        why = f"line {reader.line_num}: {problem}"
    raise WrongTable(f"{path} is not a CSV in UTF-8: {why}; {SAVE}")


def as_table(path: Path, rows: Rows) -> pd.DataFrame:
    """The cells of all rows by line number and by the columns that the first row names.

    Raises:
        WrongTable: no rows, some with more or fewer cells than the header, or a column twice.
    """
    if len(rows) < 2:
        raise WrongTable(f"{path} has no rows: write one for each image")
    (_, header), *rows = rows
    if len(set(header)) < len(header):
        raise WrongTable(f"{path}: two columns are called alike in {shown(header)}; rename one")
    odd = [line for line, row in rows if len(row) != len(header)]
    if odd:
        raise WrongTable(
            f"{path}: expected {len(header)} cells in each line, {len(odd)} lines have others "
            f"({summarize(odd)}); mend them, and put quotes around a cell with a comma in it"
        )
    lines, cells = zip(*rows, strict=True)
    return pd.DataFrame(cells, lines, header, dtype=str)


def wrong_header(where: object, expected: str, came: Sequence[str], remedy: str) -> WrongTable:
    """The error of a first line with other columns, with a remedy, or that of other separators."""
    for sign, name in SEPARATORS.items():
        if any(sign in cell for cell in came):
            remedy = f"its cells are separated by {name}: {SAVE}"
    return WrongTable(f"{where}: expected {expected}, came {shown(came)}; {remedy}")


def shown(cells: Sequence[str], most: int = 60) -> str:
    """Cells as a message has them: on one line, and not all of many."""
    text = ",".join(cells)
    return repr(f"{text[:most]}…" if len(text) > most else text)
