"""Pseudo-labels: test images that another run is sure of join the training of a stage.

Lee (2013), "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep Neural
Networks". A fold is labeled by networks that have not seen the images which it scores.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from podium.competitions import Competition, get_competition
from podium.predictions.tta import average_tta
from podium.recipes.recipe import Recipe
from podium.runs.find_run import find_run
from podium.runs.fold_folder import RunError
from podium.runs.run import Run
from podium.runs.run_folder import RunFolder
from podium.text import summarize
from podium.training.leakage import leak_reason, scored_by

NearCopies = Callable[[pd.Index], np.ndarray]


class NoPseudoLabels(RunError):
    """A run whose predictions cannot label the test images of another one."""


def check_pseudo(recipe: Recipe, into: RunFolder | None = None) -> None:
    """Make sure that the runs which a recipe takes pseudo-labels from are here and fit.

    Args:
        into: the folder that will be trained, where it is known.

    Raises:
        ValueError: one is missing, unfinished, of other test images, or this run itself.
    """
    if not recipe.pseudo_runs:
        return
    competition = get_competition(recipe.competition)
    if not competition.task.sums_to_one:
        raise NoPseudoLabels(
            f"pseudo-labels are of one class an image, and {recipe.competition} is a task of "
            f"{competition.task.name}: leave `pseudo` out of the stages"
        )
    tests = competition.read_test().index
    for name in recipe.pseudo_runs:
        _check_fits(find_run(name), competition, tests, into and into.name)


def pseudo_labels(run: Run, fold: int, near_copies: NearCopies) -> dict[int, pd.Series]:
    """Choose what joins the training of a fold, by stage: class numbers by id of test images.

    They are chosen once and kept in the fold's folder: a killed run goes on with the same.

    Args:
        near_copies: which of these test images are near-copies of one that the fold scores: from
            their ids to bool (ids,).

    Raises:
        ValueError: a run to take them from is missing, unfinished, or of other images, or its
            networks have seen what the fold scores.
    """
    if not run.recipe.pseudo_runs:
        return {}
    folder = run.folder.fold(fold)
    kept = folder.read_pseudo()
    if kept is None:
        kept = {"stages": _choose(run, fold, near_copies)}
        folder.write_pseudo(kept)
    numbers = {name: number for number, name in enumerate(run.competition.classes)}
    return {
        row["stage"]: pd.Series(row["labels"], dtype=object).map(numbers).astype("int64")
        for row in kept["stages"]
    }


def read_labeler(name: str, run: Run, fold: int) -> pd.DataFrame:
    """Read the test predictions of networks that have not seen what a run's fold scores.

    From a run with the same split, its network of the same fold; from a blend of such runs, the
    mean of theirs with the blend's weights.

    Returns:
        Probabilities, float32 by id, a column per class.

    Raises:
        ValueError: it is missing, unfinished, of other images, or there are no such networks.
    """
    labeler = find_run(name)
    _check_fits(labeler, run.competition, run.table.test.index)
    if changed := run.folder.changed_test_files(labeler):
        raise NoPseudoLabels(
            f"pseudo-labels from {labeler.name}: {changed} of the test images have other files by "
            f"the same ids since it predicted them: podium predict {labeler.name}"
        )
    try:
        table = _unseen_prediction(labeler, run, fold)
    except NoPseudoLabels as error:
        raise NoPseudoLabels(
            f"pseudo-labels from {labeler.name} would leak labels of fold {fold} ({error}): train "
            "it with the same folds, seed and limit, or name a run that was"
        ) from error
    ids = run.table.readable_test.index
    table = table.loc[ids[ids.isin(table.index)]].astype(np.float64)
    return table.div(table.sum(axis=1), axis=0).astype(np.float32)


def _choose(run: Run, fold: int, near_copies: NearCopies) -> list[dict[str, Any]]:
    """Choose the images that join each stage: a row of pseudo.json each."""
    rows = []
    for number, stage in enumerate(run.recipe.stages):
        if (pseudo := stage.pseudo) is None:
            continue
        probabilities = read_labeler(pseudo.run, run, fold)
        highest = probabilities.max(axis=1)
        sure = highest.index[highest >= pseudo.above]
        ids = sure[~near_copies(sure)] if len(sure) else sure
        labels = probabilities.loc[ids].idxmax(axis=1)
        left_out = len(sure) - len(ids)
        line = f"pseudo-labels of stage {number + 1}: {len(ids)} of {len(probabilities)} test "
        line += f"images, of which {pseudo.run} is sure ({pseudo.above:g} or more)"
        if len(ids):
            counts = labels.value_counts().items()
            line += ": " + summarize([f"{label} {count}" for label, count in counts], most=12)
        else:
            line += f"; the highest is {highest.max():.3f}. The stage trains without"
        if left_out:
            line += f"; {left_out} more are left out, near-copies of images that the fold scores"
        print(line, flush=True)
        about = {"stage": number, **pseudo.model_dump()}
        rows.append({**about, "near_copies": left_out, "labels": labels.to_dict()})
    return rows


def _check_fits(
    labeler: RunFolder, competition: Competition, tests: pd.Index, into: str | None = None
) -> None:
    """Refuse a run of another competition or other test images, unfinished, or the one to train."""
    is_blend = bool(labeler.read_blended())
    about = labeler.read_run() if is_blend else labeler.read_recipe().model_dump()
    images = labeler.read_images()
    there = set() if images is None else set(images.index[images["part"] == "test"])
    only_there, only_here = len(there - set(tests)), len(set(tests) - there)
    problem = ""
    if about.get("competition") != competition.name:
        problem = f"it is a run of {about.get('competition')}, not of {competition.name}; name "
        problem += "another run"
    elif not is_blend and not labeler.finished_folds():
        problem = "no fold of it has predicted the test images yet; train it to its end first"
    elif only_there or only_here:
        problem = f"it has other test images, {only_there} only there and {only_here} only here; "
        problem += f"podium predict {labeler.name} predicts those that are here"
    elif into in (labeler.name, *labeler.read_blended()):
        problem = f"it has the labels of this run itself, {into}, which would be trained anew; "
        problem += "train it under another name with --run NAME"
    if problem:
        raise NoPseudoLabels(f"pseudo-labels from {labeler.name}: {problem}")


def _unseen_prediction(labeler: RunFolder, run: Run, fold: int) -> pd.DataFrame:
    """What a run's network of the fold says of the test images, or those of a blend's runs.

    A blend's weights were fitted on labels of all folds: a number a run, which leaks none.

    Raises:
        NoPseudoLabels: the network may have seen what the fold scores, or is not here.
    """
    if members := _blend_weights(labeler):
        tables = []
        for name, weight in members.items():
            try:
                member = find_run(name)
            except RunError as error:
                raise NoPseudoLabels(f"{name}, a part of {labeler.name}, is not here") from error
            tables.append(weight * _unseen_prediction(member, run, fold))
        return sum(tables).dropna()  # of the images that each of them has
    if fold not in labeler.finished_folds():
        raise NoPseudoLabels(f"{labeler.name} has no finished fold {fold}")
    scored = scored_by(run.table, fold)
    if leak := leak_reason(labeler, fold, scored, run.recipe.competition):
        raise NoPseudoLabels(leak)
    return average_tta(labeler.fold(fold).read_predictions("test"))


def _blend_weights(labeler: RunFolder) -> dict[str, float]:
    """The runs of a blend that count, with their weights; none where it is no blend."""
    rows = labeler.read_score().get("runs", []) if labeler.read_blended() else []
    weights = {row["run"]: row["weight"] for row in rows if row.get("weight", 0) > 0}
    weights = weights or dict.fromkeys(labeler.read_blended(), 1.0)
    return {name: weight / sum(weights.values()) for name, weight in weights.items()}
