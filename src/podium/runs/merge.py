"""A run that was trained in parts, on several machines, put together in one folder."""

import filecmp
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from podium.competitions import get_competition
from podium.competitions.boxes import BOX_COLUMNS
from podium.files.atomic_write import atomic_write, remove_temp_files, write_json
from podium.files.untrusted import check_weights
from podium.recipes.recipe import Recipe
from podium.runs.fold_folder import FoldFolder, RunError
from podium.runs.run_folder import RunFolder
from podium.runs.table import HELD_OUT, LeakingSplit, Table, stored_table

# What is taken of a finished fold, and its checkpoints, where it has some. test.csv is the last: it
# makes the fold a finished one.
FILES = ("best.weights.h5", "history.csv", "validation.csv", "cost.json", "test.csv")
PSEUDO = "pseudo.json"  # beside these, where the recipe has pseudo-labels
START = "started_from.json"  # the same, where the training starts from a run


class CannotMerge(RunError):
    """Two folders that are no parts of one run, or a part that is damaged."""


def merge_run(part: RunFolder, into: RunFolder, fresh: bool = False) -> list[int]:
    """Take the finished folds of a part over into the folder of the run, as if trained there.

    A part may come from anywhere: only the known files are taken, each one is read first, and
    nothing is changed unless all of them are good. A killed merge leaves no half fold that
    passes for a finished one, and the same call goes on.

    Args:
        part: a run folder with some of the folds; it is only read.
        into: the folder of the whole run, made if there is none.
        fresh: replace folds that are there already and differ.

    Returns:
        The folds that were taken; not those that were there already, just the same.

    Raises:
        CannotMerge: the part is damaged or unfinished, has another recipe or another split than
            the run, or has other results of a fold that is there already.
    """
    recipe, table = _read_part(part)
    folds = part.finished_folds()
    if not folds:
        raise CannotMerge(f"{part.path} has no finished fold")
    for fold in folds:
        _check_fold(part, fold, recipe, table)
    _check_same_run(part, into, recipe, table)
    origins = {fold: _origin(part, fold) for fold in folds}
    names = _files(recipe)
    taken = [fold for fold in folds if not _is_there(part, into, fold, names, fresh)]

    remove_temp_files(into.path)
    if not into.exists:
        write_json(into.path / "run.json", {**part.read_run(), "parts": []})
    if not _images(into).is_file():
        copy_whole(_images(part), _images(into))
    if taken:  # what was combined so far is of other folds
        (into.path / "score.json").unlink(missing_ok=True)
    files = [(fold, name) for fold in taken for name in _names(part.fold(fold), recipe)]
    for fold, name in tqdm(files, f"merging {into.name}", unit=" files", delay=2, leave=False):
        target = into.fold(fold)
        if name == FILES[0]:
            (target.path / FILES[-1]).unlink(missing_ok=True)
            target.forget_cost()  # by which the fold would count as scored
            target.delete_state()
            target.delete_checkpoints()
        if name == FILES[-1]:
            _record(into, fold, origins[fold])
        copy_whole(part.fold(fold).path / name, target.path / name)
    return taken


def _names(folder: FoldFolder, recipe: Recipe) -> list[str]:
    """All that is taken of a fold, by its path in the fold's folder, in this order."""
    checkpoints = [folder.checkpoint(epoch) for epoch in folder.checkpoints()]
    first, *others = _files(recipe)
    return [first, *(str(path.relative_to(folder.path)) for path in checkpoints), *others]


def _read_part(part: RunFolder) -> tuple[Recipe, Table]:
    """The recipe and the table of a part, which nobody vouches for."""
    try:
        for path in (part.path / "run.json", _images(part)):
            check_own(part, path)
        recipe = part.read_recipe()
        get_competition(recipe.competition)
        return recipe, stored_table(part)
    except CannotMerge:
        raise
    except LeakingSplit as error:
        raise CannotMerge(f"{part.path}: {error}") from error
    except (ValueError, OSError, AttributeError) as error:
        raise CannotMerge(f"{part.path} cannot be read as a run: {error}") from error


def _files(recipe: Recipe) -> list[str]:
    """What a fold with this recipe must have."""
    pseudo, start = [PSEUDO] * bool(recipe.pseudo_runs), [START] * bool(recipe.started_from)
    return [*FILES[:-1], *pseudo, *start, FILES[-1]]


def check_own(part: RunFolder, path: Path) -> None:
    """Refuse what is missing, or a link to what lies elsewhere on this machine."""
    if not path.is_file():
        raise CannotMerge(f"{path} is missing: was all of the part fetched?")
    if not path.resolve().is_relative_to(part.path.resolve()):
        raise CannotMerge(f"{path} is a link that leads out of the part: {path.resolve()}")


def _check_fold(part: RunFolder, fold: int, recipe: Recipe, table: Table) -> None:
    """See that a finished fold is whole: each file read, each image predicted."""
    folder = part.fold(fold)
    for name in _names(folder, recipe):
        check_own(part, folder.path / name)
    folds = table.train["fold"]
    scored = folds.index[(folds == fold) | (folds == HELD_OUT)]
    classes = list(get_competition(recipe.competition).classes)
    try:
        recipe.check_fold(fold)
        folder.read_history()
        folder.read_cost()
        _ = folder.pseudo_label_leak, folder.read_start()  # reads them
        for name, ids in (("validation", scored), ("test", table.readable_test.index)):
            _check_predictions(folder, name, ids, recipe.views, classes)
            if recipe.box:
                _check_boxes(folder, name)
        for path in (folder.weights, *map(folder.checkpoint, folder.checkpoints())):
            check_weights(path)
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise CannotMerge(f"fold {fold} of {part.path} is damaged: {error}") from error


def _check_predictions(
    folder: FoldFolder, name: str, ids: pd.Index, views: int, classes: list[str]
) -> None:
    """Raises ValueError unless there are probabilities of just these images, in each view."""
    predictions = folder.read_predictions(name)
    if list(predictions.columns) != classes:
        raise ValueError(f"{name}.csv has the classes {list(predictions.columns)}, not {classes}")
    index = predictions.index
    found = index.unique("id")
    # `podium predict` may have added views to those that the recipe asks for.
    views = max(views, index.unique("view").size)
    rows = len(ids) * views
    if not index.is_unique or len(index) != rows or len(found.symmetric_difference(ids)):
        raise ValueError(
            f"{name}.csv should have {len(ids)} images in each of {views} views, has "
            f"{len(found)} in {len(index)} rows"
        )
    values = predictions.to_numpy()
    # NaN is not at least 0 either.
    if not (values >= 0).all() or not np.allclose(values.sum(axis=1), 1, atol=1e-3):
        raise ValueError(f"{name}.csv holds values that are no probabilities")


def _check_boxes(folder: FoldFolder, name: str) -> None:
    """Raises ValueError unless each prediction has a box within its image."""
    boxes = folder.read_boxes(name)
    if boxes is None:
        raise ValueError(f"{name}.csv has no boxes, and the recipe has a box head")
    # NaN is not at least 0 either.
    if not ((boxes >= 0) & (boxes <= 1)).to_numpy().all():
        raise ValueError(f"{name}.csv holds boxes that are not within their images")


def _check_same_run(part: RunFolder, into: RunFolder, recipe: Recipe, table: Table) -> None:
    """Refuse another recipe or another split, which would spoil the out-of-fold score."""
    differences = []
    if into.exists:
        here, there = into.read_recipe().model_dump(), recipe.model_dump()
        changed = [key for key in here if here[key] != there[key]]
        for key in changed[:1]:
            more = f" (and {len(changed) - 1} more keys)" * (len(changed) > 1)
            differences.append(
                f"the recipes differ: {key} is {here[key]!r} here, {there[key]!r} there{more}"
            )
    if _images(into).is_file():
        differences += _differing_images(stored_table(into), table)
    if differences:
        raise CannotMerge(
            f"{part.path} is no part of the run {into.path}: {'; '.join(differences)}. Put it into "
            "a folder of another name"
        )


def _differing_images(here: Table, there: Table) -> list[str]:
    """What is not the same in two tables, a clause each.

    The numbers of the groups may differ: both splits were checked against their own.
    """
    found = []
    for kind, one, other in (
        ("training", here.train.index, there.train.index),
        ("test", here.test.index, there.test.index),
    ):
        only = len(one.difference(other)), len(other.difference(one))
        if any(only):
            found.append(f"{only[0]} {kind} images are only here, {only[1]} only there")
        elif kind == "test" and not one.equals(other):
            found.append("the test images are in another order")
    for frame, others, column, what in (
        (here.train, there.train, "label", "other labels"),
        (here.train, there.train, "fold", "other folds: their out-of-fold scores would be false"),
        (here.test, there.test, "problem", "can be read in only one of the two"),
    ):
        common = frame.index.intersection(others.index)
        one, other = frame.loc[common, column], others.loc[common, column]
        if column == "problem":  # the reason names a path of its machine
            one, other = one == "", other == ""
        count = int((one != other).sum())
        if count:
            have = "" if column == "problem" else "have "
            found.append(f"{count} images {have}{what}")
    common = here.train.index.intersection(there.train.index)
    boxes = [
        part.train.loc[common].reindex(columns=list(BOX_COLUMNS)).to_numpy(np.float64)
        for part in (here, there)
    ]
    moved = int((~np.isclose(*boxes, equal_nan=True)).any(axis=1).sum())
    return [*found, *([f"{moved} images have other boxes"] * (moved > 0))]


def _is_there(part: RunFolder, into: RunFolder, fold: int, names: list[str], fresh: bool) -> bool:
    """Whether the run has this fold already, just the same.

    Raises:
        CannotMerge: it has other results of it, or is training it.
    """
    theirs, mine = part.fold(fold), into.fold(fold)
    if mine.finished:
        same = (
            (mine.path / name).is_file()
            and filecmp.cmp(theirs.path / name, mine.path / name, shallow=False)
            for name in names
        )
        if all(same):
            return True
        trouble = "is finished there already, with other results"
    elif mine.read_progress() is not None:
        trouble = "is half trained there"
    else:
        return False
    if not fresh:
        raise CannotMerge(
            f"fold {fold} of {into.path} {trouble}: keep it, or replace it by that of {part.path} "
            "with --fresh"
        )
    return False


def _origin(part: RunFolder, fold: int) -> dict[str, Any]:
    """Where a fold comes from: versions, commit, machine, and what else its run says of itself."""
    run = part.read_run()
    try:
        for row in run.get("parts", []):  # the part may have been put together itself
            if row["fold"] == fold:
                return row
    except (KeyError, TypeError) as error:
        raise CannotMerge(
            f"{part.path / 'run.json'}: its parts are not as Podium writes them"
        ) from error
    return {"fold": fold, **{key: run[key] for key in run if key not in ("recipe", "parts")}}


def _record(into: RunFolder, fold: int, origin: dict[str, Any]) -> None:
    run = into.read_run()
    others = [row for row in run.get("parts", []) if row["fold"] != fold]
    parts = sorted([*others, origin], key=lambda row: row["fold"])
    write_json(into.path / "run.json", {**run, "parts": parts})


def _images(folder: RunFolder) -> Path:
    return folder.path / "pictures.csv"


def copy_whole(source: Path, target: Path) -> None:
    """Copy a file so that it is there whole or not at all."""
    with atomic_write(target) as part:
        shutil.copyfile(source, part)
