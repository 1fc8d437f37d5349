"""A submission's file, checked as Kaggle would check it, before it counts there."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from podium.competitions.base import Competition
from podium.competitions.boxes import FIRST_PIXEL, PIXEL_COLUMNS
from podium.competitions.csv_files import (
    WrongSubmission,
    WrongTable,
    likely_mistake,
    other_separator,
    read_rows,
    require_even,
    shown,
)
from podium.text import summarize


def check_submission_file(competition: Competition, path: Path, test_ids: pd.Index | None) -> int:
    """Compare a CSV with what the competition's own submission would be; returns its rows.

    Args:
        test_ids: all that must be there, in any order; None where they are not known.

    Raises:
        WrongSubmission: other columns, ids missing, doubled or unknown, or impossible answers.
    """
    # A submission in which every class is the certain answer once: its columns and their values.
    names = list(competition.classes)
    certain = pd.DataFrame(np.eye(len(names), dtype=np.float32), pd.Index(names), names)
    form = competition.submission(certain)
    columns = list(form.columns)
    forms = [columns, [*columns, *PIXEL_COLUMNS]] if competition.has_boxes else [columns]
    try:
        table = _read(path, forms)
    except WrongTable as error:
        raise WrongSubmission(str(error)) from error
    _check_ids(path, table[columns[0]], test_ids)
    for column in columns[1:]:
        _check_answers(path, table[column], form[column])
    if len(table.columns) > len(columns):
        _check_boxes(path, table[list(PIXEL_COLUMNS)])
    return len(table)


def _read(path: Path, forms: list[list[str]]) -> pd.DataFrame:
    """The cells as text, by line number; `forms` are the columns that may come."""
    if not path.is_file():
        raise WrongTable(f"there is no file {path}: give a submission's CSV")
    rows = read_rows(path, spaces=True)  # an id with a space before it is another one
    header = rows[0][1] if rows else []
    if header not in forms:
        expected = " or ".join(repr(",".join(columns)) for columns in forms)
        raise WrongTable(
            f"{path}: expected the columns {expected}, came {shown(header)}"
            f"{other_separator(header) or _other_columns(header, forms)}"
        )
    if len(rows) == 1:
        raise WrongTable(f"{path} has no rows: write one for each test image")
    require_even(path, rows)
    lines, cells = zip(*rows[1:], strict=True)
    return pd.DataFrame(cells, index=lines, columns=header, dtype=str)


def _other_columns(header: list[str], forms: list[list[str]]) -> str:
    """The remedy for a header with the right columns and others, or in another order."""
    for columns in forms:
        extra = [name for name in header if name not in columns]
        if sorted(header) == sorted(columns):
            return "; put the columns in this order"
        if extra and set(columns) < set(header):
            return f"; take out the column {shown(extra)} (pandas: to_csv(…, index=False))"
    return "; give it this first line"


def _check_ids(path: Path, ids: pd.Series, test_ids: pd.Index | None) -> None:
    problems, remedy = [], "keep one line for each test image"
    empty = ids.index[ids.str.strip() == ""]
    if len(empty):
        problems.append(_counted("line has no id", "lines have no id", empty))
    twice = ids[ids.duplicated() & ~ids.index.isin(empty)].unique()
    if len(twice):
        problems.append(_counted("id is there twice", "ids are there twice", twice))
    if test_ids is not None:
        absent = test_ids[~test_ids.isin(ids)]  # both in their own order: the first are the first
        extra = ids[~ids.isin(test_ids) & ~ids.index.isin(empty)].unique()
        if len(absent):
            problems.append(_counted("test id is missing", "test ids are missing", absent))
        if len(extra):
            problems.append(_counted("id is no test id", "ids are no test ids", extra))
        remedy = likely_mistake(extra, absent) or remedy
    if problems:
        raise WrongSubmission(f"{path}: {', '.join(problems)}; {remedy}")


def _check_answers(path: Path, answers: pd.Series, allowed: pd.Series) -> None:
    if pd.api.types.is_float_dtype(allowed):
        # NaN, which is what no number becomes, is not between either.
        right = pd.to_numeric(answers, errors="coerce").between(0, 1)
        expected = "a probability from 0 to 1"
    else:
        classes = [str(value) for value in allowed.unique()]
        right = answers.isin(classes)
        expected = f"one of {summarize(classes, most=12)}"
    if not right.all():
        wrong = [f"line {line}: {answer!r}" for line, answer in answers[~right].items()]
        count = _counted("row has something else", "rows have something else", wrong)
        raise WrongSubmission(f"{path}: {answers.name} must be {expected}; {count}: mend it")


def _check_boxes(path: Path, boxes: pd.DataFrame) -> None:
    """Four numbers with corners in order, or four empty cells: an image that nobody could read."""
    left, top, right, bottom = (pd.to_numeric(boxes[name], errors="coerce") for name in boxes)
    # NaN, which is what no number becomes, is not between anything.
    ordered = left.between(FIRST_PIXEL, right) & top.between(FIRST_PIXEL, bottom)
    finite = np.isfinite(right) & np.isfinite(bottom)
    wrong = boxes[~(ordered & finite | (boxes == "").all(axis=1))]
    if len(wrong):
        named = [f"line {line}: {','.join(row)!r}" for line, *row in wrong.itertuples()]
        count = _counted("row has something else", "rows have something else", named)
        raise WrongSubmission(
            f"{path}: a box must be four numbers, from {FIRST_PIXEL} and xmin to xmax and ymin to "
            f"ymax; {count}: mend it, or leave all four empty"
        )


def _counted(one: str, many: str, items: Sequence[object] | pd.Index | np.ndarray) -> str:
    """How many, and the first few of them: "4 ids are there twice (a, b, c, …)"."""
    return f"{len(items)} {one if len(items) == 1 else many} ({summarize(list(items))})"
