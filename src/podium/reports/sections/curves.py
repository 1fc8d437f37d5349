"""How a run learned: curves by fold, the learning rate, the linear probe."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from podium.recipes.recipe import Recipe
from podium.reports.blocks import Block, Chart, Charts, Section, TableBlock, Words
from podium.reports.figures import GRAY, MARKS, PALETTE, canvas, plain
from podium.reports.run_data import RunData
from podium.training.one_cycle import one_cycle

QUANTITIES = {"loss": "loss", "accuracy": "accuracy", "box_mean_iou": "mean IoU of the boxes"}
POINTS = 100  # of the line of an epoch


def learning_section(one: RunData) -> Section | None:
    """Curves, rates and probes; None of a blend, which learns nothing."""
    if one.recipe is None:
        return None
    if not one.histories:
        text = "No epochs: the weights were made of those of other runs."
        return Section("Learning", [Words(text, left_out=True)])
    blocks: list[Block] = []
    # Of one fold: the others have the same rates, and may have ended earlier.
    history, charts = max(one.histories.values(), key=len), []
    trained = [one.recipe.stages[number] for number in history["stage"].unique()]
    peaks = [f"{stage.learning_rate:g}" for stage in trained if stage.solver == "gradient"]
    if peaks:
        alt = f"learning rate by epoch; it rises to {', '.join(peaks)} and falls"
        charts = [Chart("learning-rate", rates_by_epoch(one.recipe, history), alt)]
    if len(history) == 1:
        blocks.append(Words("Each fold has a single epoch, and so no curve."))
    else:
        by_fold = {f"fold {fold}": history for fold, history in one.histories.items()}
        charts = [*curves(by_fold), *charts]
    return Section("Learning", [*blocks, Charts(charts), *_linear_probes(one)])


def curves(histories: dict[str, pd.DataFrame], stages: bool = True) -> list[Chart]:
    """A chart of each quantity; see `learning_curve`."""
    charts = []
    for quantity, title in QUANTITIES.items():
        mine = {name: table for name, table in histories.items() if f"val_{quantity}" in table}
        if mine:
            alt = f"{title} by epoch of {', '.join(mine)}: training and validation"
            figure = learning_curve(mine, quantity, title, stages)
            charts.append(Chart(f"curve-{quantity.replace('_', '-')}", figure, alt))
    return charts


def learning_curve(
    histories: dict[str, pd.DataFrame], quantity: str, title: str, stages: bool = True
) -> Figure:
    """A quantity by epoch: a line a fold or a run, training dashed; stages are set apart.

    Args:
        histories: by what the legend calls them, each with the quantity as val_….
        stages: mark them, where all have the same.
    """
    figure, axis = canvas()
    axis.set_prop_cycle(color=PALETTE, marker=MARKS)
    for name, history in histories.items():
        epochs = np.arange(1, len(history) + 1)
        marks = {"markersize": 4, "markevery": max(1, len(epochs) // 8)}
        (line,) = axis.plot(epochs, history[f"val_{quantity}"], label=plain(name), **marks)
        if quantity in history:
            pale = {"linestyle": "--", "alpha": 0.7, "linewidth": 1.1, "marker": ""}
            axis.plot(epochs, history[quantity], color=line.get_color(), **pale)
    if stages:
        _mark_stages(axis, next(iter(histories.values())))
    axis.set(xlabel="epoch", ylabel=title, title=f"{title} by epoch, training dashed\n")
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.legend(fontsize=8, ncols=1 + (len(histories) > 4))
    return figure


def _mark_stages(axis: Axes, history: pd.DataFrame) -> None:
    """A line where each later stage begins, and the numbers of all; nothing for a single stage."""
    stages = history["stage"].to_numpy()
    begins = np.flatnonzero(np.diff(stages, prepend=-1))
    for row in begins if len(begins) > 1 else []:
        name = f"{stages[row] + 1}" if row else f"stage {stages[row] + 1}"
        place = {"xy": (row + 0.5, 1), "xycoords": ("data", "axes fraction"), "va": "bottom"}
        axis.annotate(name, **place, fontsize=8, color=GRAY)
        if row:
            axis.axvline(row + 0.5, color=GRAY, linewidth=0.9, linestyle=":")


def rates_by_epoch(recipe: Recipe, history: pd.DataFrame) -> Figure:
    """The learning rate within the epochs of a fold, by the function that trains."""
    figure, axis = canvas()
    peaks, begin = [], 0.5  # an epoch is drawn around its number
    for number, stage in enumerate(recipe.stages):
        epochs = int((history["stage"] == number).sum())
        if stage.solver == "gradient" and epochs:
            steps, planned = range(POINTS * epochs), POINTS * stage.epochs
            rates = [
                one_cycle(step, planned, stage.learning_rate, recipe.one_cycle)[0] for step in steps
            ]
            axis.plot(begin + np.array(steps) / POINTS, rates, color=PALETTE[0])
            peaks.append(max(rates))
        begin += epochs
    if max(peaks) > 20 * min(peaks):
        axis.set_yscale("log")
    _mark_stages(axis, history)
    axis.set(xlabel="epoch", ylabel="learning rate", title="learning rate by epoch\n")
    return figure


def log_loss_of(row: pd.Series) -> float:
    """The log loss of an epoch's classes, whatever loss it learned by."""
    columns = ("val_log_loss", "val_head_loss", "val_loss")  # a row of a solved head has the last
    return next(row[name] for name in columns if name in row and not np.isnan(row[name]))


def _linear_probes(one: RunData) -> Iterator[TableBlock]:
    rows = []
    for fold, history in one.histories.items():
        probe, end = one.folder.fold(fold).read_linear_probe(), history.iloc[-1]
        if probe and "val_accuracy" in history:
            values = probe["accuracy"], end["val_accuracy"], probe["log_loss"], log_loss_of(end)
            rows.append((str(fold), *(f"{value:.4f}" for value in values)))
    if rows:
        titles = ["fold", "accuracy, probe", "last epoch", "log loss, probe", "last epoch"]
        yield TableBlock("Linear probe: logistic regression on the head's features", titles, rows)
