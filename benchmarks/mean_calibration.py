"""Is the mean of calibrated networks calibrated? A fifth held outside all folds says how far.

Dogs and cats (`PODIUM_INPUT`), a small network from scratch that is too sure of itself: each fold's
network is calibrated by its own temperature, as a run does it, and the temperature that the mean
would still need is found on the held-out fifth.

    python -m benchmarks.mean_calibration
"""

import contextlib
import io
import tempfile
from pathlib import Path

import benchmarks.quiet  # noqa: F401

# isort: split
import numpy as np

from benchmarks.intervals import run_on_draw
from benchmarks.measuring import say
from podium.data.table import prepare_run
from podium.predictions.calibration import fit_calibration
from podium.predictions.combine import mean_of_folds, score_folds
from podium.recipes.recipe_file import parse_recipe
from podium.runs.run_folder import RunFolder

IMAGES, SEEDS = 1000, (0, 1, 2)
RECIPE = {
    "competition": "dogs-vs-cats",
    "backbone": "resnet-small",
    "weights": "none",
    "train_batchnorm": True,
    "batchnorm_momentum": 0.9,
    "image_size": 32,
    "batch_size": 64,
    "limit": IMAGES,
    "views": 1,
    "head": {"width": 0, "dropout": 0.0},
    "optimizer": "adamw",
    "stages": [{"unfreeze": "all", "epochs": 30, "learning_rate": 4e-3}],
}


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = RunFolder(Path(scratch) / "whole")
        recipe = parse_recipe(RECIPE, "benchmark")
        folder.begin(recipe, {}, fresh=False)
        whole = prepare_run(folder, recipe)
        for seed in SEEDS:
            say(f"split {seed + 1} of {len(SEEDS)}")
            with contextlib.redirect_stdout(io.StringIO()):
                run = run_on_draw(whole, IMAGES * 4 // 5, seed, RunFolder(Path(scratch, str(seed))))
                found = score_folds(run, list(range(recipe.folds)))
            tests = {n: run.folder.fold(n).read_predictions("test") for n in found.folds}
            labels, metric = run.table.test["label"].to_numpy(), run.competition.metric
            losses, temperatures = {}, {}
            for name, calibrations in (("raw", None), ("calibrated", found.calibrations)):
                mean = mean_of_folds(tests, None, calibrations).loc[run.table.test.index].to_numpy()
                needed = fit_calibration(mean, labels)
                losses[name] = metric.per_image(labels, mean).mean()
                losses[f"{name}, then right"] = metric.per_image(labels, needed(mean)).mean()
                temperatures[name] = needed.temperature
            each = [one.temperature for one in found.calibrations.values()]
            print(f"folds' temperatures {np.round(each, 2)}; log loss of {len(labels)} images: "
                  + ", ".join(f"{name} {value:.4f}" for name, value in losses.items())
                  + "; temperature that the mean needs: "
                  + ", ".join(f"{name} {value:.2f}" for name, value in temperatures.items()),
                  flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
