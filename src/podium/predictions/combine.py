"""From the folds' predictions to the run's: probabilities, score, and submission."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from podium import places
from podium.competitions import Competition, get_competition
from podium.images.splitting import HELD_OUT
from podium.predictions.probabilities import average_views, class_prior
from podium.predictions.score import Score, better, score
from podium.predictions.views import VIEWS
from podium.run_folder import RunError, RunFolder
from podium.table import Table, stored_table
from podium.whole_files import remove_leftovers, write_csv


@dataclass(frozen=True)
class Combined:
    """What a run comes to."""

    folds: list[int]
    plain: Score
    averaged: Score  # over all predicted views
    views: list[str]  # that are used: all of them where they gain, else the plain one
    score: Score
    scored: str  # what the score is of: "out-of-fold" or "held-out"
    of_folds: int  # that the recipe has

    def __str__(self) -> str:
        missing = self.of_folds - len(self.folds)
        return f"{self.scored} {self.score}" + (
            f"; {len(self.folds)} of {self.of_folds} folds are trained" if missing else ""
        )


@dataclass(frozen=True)
class Outcome:
    """What a run ends with."""

    folder: RunFolder
    combined: Combined
    submission: Path

    def __str__(self) -> str:
        return (
            f"run         {self.folder.path}\n"
            f"score       {self.combined}\n"
            f"submission  {self.submission}"
        )


def assemble(folder: RunFolder) -> Outcome:
    """Combine all finished folds of a run, and write its submission.

    It needs the run's folder and neither pictures nor networks: the folds may have been trained
    on other machines.

    Raises:
        RunError: it has no finished fold, or no table of pictures.
    """
    competition = get_competition(folder.read_recipe().competition)
    table = stored_table(folder)
    combined = combine(folder, competition, table)
    submission = write_submission(folder, competition, table.test.index)
    return Outcome(folder, combined, submission)


def combine(folder: RunFolder, competition: Competition, table: Table) -> Combined:
    """Join the finished folds by id, keep the views only where they gain, and write all of it.

    Raises:
        RunError: no fold is finished.
    """
    folds = folder.finished_folds()
    if not folds:
        trained = ", ".join(map(str, folder.scored_folds()))
        raise RunError(
            f"{folder.path} has no trained fold yet: train it to its end first"
            if not trained
            else f"{folder.path}: fold {trained} is trained and scored, and the test pictures are "
            f"not predicted yet: podium predict {folder.name}"
        )
    validation = read_validation(folder, folds)
    combined = score_folds(validation, folds, competition, table)
    folder.write_probabilities("out_of_fold", average_views(validation, combined.views))
    write_test(folder, competition, table, folds, combined.views)
    folder.write_score(
        {
            "score": combined.score.as_dict(),
            "scored": combined.scored,
            "folds": folds,
            "views": combined.views,
            "plain": combined.plain.as_dict(),
            "averaged_views": combined.averaged.as_dict(),
            "costs": {n: folder.fold(n).read_cost() for n in folds},
        }
    )
    return combined


def read_validation(folder: RunFolder, folds: list[int]) -> pd.DataFrame:
    """What the networks of these folds say of pictures that they have not seen, by id and view."""
    return pd.concat([folder.fold(n).read_predictions("validation") for n in folds])


def score_folds(
    validation: pd.DataFrame, folds: list[int], competition: Competition, table: Table
) -> Combined:
    """The score of these folds' predictions, with the views only where they gain.

    The score is that of the held-out share where the split has one, else of the out-of-fold
    predictions; whether views gain is always seen on validation pictures.
    """
    fold_of = table.train["fold"]
    held_out = fold_of.index[fold_of == HELD_OUT]
    is_held_out = validation.index.get_level_values("id").isin(held_out)
    judged = validation[~is_held_out]
    labels = table.train["label"]

    def of(predictions: pd.DataFrame, views: list[str] | None) -> Score:
        return score(competition.metric, labels, average_views(predictions, views))

    plain_views = [VIEWS[0].name]
    all_views = list(validation.index.unique("view"))
    plain, averaged = of(judged, plain_views), of(judged, all_views)
    views = all_views if better(competition.metric, averaged, plain) else plain_views
    scored = validation[is_held_out] if len(held_out) else judged
    kind = "held-out" if len(held_out) else "out-of-fold"
    of_folds = fold_of[fold_of >= 0].nunique()
    return Combined(folds, plain, averaged, views, of(scored, views), kind, of_folds)


def write_test(
    folder: RunFolder,
    competition: Competition,
    table: Table,
    folds: list[int],
    views: list[str] | None = None,
) -> pd.DataFrame:
    """Average the folds' test predictions over views and folds, and write them for the run.

    Pictures that nobody could read get the class prior: a submission needs every id.
    """
    predictions = pd.concat([folder.fold(n).read_predictions("test") for n in folds])
    probabilities = average_views(predictions, views)
    unread = table.test.index.difference(probabilities.index)
    prior = class_prior(table.train["label"], unread, competition.classes)
    probabilities = pd.concat([probabilities, prior]).loc[table.test.index]
    folder.write_probabilities("test", probabilities)
    return probabilities


def write_submission(
    folder: RunFolder, competition: Competition, test_ids: pd.Index, path: Path | None = None
) -> Path:
    """Write the submission of a run from its test probabilities; returns its path.

    Raises:
        WrongSubmission: the probabilities are not of these pictures, or are none.
    """
    path = path or places.submission(folder.name)
    remove_leftovers(path.parent, path.name)
    submission = competition.validated_submission(folder.read_probabilities("test"), test_ids)
    write_csv(path, submission, index=False)
    return path
