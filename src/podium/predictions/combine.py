"""From the folds' predictions to the run's: probabilities, boxes, score and submission."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from podium import paths
from podium.competitions import Competition
from podium.competitions.boxes import BOX_COLUMNS, BOX_METRICS, are_boxes, has_box, to_pixels
from podium.competitions.metrics import LogLoss, Metric
from podium.files.atomic_write import write_csv
from podium.predictions.calibration import Calibration, cross_fitted, fit_calibration
from podium.predictions.decisions import decided, judge
from podium.predictions.result import FoldScores, RunResult, ViewScores
from podium.predictions.score import k_fold_parts, score, speeds, widening
from podium.predictions.tta import VIEWS, average_tta, choose_views
from podium.runs.fold_folder import RunError
from podium.runs.run import Run
from podium.runs.run_folder import RunFolder
from podium.runs.table import HELD_OUT, SIZE_COLUMNS, TRAIN_ONLY


def assemble(folder: RunFolder) -> RunResult:
    """Combine all finished folds of a run, and write its submission.

    Only the run's folder is needed, neither images nor networks: the folds may have been trained
    on other machines.

    Raises:
        RunError: the run has no finished fold, or no table of images.
    """
    run = Run.open(folder)
    return RunResult(folder, combine(run), write_submission(folder, run.competition))


def combine(run: Run) -> FoldScores:
    """Join the finished folds by id, keep the views only where they gain, and write the result.

    Raises:
        RunError: no fold is finished.
    """
    folder = run.folder
    folds = folder.finished_folds()
    if not folds:
        if scored := ", ".join(map(str, folder.scored_folds())):
            told = f"fold {scored} is trained and scored, and has not predicted the test images"
            raise RunError(f"{told}: podium predict {run.name}")
        raise RunError(f"{folder.path} has no trained fold yet: train it to its end first")
    combined = score_folds(run, folds)
    boxes = combined.boxes
    write_test(run, folds, combined.views, boxes and boxes.views, combined.calibrations)
    folder.write_probabilities("out_of_fold", combined.out_of_fold, boxes and boxes.out_of_fold)
    folder.write_score(combined.as_dict(folder))
    return combined


def current_results(folder: RunFolder) -> dict[str, Any]:
    """What score.json says, or would say, of all folds that are scored by now."""
    folds = folder.scored_folds()
    return written_results(folder, folds) or score_folds(Run.open(folder), folds).as_dict(folder)


def written_results(folder: RunFolder, folds: list[int]) -> dict[str, Any] | None:
    """What score.json says, where it is of these folds."""
    if not (folder.path / "score.json").is_file():
        return None
    written = folder.read_score()
    # An older Podium listed no views that were tried.
    return written if written.get("folds") == folds and "tried_views" in written else None


def score_folds(run: Run, folds: list[int]) -> FoldScores:
    """Score these folds together; nothing is written.

    Raises:
        ValueError: the run has a box head, and none of the images to be scored has a box.
    """
    train, folder = run.table.train, run.folder
    held_out = train.index[train["fold"] == HELD_OUT]
    of_folds = train.loc[train["fold"] >= 0, "fold"].nunique()
    wider = widening(len(folds), of_folds) if held_out.empty else 1.0
    metric, costs = run.competition.metric, [folder.fold(number).read_cost() for number in folds]
    score_views = partial(_score_views, held_out=held_out, groups=train["group"], wider=wider)
    found = _read_boxes(folder, folds, "validation")
    columns = list(BOX_COLUMNS)
    boxes = None if found is None else score_views(found, train[columns], BOX_METRICS)
    truth, alone = run.competition.truth(train["label"]), not run.competition.task.sums_to_one
    classes = score_views(read_validation(folder, folds), truth, [metric], alone=alone)
    uncalibrated, calibrations = classes.score, {}
    if isinstance(metric, LogLoss) and not alone:
        classes, calibrations = _calibrate(run, folds, classes, wider)
    judged = classes.out_of_fold.index.difference(held_out, sort=False)
    classes, predicted, thresholds = _decide(run, classes, truth, judged, wider)
    by_fold = {}
    for fold in folds if held_out.empty else ():
        ids = predicted.index[train.loc[predicted.index, "fold"] == fold]
        value = metric.of(truth.loc[ids].to_numpy(), predicted.loc[ids].to_numpy())
        by_fold[fold] = value(None)
    scored = "validation" if (train["fold"] == TRAIN_ONLY).any() else "out-of-fold"
    return FoldScores(
        **vars(classes),
        by_fold=by_fold,
        calibrations=calibrations,
        thresholds=thresholds,
        uncalibrated=uncalibrated,
        folds=folds,
        of_folds=of_folds,
        widening=wider,
        scored=scored if held_out.empty else "held-out",
        boxes=boxes,
        speeds=speeds([cost["milliseconds"] for cost in costs if "milliseconds" in cost]),
    )


def _score_views(
    predictions: pd.DataFrame,
    truth: pd.Series | pd.DataFrame,
    metrics: Sequence[Metric],
    held_out: pd.Index,
    groups: pd.Series,
    wider: float,
    alone: bool = False,
) -> ViewScores:
    """Choose views on the validation images, and score the held-out images if there are some.

    Without a held-out part the validation images are scored, each with views that were chosen on
    others.

    Args:
        predictions: probabilities or boxes by id and view.
        truth: class numbers, labels or boxes by id.
        groups: the images that err together, by id.
        wider: how many times as wide the intervals are as those of single networks.
        alone: as `average_tta` has it.
    """
    ids = predictions.index.get_level_values("id")
    annotated = truth.index[has_box(truth)] if are_boxes(truth) else truth.index
    to_choose = ids.isin(annotated) & ~ids.isin(held_out)
    judged, first = predictions[to_choose], metrics[0]
    if judged.empty:
        raise ValueError("none of the scored images has a box to judge by: train more images")
    choice = choose_views(judged, truth, first)
    others = average_tta(predictions[~to_choose], choice.weights, alone)
    out_of_fold = pd.concat([choice.cross_fitted, others])
    scored = out_of_fold[out_of_fold.index.isin(held_out)] if len(held_out) else out_of_fold
    scores = [score(metric, truth, scored, groups).widened(wider) for metric in metrics]
    plain, averaged = (
        score(first, truth, average_tta(judged, weights, alone), groups).widened(wider)
        for weights in ({VIEWS[0].name: 1.0}, None)
    )
    return ViewScores(scores, plain, averaged, choice.weights, choice.tried, out_of_fold)


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
        seen = {fold: run.folder.fold(fold).read_predictions("validation") for fold in folds}
        calibrated.loc[held_out] = mean_of_folds(seen, classes.views, fitted).loc[held_out]
    calibrated = calibrated.astype(np.float32)
    scored = calibrated.loc[held_out if len(held_out) else judged]
    scores = [score(metric, train["label"], scored, train["group"]).widened(wider)]
    return replace(classes, scores=scores, out_of_fold=calibrated), fitted


def _decide(
    run: Run, classes: ViewScores, truth: pd.Series | pd.DataFrame, judged: pd.Index, wider: float
) -> tuple[ViewScores, pd.DataFrame, list[float]]:
    """Fit thresholds or cut points to the judged images, if they gain where they were not fitted.

    Returns:
        What is scored by them, the predictions that are scored, and the thresholds.
    """
    metric, task, found = run.competition.metric, run.competition.task, classes.out_of_fold
    right, own = truth.loc[judged].to_numpy(), found.loc[judged].to_numpy()
    answers, thresholds = judge(metric, task, right, own)
    if not thresholds:
        return classes, found, []
    values = decided(task, found.to_numpy(), np.array(thresholds))
    table = pd.DataFrame(values, found.index, found.columns)
    table.loc[judged] = answers
    held_out = found.index.difference(judged)
    scored = table.loc[held_out if len(held_out) else judged]
    scores = [score(metric, truth, scored, run.table.train["group"]).widened(wider)]
    return replace(classes, scores=scores), table, thresholds


def mean_of_folds(
    predictions: Mapping[int, pd.DataFrame],
    views: Mapping[str, float] | None,
    calibrations: Mapping[int, Calibration] | None = None,
    alone: bool = False,
) -> pd.DataFrame:
    """The mean of the folds' networks, each over its views and calibrated: float32 by id.

    Args:
        predictions: of each fold, by id and view.
        alone: as `average_tta` has it.
    """
    if not calibrations:
        return average_tta(pd.concat(list(predictions.values())), views, alone)
    calibrated = []
    for fold, table in predictions.items():
        averaged = average_tta(table, views, alone)
        values = calibrations[fold](averaged.to_numpy())
        calibrated.append(pd.DataFrame(values, averaged.index, averaged.columns))
    mean = pd.concat(calibrated).groupby(level="id", sort=False).mean()
    return mean.astype(np.float32)


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
    folder, ids, readable = run.folder, run.table.test.index, run.table.readable_test.index
    of_folds = {number: folder.fold(number).read_predictions("test") for number in folds}
    for number, predicted in of_folds.items():
        for view in {*(views or predicted.index.unique("view")), *(box_views or ())}:
            in_view = predicted.index[predicted.index.isin([view], level="view")]
            if missing := len(readable.difference(in_view.unique("id"))):
                raise RunError(
                    f"fold {number} of {run.name} has not predicted {missing} test images in the "
                    f"view {view!r}, which the score uses: podium predict {run.name}"
                )
    task, classes = run.competition.task, len(run.competition.classes)
    averaged = mean_of_folds(of_folds, views, calibrations, alone=not task.sums_to_one)
    probabilities = averaged.reindex(ids)
    prior = task.prior(run.table.train["label"], classes)
    probabilities.loc[~ids.isin(averaged.index)] = prior
    boxes = _read_boxes(folder, folds, "test")
    if boxes is not None:
        boxes = average_tta(boxes, box_views).reindex(ids)
    folder.write_probabilities("test", probabilities, boxes)


def write_submission(
    folder: RunFolder, competition: Competition, path: Path | None = None
) -> Path | None:
    """Write the submission of a run or a blend from its test predictions.

    Returns:
        Its path; None where the competition has no test images.

    Raises:
        WrongSubmission: the probabilities are not of the test images, or are none.
    """
    if not competition.has_test:
        return None
    path = path or paths.submission(folder.name)
    test, boxes = folder.read_images().query("part == 'test'"), folder.read_boxes("test")
    pixels = None if boxes is None else to_pixels(boxes, test[SIZE_COLUMNS])
    submission = competition.validated_submission(
        folder.read_probabilities("test"), test.index, pixels, folder.read_thresholds()
    )
    write_csv(path, submission, index=False)
    return path


def read_validation(folder: RunFolder, folds: list[int]) -> pd.DataFrame:
    """The probabilities of images that the folds' networks have not seen, by id and view."""
    return pd.concat([folder.fold(n).read_predictions("validation") for n in folds])


def _read_boxes(folder: RunFolder, folds: list[int], name: str) -> pd.DataFrame | None:
    """The boxes of all folds, by id and view; None without a box head."""
    found = [folder.fold(number).read_boxes(name) for number in folds]
    return None if any(one is None for one in found) else pd.concat(found)
