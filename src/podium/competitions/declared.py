"""A competition that a file describes, competition.toml, in place of a class."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from podium import paths
from podium.competitions.base import (
    Competition,
    MissingData,
    class_folders,
    test_table,
    training_table,
)
from podium.competitions.csv_files import WrongTable, read_csv
from podium.competitions.image_folders import images_in, is_utf8, subfolder
from podium.competitions.metrics import LogLoss, get_metric
from podium.competitions.tasks import SEPARATOR, TASKS
from podium.recipes.recipe_file import parse_table, read_toml
from podium.recipes.tables import StrictTable
from podium.text import did_you_mean, summarize

Names = Annotated[list[str], Field(min_length=1)]


class _Table(StrictTable):
    DESCRIBED_IN = "docs/competitions.md"


class Training(_Table):
    """Where the training images and their labels are."""

    images: str | Names = "."  # folder, or several, each with a folder for each class
    csv: str | None = None  # without it and without `pattern`: a folder for each class
    pattern: str | None = None  # regular expression of a file's name; its first group is the class
    id: str = "id"  # column: file names with or without ending, or paths below `images`
    label: str | Names = "label"  # column of classes or their numbers, or a 0/1 column a class
    separator: str = SEPARATOR  # between several labels in a cell
    group: str | None = None  # column: images that never stand on both sides of a split
    fold: str | None = None  # column: the folds, taken as they are


class Test(_Table):
    """Where the images to predict are."""

    images: str = "test"


class Submission(_Table):
    """The columns of the submission."""

    sample: str | None = None
    id: str = "id"
    with_ending: bool = False  # ids are the names of files as they are
    answer: Literal["class", "number", "probability", "probabilities", "labels"] = "class"
    columns: Names = ["label"]  # noqa: RUF012  (pydantic copies it)


class Declaration(_Table):
    """A competition.toml."""

    name: Annotated[str, Field(pattern=r"^\w[\w.-]*$")]
    folder: str  # below input/
    kaggle: Annotated[str, Field(pattern=r"^(competitions/|datasets/[^/]+/)[^/]+$")] | None = None
    task: Literal["classes", "labels", "grades"] = "classes"
    classes: Annotated[list[str], Field(min_length=2)]  # as in the submission; grades in order
    metric: str = "accuracy"
    train: Training = Training()
    test: Test | None = None  # none: the folds are the score
    submission: Submission = Submission()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        get_metric(self.metric, TASKS[self.task])
        train, form = self.train, self.submission
        odd = []
        if len(set(self.classes)) < len(self.classes):
            odd.append("classes must differ from each other")
        if self.task == "labels" and train.csv is None:
            odd.append('task = "labels" needs train.csv: in folders an image has one class')
        if train.csv is not None and not isinstance(train.images, str):
            odd.append("train.images must be one folder beside train.csv")
        if (train.group or train.fold) and train.csv is None:
            odd.append("train.group and train.fold are columns of train.csv, which is not given")
        if isinstance(train.label, list) and set(train.label) != set(self.classes):
            odd.append(f"train.label must be the classes' columns, came {summarize(train.label)}")
        outputs = TASKS[self.task].outputs(self.classes)
        if form.answer == "probabilities" and len(form.columns) != len(outputs):
            odd.append(
                f"submission.columns must be {len(outputs)}, one for each of "
                f"{summarize(outputs)}, came {len(form.columns)}"
            )
        if form.answer == "probability" and len(outputs) > 2:
            odd.append(f'submission.answer = "probability" is of two classes, came {len(outputs)}')
        if odd:
            raise ValueError("; ".join(odd))
        return self


class DeclaredCompetition(Competition):
    """The competition of a file.

    Args:
        path: of its competition.toml.

    Raises:
        RecipeError: it is not as docs/competitions.md describes it; names each key.
    """

    def __init__(self, path: Path):
        self.declaration = given = parse_table(Declaration, read_toml(path), str(path))
        self.declared_in = path
        self.name, self.slug, self.classes = given.name, given.folder, tuple(given.classes)
        self.task, self.metric = TASKS[given.task], get_metric(given.metric, TASKS[given.task])
        self.separator, self.kaggle_source = given.train.separator, given.kaggle
        self.get_it = f"put it there, or a link to it; {path} names the folder"
        if given.kaggle:
            self.get_it = f"`podium download {given.name}`, or {self.get_it}"
        self.sample_submission = given.submission.sample
        self.folds_given = given.train.fold is not None
        self.has_test = given.test is not None

    def training_images(self, folder: Path) -> pd.DataFrame:
        given = self.declaration.train
        if given.csv is not None:
            return self._of_csv(folder)
        names = [given.images] if isinstance(given.images, str) else given.images
        places = {subfolder(folder, name): f"{name}/" * (len(names) > 1) for name in names}
        if given.pattern is None:
            return pd.concat(
                class_folders(place, self.classes, prefix) for place, prefix in places.items()
            )
        rows = []
        for place in places:
            for path in images_in(place):
                found = re.search(given.pattern, path.name)
                if found and found[1] in self.classes:
                    name = path.relative_to(place).with_suffix("").as_posix()
                    rows.append((name, path, self.classes.index(found[1])))
        return training_table(rows)

    def _of_csv(self, folder: Path) -> pd.DataFrame:
        """The rows of a CSV, each with the image that it names."""
        given, path = self.declaration.train, folder / self.declaration.train.csv
        labels = [given.label] if isinstance(given.label, str) else given.label
        more = [one for one in (given.group, given.fold) if one]
        empty = labels if self.task.several else []
        rows = read_csv(path, list(dict.fromkeys([given.id, *labels, *more])), may_be_empty=empty)
        found = _by_name(subfolder(folder, given.images), rows[given.id], path)
        numbers = self._numbers(path, rows[labels])
        table = training_table(list(zip(rows[given.id], found, numbers, strict=True)))
        if given.group:
            table["group"] = rows[given.group].to_numpy()
        if given.fold:
            table["fold"] = in_order(rows[given.fold])
        return table

    def _numbers(self, path: Path, cells: pd.DataFrame) -> list[int] | list[list[int]]:
        """The class number of each image, or those of its several labels."""
        if isinstance(self.declaration.train.label, list):
            marks = cells[list(self.classes)].apply(pd.to_numeric, errors="coerce")
            odd = cells.index[~marks.isin((0, 1)).all(axis=1)] + 2
            if not self.task.several:
                odd = odd.union(cells.index[marks.sum(axis=1) != 1] + 2)
            if len(odd):
                expected = "0 or 1 a class" + ("" if self.task.several else ", and one 1")
                raise WrongTable(f"{path}: expected {expected} in each row; mend {summarize(odd)}")
            numbers = [np.flatnonzero(row).tolist() for row in marks.to_numpy()]
        else:
            numbers = self._named(path, cells.iloc[:, 0])
        return numbers if self.task.several else [number for (number,) in numbers]

    def _named(self, path: Path, column: pd.Series) -> list[list[int]]:
        """The class numbers of cells that have names of classes, or their numbers."""
        cells = [cell.split(self.separator) if self.task.several else [cell] for cell in column]
        parts = [[name for one in cell if (name := one.strip())] for cell in cells]
        came = dict.fromkeys(one for each in parts for one in each)
        number = {name: place for place, name in enumerate(self.classes)}
        if not set(came) <= set(number) and all(one.isdigit() for one in came):
            number = {str(place): place for place in range(len(self.classes))}
        if odd := [one for one in came if one not in number]:
            raise WrongTable(
                f"{path}: {column.name} must be one of the {len(self.classes)} classes of "
                f"{self.declared_in}, came {summarize(odd)}{did_you_mean(odd[0], number)}"
            )
        return [[number[one] for one in each] for each in parts]

    def test_images(self, folder: Path) -> pd.DataFrame:
        images = images_in(subfolder(folder, self.declaration.test.images))
        ending = self.declaration.submission.with_ending
        return test_table([path.name if ending else path.stem for path in images], images)

    def submission(
        self, probabilities: pd.DataFrame, thresholds: np.ndarray | None = None
    ) -> pd.DataFrame:
        form, values = self.declaration.submission, probabilities.to_numpy()
        answers = pd.DataFrame({form.id: probabilities.index})
        if form.answer in ("probability", "probabilities"):
            if isinstance(self.metric, LogLoss):
                values = values.clip(self.metric.clip, 1 - self.metric.clip)
            values = values[:, -1:] if form.answer == "probability" else values
            return answers.join(pd.DataFrame(values, columns=form.columns))
        decided = self.task.decide(values, thresholds)
        if form.answer != "number":
            names = self.task.names(decided, self.classes, self.separator)
            decided = pd.Series(names, dtype=str)
        return answers.assign(**{form.columns[0]: decided})


def in_order(cells: pd.Series) -> np.ndarray:
    """Numbers from 0 for the values of a column: in the order of numbers, or of letters."""
    numbers = pd.to_numeric(cells, errors="coerce")
    return pd.factorize(cells if numbers.isna().any() else numbers, sort=True)[0]


def _by_name(folder: Path, names: Iterable[str], csv: Path) -> list[Path]:
    """The image that each of these names, by its path below the folder or by its name anywhere.

    Raises:
        MissingData: there is none, or several.
    """
    found: dict[str, list[Path]] = {}
    for path in images_in(folder):
        if is_utf8(str(path)):
            below = path.relative_to(folder)
            keys = {below.as_posix(), below.with_suffix("").as_posix(), path.name, path.stem}
            for key in keys:
                found.setdefault(key, []).append(path)
    missing = [name for name in names if name not in found]
    if missing:
        raise MissingData(
            f"{csv} names {len(missing)} images that are not in {folder} ({summarize(missing)}): "
            "unpack the download again, or delete these rows"
        )
    doubled = [name for name in names if len(found[name]) > 1]
    if doubled:
        places = summarize(found[doubled[0]])
        raise MissingData(
            f"{csv}: {len(doubled)} names are of several images in {folder}, such as {places}: "
            "write their paths below that folder"
        )
    return [found[name][0] for name in names]


def declarations(run: Path | None) -> list[Path]:
    """The files of all entries, of the run that asks, which may lie anywhere, and of all runs."""
    own = run.glob(paths.DECLARATION) if run else ()
    of_entries, of_runs = (
        sorted(folder.glob(f"*/{paths.DECLARATION}")) for folder in (paths.entries(), paths.runs())
    )
    return [*of_entries, *own, *of_runs]
