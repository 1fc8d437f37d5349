"""Pseudo-labels: test images that another run is sure of join the training of a stage.

Lee (2013), "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep Neural
Networks". A fold is labeled by networks that have not seen the images which it scores; where
there are none, that is said and kept in the fold's folder.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from podium.competitions import Competition, get_competition
from podium.predictions.combine import average_tta
from podium.recipes.recipe import Recipe
from podium.recipes.tables import Pseudo
from podium.runs.fold_folder import RunError
from podium.runs.merge import gather_run
from podium.runs.run_folder import RunFolder
from podium.runs.table import Table
from podium.training.leakage import leak_reason, scored_by

NAMED = 12  # classes that are counted in a line


class NoPseudoLabels(RunError):
    """A run whose predictions cannot label the test images of another one."""


@dataclass(frozen=True)
class PseudoLabeler:
    """What a run says of the test images, to one fold of another run."""

    probabilities: pd.DataFrame  # float32 by id, a column per class
    knows: str  # why it knows labels of the images that the fold scores; "" where it does not


def check_pseudo(recipe: Recipe, into: RunFolder | None = None) -> None:
    """See that the runs that a recipe takes pseudo-labels from are here and fit.

    Args:
        into: the folder that will be trained, where it is known.

    Raises:
        ValueError: one is missing, unfinished, of other test images, or this run itself.
    """
    if not recipe.pseudo_runs:
        return
    competition = get_competition(recipe.competition)
    tests = competition.read_test().index
    for name in recipe.pseudo_runs:
        if into is not None and name == into.name:
            raise NoPseudoLabels(
                f"stages: pseudo from {name!r} is this run itself: name one that was trained "
                "before, or train this one under another name with --run NAME"
            )
        run = gather_run(name)
        _check_fits(run, competition, tests)
        if into is not None and into.path.resolve() in _paths(run):
            raise NoPseudoLabels(
                f"stages: pseudo from {name!r}, a blend of which this run, {into.name}, is a part "
                "that would be trained anew: train under another name with --run NAME"
            )


def pseudo_labels(
    recipe: Recipe,
    competition: Competition,
    folder: RunFolder,
    table: Table,
    fold: int,
    near_copies: Callable[[pd.Index, np.ndarray], np.ndarray],
) -> dict[int, pd.Series]:
    """What joins the training images of a fold, by stage: class numbers by id of test images.

    They are chosen once and kept in the fold's folder: a killed run goes on with the same.

    Args:
        near_copies: of ids of test images and a bool a row of the training table, which of the
            former are near-copies of one of the latter: bool (ids,).

    Raises:
        ValueError: a run to take them from is missing, unfinished, or of other images.
    """
    if not recipe.pseudo_runs:
        return {}
    kept = folder.fold(fold).read_pseudo()
    if kept is None:
        rows = _choose(recipe, competition, table, fold, near_copies)
        kept = {"stages": rows}
        folder.fold(fold).write_pseudo(kept)
        _warn(rows, fold, folder)
    numbers = {name: number for number, name in enumerate(competition.classes)}
    return {
        row["stage"]: pd.Series(row["labels"], dtype=object).map(numbers).astype("int64")
        for row in kept["stages"]
    }


def read_labeler(name: str, competition: Competition, table: Table, fold: int) -> PseudoLabeler:
    """What a run says of the test images without having seen what the fold scores, if it can.

    Of a run with the same split, that is its network of the same fold; of a blend of such runs,
    the mean of theirs with the blend's weights. Of any other run it is all that it predicts.

    Raises:
        ValueError: it is missing, unfinished, or of other images.
    """
    run, classes = gather_run(name), list(competition.classes)
    _check_fits(run, competition, table.test.index)
    scored = scored_by(table, fold)
    try:
        networks = _networks(run)
        knows = "; ".join(filter(None, (_why_it_may_not(one, fold, scored) for one, _ in networks)))
    except NoPseudoLabels as error:
        networks, knows = [], str(error)
    if not knows:
        parts = [(_of_folds(one, [fold], classes), share) for one, share in networks]
    elif run.read_blended():
        parts = [(_checked(run, run.read_probabilities("test"), classes), 1.0)]
    else:
        parts = [(_of_folds(run, run.finished_folds(), classes), 1.0)]
    return PseudoLabeler(_weighted(parts, table.readable_test.index), knows)


def _choose(
    recipe: Recipe,
    competition: Competition,
    table: Table,
    fold: int,
    near_copies: Callable[[pd.Index, np.ndarray], np.ndarray],
) -> list[dict[str, Any]]:
    """The images that join each stage, with what is to be known of them later."""
    teachers = {name: read_labeler(name, competition, table, fold) for name in recipe.pseudo_runs}
    stages = {n: stage.pseudo for n, stage in enumerate(recipe.stages) if stage.pseudo}
    sure = {n: _sure(teachers[pseudo.run], pseudo) for n, pseudo in stages.items()}
    candidates = table.test.index[table.test.index.isin(pd.Index([]).append(list(sure.values())))]
    scored = table.train.index.isin(scored_by(table, fold))
    copies = candidates[near_copies(candidates, scored)] if len(candidates) else candidates
    rows = []
    for number, pseudo in stages.items():
        teacher, ids = teachers[pseudo.run], sure[number][~sure[number].isin(copies)]
        labels = teacher.probabilities.loc[ids].idxmax(axis=1)
        left_out = len(sure[number]) - len(ids)
        print(_told(number, pseudo, teacher, labels, left_out), flush=True)
        about = {"stage": number, **pseudo.model_dump(), "knows_the_fold": teacher.leak_reason}
        rows.append({**about, "near_copies": left_out, "labels": labels.to_dict()})
    return rows


def _sure(teacher: PseudoLabeler, pseudo: Pseudo) -> pd.Index:
    probabilities = teacher.probabilities
    return probabilities.index[probabilities.max(axis=1) >= pseudo.above]


def _told(
    number: int, pseudo: Pseudo, teacher: PseudoLabeler, labels: pd.Series, left_out: int
) -> str:
    """The line that says what joins a stage."""
    line = f"pseudo-labels of stage {number + 1}: {len(labels)} of {len(teacher.probabilities)} "
    line += f"test images, of which {pseudo.run} is sure ({pseudo.above:g} or more)"
    if len(labels):
        counts = labels.value_counts()
        line += ": " + ", ".join(f"{name} {count}" for name, count in counts[:NAMED].items())
        line += f" and {len(counts) - NAMED} more classes" * (len(counts) > NAMED)
    else:
        surest = teacher.probabilities.to_numpy().max(initial=0.0)
        line += f"; the surest has {surest:.3f}. The stage trains without"
    if left_out:
        line += f"; {left_out} more are left out, near-copies of images that the fold scores"
    return line


def _warn(rows: list[dict[str, Any]], fold: int, folder: RunFolder) -> None:
    for name, why in {
        row["from"]: row["knows_the_fold"] for row in rows if row["knows_the_fold"]
    }.items():
        print(
            f"warning: the pseudo-labels from {name} know labels of fold {fold} ({why}), so that "
            f"its out-of-fold score will be too good; kept in {folder.fold(fold).path}",
            flush=True,
        )


def _check_fits(run: RunFolder, competition: Competition, tests: pd.Index) -> None:
    """Refuse a run of another competition, without predictions, or of other test images."""
    blended = run.read_blended()
    other = run.read_run().get("competition") if blended else run.read_recipe().competition
    if other != competition.name:
        raise NoPseudoLabels(
            f"pseudo-labels from {run.name}: it is a run of {other}, not of {competition.name}; "
            "name another run"
        )
    if blended:
        run.read_probabilities("test")
    elif not run.finished_folds():
        raise NoPseudoLabels(
            f"pseudo-labels from {run.name}: no fold of it has predicted the test images yet; "
            "train it to its end first"
        )
    images = run.read_images()
    if images is None:
        raise NoPseudoLabels(f"{run.path} has no table of images: train or blend it again")
    theirs = images.index[images["part"] == "test"]
    only = len(theirs.difference(tests)), len(tests.difference(theirs))
    if any(only):
        raise NoPseudoLabels(
            f"pseudo-labels from {run.name}: it has other test images, {only[0]} only there and "
            f"{only[1]} only here; train it again on the images that are here"
        )


def _networks(
    run: RunFolder, share: float = 1.0, above: tuple[Path, ...] = ()
) -> list[tuple[RunFolder, float]]:
    """The training runs that speak for a run, and their shares: it alone, or those of a blend.

    A blend's weights were fitted on labels of all folds: a number a run, which tells of none.

    Raises:
        NoPseudoLabels: one of them is not here.
    """
    if not run.read_blended():
        return [(run, share)]
    if run.path in above:
        raise NoPseudoLabels(f"{run.name} is a blend of itself")
    found = []
    for member, weight in _weights(run).items():
        try:
            one = gather_run(member)
        except RunError as error:
            raise NoPseudoLabels(f"{member}, a part of {run.name}, is not here") from error
        found += _networks(one, share * weight, (*above, run.path))
    return found


def _weights(blend: RunFolder) -> dict[str, float]:
    """The runs that count in a blend, and how much; all alike where it does not say."""
    rows = blend.read_score().get("runs", [])
    weights = {row["run"]: row["weight"] for row in rows if row.get("weight", 0) > 0}
    weights = weights or dict.fromkeys(blend.read_blended(), 1.0)
    return {run: weight / sum(weights.values()) for run, weight in weights.items()}


def _paths(run: RunFolder) -> list[Path]:
    """Where the training runs are that speak for a run, as far as they are here."""
    try:
        return [one.path.resolve() for one, _ in _networks(run)]
    except NoPseudoLabels:
        return []


def _why_it_may_not(run: RunFolder, fold: int, scored: pd.Index) -> str:
    """Why the network of a run's fold must not label for these images; "" if it may."""
    if fold not in run.finished_folds():
        return f"{run.name} has no finished fold {fold}"
    return leak_reason(run, fold, scored)


def _of_folds(run: RunFolder, folds: list[int], classes: list[str]) -> pd.DataFrame:
    """The mean of what these folds' networks say of the test images, over views and folds."""
    try:
        tables = [run.fold(fold).read_predictions("test") for fold in folds]
    except (ValueError, KeyError) as error:  # what pandas raises: of the CSV, or of a column
        raise NoPseudoLabels(f"{run.path}: test predictions cannot be read: {error}") from error
    return average_tta(pd.concat([_checked(run, table, classes) for table in tables]))


def _checked(run: RunFolder, table: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    if list(table.columns) != classes or not np.isfinite(table.to_numpy()).all():
        raise NoPseudoLabels(
            f"{run.path}: its test predictions are no probabilities of {', '.join(classes)}"
        )
    return table


def _weighted(parts: list[tuple[pd.DataFrame, float]], ids: pd.Index) -> pd.DataFrame:
    """The mean of tables with these shares, of the images that all of them have."""
    for table, _ in parts:
        ids = ids[ids.isin(table.index)]
    mean = sum(table.loc[ids].astype(np.float64) * share for table, share in parts)
    return mean.div(mean.sum(axis=1), axis=0).astype(np.float32)
