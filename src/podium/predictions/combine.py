"""From the folds' predictions to the run's: probabilities, boxes, score and submission."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from podium import paths
from podium.competitions import Competition, get_competition
from podium.competitions.boxes import BOX_COLUMNS, BOX_METRICS, BoxMetric, has_box, to_pixels
from podium.competitions.metrics import LogLoss, Metric
from podium.files.atomic_write import remove_temp_files, write_csv
from podium.predictions.calibration import Calibration, cross_fitted, fit_calibration
from podium.predictions.score import Score, k_fold_parts, score, speeds, widening
from podium.predictions.tta import VIEWS, choose_views
from podium.runs.fold_folder import RunError
from podium.runs.run import Run
from podium.runs.run_folder import RunFolder
from podium.runs.table import HELD_OUT, SIZE_COLUMNS
from podium.text import duration, format_table


@dataclass(frozen=True)
class ViewScores:
    """Predictions of all scored images, with the views that gain, and what they score."""

    scores: list[Score]  # by each metric; views are chosen by the first
    plain: Score  # of the plain view alone, on the images that views are chosen on
    averaged: Score  # of all views equally, on the same
    views: dict[str, float]  # weights of those that are used
    tried: list[dict[str, Any]]  # value and weights: of each view alone, then of the best sets
    # float32 by id; the views were chosen on other images.
    out_of_fold: pd.DataFrame = field(repr=False, compare=False)

    def __str__(self) -> str:
        first, *others = self.scores
        values = [
            f"{one.metric} {one.value:.3f} ({one.low:.3f} to {one.high:.3f})" for one in others
        ]
        return ", ".join([str(first), *values])

    @property
    def score(self) -> Score:
        return self.scores[0]

    @property
    def views_used(self) -> str:
        """The views that are averaged, and the scores of what is no choice."""
        used = ", ".join(f"{name} {weight:.2f}" for name, weight in self.views.items())
        compared = f"plain alone {self.plain.value:.4f}, equal weights {self.averaged.value:.4f}"
        return f"{used} ({compared})"


@dataclass(frozen=True)
class FoldScores(ViewScores):
    """The joint probabilities of a run's folds, with the boxes beside them, and their scores."""

    folds: list[int]
    of_folds: int  # in the recipe
    widening: float  # of the intervals; see predictions/score.py
    scored: str  # which images the score is of: "out-of-fold" or "held-out"
    calibrations: dict[int, Calibration]  # of each fold's network; empty where none gains
    uncalibrated: Score
    by_fold: dict[int, float]  # the score of each fold; none where held-out images are scored
    boxes: ViewScores | None  # where the run has a box head
    speeds: dict[str, Score]  # milliseconds an image, where predicting was timed

    def __str__(self) -> str:
        text = f"{self.scored} {self.score}"
        if len(self.folds) < self.of_folds:
            text += f"; {len(self.folds)} of {self.of_folds} folds are trained"
        return text


@dataclass(frozen=True)
class RunResult:
    """A run with its scores and its submission."""

    folder: RunFolder
    combined: FoldScores
    submission: Path
    report: Path | None = None  # where one was made
    runner: Any = field(default=None, repr=False, compare=False)  # that trained folds just now

    def __str__(self) -> str:
        combined, boxes = self.combined, self.combined.boxes
        lines: list[tuple[str, object]] = [("run", self.folder.path), ("score", combined)]
        for fold in self.folder.leaky_folds():
            lines.append(("leaky", f"the pseudo-labels of fold {fold} reveal its labels"))
        lines.append(("views", combined.views_used))
        if combined.calibrations:
            each = [f"{one.temperature:.2f}" for one in combined.calibrations.values()]
            before = f"uncalibrated {combined.uncalibrated.value:.4f}"
            lines.append(("calibrated", f"temperature {', '.join(each)} ({before})"))
        if boxes:
            lines += [("boxes", boxes), ("", f"views {boxes.views_used}")]
        for kind, one in combined.speeds.items():
            interval = f"95 % interval {one.low:.1f} to {one.high:.1f}"
            lines.append(("speed", f"{one.value:.1f} ms an image ({kind}; {interval})"))
        lines += [("folds" * (number == 0), row) for number, row in enumerate(self._folds())]
        if self.report:
            lines.append(("report", self.report))
        lines.append(("submission", self.submission))
        lines.append(("next", f"podium serve {self.folder.name}"))
        competition = get_competition(self.folder.read_recipe().competition)
        if (competition.kaggle_source or "").startswith("competitions/"):
            submit = f'podium submit {competition.name} {self.submission} -m "{self.folder.name}"'
            lines.append(("", submit))
        return "\n".join(f"{name:<12}{value}" for name, value in lines)

    def _folds(self) -> list[str]:
        """A table of the folds, and the time of all."""
        costs = {fold: self.folder.fold(fold).read_cost() for fold in self.combined.folds}
        rows = [["fold", self.combined.score.metric, "time", "memory", "epochs"]]
        for fold, cost in costs.items():
            value = self.combined.by_fold.get(fold)
            plan = cost.get("time_plan", [])
            rows.append(
                [
                    str(fold),
                    "" if value is None else f"{value:.4f}",
                    duration(cost["seconds"]),
                    f"{cost['peak_memory_gb']:.1f} GB" if "peak_memory_gb" in cost else "",
                    ", ".join(f"{row['trained']:g} of {row['epochs']}" for row in plan),
                ]
            )
        rows.append(["all", "", duration(sum(cost["seconds"] for cost in costs.values())), "", ""])
        used = [number for number in range(5) if any(row[number] for row in rows[1:])]
        return format_table([[row[number] for number in used] for row in rows])


def assemble(folder: RunFolder) -> RunResult:
    """Combine all finished folds of a run, and write its submission.

    Only the run's folder is needed, neither images nor networks: the folds may have been trained
    on other machines.

    Raises:
        RunError: the run has no finished fold, or no table of images.
    """
    run = Run.open(folder)
    combined = combine(run)
    return RunResult(folder, combined, write_submission(folder, run.competition))


def combine(run: Run) -> FoldScores:
    """Join the finished folds by id, keep the views only where they gain, and write the result.

    Raises:
        RunError: no fold is finished.
    """
    folder = run.folder
    folds = folder.finished_folds()
    if not folds:
        trained = ", ".join(map(str, folder.scored_folds()))
        raise RunError(
            f"{folder.path} has no trained fold yet: train it to its end first"
            if not trained
            else f"{folder.path}: fold {trained} is trained and scored, and the test images are "
            f"not predicted yet: podium predict {folder.name}"
        )
    combined = score_folds(run, folds)
    boxes = combined.boxes
    write_test(run, folds, combined.views, boxes and boxes.views, combined.calibrations)
    folder.write_probabilities("out_of_fold", combined.out_of_fold, boxes and boxes.out_of_fold)
    folder.write_score(summary(folder, combined))
    return combined


def score_folds(run: Run, folds: list[int]) -> FoldScores:
    """Score these folds together; nothing is written.

    Raises:
        ValueError: the run has a box head, and none of the images to be scored has a box.
    """
    train, folder = run.table.train, run.folder
    held_out = train.index[train["fold"] == HELD_OUT]
    of_folds = train.loc[train["fold"] >= 0, "fold"].nunique()
    wider = widening(len(folds), of_folds) if held_out.empty else 1.0
    found = _read_boxes(folder, folds, "validation")
    boxes = None
    if found is not None:
        boxes = _score_views(
            found, train[list(BOX_COLUMNS)], held_out, BOX_METRICS, train["group"], wider
        )
    costs = [folder.fold(number).read_cost() for number in folds]
    metric = run.competition.metric
    classes = _score_views(
        read_validation(folder, folds), train["label"], held_out, [metric], train["group"], wider
    )
    calibrations: dict[int, Calibration] = {}
    uncalibrated = classes.score
    if isinstance(metric, LogLoss):
        classes, calibrations = _calibrate(run, folds, classes, wider)
    values = pd.Series(
        metric.per_image(
            train.loc[classes.out_of_fold.index, "label"].to_numpy(),
            classes.out_of_fold.to_numpy(),
        ),
        classes.out_of_fold.index,
    )
    by_fold = values.groupby(train["fold"]).mean() if held_out.empty else pd.Series()
    return FoldScores(
        **vars(classes),
        by_fold=by_fold.to_dict(),
        calibrations=calibrations,
        uncalibrated=uncalibrated,
        folds=folds,
        of_folds=of_folds,
        widening=wider,
        scored="held-out" if len(held_out) else "out-of-fold",
        boxes=boxes,
        speeds=speeds([cost["milliseconds"] for cost in costs if "milliseconds" in cost]),
    )


def _score_views(
    predictions: pd.DataFrame,
    truth: pd.Series | pd.DataFrame,
    held_out: pd.Index,
    metrics: Sequence[Metric | BoxMetric],
    groups: pd.Series,
    wider: float,
) -> ViewScores:
    """Choose views on the validation images, and score the held-out images if there are some.

    Without a held-out part the validation images are scored, each with views that were chosen on
    others.

    Args:
        predictions: probabilities or boxes by id and view.
        truth: class numbers or boxes by id.
        groups: the images that err together, by id.
        wider: how many times as wide the intervals are as those of single networks.
    """
    ids = predictions.index.get_level_values("id")
    annotated = truth.index if truth.ndim == 1 else truth.index[has_box(truth)]
    is_held_out = ids.isin(held_out)
    to_choose = ids.isin(annotated) & ~is_held_out
    judged, first = predictions[to_choose], metrics[0]
    if judged.empty:
        raise ValueError(
            "none of the images that the folds score has a box to judge by: train more images"
        )
    choice = choose_views(judged, truth, first)
    others = average_tta(predictions[~to_choose], choice.weights)
    out_of_fold = pd.concat([choice.cross_fitted, others])
    scored = out_of_fold
    if len(held_out):
        scored = average_tta(predictions[is_held_out], choice.weights)
    return ViewScores(
        [score(metric, truth, scored, groups).widened(wider) for metric in metrics],
        score(first, truth, average_tta(judged, {VIEWS[0].name: 1.0}), groups).widened(wider),
        score(first, truth, average_tta(judged), groups).widened(wider),
        choice.weights,
        choice.tried,
        out_of_fold,
    )


def _calibrate(
    run: Run, folds: list[int], classes: ViewScores, wider: float
) -> tuple[ViewScores, dict[int, Calibration]]:
    """Calibrate each fold's network on what it has not seen, if that gains.

    What is scored is calibrated by what was fitted on other images of the fold. An out-of-fold
    prediction of the folds' mean does not exist, so that each network is calibrated alone.
    """
    train, metric, found = run.table.train, run.competition.metric, classes.out_of_fold
    judged = train.index[train["fold"].isin(folds)].intersection(found.index)
    calibrated, fitted = found.astype(np.float64), {}
    for fold in folds:
        ids = judged[train.loc[judged, "fold"] == fold]
        labels, own = train.loc[ids, "label"].to_numpy(), found.loc[ids].to_numpy()
        calibrated.loc[ids] = cross_fitted(own, labels, k_fold_parts(labels))
        fitted[fold] = fit_calibration(own, labels)
    labels = train.loc[judged, "label"].to_numpy()
    before, after = (
        metric.per_image(labels, table.loc[judged].to_numpy()) for table in (found, calibrated)
    )
    gain = before - after
    nothing = all(one == Calibration() for one in fitted.values())
    if nothing or not gain.mean() > gain.std() / np.sqrt(len(gain)):
        return classes, {}
    held_out = found.index.difference(judged)
    if len(held_out):
        calibrated.loc[held_out] = mean_of_folds(
            {fold: run.folder.fold(fold).read_predictions("validation") for fold in folds},
            classes.views,
            fitted,
        ).loc[held_out]
    calibrated = calibrated.astype(np.float32)
    scored = calibrated.loc[held_out if len(held_out) else judged]
    scores = [score(metric, train["label"], scored, train["group"]).widened(wider)]
    return replace(classes, scores=scores, out_of_fold=calibrated), fitted


def mean_of_folds(
    predictions: Mapping[int, pd.DataFrame],
    views: Mapping[str, float] | None,
    calibrations: Mapping[int, Calibration] | None = None,
) -> pd.DataFrame:
    """The mean of the folds' networks, each over its views and calibrated: float32 by id.

    Args:
        predictions: of each fold, by id and view.
    """
    if not calibrations:
        return average_tta(pd.concat(list(predictions.values())), views)
    calibrated = []
    for fold, table in predictions.items():
        averaged = average_tta(table, views)
        values = calibrations[fold](averaged.to_numpy())
        calibrated.append(pd.DataFrame(values, averaged.index, averaged.columns))
    mean = pd.concat(calibrated).groupby(level="id", sort=False).mean()
    return mean.astype(np.float32)


def summary(folder: RunFolder, combined: FoldScores) -> dict[str, Any]:
    """The content of score.json."""
    boxes = combined.boxes
    return {
        "score": combined.score.as_dict(),
        "scored": combined.scored,
        "folds": combined.folds,
        "widening": combined.widening,
        "views": combined.views,
        "plain": combined.plain.as_dict(),
        "averaged_views": combined.averaged.as_dict(),
        "tried_views": combined.tried,
        "calibration": {fold: asdict(one) for fold, one in combined.calibrations.items()},
        "uncalibrated": combined.uncalibrated.as_dict(),
        "boxes": boxes
        and {
            "scores": [one.as_dict() for one in boxes.scores],
            "plain": boxes.plain.value,
            "averaged_views": boxes.averaged.value,
            "views": boxes.views,
            "tried_views": boxes.tried,
        },
        "too_good": folder.leaky_folds(),  # the reason, by fold
        "speed": {kind: one.as_dict() for kind, one in combined.speeds.items()},
        "costs": {number: folder.fold(number).read_cost() for number in combined.folds},
    }


def write_test(
    run: Run,
    folds: list[int],
    views: Mapping[str, float] | None = None,
    box_views: Mapping[str, float] | None = None,
    calibrations: Mapping[int, Calibration] | None = None,
) -> None:
    """Average the folds' test predictions over views and folds, and write them for the run.

    A submission needs every id: an image that cannot be read gets the share of each class in
    training, and no box.

    Raises:
        RunError: the test images were not predicted in one of these views.
    """
    folder, ids = run.folder, run.table.test.index
    of_folds = {number: folder.fold(number).read_predictions("test") for number in folds}
    for number, predicted in of_folds.items():
        wanted = views or predicted.index.unique("view")
        _check_views(run, number, predicted.index, {*wanted, *(box_views or ())})
    averaged = mean_of_folds(of_folds, views, calibrations)
    probabilities = averaged.reindex(ids)
    labels = run.table.train["label"]
    prior = np.bincount(labels, minlength=len(averaged.columns)) / len(labels)
    probabilities.loc[~ids.isin(averaged.index)] = prior.astype(np.float32)
    boxes = _read_boxes(folder, folds, "test")
    if boxes is not None:
        boxes = average_tta(boxes, box_views).reindex(ids)
    folder.write_probabilities("test", probabilities, boxes)


def _check_views(run: Run, fold: int, predicted: pd.MultiIndex, views: Iterable[str]) -> None:
    """Refuse a fold that has not predicted a test image that can be read in each of these views."""
    for view in views:
        ids = predicted.get_level_values("id")[predicted.get_level_values("view") == view]
        if missing := len(run.table.readable_test.index.difference(ids)):
            raise RunError(
                f"fold {fold} of {run.name} has not predicted {missing} test images in the view "
                f"{view!r}, which the score uses: podium predict {run.name}"
            )


def write_submission(folder: RunFolder, competition: Competition, path: Path | None = None) -> Path:
    """Write the submission of a run or a blend from its test predictions; returns its path.

    Raises:
        WrongSubmission: the probabilities are not of the test images, or are none.
    """
    path = path or paths.submission(folder.name)
    remove_temp_files(path.parent, path.name)
    images = folder.read_images()
    test = images[images["part"] == "test"]
    boxes, pixels = folder.read_boxes("test"), None
    if boxes is not None:
        pixels = to_pixels(boxes, test[SIZE_COLUMNS])
    probabilities = folder.read_probabilities("test")
    submission = competition.validated_submission(probabilities, test.index, pixels)
    write_csv(path, submission, index=False)
    return path


def average_tta(
    predictions: pd.DataFrame, weights: Mapping[str, float] | None = None
) -> pd.DataFrame:
    """The mean over views and folds: float32 by id; rows of probabilities sum to 1.

    Args:
        predictions: probabilities or boxes by id and view; of each view a row for each fold.
        weights: of the views that count; by default all count equally.
    """
    predictions = predictions.astype(np.float64)
    if weights is not None:
        predictions = predictions[predictions.index.isin(weights, level="view")]
    views = predictions.index.get_level_values("view")
    weight = pd.Series(1.0 if weights is None else views.map(weights), predictions.index, float)
    total = predictions.mul(weight, axis=0).groupby(level="id", sort=False).sum()
    if list(predictions.columns) == list(BOX_COLUMNS):
        divisor = weight.groupby(level="id", sort=False).sum()
    else:
        divisor = total.sum(axis=1)
    return total.div(divisor, axis=0).astype(np.float32)


def read_validation(folder: RunFolder, folds: list[int]) -> pd.DataFrame:
    """The probabilities of images that the folds' networks have not seen, by id and view."""
    return pd.concat([folder.fold(n).read_predictions("validation") for n in folds])


def _read_boxes(folder: RunFolder, folds: list[int], name: str) -> pd.DataFrame | None:
    """The boxes of all folds, by id and view; None without a box head."""
    found = [folder.fold(number).read_boxes(name) for number in folds]
    return None if any(one is None for one in found) else pd.concat(found)
