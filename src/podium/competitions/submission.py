"""A submission's file, checked as Kaggle would check it, before it counts there."""

from collections import Counter
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd

from podium.competitions.base import Competition, WrongSubmission
from podium.competitions.boxes import FIRST_PIXEL, PIXEL_COLUMNS
from podium.competitions.csv_files import WrongTable, as_table, read_rows, wrong_header
from podium.competitions.metrics import LogLoss
from podium.text import did_you_mean, summarize

OF_OTHERS = "most test images are not in it, as of another competition: give a file of this one"


def check_submission_file(competition: Competition, path: Path, test_ids: pd.Index | None) -> int:
    """Compare a CSV with what the competition's own submission would be; returns its rows.

    Args:
        test_ids: all that must be there, in any order; None where they are not known.

    Raises:
        WrongSubmission: other columns, ids missing, doubled or unknown, or impossible answers.
    """
    # A submission in which every class is the certain answer once: its columns and their values.
    names, task = list(competition.classes), competition.task
    each = pd.Series(np.arange(len(names)))
    certain = task.targets(each, len(names))
    form = competition.submission(pd.DataFrame(certain, pd.Index(names), competition.outputs))
    columns = list(form.columns)
    forms = [columns, [*columns, *PIXEL_COLUMNS]] if competition.has_boxes else [columns]
    try:
        table = _read(path, forms, test_ids)
    except WrongTable as error:
        raise WrongSubmission(str(error)) from error
    _check_ids(path, table[columns[0]], test_ids)
    for column in columns[1:]:
        _check_answers(path, table[column], form[column], competition.separator * task.several)
    answers = table[columns[1:]].apply(pd.to_numeric, errors="coerce")
    if isinstance(competition.metric, LogLoss) and answers.isin((0, 1)).all(axis=None):
        print(f"warning: {path} has only 0 and 1, the worst for a log loss: submit probabilities")
    if len(table.columns) > len(columns):
        _check_boxes(path, table[list(PIXEL_COLUMNS)])
    return len(table)


def _read(path: Path, forms: list[list[str]], test_ids: pd.Index | None) -> pd.DataFrame:
    """The cells as text, by line number; `forms` are the columns that may come."""
    if not path.is_file():
        raise WrongTable(f"there is no file {path}: give a submission's CSV")
    rows = read_rows(path)
    header = rows[0][1] if rows else []
    if header not in forms:
        expected = "the columns " + " or ".join(repr(",".join(columns)) for columns in forms)
        cells = {cell for _, row in rows for cell in row}
        is_foreign = len(rows) > 1 and _is_foreign(test_ids, cells)
        remedy = OF_OTHERS if is_foreign else _advice(header, forms)
        raise wrong_header(path, expected, header, remedy)
    return as_table(path, rows)


def _advice(header: list[str], forms: list[list[str]]) -> str:
    """A remedy for other columns than those of any form."""
    for form in reversed(forms):  # the longest first
        if Counter(form) <= Counter(header):
            extra = [repr(name) for name in (Counter(header) - Counter(form)).elements()]
            out = f"take the column {', '.join(extra)} out (pandas: to_csv(…, index=False))"
            return out if extra else "put the columns in this order"
    return "give it this first line, if its ids are those of the test images"


def _is_foreign(test_ids: pd.Index | None, came: Collection[str]) -> bool:
    """Whether most of the test images' ids, where they are known, are not among what came."""
    return test_ids is not None and test_ids.isin(came).mean() < 0.5


def _check_ids(path: Path, ids: pd.Series, test_ids: pd.Index | None) -> None:
    problems = {
        "lines have no id": ids.index[ids.str.strip() == ""],
        "ids are there twice": ids[ids.duplicated()].unique(),
    }
    if test_ids is not None:
        problems["test ids are missing"] = test_ids[~test_ids.isin(ids)]
        problems["ids are no test ids"] = ids[~ids.isin(test_ids)].unique()
    named = [
        f"{len(some)} {what} ({summarize(some)})" for what, some in problems.items() if len(some)
    ]
    if named:
        keep = "keep one line for each test image"
        remedy = OF_OTHERS if _is_foreign(test_ids, ids) else keep
        raise WrongSubmission(f"{path}: {', '.join(named)}; {remedy}")


def _check_answers(path: Path, answers: pd.Series, allowed: pd.Series, separator: str) -> None:
    if pd.api.types.is_float_dtype(allowed):
        # NaN, which is what no number becomes, is not between either.
        right = pd.to_numeric(answers, errors="coerce").between(0, 1)
        expected, remedy = "a probability from 0 to 1", ""
    else:
        classes = [str(value) for value in allowed.unique()]
        right = answers.isin(classes)
        if separator:  # any of them in a cell, or none
            cells = answers.str.split(separator, regex=False)
            right |= cells.map(lambda some: {one.strip() for one in some} - {""} <= set(classes))
        expected = f"{'some' if separator else 'one'} of {summarize(classes, most=12)}"
        remedy = "" if right.all() else did_you_mean(answers[~right].iloc[0], classes)
    if not right.all():
        wrong = [f"line {line}: {answer!r}" for line, answer in answers[~right].items()]
        raise WrongSubmission(
            f"{path}: {answers.name} must be {expected}; {len(wrong)} rows have something else "
            f"({summarize(wrong)}): mend it{remedy}"
        )


def _check_boxes(path: Path, boxes: pd.DataFrame) -> None:
    """Four numbers with corners in order, or four empty cells: an image that nobody could read."""
    left, top, right, bottom = (pd.to_numeric(boxes[name], errors="coerce") for name in boxes)
    # NaN, which is what no number becomes, is not between anything.
    ordered = left.between(FIRST_PIXEL, right) & top.between(FIRST_PIXEL, bottom)
    finite = np.isfinite(right) & np.isfinite(bottom)
    wrong = boxes[~(ordered & finite | (boxes == "").all(axis=1))]
    if len(wrong):
        named = [f"line {line}: {','.join(row)!r}" for line, *row in wrong.itertuples()]
        raise WrongSubmission(
            f"{path}: a box must be four numbers, from {FIRST_PIXEL} and xmin to xmax and ymin to "
            f"ymax; {len(wrong)} rows have something else ({summarize(named)}): mend it, or leave "
            "all four empty"
        )
