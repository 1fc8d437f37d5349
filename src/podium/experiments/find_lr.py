"""`podium find-lr`: the learning-rate range test of one stage of an entry."""

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from podium import paths
from podium.data.table import prepare_run
from podium.files.atomic_write import atomic_write
from podium.recipes.entries import get_entry
from podium.reports.figures import GRAY, PALETTE, canvas, plain, png
from podium.runs.run_folder import RunFolder, run_name
from podium.training.preflight import check_recipe
from podium.training.train import start_runner
from podium.training.warm_start import resolve_backbone

if TYPE_CHECKING:  # imports TensorFlow, which takes seconds
    from podium.training.lr_finder import LRCurve

LOW, HIGH = 1e-7, 1.0  # the learning rates of the first and the last step
HEADROOM = 1.5  # of the figure above the first loss, relative to the fall


@dataclass(frozen=True)
class LRSuggestion:
    """The learning rate that the test suggests, beside the recipe's."""

    stage: int  # counted from 0
    curve: "LRCurve"
    recipe_rate: float
    figure: Path

    def __str__(self) -> str:
        return (
            f"suggested   stages.{self.stage}.learning_rate={self.curve.suggested:.1e}, a tenth of "
            f"the rate of the lowest loss; the recipe has {self.recipe_rate:g}\n"
            f"steepest    {self.curve.steepest:.1e}\n"
            f"lowest loss {self.curve.lowest:.1e}\n"
            f"figure      {self.figure}"
        )


def find_lr(
    entry: str,
    overrides: Iterable[str] = (),
    fold: int = 0,
    stage: int | None = None,
    steps: int = 100,
) -> LRSuggestion:
    """Train the stages before one, then raise the learning rate in it step by step.

    Args:
        stage: counted from 1 as in a training's output; by default the last one.

    Raises:
        ValueError: no such stage or fold, or a stage that has no learning rate.
    """
    overrides = list(overrides)
    recipe = resolve_backbone(get_entry(entry).recipe(overrides))
    check_recipe(recipe)
    recipe.check_fold(fold)
    count = len(recipe.stages)
    number = count - 1 if stage is None else stage - 1
    if not 0 <= number < count:
        raise ValueError(f"stage {stage}: this recipe has the stages 1 to {count}")
    solver = recipe.stages[number].solver
    if solver != "gradient":
        raise ValueError(
            f"stage {number + 1} is solved by {solver} regression and has no learning rate: "
            "choose another with --stage"
        )
    figure = paths.runs() / "find-lr" / f"{run_name(entry, overrides)}-stage-{number + 1}.png"
    figure.parent.mkdir(parents=True, exist_ok=True)
    # The stages before leave the files of a run, which nobody needs afterwards.
    with tempfile.TemporaryDirectory(dir=figure.parent, prefix=".part-") as scratch:
        folder = RunFolder(Path(scratch))
        folder.begin(recipe, {"entry": entry}, fresh=False)
        runner = start_runner(prepare_run(folder, recipe))
        curve = runner.lr_range_test(fold, number, LOW, HIGH, steps)
    rate = recipe.stages[number].learning_rate
    with atomic_write(figure) as part:
        title = f"{entry}, fold {fold}, stage {number + 1}"
        part.write_bytes(png(lr_figure(curve, rate, title)))
    return LRSuggestion(number, curve, rate, figure)


def lr_figure(curve: "LRCurve", recipe_rate: float, title: str) -> Figure:
    """The smoothed loss over the rates, with the suggestion and what the recipe has."""
    figure, axis = canvas()
    axis.plot(curve.rates, curve.losses, color=PALETTE[0])
    for rate, label, color, style in (
        (curve.suggested, "suggested", PALETTE[2], "-"),
        (curve.steepest, "steepest", PALETTE[1], "-."),
        (recipe_rate, "recipe", GRAY, "--"),
    ):
        label = f"{label}: {rate:.1e}"
        axis.axvline(rate, color=color, linewidth=1.2, linestyle=style, label=label)
    axis.set(
        xscale="log", xlabel="learning rate", ylabel="training loss, smoothed", title=plain(title)
    )
    start, lowest = float(curve.losses[0]), float(curve.losses.min())
    top = start + HEADROOM * max(start - lowest, 0.1 * start)
    axis.set_ylim(lowest - 0.1 * (top - lowest), top)
    axis.legend(fontsize=8)
    return figure
