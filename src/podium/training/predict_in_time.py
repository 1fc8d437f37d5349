"""Whatever test images are there, predicted by a trained run or a blend within a time limit."""

import io
import shutil
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from podium import paths
from podium.competitions import get_competition
from podium.data.table import open_to_predict
from podium.predictions.calibration import Calibration
from podium.predictions.combine import write_submission, write_test
from podium.predictions.portable import blend_again, copy_to_predict
from podium.predictions.tta import VIEWS, View
from podium.runs.find_run import find_run
from podium.runs.fold_folder import RunError
from podium.runs.run import Run
from podium.runs.run_folder import RunFolder
from podium.text import duration
from podium.training.train import start_runner

if TYPE_CHECKING:  # imports TensorFlow, which takes seconds
    from podium.training.fold_runner import FoldRunner

TIMED = 4  # batches by which the pace is measured


def predict_in_time(name: str, end: float) -> Path | None:
    """Predict the test images that are there, and write the submission; returns its path.

    Everything is as it was fitted when the run was trained: views, calibrations, thresholds, the
    blend. No training image is needed. A test image that cannot be read, or that the sample
    submission names and nobody finds, gets the share of each class in training.

    Args:
        name: of a run or a blend, which is only read.
        end: `time.monotonic()` at which the submission should be there. Views are left out first,
            those that count least, and then folds; one of each run is predicted in any case.

    Raises:
        RunError: a run is missing or damaged, or the blend is one of blends.
        MissingData: there are no test images.
    """
    folder = _copied(name)
    members = [_copied(member) for member in folder.read_blended()]
    if inner := [member.name for member in members if member.read_blended()]:
        raise RunError(f"{name} blends the blend {inner[0]}: blend the runs of that instead")
    trained = members or [folder]
    networks = sum(len(run.scored_folds()) for run in trained)
    # What small networks leave of their share is there for larger ones.
    for run in sorted(trained, key=_work):
        folds = len(run.scored_folds())
        _predict(run, (end - time.monotonic()) / networks)
        networks -= folds
    if members:
        blend_again(folder, members)
    competition = folder.read_run().get("competition") or folder.read_recipe().competition
    return write_submission(folder, get_competition(competition, folder.path))


def _copied(name: str) -> RunFolder:
    """A copy of what a run predicts with, where it may be written to: what is attached may not."""
    into = RunFolder(paths.scratch() / "predicting" / name)
    shutil.rmtree(into.path, ignore_errors=True)
    copy_to_predict(find_run(name), into)
    about = into.read_run()
    if not into.read_blended():  # on Kaggle nobody could mend an image
        skipping = {**about["recipe"], "broken_images": "skip"}
        into.write_run({**about, "recipe": skipping})
    return into


def _work(run: RunFolder) -> int:
    """A measure of what an image costs a run: the weights of a network, at each of its pixels."""
    weights = run.fold(run.scored_folds()[0]).weights.stat().st_size
    return weights * run.read_recipe().stage_size() ** 2


def _predict(folder: RunFolder, seconds: float) -> None:
    """Predict the test images by the folds of a run, as far as so many seconds a fold allow."""
    began, folds, score = time.monotonic(), folder.scored_folds(), folder.read_score()
    of_classes, of_boxes = score["views"], (score.get("boxes") or {}).get("views") or {}
    weight = {one: max(of_classes.get(one.name, 0), of_boxes.get(one.name, 0)) for one in VIEWS}
    wanted = sorted((one for one in VIEWS if weight[one]), key=lambda one: -weight[one])
    run = open_to_predict(folder)
    images = len(run.table.readable_test)
    print(f"run {folder.name}: {images} test images, {duration(seconds)} for each fold", flush=True)
    runner, views, longest, done = start_runner(run), wanted, 0.0, list[int]()
    for fold in folds:
        now = time.monotonic()
        if done and now + longest > began + seconds * len(folds):
            without = ", ".join(map(str, folds[len(done) :]))
            print(f"time for {len(done)} of {len(folds)} folds: without fold {without}", flush=True)
            break
        if not done and images:
            views = _in_time(runner, fold, wanted, seconds)
        runner.predict_test(fold, views)
        longest = max(longest, time.monotonic() - now)
        done.append(fold)
    kept = {one.name for one in views}
    weights = (
        {name: value for name, value in found.items() if name in kept} or None
        for found in (of_classes, of_boxes)
    )
    fitted = score.get("calibration", {}).items()
    calibrations = {int(number): Calibration(**one) for number, one in fitted}
    # The table as it is stored has the training images, and so the share of each class.
    write_test(Run.open(folder), done, *weights, calibrations)


def _in_time(
    runner: "FoldRunner", fold: int, views: Sequence[View], seconds: float
) -> Sequence[View]:
    """The first of these views: as many as a fold has the time for, by a measured pace, or one."""
    began, images = time.monotonic(), len(runner.table.readable_test)
    sample = min(TIMED * runner.recipe.batch_size, images)
    runner.network(fold)
    _seconds_each(runner, views[:1], range(sample))  # at first things are compiled
    first = _seconds_each(runner, views[:1], range(images - sample, images))
    # Further views find the image decoded.
    each = _seconds_each(runner, views, range(images - sample, images)) / len(views)
    further = f", {1000 * each:.1f} ms in each further one" if len(views) > 1 else ""
    print(f"a test image takes {1000 * first:.1f} ms in its first view{further}", flush=True)
    left = began + seconds - time.monotonic()
    fitting = max(1 + int((left / images - first) // each), 1)
    kept, without = views[:fitting], views[fitting:]
    if without:
        names = ", ".join(one.name for one in without)
        print(f"time for {len(kept)} of {len(views)} views: without {names}", flush=True)
    return kept


def _seconds_each(runner: "FoldRunner", views: Sequence[View], images: range) -> float:
    """Seconds that each of these test images takes in all of the views."""
    began = time.monotonic()
    with redirect_stdout(io.StringIO()):
        runner.predict(np.array(images), views)
    return (time.monotonic() - began) / len(images)
