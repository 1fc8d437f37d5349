"""How a run learned: its curves by epoch, and learning rate and momentum by step."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from podium.recipes.recipe import Recipe, steps_per_epoch
from podium.reports.figures import GRAY, HEIGHT, PALETTE, WIDTH, canvas, plain, styles, tidy
from podium.training.lr_curve import LRCurve
from podium.training.one_cycle import one_cycle

POINTS = 400  # of the line of a stage
HEADROOM = 1.5  # above the first loss of a range test, relative to the fall


def learning_curve(
    histories: dict[str, pd.DataFrame], quantity: str, title: str, stages: bool = True
) -> Figure:
    """A quantity by epoch: a line a fold or a run, training dashed; stages are set apart.

    Args:
        histories: by what the legend calls them, each with the quantity as val_….
        stages: mark them, where all have the same.
    """
    figure, axis = canvas()
    for (name, history), style in zip(histories.items(), styles(len(histories)), strict=True):
        epochs = np.arange(1, len(history) + 1)
        marks = {"markersize": 4, "markevery": max(1, len(epochs) // 8)}
        axis.plot(epochs, history[f"val_{quantity}"], label=plain(name), **style, **marks)
        if quantity in history:
            pale = {"color": style["color"], "linestyle": "--", "alpha": 0.7, "linewidth": 1.1}
            axis.plot(epochs, history[quantity], **pale)
    if stages:
        _mark_stages(axis, _begins(next(iter(histories.values()))))
    axis.set(xlabel="epoch", ylabel=title, title=f"{title} by epoch\n")
    axis.xaxis.get_major_locator().set_params(integer=True)
    kinds = [
        Line2D([], [], color=GRAY, label="validation"),
        Line2D([], [], color=GRAY, linestyle="--", label="training"),
    ]
    handles, _ = axis.get_legend_handles_labels()
    axis.legend(handles=[*handles, *kinds], fontsize=8, ncols=1 + (len(handles) > 4))
    return figure


def _begins(history: pd.DataFrame) -> list[tuple[float, int]]:
    """Where in the axis of epochs each stage begins, and its number."""
    stages = history["stage"].to_numpy()
    firsts = np.flatnonzero(np.diff(stages, prepend=-1))
    return [(first + 0.5, int(stages[first])) for first in firsts]


def _mark_stages(axis: Axes, begins: list[tuple[float, int]], named: bool = True) -> None:
    """A line where each later stage begins, and the numbers of all; nothing for a single stage."""
    for number, (start, stage) in enumerate(begins if len(begins) > 1 else []):
        if number:
            axis.axvline(start, color=GRAY, linewidth=0.9, linestyle=":")
        if named:
            place = {"xy": (start, 1), "xycoords": ("data", "axes fraction"), "va": "bottom"}
            text = f"{stage + 1}" if number else f"stage {stage + 1}"
            axis.annotate(text, **place, fontsize=8, color=GRAY)


def rates_by_step(recipe: Recipe, history: pd.DataFrame, images: list[int]) -> Figure | None:
    """Learning rate and momentum over the steps that a fold was trained for.

    Computed from the recipe as the training does it; dots are what was recorded after epochs.

    Args:
        history: of the fold.
        images: that each stage trains on.

    Returns:
        None where no stage is trained step by step.
    """
    lines, begins, start = [], [], 0
    dots: list[tuple[int, float]] = []
    for number, stage in enumerate(recipe.stages):
        rows = history[history["stage"] == number]
        if stage.solver != "gradient" or rows.empty:
            continue
        an_epoch = steps_per_epoch(images[number], stage.batch_size or recipe.batch_size)
        planned, done = an_epoch * stage.epochs, an_epoch * len(rows)
        at = np.unique(np.linspace(0, done - 1, min(done, POINTS)).astype(int))
        cycle = [
            one_cycle(int(step), planned, stage.learning_rate, recipe.one_cycle) for step in at
        ]
        lines.append((start + at, *zip(*cycle, strict=True)))
        begins.append((start, number))
        ends = start + an_epoch * np.arange(1, len(rows) + 1) - 1
        dots += zip(ends, rows["learning_rate"], strict=True)
        start += done
    if not lines:
        return None
    return _draw_rates(lines, begins, dots, momenta=bool(recipe.one_cycle.momentum))


def _draw_rates(lines: list, begins: list, dots: list, momenta: bool) -> Figure:
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    axes = figure.subplots(1 + momenta, 1, sharex=True, squeeze=False)[:, 0]
    for steps, rates, momentum in lines:
        axes[0].plot(steps, rates, color=PALETTE[0])
        if momenta:
            axes[1].plot(steps, momentum, color=PALETTE[1], linestyle="-.")
    axes[0].plot(*zip(*dots, strict=True), "o", color=PALETTE[0], markersize=3)
    for axis in axes:
        tidy(axis)
        _mark_stages(axis, begins, named=axis is axes[0])
    peaks = [max(rates) for _, rates, _ in lines]
    if max(peaks) > 20 * min(peaks):
        axes[0].set_yscale("log")
    title = "learning rate and momentum" if momenta else "learning rate"
    axes[0].set(ylabel="learning rate", title=f"{title}\n")
    if momenta:
        axes[1].set_ylabel("momentum")
    axes[-1].set_xlabel("step")
    return figure


def lr_figure(curve: LRCurve, recipe_rate: float, title: str) -> Figure:
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
