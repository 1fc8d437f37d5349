"""The columns of a dataset's CSVs: which one holds ids, which labels, and what is to be answered.

A column is told by what it holds; by its name only where that leaves several.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from podium.competitions.csv_files import MissingData, as_table, read_rows
from podium.competitions.inspect_folders import keys_of
from podium.competitions.inspection import Choices, Inspection
from podium.text import did_you_mean, summarize

LABELS = re.compile(
    r"label|class|categor|target|breed|species|diagnosis|grade|level|kind|type", re.I
)
GROUPS = re.compile(r"^(patient|subject|series|group|location|site|person|user)(_?id)?s?$", re.I)
FOLDS = re.compile(r"^k?folds?$", re.I)
SEPARATORS = "|", ",", " "
ENOUGH = 0.5  # share of a column's values that must be images for it to hold ids
MANY = 20  # values at the least that are no classes because they are nearly all different
METRICS = {  # by the form of the answer, where nothing else tells the metric
    "class": "accuracy",
    "number": "accuracy",
    "probability": "log-loss",
    "probabilities": "log-loss",
    "labels": "macro-f1",
}


@dataclass(frozen=True)
class Csv:
    """A CSV of a dataset, its cells as text."""

    name: str  # path from the folder of the data
    rows: pd.DataFrame
    id: str  # the column of ids, file names with or without ending

    @classmethod
    def read(cls, path: Path, name: str, images: Iterable[Path], told: str | None = None) -> "Csv":
        """Read a CSV and find its column of ids: that which names most images.

        Raises:
            WrongTable: it is no CSV.
            ValueError: no column names images.
        """
        rows = as_table(path, read_rows(path))
        if told is not None:
            _require_column(name, rows, "--id", told)
            return cls(name, rows, told)
        found = rows.isin(keys_of(images)).mean()
        if found.max() < ENOUGH:
            raise ValueError(
                f"{name}: no column names the images; its columns are {summarize(rows, most=20)}: "
                "say which one holds the file names by --id"
            )
        return cls(name, rows, found.idxmax())


@dataclass(frozen=True)
class Labels:
    """The classes of a dataset, and where a training image's label is."""

    task: str
    classes: list[str]
    counts: dict[str, int]
    train: dict[str, Any]  # of competition.toml's [train], without its images


def in_order(names: Iterable[str]) -> list[str]:
    """Class names by number where all are numbers, else by letter."""
    names = list(names)
    try:
        return sorted(names, key=float)
    except ValueError:
        return sorted(names)


def read_labels(csv: Csv, sample: Csv | None, choices: Choices, seen: Inspection) -> Labels:
    """The task, the classes and the columns of a CSV of labels.

    Raises:
        ValueError: what cannot be guessed, with the option that says it.
    """
    rows, train = csv.rows, {"csv": csv.name, "id": csv.id}
    for key, names, told in (("group", GROUPS, choices.group), ("fold", FOLDS, choices.fold)):
        named = [column for column in rows if names.search(column) and column != csv.id]
        if told is not None:
            _require_column(csv.name, rows, f"--{key}", told)
            train[key] = told
        elif named:
            train[key] = named[0]
            count = f"{named[0]}, {rows[named[0]].nunique():,} of them"
            seen.guess(f"{key}s", count, f"--{key} COLUMN")
    columns = _label_columns(csv, sample, choices.label, {csv.id, *train.values()}, seen)
    if len(columns) > 1:
        ones = rows[columns].apply(pd.to_numeric, errors="coerce") == 1
        task = choices.task or ("classes" if (ones.sum(axis=1) == 1).all() else "labels")
        return Labels(task, columns, ones.sum().to_dict(), {**train, "label": columns})
    label = columns[0]
    train["label"] = label
    values = rows[label]
    separator = _separator(values)
    task = choices.task or ("labels" if separator else "classes")
    if task == "labels":
        separator = separator or SEPARATORS[-1]
        if choices.task is None:
            told = f"several labels an image, separated by {separator!r}"
            seen.guess("task", told, "--task classes")
        counts = Counter(one for cell in values for one in cell.split(separator) if one)
        return Labels(task, in_order(counts), counts, {**train, "separator": separator})
    counts = Counter(values)
    classes = in_order(counts)
    _check_classes(csv, label, classes)
    is_numbered = classes == [str(number) for number in range(len(classes))]
    if choices.task is None and is_numbered and len(classes) > 2:
        seen.guess("task", f"{len(classes)} classes without an order", "--task grades")
    return Labels(task, classes, counts, train)


def _check_classes(csv: Csv, label: str, classes: list[str]) -> None:
    if "" in classes:
        lines = csv.rows.index[csv.rows[label] == ""]
        raise ValueError(
            f"{csv.name}: {label} is empty in {len(lines)} lines ({summarize(lines)}): fill them "
            "in or delete them; where an image may have no label, say --task labels"
        )
    numbers = pd.to_numeric(pd.Series(classes), errors="coerce")
    has_decimals = (numbers.dropna() % 1 != 0).any()
    if has_decimals or len(classes) > max(MANY, len(csv.rows) / 2):
        raise ValueError(
            f"{csv.name}: {label} has {len(classes):,} values in {len(csv.rows):,} lines "
            f"({summarize(classes)}), which are no classes: name another column by --label"
        )


def _label_columns(
    csv: Csv, sample: Csv | None, told: str | None, others: set[str], seen: Inspection
) -> list[str]:
    """The column of labels, or several that are one-hot."""
    rows = csv.rows
    if told is not None:
        names = [told] if told in rows else [name.strip() for name in told.split(",")]
        for name in names:
            _require_column(csv.name, rows, "--label", name)
        return names
    left = [column for column in rows if column not in others]
    answers = [] if sample is None else [name for name in sample.rows if name != sample.id]
    one_hot = [column for column in left if rows[column].isin(["0", "1", "0.0", "1.0"]).all()]
    choice = [
        [column for column in left if column in answers],
        one_hot if len(one_hot) > 1 else [],
        left if len(left) == 1 else [],
        [column for column in left if LABELS.search(column)],
    ]
    found = next((some for some in choice if some), [])
    if not found or (len(found) > 1 and not set(found) <= set(one_hot)):
        raise ValueError(
            f"{csv.name}: which column holds the labels? Say it by --label; its columns are "
            f"{summarize(left, most=20)}"
        )
    seen.guess("labels", f"{summarize(found, most=6)} of {csv.name}", "--label COLUMN")
    return found


def _separator(cells: pd.Series) -> str | None:
    """What separates several labels in a cell, if something does.

    Class names may have spaces, too: as labels, the parts come again and again in other company,
    and not always as many.
    """
    values = set(cells) - {""}
    for separator in SEPARATORS:
        parts = [value.split(separator) for value in values]
        kinds = {part for each in parts for part in each}
        if len({len(each) for each in parts}) > 1 and len(kinds) < len(values):
            return separator
    return None


def read_answer(
    sample: Csv | None, labels: Labels, with_ending: bool, choices: Choices, seen: Inspection
) -> tuple[list[str], str, dict[str, Any]]:
    """Classes in the order of the submission, the metric, and competition.toml's [submission].

    Args:
        with_ending: whether ids are file names with their ending.

    Raises:
        ValueError: the sample's columns are of other classes.
    """
    classes, one = labels.classes, "labels" if labels.task == "labels" else "class"
    if sample is None:
        answer, columns, form = one, ["label"], {"id": "id"}
    else:
        form = {"sample": sample.name, "id": sample.id}
        columns = [name for name in sample.rows if name != sample.id]
        seen.find("sample", f"{sample.name}: {summarize([sample.id, *columns], most=8)}")
        if not columns:
            raise ValueError(f"{sample.name}: no column for an answer: give another by --sample")
        if len(columns) > 1:
            answer, classes = "probabilities", _by_column(sample.name, columns, classes)
        else:
            answer = _single_answer(sample.rows[columns[0]], labels, one)
            classes = sorted(classes, key=lambda name: _plain(name) == _plain(columns[0]))
        told = {
            "class": "the name of a class",
            "number": f"a number, 0 for {classes[0]} to {len(classes) - 1} for {classes[-1]}",
            "probability": f"the probability of {classes[-1]}",
            "probabilities": "a probability for each class",
            "labels": "the names of the labels",
        }
        seen.guess("answer", told[answer], "[submission] and `classes` of competition.toml")
    metric = "kappa" if labels.task == "grades" else METRICS[answer]
    if labels.task == "labels" and answer == "probabilities":
        metric = "roc-auc"
    if choices.metric is None:
        seen.guess("metric", metric, "--metric METRIC")
    form |= {"with_ending": with_ending, "answer": answer, "columns": columns}
    return classes, choices.metric or metric, form


def _by_column(name: str, columns: list[str], classes: list[str]) -> list[str]:
    """The classes in the order of a sample's columns, which may be spelled a little differently."""
    plain = {_plain(one): one for one in classes}
    exact = [plain.get(_plain(column)) for column in columns]
    ending = [
        next(
            (one for one in classes if re.search(rf"(^|[^0-9a-z]){re.escape(one)}$", column, re.I)),
            None,
        )
        for column in columns
    ]
    for found in (exact, ending):
        if sorted(filter(None, found)) == sorted(classes):
            return found
    missing = [one for one in classes if one not in exact]
    raise ValueError(
        f"{name}: its {len(columns)} columns ({summarize(columns)}) are not the {len(classes)} "
        f"classes ({summarize(missing or classes)}): name the labels by --label, or another file "
        "by --sample"
    )


def _single_answer(cells: pd.Series, labels: Labels, one: str) -> str:
    """How a sample's only column answers."""
    is_decimal = cells.str.contains(".", regex=False).any()
    if labels.task == "classes" and len(labels.classes) == 2 and is_decimal:
        return "probability"
    if labels.task != "classes" or cells.isin(labels.classes).any():
        return one
    numbers = pd.to_numeric(cells, errors="coerce")
    return "number" if numbers.between(0, len(labels.classes) - 1).all() else one


def _plain(name: str) -> str:
    return re.sub(r"[^0-9a-z]", "", name.lower())


def _require_column(name: str, rows: pd.DataFrame, option: str, told: str) -> None:
    if told not in rows:
        raise MissingData(
            f"{option} {told}: {name} has no such column; it has {summarize(rows, most=20)}"
            + did_you_mean(told, list(rows))
        )
