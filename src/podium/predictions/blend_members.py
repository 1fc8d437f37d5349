"""The runs that are blended: read, checked to belong together, and joined by id."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from tqdm import tqdm

from podium.competitions import Competition, get_competition
from podium.predictions.combine import combine
from podium.runs.find_run import find_run
from podium.runs.fold_folder import RunError
from podium.runs.run import Run
from podium.runs.run_folder import RunFolder
from podium.runs.table import HELD_OUT, typed_labels
from podium.text import id_difference, summarize


@dataclass(frozen=True)
class BlendRun:
    """A run to be blended: its probabilities, and the labels that it was trained on."""

    folder: RunFolder
    competition: Competition
    folds: list[int]  # that are trained; a blend has none
    labels: pd.Series
    widening: float  # of the intervals of its scores; see predictions/score.py
    groups: pd.Series | None  # of the training images, as in the table; an old blend has none
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

    @property
    def widening(self) -> float:
        """Of the intervals: that of the run with the most folds."""
        return max(member.widening for member in self.members)

    @property
    def groups(self) -> pd.Series | None:
        """Of these images, by id: which err together."""
        known = [member.groups for member in self.members if member.groups is not None]
        return known[0].loc[self.labels.index] if known else None


def read_pool(runs: Sequence[str], common: bool = False) -> Pool:
    """Read runs, check that they belong together, and join them by id.

    Args:
        common: leave out images that not all of them predict out of fold.

    Raises:
        RunError: a run is missing, unfinished or damaged, or does not fit the others.
    """
    members = list(map(read_member, tqdm(runs, "reading", unit=" runs", delay=2, leave=False)))
    first = members[0]
    ids = first.out_of_fold.index
    for number, member in enumerate(members):
        if member.folder.path in [other.folder.path for other in members[:number]]:
            raise RunError(f"the run {member.name} is named twice")
        _check_fit(first, member, common)
        ids = ids.intersection(member.out_of_fold.index)
    if ids.empty:
        names = ", ".join(member.name for member in members)
        raise RunError(f"no image is out of fold in all of {names}: train the same folds of each")
    ids = ids.sort_values()  # the choice does not depend on the first run's order
    out_of_fold = np.stack([member.out_of_fold.loc[ids].to_numpy() for member in members])
    test = np.stack([member.test.loc[first.test.index].to_numpy() for member in members])
    return Pool(members, first.labels.loc[ids], out_of_fold, first.test.index, test)


def read_member(run: str) -> BlendRun:
    """Find a run and read its predictions; folds that are not combined yet are combined first.

    Raises:
        RunError: no run of that name or path is there, or it is unfinished, damaged or leaky.
    """
    folder = find_run(run)
    if folder.read_blended():
        competition = get_competition(folder.read_run()["competition"], folder.path)
        train, folds = folder.read_images().query("part == 'train'"), []
    else:
        opened = Run.open(folder)
        competition, train = opened.competition, opened.table.train
        has_score = (folder.path / "score.json").is_file()
        if not has_score or folder.finished_folds() not in ([], folder.read_score().get("folds")):
            with folder.sharing():
                combine(opened)
        folds = folder.read_score().get("folds", [])
    out_of_fold, test = (
        _read_probabilities(folder, name, competition) for name in ("out_of_fold", "test")
    )
    if folds:
        _check_out_of_fold(folder, folds, train["fold"], out_of_fold.index)
    labels, groups = typed_labels(train["label"]), train.get("group")
    widening = folder.read_score().get("widening", 1.0)
    return BlendRun(folder, competition, folds, labels, widening, groups, out_of_fold, test)


def _read_probabilities(folder: RunFolder, name: str, competition: Competition) -> pd.DataFrame:
    table, path = folder.read_probabilities(name), folder.path / f"{name}.csv"
    if list(table.columns) != competition.outputs:
        raise RunError(f"{path} has other classes than {competition.name}: {', '.join(table)}")
    if not competition.task.are_probabilities(table.to_numpy()):
        raise RunError(f"{path} holds values that are no probabilities")
    return table


def _check_out_of_fold(
    folder: RunFolder, folds: list[int], fold_of: pd.Series, ids: pd.Index
) -> None:
    """Refuse out-of-fold predictions of images that the run was trained on: they would win."""
    for fold, why in folder.leaky_folds().items():
        if fold in folds:
            raise RunError(
                f"{folder.name} is leaky: its pseudo-labels of fold {fold} reveal labels that it "
                f"scores ({why}). Take them from a run with the same split, or leave it out"
            )
    trained_on = ids.difference(fold_of.index[fold_of.isin([*folds, HELD_OUT])])
    if len(trained_on):
        raise RunError(
            f"{folder.name} was trained on images of its out_of_fold.csv ({summarize(trained_on)})"
        )


def _check_fit(first: BlendRun, member: BlendRun, common: bool) -> None:
    """Refuse other competitions, other test images, other labels, and unless common other folds."""
    if member.competition is not first.competition:
        each = ", ".join(f"{one.name} of {one.competition.name}" for one in (first, member))
        raise RunError(f"the runs are of different competitions: {each}")
    pair = f"{first.name} and {member.name}"
    if tests := id_difference(first.test.index, first.name, member.test.index, member.name):
        raise RunError(f"{pair} predict other test images: {tests}")
    if changed := first.folder.changed_test_files(member.folder):
        raise RunError(
            f"{pair} predicted other files of {changed} test images: podium predict both"
        )
    both = first.labels.index.intersection(member.labels.index)
    other = both[first.labels.loc[both].ne(member.labels.loc[both])]
    if len(other):
        raise RunError(f"{pair} have other labels for {len(other)} images ({summarize(other)})")
    ids, other_ids = first.out_of_fold.index, member.out_of_fold.index
    images = id_difference(ids, first.name, other_ids, member.name)
    if images and not common:
        first_folds, folds = (
            f"folds {', '.join(map(str, one.folds))}" if one.folds else "a blend"
            for one in (first, member)
        )
        raise RunError(
            f"{first.name} ({first_folds}) and {member.name} ({folds}) have other images out of "
            f"fold: {images}. Train the missing folds, or judge on what all have with --common"
        )
