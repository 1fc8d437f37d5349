"""A run that was trained in parts, on several machines, put together in one folder."""

import atexit
import filecmp
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from podium import paths
from podium.competitions import get_competition
from podium.competitions.boxes import BOX_COLUMNS
from podium.files.atomic_write import atomic_write, remove_temp_files, write_json
from podium.files.untrusted import check_weights
from podium.recipes.recipe import Recipe
from podium.runs.find_run import find_parts
from podium.runs.fold_folder import FoldFolder, RunError
from podium.runs.run_folder import RunFolder
from podium.runs.table import HELD_OUT, LeakingSplit, Table, stored_table

# What is taken of a finished fold, in this order, and its checkpoints after the weights. test.csv
# is the last: it makes the fold a finished one.
FILES = ("best.weights.h5", "history.csv", "validation.csv", "cost.json", "test.csv")


class CannotMerge(RunError):
    """Two folders that are no parts of one run, or a part that is damaged."""


def gather_run(run: str) -> RunFolder:
    """Find a run; the parts that several kernels left of it are joined first.

    They are joined in a folder that lasts as long as this process.

    Raises:
        RunError: there is none, its parts do not fit together, or a link leads out of it.
    """
    parts = find_parts(run)
    return parts[0] if len(parts) == 1 else _joined(run, tuple(parts))


@cache  # a run that is asked for twice is the same one
def _joined(run: str, parts: tuple[RunFolder, ...]) -> RunFolder:
    paths.scratch().mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=paths.scratch()))
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    for part in parts:
        merge_run(part, RunFolder(scratch / run))
    return RunFolder(scratch / run)


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
    taken = [fold for fold in folds if not _is_there(part, into, fold, recipe, fresh)]

    remove_temp_files(into.path)
    if not into.exists:
        write_json(into.path / "run.json", {**part.read_run(), "parts": []})
    if not _table_file(into).is_file():
        copy_whole(_table_file(part), _table_file(into))
    if taken:  # what was combined so far is of other folds
        (into.path / "score.json").unlink(missing_ok=True)
    files = [(fold, name) for fold in taken for name in _files(part.fold(fold), recipe)]
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


def _files(folder: FoldFolder, recipe: Recipe) -> list[str]:
    """What a fold with this recipe must have, by its path in the fold's folder, in this order."""
    checkpoints = [folder.checkpoint(epoch) for epoch in folder.checkpoints()]
    pseudo = ["pseudo.json"] if recipe.pseudo_runs else []
    start = ["started_from.json"] if recipe.started_from else []
    kept = [str(path.relative_to(folder.path)) for path in checkpoints]
    return [FILES[0], *kept, *FILES[1:-1], *pseudo, *start, FILES[-1]]


def _read_part(part: RunFolder) -> tuple[Recipe, Table]:
    """The recipe and the table of a part, which nobody vouches for."""
    try:
        for path in (part.path / "run.json", _table_file(part)):
            check_own(part, path)
        return part.read_recipe(), stored_table(part)
    except CannotMerge:
        raise
    except LeakingSplit as error:
        raise CannotMerge(f"{part.path}: {error}") from error
    except (ValueError, OSError, AttributeError) as error:
        raise CannotMerge(f"{part.path} cannot be read as a run: {error}") from error


def check_own(part: RunFolder, path: Path) -> None:
    """Refuse what is missing, or a link to what lies elsewhere on this machine."""
    if not path.is_file():
        raise CannotMerge(f"{path} is missing: was all of the part fetched?")
    if not path.resolve().is_relative_to(part.path.resolve()):
        raise CannotMerge(f"{path} is a link that leads out of the part: {path.resolve()}")


def _check_fold(part: RunFolder, fold: int, recipe: Recipe, table: Table) -> None:
    """See that a finished fold is whole: each file read, each image predicted."""
    folder = part.fold(fold)
    for name in _files(folder, recipe):
        check_own(part, folder.path / name)
    folds = table.train["fold"]
    scored = folds.index[(folds == fold) | (folds == HELD_OUT)]
    try:
        recipe.check_fold(fold)
        folder.read_history()
        folder.read_cost()
        _ = folder.pseudo_label_leak, folder.read_start()  # reads them
        for name, ids in (("validation", scored), ("test", table.readable_test.index)):
            _check_predictions(folder, name, ids, recipe)
        for path in (folder.weights, *map(folder.checkpoint, folder.checkpoints())):
            check_weights(path)
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise CannotMerge(f"fold {fold} of {part.path} is damaged: {error}") from error


def _check_predictions(folder: FoldFolder, name: str, ids: pd.Index, recipe: Recipe) -> None:
    """Raises ValueError unless there are predictions of just these images, in each view."""
    predictions, boxes = folder.read_predictions(name), folder.read_boxes(name)
    classes = list(get_competition(recipe.competition).classes)
    if list(predictions.columns) != classes:
        raise ValueError(f"{name}.csv has the classes {list(predictions.columns)}, not {classes}")
    index = predictions.index
    found = index.unique("id")
    # `podium predict` may have added views to those that the recipe asks for.
    views = max(recipe.views, index.unique("view").size)
    if not index.is_unique or len(index) != len(ids) * views or set(found) != set(ids):
        raise ValueError(
            f"{name}.csv should have {len(ids)} images in each of {views} views, has "
            f"{len(found)} in {len(index)} rows"
        )
    values = predictions.to_numpy()
    # NaN is not at least 0 either.
    if not (values >= 0).all() or not np.allclose(values.sum(axis=1), 1, atol=1e-3):
        raise ValueError(f"{name}.csv holds values that are no probabilities")
    if recipe.box and (boxes is None or not ((boxes >= 0) & (boxes <= 1)).to_numpy().all()):
        raise ValueError(f"{name}.csv lacks boxes within their images, and there is a box head")


def _check_same_run(part: RunFolder, into: RunFolder, recipe: Recipe, table: Table) -> None:
    """Refuse another recipe or another split, which would spoil the out-of-fold score."""
    differences = []
    if into.exists:
        here, there = into.read_recipe().model_dump(), recipe.model_dump()
        differences += [
            f"the recipes differ: {key} is {here[key]!r} here, {there[key]!r} there"
            for key in here
            if here[key] != there[key]
        ][:1]
    if _table_file(into).is_file():
        differences += _differences(stored_table(into), table)
    if differences:
        raise CannotMerge(
            f"{part.path} is no part of the run {into.path}: {'; '.join(differences)}. Put it into "
            "a folder of another name"
        )


def _differences(here: Table, there: Table) -> list[str]:
    """What is not the same in two tables, a clause each; groups may be numbered otherwise."""
    found = []
    for kind, mine, other in (
        ("training", here.train, there.train),
        ("test", here.test, there.test),
    ):
        only = len(mine.index.difference(other.index)), len(other.index.difference(mine.index))
        if any(only):
            found.append(f"{only[0]} {kind} images are only here, {only[1]} only there")
    if not found and not here.test.index.equals(there.test.index):
        found.append("the test images are in another order")
    if found:
        return found
    train = there.train.loc[here.train.index]
    mine, other = (
        table.reindex(columns=list(BOX_COLUMNS)).to_numpy(np.float64)
        for table in (here.train, train)
    )
    counts = {
        "have other labels": here.train["label"] != train["label"],
        "have other folds: their out-of-fold scores would be false": here.train["fold"]
        != train["fold"],
        # The reason why names a path of its machine.
        "can be read in only one of the two": (here.test["problem"] == "")
        != (there.test["problem"] == ""),
        "have other boxes": (~np.isclose(mine, other, equal_nan=True)).any(axis=1),
    }
    return [f"{int(differ.sum())} images {what}" for what, differ in counts.items() if differ.any()]


def _is_there(part: RunFolder, into: RunFolder, fold: int, recipe: Recipe, fresh: bool) -> bool:
    """Whether the run has this fold already, just the same.

    Raises:
        CannotMerge: it has other results of it, or is training it.
    """
    theirs, mine = part.fold(fold), into.fold(fold)
    if mine.finished:
        names = [name for name in _files(theirs, recipe) if "/" not in name]
        _, differing, missing = filecmp.cmpfiles(theirs.path, mine.path, names, shallow=False)
        if not differing and not missing:
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


def _table_file(folder: RunFolder) -> Path:
    return folder.path / "pictures.csv"


def copy_whole(source: Path, target: Path) -> None:
    """Copy a file so that it is there whole or not at all."""
    with atomic_write(target) as part:
        shutil.copyfile(source, part)
