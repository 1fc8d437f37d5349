"""The runs that are averaged: read, and checked to belong together."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from podium.competitions import Competition, get_competition
from podium.predictions.combine import combine
from podium.run_folder import RunError, RunFolder
from podium.runs import find_run
from podium.table import stored_table

NAMED = 3  # ids in a message


class CannotBlend(RunError):
    """Runs whose probabilities do not belong together."""


@dataclass(frozen=True)
class Member:
    """A run that is averaged with others: its probabilities, and the labels it learnt from."""

    folder: RunFolder
    competition: Competition
    folds: list[int]  # that are trained; a blend has none
    labels: pd.Series
    out_of_fold: pd.DataFrame
    test: pd.DataFrame

    @property
    def name(self) -> str:
        return self.folder.name


def read_member(run: str) -> Member:
    """Find a run and read what is averaged; folds that came since its last end are combined first.

    Raises:
        RunError: there is none of that name or path, or it is not finished, or damaged.
    """
    folder = find_run(run)
    if folder.read_blended():
        competition = get_competition(str(folder.read_run().get("competition")))
        labels, folds = _labels_of_blend(folder), []
    else:
        competition = get_competition(folder.read_recipe().competition)
        table = stored_table(folder)
        labels, finished = table.train["label"], folder.finished_folds()
        scored = (folder.path / "score.json").is_file()
        if not scored or finished not in ([], folder.read_score().get("folds")):
            combine(folder, competition, table)
        folds = folder.read_score().get("folds", [])
    member = Member(
        folder,
        competition,
        folds,
        labels,
        _read_probabilities(folder, "out_of_fold"),
        _read_probabilities(folder, "test"),
    )
    _check_probabilities(member)
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
    pictures = folder.read_pictures()
    if pictures is None:
        raise RunError(f"{folder.path} has no table of pictures: blend it again")
    return pictures.loc[pictures["part"] == "train", "label"].astype("int64")


def _check_probabilities(member: Member) -> None:
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
            raise CannotBlend(f"{path}: {len(doubled)} ids are there twice ({_some(doubled)})")
        values = table.to_numpy()
        # NaN is not at least 0 either.
        if not (values >= 0).all() or not np.allclose(values.sum(axis=1), 1, atol=1e-3):
            raise CannotBlend(f"{path} holds values that are no probabilities")
    unlabelled = member.out_of_fold.index.difference(member.labels.index)
    if len(unlabelled):
        raise CannotBlend(
            f"{member.folder.path}: {len(unlabelled)} predicted pictures have no label in "
            f"pictures.csv ({_some(unlabelled)})"
        )


def check_fit(members: list[Member]) -> None:
    """Refuse the same run twice, other competitions, other test pictures, and other labels."""
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
                f"{pair} predict other test pictures: {len(only[0])} are only in {first.name} "
                f"({_some(only[0])}), {len(only[1])} only in {member.name} ({_some(only[1])})"
            )
        common = first.labels.index.intersection(member.labels.index)
        other = common[first.labels.loc[common].ne(member.labels.loc[common])]
        if len(other):
            raise CannotBlend(
                f"{pair} have other labels for {len(other)} pictures ({_some(other)}): were they "
                "trained on the same data?"
            )


def _some(ids: pd.Index) -> str:
    return (", ".join(ids[:NAMED]) + ", …" * (len(ids) > NAMED)) or "none"
