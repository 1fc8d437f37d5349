"""The runs that are blended: read, checked to belong together, and joined by id."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from podium.competitions import Competition, get_competition
from podium.predictions.combine import combine
from podium.runs.fold_folder import RunError
from podium.runs.merge import gather_run
from podium.runs.run_folder import RunFolder
from podium.runs.table import HELD_OUT, stored_table
from podium.text import summarize


class CannotBlend(RunError):
    """Runs whose probabilities do not belong together."""


@dataclass(frozen=True)
class BlendRun:
    """A run that is blended with others: its probabilities, and the labels it learned from."""

    folder: RunFolder
    competition: Competition
    folds: list[int]  # that are trained; a blend has none
    labels: pd.Series
    out_of_fold: pd.DataFrame
    test: pd.DataFrame

    @property
    def name(self) -> str:
        return self.folder.name


@dataclass(frozen=True)
class Pool:
    """The predictions of runs, side by side."""

    members: list[BlendRun]
    labels: pd.Series  # class numbers of the images that all predict out of fold, by id
    out_of_fold: np.ndarray  # float32 (runs, images, classes)
    test_ids: pd.Index
    test: np.ndarray  # float32 (runs, test images, classes)

    @property
    def competition(self) -> Competition:
        return self.members[0].competition


def read_pool(runs: Sequence[str], common: bool = False) -> Pool:
    """Read runs, see that they belong together, and join them by id.

    Args:
        common: leave out images that not all of them predict out of fold.

    Raises:
        RunError: a run is missing, unfinished or damaged, or does not fit the others.
    """
    members = [
        read_member(run) for run in tqdm(runs, "reading", unit=" runs", delay=2, leave=False)
    ]
    check_fit(members)
    first = members[0]
    ids = first.out_of_fold.index
    for member in members[1:]:
        if not common:
            _check_same_images(first, member)
        ids = ids.intersection(member.out_of_fold.index)
    if ids.empty:
        raise CannotBlend(
            "no image is predicted out of fold by all of "
            f"{', '.join(member.name for member in members)}: without one the blend cannot be "
            "judged; train the same folds of each"
        )
    ids = ids.sort_values()  # what is chosen on them does not depend on the first run's order
    return Pool(
        members,
        first.labels.loc[ids],
        np.stack([member.out_of_fold.loc[ids].to_numpy() for member in members]),
        first.test.index,
        np.stack([member.test.loc[first.test.index].to_numpy() for member in members]),
    )


def read_member(run: str) -> BlendRun:
    """Find a run and read what is averaged; folds that came since its last end are combined first.

    Raises:
        RunError: there is none of that name or path, or it is not finished, or damaged.
    """
    folder = gather_run(run)
    if folder.read_blended():
        competition = get_competition(str(folder.read_run().get("competition")))
        labels, folds, fold_of = _labels_of_blend(folder), [], None
    else:
        competition = get_competition(folder.read_recipe().competition)
        table = stored_table(folder)
        labels, finished = table.train["label"], folder.finished_folds()
        scored = (folder.path / "score.json").is_file()
        if not scored or finished not in ([], folder.read_score().get("folds")):
            combine(folder, competition, table)
        folds = folder.read_score().get("folds", [])
        _check_honest(folder, folds)
        fold_of = table.train["fold"]
    member = BlendRun(
        folder,
        competition,
        folds,
        labels,
        _read_probabilities(folder, "out_of_fold"),
        _read_probabilities(folder, "test"),
    )
    _check_probabilities(member)
    if fold_of is not None:
        _check_out_of_fold(member, fold_of)
    return member


def _read_probabilities(folder: RunFolder, name: str) -> pd.DataFrame:
    try:
        return folder.read_probabilities(name)
    except RunError:
        raise
    except (ValueError, KeyError) as error:  # what pandas raises: of the CSV, or of a column
        path = folder.path / f"{name}.csv"
        raise CannotBlend(f"{path} is not a table of probabilities: {error}") from error


def _labels_of_blend(folder: RunFolder) -> pd.Series:
    images = folder.read_images()
    if images is None:
        raise RunError(f"{folder.path} has no table of images: blend it again")
    return images.loc[images["part"] == "train", "label"].astype("int64")


def _check_probabilities(member: BlendRun) -> None:
    classes = list(member.competition.classes)
    for name, table in (("out_of_fold", member.out_of_fold), ("test", member.test)):
        path = member.folder.path / f"{name}.csv"
        if list(table.columns) != classes:
            raise CannotBlend(
                f"{path} has the classes {', '.join(table.columns)}; {member.competition.name} "
                f"has {', '.join(classes)}, in this order"
            )
        if table.index.has_duplicates:
            doubled = table.index[table.index.duplicated()]
            raise CannotBlend(f"{path}: {len(doubled)} ids are there twice ({summarize(doubled)})")
        values = table.to_numpy()
        # NaN is not at least 0 either.
        if not (values >= 0).all() or not np.allclose(values.sum(axis=1), 1, atol=1e-3):
            raise CannotBlend(f"{path} holds values that are no probabilities")
    unlabeled = member.out_of_fold.index.difference(member.labels.index)
    if len(unlabeled):
        raise CannotBlend(
            f"{member.folder.path}: {len(unlabeled)} predicted images have no label in "
            f"pictures.csv ({summarize(unlabeled)})"
        )


def _check_honest(folder: RunFolder, folds: list[int]) -> None:
    """Refuse a run whose scores are too good: it would win every choice."""
    known = {fold: why for fold, why in folder.leaky_folds().items() if fold in folds}
    for fold, why in known.items():
        raise CannotBlend(
            f"{folder.name} was trained on pseudo-labels that know labels of fold {fold} ({why}): "
            "its out-of-fold predictions are no evidence. Take the labels from a run with the same "
            "split, or leave it out"
        )


def _check_out_of_fold(member: BlendRun, fold_of: pd.Series) -> None:
    """See that a run predicts just the images of its trained folds, which it has not seen."""
    ids, unseen = member.out_of_fold.index, fold_of.index[fold_of.isin([*member.folds, HELD_OUT])]
    trained_on, missing = ids.difference(unseen), unseen.difference(ids)
    if len(trained_on):
        raise CannotBlend(
            f"{member.name} was trained on {len(trained_on)} of the images that its "
            f"out_of_fold.csv holds ({summarize(trained_on)}): train it again"
        )
    if len(missing):
        raise CannotBlend(
            f"{member.folder.path / 'out_of_fold.csv'} lacks {len(missing)} images of the "
            f"trained folds ({summarize(missing)}): remove score.json, and it is made again"
        )


def _check_same_images(first: BlendRun, member: BlendRun) -> None:
    """Refuse runs of which one predicts images that the other has not out of fold."""
    mine, theirs = first.out_of_fold.index, member.out_of_fold.index
    only = mine.difference(theirs), theirs.difference(mine)
    if len(only[0]) or len(only[1]):
        raise CannotBlend(
            f"{first.name} ({_folds(first)}) and {member.name} ({_folds(member)}) have other "
            f"images out of fold: {len(only[0])} are only in {first.name} ({summarize(only[0])}), "
            f"{len(only[1])} only in {member.name} ({summarize(only[1])}). "
            "Train the missing folds, or judge on what all have with --common"
        )


def _folds(member: BlendRun) -> str:
    return f"folds {', '.join(map(str, member.folds))}" if member.folds else "a blend"


def check_fit(members: list[BlendRun]) -> None:
    """Refuse the same run twice, other competitions, other test images, and other labels."""
    first = members[0]
    seen: set[Path] = set()
    for member in members:
        if member.folder.path in seen:
            raise CannotBlend(f"the run {member.name} is named twice")
        seen.add(member.folder.path)
        if member.competition is not first.competition:
            each = ", ".join(f"{one.name} of {one.competition.name}" for one in members)
            raise CannotBlend(f"the runs are of different competitions: {each}")
        pair = f"{first.name} and {member.name}"
        mine, theirs = first.test.index, member.test.index
        only = [mine.difference(theirs), theirs.difference(mine)]
        if len(only[0]) or len(only[1]):
            raise CannotBlend(
                f"{pair} predict other test images: {len(only[0])} are only in {first.name} "
                f"({summarize(only[0])}), {len(only[1])} in {member.name} ({summarize(only[1])})"
            )
        common = first.labels.index.intersection(member.labels.index)
        other = common[first.labels.loc[common].ne(member.labels.loc[common])]
        if len(other):
            raise CannotBlend(
                f"{pair} have other labels for {len(other)} images ({summarize(other)}): were they "
                "trained on the same data?"
            )
