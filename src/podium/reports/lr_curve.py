"""The figure of a range test: loss by learning rate."""

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from podium.reports.figures import GRAY, PALETTE, canvas, plain

if TYPE_CHECKING:
    from podium.training.lr_curve import LRCurve

HEADROOM = 1.5  # how far above the first loss the figure shows, relative to the fall


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
