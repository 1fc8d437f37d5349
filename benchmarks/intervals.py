"""How many of the 95 % intervals of an out-of-fold score hold the score that unseen images give?

Of intel's training images (`PODIUM_INPUT`) 500 are drawn a hundred times; `intel-patches` is run on
each draw, and all others say what its submission would have scored.

    python -m benchmarks.intervals [--draws 100] [--quick]
"""

import argparse
import contextlib
import io
import math
import tempfile
from pathlib import Path

import benchmarks.quiet  # noqa: F401

# isort: split
import numpy as np
from tqdm import tqdm

from benchmarks.measuring import ROOT
from podium.data.splits import split_folds
from podium.data.table import prepare_run
from podium.files.atomic_write import write_json
from podium.predictions.combine import combine, mean_of_folds
from podium.recipes.recipe import Recipe
from podium.recipes.recipe_file import parse_recipe, read_toml
from podium.runs.run import Run
from podium.runs.run_folder import RunFolder
from podium.runs.table import Table
from podium.system import about_this_run
from podium.training.fold_runner import FoldRunner

TRAINED = 500  # images of a draw
RESULTS = ROOT / "benchmarks" / "results" / "intervals.json"


def run_on_draw(whole: Run, images: int, seed: int, folder: RunFolder) -> Run:
    """A finished run on a draw of a run's training images; all others are its test images."""
    recipe, train = whole.recipe, whole.table.train
    groups = np.random.default_rng(seed).permutation(train["group"].unique())
    order = train["group"].map({group: place for place, group in enumerate(groups)})
    drawn = train.loc[order.sort_values(kind="stable").index[:images]]
    # A near-copy of an image that was trained on is none that is unseen.
    unseen = train[~train["group"].isin(drawn["group"])]
    fold = split_folds(drawn["label"], drawn["group"], recipe.folds, seed)
    table = Table(drawn.assign(fold=fold), unseen.assign(problem=""))
    folder.begin(recipe, {}, fresh=False)
    run = Run(folder, recipe, whole.competition, table)
    runner = FoldRunner(run)
    for number in range(recipe.folds):
        runner.train(number)
        runner.score(number)
        runner.predict_test(number, recipe.views)
    return run


def draw_once(whole: Run, seed: int, folder: RunFolder) -> dict[str, float]:
    """The out-of-fold score of a draw with its interval, and what all other images say."""
    run = run_on_draw(whole, TRAINED, seed, folder)
    combined, unseen, metric = combine(run), run.table.test, run.competition.metric
    found, factor = combined.score, combined.widening

    def value(predictions: dict) -> float:
        probabilities = mean_of_folds(predictions, None).loc[unseen.index].to_numpy()
        return float(metric.per_image(unseen["label"].to_numpy(), probabilities).mean())

    tests = {n: folder.fold(n).read_predictions("test") for n in range(run.recipe.folds)}
    return {
        "out_of_fold": found.value,
        "low": found.low,
        "high": found.high,
        "low_of_images": found.value - (found.value - found.low) / factor,
        "high_of_images": found.value + (found.high - found.value) / factor,
        "submission": value(tests),
        "one_network": float(np.mean([value({n: table}) for n, table in tests.items()])),
    }


def recipe_of(quick: bool) -> Recipe:
    data = read_toml(ROOT / "kernels" / "intel-patches" / "recipe.toml")
    data["head"]["centers"] = TRAINED
    return parse_recipe(data | ({"limit": 700} if quick else {}), "benchmark")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.intervals")
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--quick", action="store_true", help="two draws of fewer images")
    words = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = RunFolder(Path(scratch) / "whole")
        recipe = recipe_of(words.quick)
        folder.begin(recipe, {}, fresh=False)
        whole = prepare_run(folder, recipe)
        for seed in tqdm(range(2 if words.quick else words.draws), "draws"):
            with contextlib.redirect_stdout(io.StringIO()):
                rows.append(draw_once(whole, seed, RunFolder(Path(scratch) / str(seed))))
    held = {
        of + kind: sum(row[f"low{kind}"] <= row[of] <= row[f"high{kind}"] for row in rows)
        for of in ("submission", "one_network")
        for kind in ("", "_of_images")
    }
    means = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
    error = math.sqrt(0.95 * 0.05 / len(rows))
    print(f"{len(rows)} intervals; the score of unseen images lies in")
    for of, what in (
        ("submission", "the mean of the folds' networks"),
        ("one_network", "one network (mean of the folds' scores)"),
    ):
        alone = held[f"{of}_of_images"]
        print(f"  {held[of]} of them, predicted by {what}; {alone} if not widened for the folds")
    print(f"  (95 of 100 are promised; by chance {100 * error:.0f} more or fewer)")
    print(", ".join(f"{key} {value:.4f}" for key, value in means.items()))
    if not words.quick:
        write_json(RESULTS, {**about_this_run(), "held": held, "means": means, "draws": rows})


if __name__ == "__main__":
    main()
