"""Parts of a run, trained on several machines, put together: what collecting a kernel does."""

import filecmp
import shutil
from pathlib import Path
from typing import Any

from tqdm import tqdm

from podium import paths
from podium.competitions.boxes import BOX_COLUMNS
from podium.files.atomic_write import atomic_folder, copy_whole
from podium.files.untrusted import check_weights
from podium.recipes.recipe import Recipe
from podium.runs.find_run import without_links
from podium.runs.fold_folder import FoldFolder, RunError
from podium.runs.run_folder import OF_A_START, RunFolder
from podium.runs.table import HELD_OUT, Table, stored_table

RESULTS = ("best.weights.h5", "history.csv", "validation.csv", "cost.json", "test.csv")
DECIDED = ["label", "fold", *BOX_COLUMNS]  # groups may be numbered otherwise


def merge_run(
    part: RunFolder, into: RunFolder, fresh: bool = False, tested: bool = True
) -> list[int]:
    """Take the finished folds of a part over into the folder of the run, as if trained there.

    Nothing is changed unless all of them are good. Each comes whole or not at all, and after a
    kill the same call goes on.

    Args:
        part: a run folder with some of the folds; it is only read.
        into: the folder of the whole run, made if there is none.
        fresh: replace folds that are there already and differ.
        tested: only folds that have predicted the test images; else those that are scored.

    Returns:
        The folds that were taken; not those that were there already, just the same.

    Raises:
        RunError: the part is damaged or unfinished, a link leads out of it, it has another recipe
            or another split than the run, or other results of a fold that is there already.
    """
    without_links(part)
    try:
        recipe, table = part.read_recipe(), stored_table(part)
    except ValueError as error:
        raise RunError(f"{part.path} cannot be read as a run: {error}") from error
    folds = part.finished_folds() if tested else part.scored_folds()
    if not folds:
        raise RunError(f"{part.path} has no finished fold")
    for fold in folds:
        _check_fold(part, fold, recipe, table, tested)
    _check_same_run(part, into, recipe, table)
    taken = [fold for fold in folds if not _is_there(part.fold(fold), into.fold(fold), fresh)]

    if not into.exists:
        into.write_run({**part.read_run(), "parts": []})
    if not into.table.is_file():
        copy_whole(part.table, into.table)
    into.keep_declaration(part.path / paths.DECLARATION)
    if taken:
        (into.path / "score.json").unlink(missing_ok=True)  # it is of other folds
        _record_origins(part, into, taken)
    for fold in tqdm(taken, f"merging {into.name}", unit=" folds", delay=2, leave=False):
        with atomic_folder(into.fold(fold).path, replace=True) as place:
            copy_files(part.fold(fold).path, place)
    return taken


def _check_fold(part: RunFolder, fold: int, recipe: Recipe, table: Table, tested: bool) -> None:
    """See that a finished fold is whole: each file is there, and each image predicted."""
    folder = part.fold(fold)
    needed = [*(RESULTS if tested else RESULTS[:-1])]
    needed += ["pseudo.json"] if recipe.pseudo_runs else []
    needed += ["started_from.json"] if recipe.started_from else []
    missing = [name for name in needed if not (folder.path / name).is_file()]
    if missing:
        raise RunError(f"{folder.path / missing[0]} is missing: was all of the part fetched?")
    folds = table.train["fold"]
    scored = folds.index[(folds == fold) | (folds == HELD_OUT)]
    try:
        recipe.check_fold(fold)
        check_weights(folder.weights)
        _ = folder.read_cost(), folder.pseudo_label_leak, folder.read_start()  # reads them
        predicted = {"validation": scored, "test": table.readable_test.index}
        for name, ids in predicted.items() if tested else [("validation", scored)]:
            index = folder.read_predictions(name).index
            views = max(recipe.views, index.unique("view").size)  # `podium predict` adds some
            if set(index.unique("id")) != set(ids) or len(index) != len(ids) * views:
                raise ValueError(f"{name}.csv lacks some of {len(ids)} images in {views} views")
            if recipe.box and folder.read_boxes(name) is None:
                raise ValueError(f"{name}.csv lacks boxes, and there is a box head")
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"fold {fold} of {part.path} is damaged: {error}") from error


def _check_same_run(part: RunFolder, into: RunFolder, recipe: Recipe, table: Table) -> None:
    """Refuse another recipe or another split, which would spoil the out-of-fold score."""
    difference = ""
    if into.exists:
        here, there = (one.model_dump(exclude=OF_A_START) for one in (into.read_recipe(), recipe))
        keys = [key for key in here if here[key] != there[key]]
        if keys:
            difference = f"the recipes differ: {keys[0]} is {here[keys[0]]!r} here, "
            difference += f"{there[keys[0]]!r} there"
    if not difference and into.table.is_file():
        difference = _difference(stored_table(into), table)
        if changed := into.changed_test_files(part):
            difference = difference or f"{changed} test images have other files by the same ids"
    if difference:
        told = f"{part.path} is no part of the run {into.path}: {difference}"
        raise RunError(f"{told}. Put it into a folder of another name")


def _difference(here: Table, there: Table) -> str:
    """What is not the same in two tables; "" if they are of the same images and split."""
    has_same_test = list(here.test.index) == list(there.test.index)
    if set(here.train.index) != set(there.train.index) or not has_same_test:
        return "they have other training or test images, or another order of these"
    train = there.train.loc[here.train.index]
    differing = here.train.reindex(columns=DECIDED).compare(train.reindex(columns=DECIDED))
    if len(differing):
        return f"{len(differing)} images have another {differing.columns[0][0]}"
    # The reason why names a path of its machine.
    differing = (here.test["problem"] == "") != (there.test["problem"] == "")
    return f"{differing.sum()} images can be read in only one of the two" * bool(differing.any())


def _is_there(theirs: FoldFolder, mine: FoldFolder, fresh: bool) -> bool:
    """Whether the run has this fold already, just the same.

    Raises:
        RunError: it has other results of it, or is training it, and is to keep them.
    """
    if mine.finished:
        same, *_ = filecmp.cmpfiles(theirs.path, mine.path, RESULTS, shallow=False)
        if len(same) == len(RESULTS):
            return True
        trouble = "is finished there already, with other results"
    elif mine.read_progress() is not None:
        trouble = "is half trained there"
    else:
        return False
    if fresh:
        return False
    raise RunError(f"{mine.path} {trouble}: keep it, or replace it with --fresh")


def _record_origins(part: RunFolder, into: RunFolder, folds: list[int]) -> None:
    """Keep where folds come from: versions, commit, machine, and what else their run says."""
    theirs, mine = part.read_run(), into.read_run()
    about = {key: theirs[key] for key in theirs if key not in ("recipe", "parts")}
    rows: dict[int, Any] = {row["fold"]: row for row in mine.get("parts", [])}
    # The part may have been put together itself.
    before = {row["fold"]: row for row in theirs.get("parts", [])}
    rows |= {fold: before.get(fold, {"fold": fold, **about}) for fold in folds}
    into.write_run({**mine, "parts": [rows[fold] for fold in sorted(rows)]})


def copy_files(source: Path, target: Path) -> None:
    """Copy the files below a folder, but not what a kill left half written.

    Not their modes: what is attached to a kernel may not be written to.
    """
    for path in source.rglob("*"):
        if path.is_file() and not path.name.startswith(".part-"):
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
