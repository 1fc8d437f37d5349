"""The images of a run: checked once, split once, stored, and located anew at each start."""

import numpy as np
import pandas as pd

from podium.competitions import Competition, get_competition
from podium.competitions.boxes import BOX_COLUMNS
from podium.data.check import check_images
from podium.data.near_duplicates import near_duplicate_groups
from podium.data.splits import limit_images, split_folds, split_shares
from podium.recipes.recipe import Recipe
from podium.runs.fold_folder import RunError
from podium.runs.run import Run
from podium.runs.run_folder import RunFolder
from podium.runs.table import DROPPED, SIZE_COLUMNS, Table, check_stored, stored_table

NAMED = 5  # broken files in a message


class BrokenImages(ValueError):
    """Images that cannot be read, in a run that is to stop for them."""


def prepare_run(folder: RunFolder, recipe: Recipe) -> Run:
    """A run with its table: made at the first start, read from the folder at any later one.

    Raises:
        BrokenImages: some cannot be read and the recipe says "stop", or all of a class.
        RunError: the images are others than at the first start.
        LeakingSplit: a stored split has near-identical images on both sides. One that this folder
            does not remember to be free of them, as it comes from elsewhere or was changed by
            hand, is compared with the images themselves, whatever groups it names.
    """
    competition = get_competition(recipe.competition)
    made_here = folder.read_images() is None
    if made_here:
        train, test = competition.read_training(), competition.read_test()
        if left_out := competition.left_out(train, test):
            print(left_out)
        if recipe.limit is not None:
            parts = len(recipe.shares) or recipe.folds
            train = train.loc[limit_images(_named(train, recipe), recipe.limit, recipe.seed, parts)]
        checked = check_images(pd.concat([train["path"], test["path"]]).reset_index(drop=True))
        _report_broken(checked, recipe)
        of_train = checked.iloc[: len(train)].set_axis(train.index)
        of_test = checked.iloc[len(train) :].set_axis(test.index)
        if competition.has_boxes:  # which are submitted in pixels
            train, test = train.join(of_train[SIZE_COLUMNS]), test.join(of_test[SIZE_COLUMNS])
        dropped = train.assign(problem=of_train["problem"])[of_train["problem"] != ""]
        train = _split(train, of_train, recipe)
        test = test.assign(problem=of_test["problem"])
        parts = {"train": train, "test": test, **({DROPPED: dropped} if len(dropped) else {})}
        table = pd.concat(parts, names=["part", "id"])
        folder.write_images(table.drop(columns="path"))  # which another machine has elsewhere
    table = read_table(competition, folder)
    digest = folder.digest_of_images(table.train["path"])
    if not made_here and folder.read_checked() != digest:
        _check_again(table.train, folder)
    if folder.read_checked() != digest:
        folder.write_checked(digest)
    return Run(folder, recipe, competition, table)


def open_run(folder: RunFolder) -> Run:
    """A trained run whose images are located, to predict or to show them.

    Raises:
        RunError: it is a blend, has no table, or the images are others than when it began.
        MissingData: the images are not here.
        LeakingSplit: the stored split has near-identical images on both sides.
    """
    recipe = folder.read_recipe()
    competition = get_competition(recipe.competition)
    return Run(folder, recipe, competition, read_table(competition, folder))


def read_table(competition: Competition, folder: RunFolder) -> Table:
    """The stored table with the paths of the images, which are looked up anew.

    Raises:
        RunError: the images are others than when the run began.
        LeakingSplit: the stored split has near-identical images on both sides.
    """
    stored = stored_table(folder)
    train, test = stored.train, stored.test
    found, found_test = competition.read_training(), competition.read_test()
    gone = train.index.difference(found.index)
    same = gone.empty and train["label"].equals(found.loc[train.index, "label"])
    if same and competition.has_boxes:
        boxes, found_boxes = (part[list(BOX_COLUMNS)] for part in (train, found.loc[train.index]))
        same = np.allclose(boxes, found_boxes, equal_nan=True)
    if not same or not test.index.equals(found_test.index):
        raise RunError(
            f"the images in {competition.folder()} are not those that {folder.path} began with "
            f"({len(gone)} training images are gone); train under another name with --run NAME, "
            "or again from the start with --fresh"
        )
    train.insert(0, "path", found.loc[train.index, "path"])
    return Table(train, test.assign(path=found_test["path"]))


def _check_again(train: pd.DataFrame, folder: RunFolder) -> None:
    """Look for near-copies on both sides of a split, without believing its groups."""
    print(f"{folder.path} has a split that was not checked with these images yet")
    check_stored(train.assign(group=near_duplicate_groups(check_images(train["path"]))), folder)


def _split(train: pd.DataFrame, checked: pd.DataFrame, recipe: Recipe) -> pd.DataFrame:
    """Drop what cannot be read, group near-copies, and give each image its fold."""
    readable = checked["problem"] == ""
    lost = set(train["label"]) - set(train.loc[readable, "label"])
    if lost:
        raise BrokenImages(
            f"no training image of {len(lost)} classes can be read (of class number {min(lost)}, "
            "for one): mend them, or unpack the download again"
        )
    train = train[readable]
    train = train.assign(group=near_duplicate_groups(checked[readable]))
    doubled = len(train) - train["group"].nunique()
    if doubled:
        print(f"{doubled} training images are near-copies of others: they stay in one fold")
    if recipe.shares:
        fold = split_shares(_named(train, recipe), train["group"], recipe.shares, recipe.seed)
    else:
        fold = split_folds(_named(train, recipe), train["group"], recipe.folds, recipe.seed)
    return train.assign(fold=fold, problem="")


def _named(train: pd.DataFrame, recipe: Recipe) -> pd.Series:
    """The labels with the names of the classes, which errors tell."""
    names = pd.CategoricalDtype(get_competition(recipe.competition).classes)
    return pd.Series(pd.Categorical.from_codes(train["label"], dtype=names), train.index)


def _report_broken(checked: pd.DataFrame, recipe: Recipe) -> None:
    broken = checked.loc[checked["problem"] != "", "problem"]
    if broken.empty:
        return
    named = "; ".join(broken[:NAMED]) + ("; …" if len(broken) > NAMED else "")
    message = f"{len(broken)} of {len(checked)} images cannot be read: {named}"
    if recipe.broken_images == "stop":
        raise BrokenImages(
            f"{message}. Mend them, or go on without them: --set broken_images=skip "
            "(test images then get the class prior)"
        )
    print(f"warning: {message}. Training goes on without them; test images get the class prior")
