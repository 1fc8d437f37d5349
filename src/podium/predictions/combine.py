"""From the folds' predictions to the run's: probabilities, score, and submission."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from podium import paths
from podium.competitions import Competition, get_competition
from podium.competitions.boxes import to_pixels
from podium.files.atomic_write import remove_temp_files, write_csv
from podium.predictions.combine_boxes import CombinedBoxes, combine_boxes, combine_test_boxes
from podium.predictions.probabilities import average_views, class_prior
from podium.predictions.score import Score, score
from podium.predictions.speed import speeds
from podium.predictions.tta import VIEWS
from podium.predictions.tta_selection import choose_views
from podium.runs.fold_folder import RunError
from podium.runs.run_folder import RunFolder
from podium.runs.table import HELD_OUT, SIZE_COLUMNS, Table, stored_table


@dataclass(frozen=True)
class FoldScores:
    """What a run comes to."""

    folds: list[int]
    plain: Score
    averaged: Score  # over all predicted views
    views: dict[str, float]  # weights of those that are used: the plain one where none gain
    tried: list[dict[str, Any]]  # value and weights: of each view alone, then of the best sets
    score: Score  # of `out_of_fold`, or of the held-out images
    scored: str  # what the score is of: "out-of-fold" or "held-out"
    of_folds: int  # that the recipe has
    # float32 by id, with views that were chosen on other images.
    out_of_fold: pd.DataFrame = field(repr=False, compare=False)
    boxes: CombinedBoxes | None = None  # where the run has a box head
    speeds: dict[str, Score] = field(default_factory=dict)  # of predicting, where it was timed

    def __str__(self) -> str:
        missing = self.of_folds - len(self.folds)
        return f"{self.scored} {self.score}" + (
            f"; {len(self.folds)} of {self.of_folds} folds are trained" if missing else ""
        )

    @property
    def speed(self) -> str:
        """How long an image takes, alone and among others."""
        return ", ".join(
            f"{one.value:.1f} ms an image ({kind}; 95 % interval {one.low:.1f} to {one.high:.1f})"
            for kind, one in self.speeds.items()
        )

    @property
    def views_used(self) -> str:
        """Which views are averaged, and what the plain one alone scores."""
        used = ", ".join(f"{name} {weight:.2f}" for name, weight in self.views.items())
        predicted = {name for one in self.tried for name in one["views"]}
        if len(predicted) == 1:
            return used
        only_plain = self.views.keys() == {VIEWS[0].name}
        gain = f"none of {len(predicted)} gains: plain" if only_plain else "plain alone"
        return f"{used} ({gain} {self.plain.value:.4f}, all alike {self.averaged.value:.4f})"


@dataclass(frozen=True)
class RunResult:
    """What a run ends with."""

    folder: RunFolder
    combined: FoldScores
    submission: Path
    report: Path | None = None  # where one was made
    runner: Any = field(default=None, repr=False, compare=False)  # that trained folds just now

    def __str__(self) -> str:
        doubtful = ", ".join(map(str, self.folder.leaky_folds()))
        warning = f"\n            too good: the pseudo-labels of fold {doubtful} know its labels"
        return (
            f"run         {self.folder.path}\n"
            f"score       {self.combined}{warning * bool(doubtful)}\n"
            f"views       {self.combined.views_used}\n"
            + f"boxes       {self.combined.boxes}\n" * (self.combined.boxes is not None)
            + f"speed       {self.combined.speed}\n" * bool(self.combined.speeds)
            + f"report      {self.report}\n" * (self.report is not None)
            + f"submission  {self.submission}"
        )


def assemble(folder: RunFolder) -> RunResult:
    """Combine all finished folds of a run, and write its submission.

    It needs the run's folder and neither images nor networks: the folds may have been trained
    on other machines.

    Raises:
        RunError: it has no finished fold, or no table of images.
    """
    competition = get_competition(folder.read_recipe().competition)
    table = stored_table(folder)
    combined = combine(folder, competition, table)
    submission = write_submission(folder, competition, table.test.index)
    return RunResult(folder, combined, submission)


def combine(folder: RunFolder, competition: Competition, table: Table) -> FoldScores:
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
            else f"{folder.path}: fold {trained} is trained and scored, and the test images are "
            f"not predicted yet: podium predict {folder.name}"
        )
    combined = join_folds(folder, folds, competition, table)
    boxes = combined.boxes
    found = boxes and boxes.out_of_fold
    folder.write_probabilities("out_of_fold", combined.out_of_fold, found)
    write_test(folder, competition, table, folds, combined.views, boxes and boxes.views)
    folder.write_score(summary(folder, combined))
    return combined


def join_folds(
    folder: RunFolder, folds: list[int], competition: Competition, table: Table
) -> FoldScores:
    """What these scored folds come to, classes and boxes; nothing is written."""
    validation = read_validation(folder, folds)
    costs = [folder.fold(number).read_cost() for number in folds]
    times = [cost["milliseconds"] for cost in costs if "milliseconds" in cost]
    combined = score_folds(validation, folds, competition, table)
    boxes = combine_boxes(folder, folds, table)
    return replace(combined, boxes=boxes, speeds=speeds(times))


def summary(folder: RunFolder, combined: FoldScores) -> dict[str, Any]:
    """What score.json says of a run."""
    return {
        "score": combined.score.as_dict(),
        "scored": combined.scored,
        "folds": combined.folds,
        "views": combined.views,
        "plain": combined.plain.as_dict(),
        "averaged_views": combined.averaged.as_dict(),
        "tried_views": combined.tried,
        "boxes": combined.boxes and combined.boxes.as_dict(),
        "too_good": folder.leaky_folds(),  # why, by fold
        "speed": {kind: one.as_dict() for kind, one in combined.speeds.items()},
        "costs": {number: folder.fold(number).read_cost() for number in combined.folds},
    }


def read_validation(folder: RunFolder, folds: list[int]) -> pd.DataFrame:
    """What the networks of these folds say of images that they have not seen, by id and view."""
    return pd.concat([folder.fold(n).read_predictions("validation") for n in folds])


def score_folds(
    validation: pd.DataFrame, folds: list[int], competition: Competition, table: Table
) -> FoldScores:
    """The score of these folds' predictions, with the views only where they gain.

    The score is that of the held-out share where the split has one, else of the out-of-fold
    predictions; whether views gain is always seen on validation images.
    """
    fold_of = table.train["fold"]
    held_out = fold_of.index[fold_of == HELD_OUT]
    is_held_out = validation.index.get_level_values("id").isin(held_out)
    judged = validation[~is_held_out]
    labels = table.train["label"]

    def of(predictions: pd.DataFrame, views: dict[str, float] | None) -> Score:
        return score(competition.metric, labels, average_views(predictions, views))

    choice = choose_views(judged, labels, competition.metric)
    out_of_fold, scored, kind = choice.cross_fitted, choice.cross_fitted, "out-of-fold"
    if len(held_out):
        scored, kind = average_views(validation[is_held_out], choice.weights), "held-out"
        out_of_fold = pd.concat([out_of_fold, scored])
    return FoldScores(
        folds,
        of(judged, {VIEWS[0].name: 1.0}),
        of(judged, None),
        choice.weights,
        choice.tried,
        score(competition.metric, labels, scored),
        kind,
        fold_of[fold_of >= 0].nunique(),
        out_of_fold,
    )


def write_test(
    folder: RunFolder,
    competition: Competition,
    table: Table,
    folds: list[int],
    views: dict[str, float] | None = None,
    box_views: dict[str, float] | None = None,
) -> pd.DataFrame:
    """Average the folds' test predictions over views and folds, and write them for the run.

    Images that nobody could read get the class prior: a submission needs every id.
    """
    predictions = pd.concat([folder.fold(n).read_predictions("test") for n in folds])
    probabilities = average_views(predictions, views)
    unread = table.test.index.difference(probabilities.index)
    prior = class_prior(table.train["label"], unread, competition.classes)
    probabilities = pd.concat([probabilities, prior]).loc[table.test.index]
    boxes = combine_test_boxes(folder, folds, table.test.index, box_views)
    folder.write_probabilities("test", probabilities, boxes)
    return probabilities


def write_submission(
    folder: RunFolder, competition: Competition, test_ids: pd.Index, path: Path | None = None
) -> Path:
    """Write the submission of a run from its test probabilities; returns its path.

    Raises:
        WrongSubmission: the probabilities are not of these images, or are none.
    """
    path = path or paths.submission(folder.name)
    remove_temp_files(path.parent, path.name)
    boxes, pixels = folder.read_boxes("test"), None
    if boxes is not None:
        images = folder.read_images()
        pixels = to_pixels(boxes, images.loc[images["part"] == "test", SIZE_COLUMNS])
    probabilities = folder.read_probabilities("test")
    submission = competition.validated_submission(probabilities, test_ids, pixels)
    write_csv(path, submission, index=False)
    return path
