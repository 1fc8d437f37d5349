"""The description of a competition, and what follows from it for all of them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from podium import paths
from podium.competitions.csv_files import MissingData, WrongSubmission, read_csv
from podium.competitions.image_folders import images_in, is_utf8, left_out, one_deeper, subfolder
from podium.competitions.metrics import Metric
from podium.competitions.tasks import CLASSES, SEPARATOR, Task, joined
from podium.files.archives import unpacked_view
from podium.text import id_difference, summarize


class Competition(ABC):
    """A dataset: its images, the meaning of its labels, its metric, its CSV.

    A subclass sets the class variables and writes `training_images`; see docs/competitions.md.
    """

    name: ClassVar[str]
    slug: ClassVar[str]  # Kaggle's name, and the folder that the data unpacks to
    classes: ClassVar[Sequence[str]]  # by class number; grades in their order
    task: ClassVar[Task] = CLASSES
    separator: ClassVar[str] = SEPARATOR  # between several labels in a submission
    metric: ClassVar[Metric]
    # Where Kaggle has the data: competitions/<slug> where a subclass does not set another,
    # datasets/<owner>/<slug>, or None.
    kaggle_source: ClassVar[str | None]
    get_it: ClassVar[str]  # the command or page that brings the data, if not a competition's
    test_folders: ClassVar[Sequence[str]] = ("test/test", "test")  # the first that is there
    sample_submission: ClassVar[str | None] = None  # file name, where the competition has one
    draws_itself: ClassVar[bool] = False  # a kernel needs no images attached
    # Another one whose training images, by the same ids, are these.
    same_images_as: ClassVar[str | None] = None
    has_boxes: ClassVar[bool] = False  # its training table has the columns `boxes.BOX_COLUMNS`
    has_test: ClassVar[bool] = True  # else the folds are all that is predicted
    declared_in: ClassVar[Path | None] = None  # its file, where it has no class of its own
    folds_given: ClassVar[bool] = False  # its training table has them, column `fold`, from 0

    def __init_subclass__(cls) -> None:
        # Not inherited: a competition that is made from another one has a page of its own.
        if "kaggle_source" not in vars(cls) and hasattr(cls, "slug"):
            cls.kaggle_source = f"competitions/{cls.slug}"
            rules = f"accept the rules at https://www.kaggle.com/c/{cls.slug}/rules"
            cls.get_it = vars(cls).get("get_it", f"{rules}, then `podium download {cls.name}`")

    @abstractmethod
    def training_images(self, folder: Path) -> pd.DataFrame:
        """Columns `path` and `label`, indexed by id; boxes where it has them.

        A column `group` names what never stands on both sides of a split, as a patient.
        A label is a class number; of the task `LABELS` a string of several, see `tasks.joined`.
        """

    def test_images(self, folder: Path) -> pd.DataFrame:
        """Column `path`, indexed by the id that the submission uses: the name without ending."""
        images = images_in(subfolder(folder, *self.test_folders))
        return test_table([path.stem for path in images], images)

    @property
    def outputs(self) -> list[str]:
        """The columns of stored probabilities: a class each, or see `tasks`."""
        return self.task.outputs(self.classes)

    @property
    def head_form(self) -> tuple[int, str]:
        """How many outputs the network has, and their activation."""
        return len(self.outputs), self.task.activation

    def truth(self, labels: pd.Series) -> pd.Series | pd.DataFrame:
        """What metrics compare with, by id: class numbers, or of several labels 0 or 1 each."""
        found = self.task.truth(labels, len(self.classes))
        if found.ndim == 1:
            return pd.Series(found, labels.index, name="label")
        return pd.DataFrame(found, labels.index, list(self.classes))

    def submission(
        self, probabilities: pd.DataFrame, thresholds: np.ndarray | None = None
    ) -> pd.DataFrame:
        """The submission's columns, a row per row of `probabilities` (a column per output).

        One of classes need not take `thresholds`, which are as `Task.decide` takes them.
        """
        answers = self.task.decide(probabilities.to_numpy(), thresholds)
        if self.task.ordered:  # grades are numbers
            return pd.DataFrame({"id": probabilities.index, "label": answers})
        names = self.task.names(answers, self.classes, self.separator)
        return pd.DataFrame({"id": probabilities.index, "label": pd.Series(names, dtype=str)})

    def folder(self) -> Path:
        """The folder of the data.

        Raises:
            MissingData: it is in none of the places that are looked at.
        """
        looked_at = [path / self.slug for path in paths.inputs()]
        for folder in looked_at:
            if folder.is_dir():
                return folder
        for folder in paths.find_in_kaggle_input(self.slug):
            if folder.is_dir():
                # Kaggle mounts some competitions with the archives within them still packed.
                return unpacked_view(folder, paths.scratch())
        where = ", ".join(map(str, filter(None, [*looked_at, paths.kaggle_input()])))
        deeper = "".join(one_deeper(path.parent, [path.name]) for path in looked_at)
        raise MissingData(f"no data of {self.name} in {where}{deeper}. To get it: {self.get_it}")

    def read_training(self, folder: Path | None = None) -> pd.DataFrame:
        """The training part of the table: `path` and `label` by id, in the order of the ids.

        Args:
            folder: where the data is, if not in its place.

        Raises:
            MissingData: no images, doubled ids, or a class without images.
        """
        folder = folder or self.folder()
        table = self.training_images(folder).sort_index()
        _check_ids(table, f"training images of {self.name} in {folder}")
        shown = self.task.members(table["label"], len(self.classes)).any(axis=0)
        empty = [name for name, there in zip(self.classes, shown, strict=True) if not there]
        if empty:
            told = self.left_out(table, folder=folder)
            raise MissingData(
                f"{folder}: no training images of {len(empty)} of {len(self.classes)} classes: "
                f"{summarize(empty)}{told and f' ({told})'}. To get them: {self.get_it}"
            )
        return table

    def read_test(self, folder: Path | None = None, whole: bool = True) -> pd.DataFrame:
        """The test part of the table: `path` by id, in the order of the sample submission.

        Args:
            folder: where the data is, if not in its place.
            whole: refuse other images than the sample submission has; else those that lack have
                a path where nothing is, and others are left out.

        Raises:
            MissingData: no images, or ids that differ from the sample submission's.
        """
        folder = folder or self.folder()
        if not self.has_test:
            return test_table([], [])
        table = self.test_images(folder)
        _check_ids(table, f"test images of {self.name} in {folder}")
        if self.sample_submission is None:
            return table
        path = folder / self.sample_submission
        nothing = pd.DataFrame(columns=self.outputs, index=pd.Index([], dtype=str))
        columns = list(self.submission(nothing.astype(np.float32)).columns)
        sample = read_csv(path, columns, may_be_empty=columns[1:])
        ids = pd.Index(sample.iloc[:, 0], name=table.index.name)
        told = id_difference(ids, path.name, table.index, "the images")
        if told and whole:
            raise MissingData(f"{path}: other ids than the images: {told}; unpack it again")
        if told:
            print(f"warning: {path}: other ids than the images: {told}")
        nowhere = {one: folder / one for one in ids.difference(table.index)}
        return table.reindex(ids).assign(path=lambda found: found["path"].fillna(nowhere))

    def left_out(self, *tables: pd.DataFrame, folder: Path | None = None) -> str:
        """A line that counts the files among the images that none of the tables has, or ""."""
        folder, used = folder or self.folder(), [path for part in tables for path in part["path"]]
        inside = [path.relative_to(folder) for path in used if path.is_relative_to(folder)]
        return left_out({folder / path.parts[0] for path in inside}, used)

    def validated_submission(
        self,
        probabilities: pd.DataFrame,
        test_ids: pd.Index,
        pixels: pd.DataFrame | None = None,
        thresholds: np.ndarray | None = None,
    ) -> pd.DataFrame:
        """The submission in the order of `test_ids`, checked as Kaggle would check it.

        Args:
            pixels: boxes by id, see `boxes.to_pixels`; their columns follow the submission's own.
            thresholds: of labels or grades, see `submission`.

        Raises:
            WrongSubmission: ids missing or unknown, or values that are no probabilities.
        """
        if told := id_difference(test_ids, "the test ids", probabilities.index, "the predictions"):
            raise WrongSubmission(f"the predictions are of other ids: {told}")
        if not self.task.are_probabilities(probabilities.to_numpy()):
            also = " and sum to 1 in each row" * self.task.sums_to_one
            raise WrongSubmission(f"probabilities must be 0 to 1{also}")
        ordered = probabilities.loc[test_ids]
        # The competitions of classes have no thresholds, and so no such parameter.
        given = () if thresholds is None else (thresholds,)
        submission = self.submission(ordered, *given)
        if pixels is None:
            return submission
        return submission.assign(**{name: pixels.loc[test_ids, name].to_numpy() for name in pixels})


def class_folders(folder: Path, classes: Sequence[str], prefix: str = "") -> pd.DataFrame:
    """The training table of a layout with a folder per class.

    Images in folders below are of the class, too. Ids are `<prefix><class>/<path below>`.

    Raises:
        MissingData: the classes' folders are one folder deeper.
    """
    rows = [
        (prefix + path.relative_to(folder).as_posix(), path, number)
        for number, name in enumerate(classes)
        if (folder / name).is_dir()
        for path in images_in(folder / name)
    ]
    if not rows and (deeper := one_deeper(folder, classes[:1])):
        raise MissingData(f"{folder}: expected a folder {classes[0]}{deeper}")
    return training_table(rows)


def training_table(rows: Sequence[tuple[str, Path, int | Sequence[int]]]) -> pd.DataFrame:
    """The training table of rows (id, path, class number, or the numbers of several labels)."""
    ids, paths, labels = zip(*rows, strict=True) if rows else ((), (), ())
    is_several = bool(labels) and isinstance(labels[0], Sequence)
    numbers = list(map(joined, labels)) if is_several else np.array(labels, np.int64)
    return test_table(ids, paths).assign(label=numbers)


def test_table(ids: Sequence[str], paths: Sequence[Path]) -> pd.DataFrame:
    """The test table: a path per id.

    Raises:
        MissingData: a name that no file of a run can hold, as it is not UTF-8.
    """
    odd = [path for one, path in zip(ids, paths, strict=True) if not is_utf8(one)]
    if odd:
        raise MissingData(f"{len(odd)} file names are not UTF-8 ({summarize(odd)}); rename them")
    index = pd.Index(list(ids), dtype=str, name="id")
    return pd.DataFrame({"path": list(paths)}, index, dtype=object)


def _check_ids(table: pd.DataFrame, what: str) -> None:
    if table.empty:
        raise MissingData(f"there are no {what}; unpack the download again")
    if table.index.has_duplicates:
        twice = table.index[table.index.duplicated()]
        raise MissingData(
            f"{what}: {len(twice)} ids are there twice ({summarize(twice)}); keep one"
        )
