"""The table of a run as its folder has it: an image a row, by id, with label, group and fold."""

from dataclasses import dataclass

import pandas as pd

from podium.competitions.boxes import BOX_COLUMNS
from podium.runs.fold_folder import RunError
from podium.runs.run_folder import RunFolder

SIZE_COLUMNS = ["width", "height"]  # pixels
DROPPED = "dropped"  # the part of training images that cannot be read; nothing but reports has it

# Values of the `fold` column besides 0 … folds - 1.
TRAIN_ONLY = -1
HELD_OUT = -2


class LeakingSplit(ValueError):
    """Near-identical images on both sides of a split: its score would be leaky."""


@dataclass(frozen=True)
class Table:
    """The readable training images, and all test images, by id.

    `path` is there where the images were looked up, and not in a table that is only stored.
    """

    train: pd.DataFrame  # path, label, group, fold
    test: pd.DataFrame  # path, problem ("" where it can be read), digest of the file

    # Both have width and height in pixels where the competition has boxes, 0 where an image
    # cannot be read; `train` has the boxes, `boxes.BOX_COLUMNS`, NaN where there is none.

    @property
    def readable_test(self) -> pd.DataFrame:
        return self.test[self.test["problem"] == ""]


def stored_table(folder: RunFolder) -> Table:
    """The table as the run's folder has it, its split checked; the images are not needed.

    Raises:
        RunError: there is none, or it is damaged.
        LeakingSplit: its split has near-identical images on both sides.
    """
    stored = folder.read_images()
    if stored is None:
        raise RunError(f"{folder.path} has no table of images yet: train it first")
    try:
        sides = [name for name in SIZE_COLUMNS if name in stored]
        boxes = [name for name in BOX_COLUMNS if name in stored]
        types = dict.fromkeys(["group", "fold", *sides], "int64") | dict.fromkeys(boxes, "float32")
        train = stored.loc[stored["part"] == "train", ["label", *types]].astype(types)
        train["label"] = typed_labels(train["label"])
        stored["digest"] = stored.get("digest", "")  # older runs have none
        test = stored.loc[stored["part"] == "test", ["problem", "digest", *sides]]
    except (ValueError, KeyError) as error:  # what pandas raises: of the CSV, or of a column
        raise RunError(f"{folder.table} is not as Podium writes it: {error}") from error
    doubled = [*train.index[train.index.duplicated()], *test.index[test.index.duplicated()]]
    if doubled:
        raise RunError(f"{folder.table}: {len(doubled)} ids are there twice, such as {doubled[0]}")
    check_split(train, folder)
    return Table(train, test)


def typed_labels(labels: pd.Series) -> pd.Series:
    """Labels of training images as a CSV had them: int64, or strings of several numbers.

    Raises:
        ValueError: they are neither.
    """
    if pd.api.types.is_numeric_dtype(labels):  # several, too, where each image has just one
        return labels.astype("int64")
    labels = labels.fillna("").astype(str)
    if odd := next((one for one in labels if one.strip(" 0123456789")), None):
        raise ValueError(f"label {odd!r} is no number of a class, nor several")
    return labels


def check_split(table: pd.DataFrame, stored_in: RunFolder | None = None) -> None:
    """Make sure of a split before it is trained on.

    Args:
        table: indexed by id, with the columns fold and group.
        stored_in: the run that has it, for the message.

    Raises:
        LeakingSplit: a group of near-identical images straddles folds.
    """
    straddling = table[table.groupby("group")["fold"].transform("nunique") > 1]
    if len(straddling):
        first = straddling[straddling["group"] == straddling["group"].iloc[0]]
        examples = ", ".join(f"{name} (fold {fold})" for name, fold in first["fold"].items())
        told = (
            f"{straddling['group'].nunique()} groups of near-identical images, "
            f"{len(straddling)} images in all, are in several folds at once, such as "
            f"{examples}: split by group, or the validation score leaks"
        )
        if stored_in:
            told = f"{stored_in.table}: {told}. To split anew, train under another name with --run "
            told += "NAME, or again from the start with --fresh"
        raise LeakingSplit(told)
