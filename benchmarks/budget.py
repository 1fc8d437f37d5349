"""Less time than a recipe takes: its epochs scaled to the time, against the recipe cut off.

Fold by fold of the real intel images (`PODIUM_INPUT`), a small network from scratch and a
pretrained EfficientNet-B0; time is counted in steps, so that a busy machine changes nothing.
"""

import contextlib
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import benchmarks.quiet  # noqa: F401

# isort: split
from benchmarks.measuring import ROOT, Row, main, say
from podium.competitions import get_competition
from podium.data.table import prepare_run
from podium.recipes.recipe_file import parse_recipe, read_toml
from podium.runs.run_folder import RunFolder
from podium.training.fold_runner import FoldRunner
from podium.training.time_plan import TimePlan

PARTS = (0.5, 0.25)
FOLDS = {"intel-scratch": (0, 1), "EfficientNet-B0": (0,)}
B0 = {
    "competition": "intel",
    "backbone": "efficientnet-b0",
    "image_size": 128,
    "batch_size": 32,
    "views": 1,
    "limit": 800,
    "optimizer": "adamw",
    "weight_decay": 0.02,
    "clip_norm": 1.0,
    "label_smoothing": 0.1,
    "cached_views": 2,
    "head": {"width": 0, "dropout": 0.3},
    "one_cycle": {"warmup": 0.15, "final_divisor": 50.0, "momentum": []},
    "stages": [
        {"unfreeze": "half", "epochs": 4, "learning_rate": 1e-3},
        {"unfreeze": "all", "epochs": 4, "learning_rate": 3e-4},
    ],
}


@dataclass
class Cut(TimePlan):
    """The recipe at its own pace, which ends after so many steps: no later stage begins."""

    steps: float = 0.0
    done: int = 0

    def advance(self) -> None:
        super().advance()
        self.done += 1

    @property
    def stage_is_done(self) -> bool:
        return self.done >= self.steps or super().stage_is_done

    def left(self) -> float:
        return -1.0 if self.done >= self.steps else float("inf")


def measure(quick: bool, scratch: Path) -> list[Row]:
    own = read_toml(ROOT / "kernels" / "intel-scratch" / "recipe.toml") | {"views": 1}
    recipes = {"intel-scratch": own, "EfficientNet-B0": B0}
    against = "the recipe cut off after as many steps"
    try:
        get_competition("intel").folder()
    except ValueError:
        why = "PODIUM_INPUT has no intel images"
        return [Row.left_out(f"{name} in less time", against, why) for name in recipes]
    rows = []
    for name, data in recipes.items():
        data = data | ({"limit": 120} if quick else {})
        folder = RunFolder(scratch / name)
        whole = []
        found: dict[float, tuple[list[float], list[float]]] = {part: ([], []) for part in PARTS}
        for fold in FOLDS[name][: 1 if quick else None]:
            runner = make_runner(data, folder)
            whole.append(train(runner, fold, 1.0, cut=False))
            say(f"  {name}, fold {fold}, with all its time: {whole[-1]:.4f}")
            for part, (fitted, cut) in found.items():
                fitted.append(train(runner, fold, part, cut=False))
                cut.append(train(runner, fold, part, cut=True))
                say(f"  {name}, fold {fold}, {part}: {fitted[-1]:.4f}, cut {cut[-1]:.4f}")
        full = sum(whole) / len(whole)
        for part, (fitted, cut) in found.items():
            means = (f"{sum(values) / len(values):.4f}" for values in (fitted, cut))
            fitted_mean, cut_mean = means
            note = f"accuracy {fitted_mean}, cut {cut_mean}, with all its time {full:.4f}"
            what = f"{name} in {part:.0%} of its steps"
            rows.append(
                Row(what, against, "", fitted, cut, gain="ours - theirs", to_reach="≥ 0", note=note)
            )
    return rows


def make_runner(data: dict[str, Any], folder: RunFolder) -> FoldRunner:
    recipe = parse_recipe(data, "benchmark")
    with contextlib.redirect_stdout(io.StringIO()):
        folder.begin(recipe, {}, fresh=False)
        return FoldRunner(prepare_run(folder, recipe))


def train(runner: FoldRunner, fold: int, part: float, cut: bool) -> float:
    """The accuracy of a fold that trained this part of its recipe's steps."""
    folder = runner.folder.fold(fold)
    with contextlib.redirect_stdout(io.StringIO()):
        folder.delete_state()
        training = runner._training(fold, deadline=None)
        works = training.plan.works
        plan = TimePlan(works, most=part)
        if cut:
            plan = Cut(works, steps=part * sum(work.all_steps for work in works))
        replace(training, plan=plan).run()
        runner._network, runner._loaded = training.network, fold
        probabilities = runner.predict_plain(runner.scored(fold))
    labels = runner.table.train["label"].to_numpy()[runner.scored(fold)]
    return float((probabilities.argmax(axis=1) == labels).mean())


if __name__ == "__main__":
    main(measure)
