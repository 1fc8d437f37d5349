"""What a report tells of a run or a blend, read from its folder; the images need not be here."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from podium.competitions import Competition, MissingData, get_competition
from podium.competitions.boxes import BOX_COLUMNS, iou
from podium.competitions.tasks import joined
from podium.predictions.combine import score_folds, written_results
from podium.predictions.score import Score, paired_gain, score
from podium.recipes.recipe import Recipe
from podium.runs.fold_folder import RunError
from podium.runs.run import Run
from podium.runs.run_folder import RunFolder
from podium.runs.table import HELD_OUT, typed_labels

OUT_OF_FOLD = "out_of_fold"
FOUND_COLUMNS = tuple(f"found_{name}" for name in BOX_COLUMNS)


@dataclass(frozen=True)
class RunData:
    """A run, or a blend, which has no recipe and no folds.

    Args:
        about: what run.json says.
        results: what score.json says.
        stored: pictures.csv: part, label and so on by id.
        probabilities: of images by networks that have not seen them, by id.
        boxes: the same of boxes, or None without a box head.
        paths: where the training images are, by id.
        missing: why none of them is here; "" where they are.
    """

    folder: RunFolder
    competition: Competition
    about: dict[str, Any]
    results: dict[str, Any]
    recipe: Recipe | None
    folds: list[int]
    stored: pd.DataFrame
    probabilities: pd.DataFrame
    boxes: pd.DataFrame | None
    paths: pd.Series
    missing: str

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def score(self) -> Score:
        return Score.from_dict(self.results["score"])

    @property
    def kind(self) -> str:
        """What the score is of: "out-of-fold", "held-out" or, of two shares, "validation"."""
        return self.results.get("scored", "out-of-fold")

    @property
    def classes(self) -> list[str]:
        return list(self.competition.classes)

    @cached_property
    def train(self) -> pd.DataFrame:
        """The training images of the table."""
        train = self.stored[self.stored["part"] == "train"]
        numbers = [name for name in ("group", "fold") if name in train]
        train = train.astype(dict.fromkeys(numbers, "int64"))
        return train.assign(label=typed_labels(train["label"]))

    @property
    def groups(self) -> pd.Series | None:
        """The images that err together, by id; an old blend does not know them."""
        return self.train.get("group")

    def decided(self, predicted: np.ndarray) -> np.ndarray:
        """The answers by the run's thresholds."""
        found = self.results.get("thresholds")
        return self.competition.task.decide(predicted, np.array(found) if found else None)

    def named(self, answers: np.ndarray) -> list[str]:
        """Answers or a truth in words."""
        return [
            name or "no label"
            for name in self.competition.task.names(answers, self.classes, separator=", ")
        ]

    @cached_property
    def judged(self) -> pd.DataFrame:
        """The images that the score is of, by id.

        Columns: label and said, what is true and predicted as a table's `label` has it; truth and
        answer, the names of these; sure and of_true, the probabilities of said and label (of
        several labels the least one); said_output and true_output, the outputs of the network
        that speak for them; fold, where there are folds; with boxes also `BOX_COLUMNS`,
        `FOUND_COLUMNS` and iou (NaN where no box is annotated).
        """
        train = self.train.loc[self.probabilities.index]
        if "fold" in train and (train["fold"] == HELD_OUT).any():
            train = train[train["fold"] == HELD_OUT]
        task, predicted = self.competition.task, self.probabilities.loc[train.index].to_numpy()
        truth, answers = task.truth(train["label"], len(self.classes)), self.decided(predicted)
        judged = train[train.columns.intersection(["label", "fold", "group"])].copy()
        if task.several:
            judged["label"], said = (
                list(map(joined, map(np.flatnonzero, one))) for one in (truth, answers)
            )
            sure, of_true = (
                np.where(one, predicted, 1 - predicted).min(axis=1) for one in (answers, truth)
            )
            said_output = predicted.argmax(axis=1)
            true_output = np.where(truth, predicted, 2).argmin(axis=1)
        else:
            said, values, rows = answers, task.by_class(predicted), np.arange(len(truth))
            sure, of_true = values[rows, answers], values[rows, truth]
            first = len(self.classes) - predicted.shape[1]  # of grades the second
            said_output, true_output = ((one - first).clip(0) for one in (answers, truth))
        judged = judged.assign(
            said=said,
            truth=self.named(truth),
            answer=self.named(answers),
            sure=sure,
            of_true=of_true,
            said_output=said_output,
            true_output=true_output,
        )
        if self.boxes is None or not set(BOX_COLUMNS) <= set(train):
            return judged
        found = self.boxes.loc[train.index].to_numpy()
        truth = train[list(BOX_COLUMNS)]
        judged[list(BOX_COLUMNS)] = truth
        judged[list(FOUND_COLUMNS)] = found
        return judged.assign(iou=iou(truth.to_numpy(np.float64), found))

    @cached_property
    def decisions(self) -> pd.DataFrame:
        """Said, label and sure of `judged`; of several labels a row each, 0 or 1."""
        if not self.competition.task.several:
            return self.judged
        predicted = self.probabilities.loc[self.judged.index].to_numpy()
        truth, said = self.truth.loc[self.judged.index].to_numpy(), self.decided(predicted)
        sure = np.where(said, predicted, 1 - predicted)
        columns = {"label": truth, "said": said, "sure": sure}
        return pd.DataFrame({name: values.ravel() for name, values in columns.items()})

    @cached_property
    def truth(self) -> pd.Series | pd.DataFrame:
        """What metrics compare with, by id."""
        return self.competition.truth(self.train["label"])

    @cached_property
    def histories(self) -> dict[int, pd.DataFrame]:
        """The epochs of each fold; none of a soup, whose ingredients have them."""
        folders = {fold: self.folder.fold(fold) for fold in self.folds}
        known = [fold for fold in folders if (folders[fold].path / "history.csv").is_file()]
        return {fold: folders[fold].read_history() for fold in known}

    def score_of(self, ids: pd.Index) -> Score:
        """The score of some of the images alone."""
        predicted = self.probabilities.loc[ids]
        return score(self.competition.metric, self.truth, predicted, self.groups)

    def gain_over(self, other: pd.DataFrame) -> Score:
        """The paired difference by image: positive where this run is better.

        Args:
            other: probabilities of images that this run has judged, by id.
        """
        metric, labels = self.competition.metric, self.truth.loc[other.index].to_numpy()
        mine, theirs = self.probabilities.loc[other.index].to_numpy(), other.to_numpy()
        groups = None if self.groups is None else self.groups.loc[other.index]
        return paired_gain(metric, labels, mine, theirs, groups)


def read_run_data(folder: RunFolder) -> RunData:
    """Read a run or a blend as it is now; folds that are not joined yet are, in memory alone.

    Raises:
        RunError: no fold of it is scored yet, or a file is missing or damaged.
    """
    about = folder.read_run()
    recipe, folds = None, folder.scored_folds()
    if folder.read_blended():
        competition = get_competition(about["competition"], folder.path)
        results = folder.read_score()
    else:
        if not folds:
            raise RunError(f"{folder.path} has no trained fold yet: train it to its end first")
        run = Run.open(folder)  # refuses what is damaged, or leaks
        recipe, competition = run.recipe, run.competition
        results = written_results(folder, folds)
    if results:
        predicted = folder.read_probabilities(OUT_OF_FOLD), folder.read_boxes(OUT_OF_FOLD)
    else:
        joined = score_folds(run, folds)
        results = joined.as_dict(folder)
        predicted = joined.out_of_fold, joined.boxes and joined.boxes.out_of_fold
    stored = folder.read_images()
    if stored is None:
        raise RunError(f"{folder.path} has no table of images: blend its runs again")
    try:
        paths, missing = competition.read_training()["path"], ""
    except MissingData:  # whose message names folders of this machine: the page may be sent round
        paths = pd.Series([], pd.Index([], dtype=str), dtype=object, name="path")
        missing = f"the images of {competition.name} are not on the machine that made this"
    return RunData(
        folder, competition, about, results, recipe, folds, stored, *predicted, paths, missing
    )
