"""The images of a run: checked once, split once, stored, and located anew at each start."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

from podium.competitions import Competition, get_competition
from podium.competitions.boxes import BOX_COLUMNS
from podium.data.check import check_images
from podium.data.near_duplicates import near_duplicate_groups
from podium.data.splits import limit_images, split_folds, split_shares
from podium.files.image_io import UnreadableImage, read_bytes
from podium.recipes.recipe import Recipe
from podium.runs.fold_folder import RunError
from podium.runs.run import Run
from podium.runs.run_folder import RunFolder
from podium.runs.table import (
    DROPPED,
    SIZE_COLUMNS,
    LeakingSplit,
    Table,
    check_split,
    stored_table,
)

NAMED = 5  # broken files in a message


class BrokenImages(ValueError):
    """Images that cannot be read, in a run that is to stop for them."""


def prepare_run(folder: RunFolder, recipe: Recipe) -> Run:
    """A run with its table: made at the first start, read from the folder at any later one.

    The test images are looked at each time, see `look_at_test`.

    Raises:
        BrokenImages: some cannot be read and the recipe says "stop", or all of a class.
        RunError: the training images are others than at the first start.
        LeakingSplit: a stored split has near-identical images on both sides. One that this folder
            does not remember to be free of them, as it comes from elsewhere or was changed by
            hand, is compared with the images themselves, whatever groups it names.
        Busy: the test images are others than before, and another process predicts those.
    """
    competition = get_competition(recipe.competition, folder.path)
    made_here = folder.read_images() is None
    if made_here:
        _make_table(folder, recipe, competition)
    table = read_table(competition, folder)
    digest = folder.digest_of_images(table.train["path"])
    if folder.read_checked() != digest:
        if not made_here and not competition.folds_given:
            _check_again(table.train, folder)
        folder.write_checked(digest)
    if not made_here:
        table = Table(table.train, look_at_test(folder, recipe))
    return Run(folder, recipe, competition, table)


def _make_table(folder: RunFolder, recipe: Recipe, competition: Competition) -> None:
    """Check and split the images, and store what came out."""
    train, test = competition.read_training(), competition.read_test()
    if left_out := competition.left_out(train, test):
        print(left_out)
    if recipe.limit is not None:
        parts, labels = len(recipe.shares) or recipe.folds, _named_labels(train, competition)
        train = train.loc[limit_images(labels, recipe.limit, recipe.seed, parts)]
    checked = check_images(pd.concat([train["path"], test["path"]]).reset_index(drop=True))
    _report_broken(checked, recipe)
    of_train = checked.iloc[: len(train)].set_axis(train.index)
    of_test = checked.iloc[len(train) :].set_axis(test.index)
    if competition.has_boxes:  # which are submitted in pixels
        train, test = train.join(of_train[SIZE_COLUMNS]), test.join(of_test[SIZE_COLUMNS])
    dropped = train.assign(problem=of_train["problem"])[of_train["problem"] != ""]
    train = _split(train, of_train, recipe, competition)
    test = test.assign(problem=of_test["problem"], digest=digests(test["path"]))
    parts = {"train": train, "test": test, **({DROPPED: dropped} if len(dropped) else {})}
    table = pd.concat(parts, names=["part", "id"])
    folder.write_images(table.drop(columns="path"))  # which another machine has elsewhere


def look_at_test(folder: RunFolder, recipe: Recipe) -> pd.DataFrame:
    """The test images that are there now, as `Table.test`; training images are not needed.

    Where they are others than those that the run has predicted, these predictions are deleted.
    Where broken images are skipped, one that is not there counts as broken.

    Raises:
        BrokenImages: some cannot be read, and the recipe says "stop".
        Busy: they are others, and another process predicts.
    """
    competition = get_competition(recipe.competition, folder.path)
    whole = recipe.broken_images == "stop"
    stored, found = stored_table(folder).test, competition.read_test(whole=whole)
    now = found.assign(digest=digests(found["path"]))
    before = stored.reindex(now.index)
    known = (before["digest"] == now["digest"]) & (before["problem"] == "")
    checked = check_images(now.loc[~known, "path"])
    _report_broken(checked, recipe, len(now), f"podium train … --run {folder.name} ")
    for column in ["problem", *(SIZE_COLUMNS if competition.has_boxes else [])]:
        now[column] = before[column].where(known, checked[column].reindex(now.index))
    now = now[[*stored.columns, "path"]]
    if not now[stored.columns].equals(stored):
        readable = [part["problem"] == "" for part in (stored, now)]
        # A run of an older Podium has no digests: its images are taken for those of today.
        same = (
            readable[0].equals(readable[1])
            and ((stored["digest"] == now["digest"]) | (stored["digest"] == "")).all()
        )
        _replace_test(folder, now.drop(columns="path"), keep_predictions=same)
    return now


def _replace_test(folder: RunFolder, test: pd.DataFrame, keep_predictions: bool) -> None:
    with folder.writing():
        if not keep_predictions:  # first: a kill after it has the same command come here again
            print("the test images are others than before: they are predicted anew", flush=True)
            folder.delete_test()
        others = folder.read_images().query("part != 'test'").reset_index()
        table = pd.concat([others, test.rename_axis("id").reset_index().assign(part="test")])
        folder.write_images(table.set_index(["part", "id"]))


def digests(paths: pd.Series) -> pd.Series:
    """What tells each file's content from any other; "" where it cannot be read."""

    def digest(path: Path | str) -> str:
        try:
            return hashlib.blake2b(read_bytes(Path(path)), digest_size=8).hexdigest()
        except UnreadableImage:  # which the check of the images names
            return ""

    with ThreadPoolExecutor() as pool:
        found = list(tqdm(pool.map(digest, paths), "test images", len(paths), delay=2, leave=False))
    return pd.Series(found, paths.index, dtype=str)


def open_to_predict(folder: RunFolder) -> Run:
    """A trained run with the test images that are there now, and no training images.

    Raises:
        RunError: it is a blend, or has no table.
        MissingData: there are no test images.
        BrokenImages: some cannot be read, and the recipe says "stop".
    """
    run = Run.open(folder)
    with folder.sharing():
        test = look_at_test(folder, run.recipe)
    return replace(run, table=Table(run.table.train.iloc[:0].assign(path=None), test))


def read_table(competition: Competition, folder: RunFolder) -> Table:
    """The stored table with the paths of its images, which are looked up anew.

    Test images that are there no more have an empty path: `look_at_test` tells what is there now.

    Raises:
        RunError: the training images are others than when the run began.
        LeakingSplit: the stored split has near-identical images on both sides.
    """
    stored = stored_table(folder)
    train, found = stored.train, competition.read_training()
    gone = train.index.difference(found.index)
    labels = train["label"].astype(str)  # of several labels a number is one of them
    same = gone.empty and labels.equals(found.loc[train.index, "label"].astype(str))
    if same and competition.has_boxes:
        boxes, found_boxes = (part[list(BOX_COLUMNS)] for part in (train, found.loc[train.index]))
        same = np.allclose(boxes, found_boxes, equal_nan=True)
    if not same:
        what = f"{len(gone)} are gone" if len(gone) else "labels or boxes are others"
        raise RunError(
            f"the training images in {competition.folder()} are not those that {folder.path} began "
            f"with ({what}); predict test images without them by podium predict {folder.name}, "
            "train under another name with --run NAME, or again from the start with --fresh"
        )
    train.insert(0, "path", found.loc[train.index, "path"])
    found = competition.read_test()["path"].reindex(stored.test.index, fill_value="")
    return Table(train, stored.test.assign(path=found))


def _check_again(train: pd.DataFrame, folder: RunFolder) -> None:
    """Look for near-copies on both sides of a split, without believing its groups."""
    print(f"{folder.path} has a split that was not checked with these images yet")
    checked = check_images(train["path"])
    broken = checked.loc[checked["problem"] != "", "problem"]
    if len(broken):
        raise BrokenImages(
            f"{len(broken)} training images cannot be read any more: {_named(broken)}. Mend them, "
            "or train without them: --fresh --set broken_images=skip"
        )
    check_split(train.assign(group=near_duplicate_groups(checked)), folder)


def _split(
    train: pd.DataFrame, checked: pd.DataFrame, recipe: Recipe, competition: Competition
) -> pd.DataFrame:
    """Drop what cannot be read, group near-copies, and give each image its fold."""
    readable = checked["problem"] == ""
    members = competition.task.members(train["label"], len(competition.classes))
    lost = np.flatnonzero(members.any(axis=0) & ~members[readable].any(axis=0))
    if len(lost):
        raise BrokenImages(
            f"no training image of {len(lost)} classes can be read (of class number {min(lost)}, "
            "for one): mend them, or unpack the download again"
        )
    train = train[readable]
    copies = near_duplicate_groups(checked[readable])
    doubled = len(train) - len(np.unique(copies))
    if doubled:
        print(f"{doubled} training images are near-copies of others: they stay in one fold")
    groups = _connected(train["group"], copies) if "group" in train else copies
    train = train.assign(group=groups)
    if competition.folds_given:
        return _in_given_folds(train, recipe)
    labels, groups = _named_labels(train, competition), train["group"]
    if recipe.shares:
        fold = split_shares(labels, groups, recipe.shares, recipe.seed)
    else:
        fold = split_folds(labels, groups, recipe.folds, recipe.seed)
    return train.assign(fold=fold, problem="")


def _connected(given: pd.Series, copies: np.ndarray) -> np.ndarray:
    """Groups of images that are linked, over others too, by a group of either kind: int (images,).

    Each image is an edge between its two groups.
    """
    codes, names = pd.factorize(given)
    edges = (codes, len(names) + copies)
    links = coo_array((np.ones(len(codes)), edges), shape=(len(names) + copies.max() + 1,) * 2)
    return pd.factorize(connected_components(links, directed=False)[1][codes])[0]


def _in_given_folds(train: pd.DataFrame, recipe: Recipe) -> pd.DataFrame:
    """The folds of the competition's own table; leaks between them are told.

    Raises:
        ValueError: the recipe has shares, or another number of folds.
    """
    folds = train["fold"].nunique()
    if recipe.shares or recipe.folds != folds:
        asked = "shares" if recipe.shares else f"folds = {recipe.folds}"
        raise ValueError(
            f"{recipe.competition} gives each image one of {folds} folds, and the recipe has "
            f"{asked}: --set folds={folds}" + (" --set shares=[]" if recipe.shares else "")
        )
    try:
        check_split(train)
    except LeakingSplit as error:
        told = str(error).partition(": split by group")[0]
        print(
            f"warning: {told}. The folds are taken as they are given, and their score is too good"
        )
    # A group ends where a fold does: the table says no more than is so.
    return train.assign(group=pd.factorize(train["group"] * folds + train["fold"])[0], problem="")


def _named_labels(train: pd.DataFrame, competition: Competition) -> pd.Series | pd.DataFrame:
    """The labels with the names of the classes, which errors tell; of several a column each."""
    if competition.task.several:
        return competition.truth(train["label"])
    names = pd.CategoricalDtype(competition.classes)
    return pd.Series(pd.Categorical.from_codes(train["label"], dtype=names), train.index)


def _report_broken(
    checked: pd.DataFrame, recipe: Recipe, of: int | None = None, command: str = ""
) -> None:
    """Stop for images that cannot be read, or say that there are some, of so many.

    Args:
        command: that goes on without them, in place of the same one.
    """
    broken = checked.loc[checked["problem"] != "", "problem"]
    if broken.empty:
        return
    message = f"{len(broken)} of {of or len(checked)} images cannot be read: {_named(broken)}"
    if recipe.broken_images == "stop":
        raise BrokenImages(
            f"{message}. Mend them, or go on without them: {command}--set broken_images=skip "
            "(test images then get the class prior)"
        )
    print(f"warning: {message}. They are left out; test images get the class prior")


def _named(problems: pd.Series) -> str:
    return "; ".join(problems[:NAMED]) + ("; …" if len(problems) > NAMED else "")
