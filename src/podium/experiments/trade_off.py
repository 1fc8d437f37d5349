"""The figure of a comparison: score against time, and which of them nothing else beats."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from podium.predictions.score import Score

PALE = "0.7"  # gray
LOG_FROM = 8  # times as long the slowest takes as the fastest: the axis of time is logarithmic
MINUTES_FROM = 180  # seconds


@dataclass(frozen=True)
class Point:
    """What was tried, what it scored, and how long that took."""

    name: str
    score: Score
    seconds: float


def pareto_front(points: Sequence[Point], per_image_score: bool) -> list[bool]:
    """For each point, whether none is better in score or time without being worse in the other.

    Points that are the same in both are on the front together, or none of them is.
    """
    sign = 1 if per_image_score else -1
    pairs = [(sign * point.score.value, -point.seconds) for point in points]
    return [
        not any(
            other[0] >= mine[0] and other[1] >= mine[1] and other != mine for other in pairs
        )
        for mine in pairs
    ]  # fmt: skip


def trade_off(points: Sequence[Point], per_image_score: bool, title: str) -> Figure:
    """Score with its interval against time; the front in color and named, the others pale."""
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axis = figure.subplots()
    seconds = [point.seconds for point in points]
    unit, divisor = ("minutes", 60) if max(seconds) >= MINUTES_FROM else ("seconds", 1)
    best = pareto_front(points, per_image_score)
    for point, is_best in zip(points, best, strict=True):
        if not is_best:
            _draw(axis, point, divisor, color=PALE, zorder=1)
    front = sorted(
        (point for point, is_best in zip(points, best, strict=True) if is_best),
        key=lambda point: point.seconds,
    )
    line = [point.seconds / divisor for point in front], [point.score.value for point in front]
    axis.plot(*line, color="gray", linewidth=0.8, linestyle=":", zorder=2)
    for number, point in enumerate(front):
        _draw(axis, point, divisor, color=f"C{number % 10}", label=point.name, zorder=3)
    if max(seconds) > LOG_FROM * max(1, min(seconds)):
        axis.set_xscale("log")
    axis.set(xlabel=f"{unit} of training and scoring", ylabel=points[0].score.metric, title=title)
    if not per_image_score:
        axis.invert_yaxis()  # better is higher up in every figure
    figure.legend(loc="outside lower left", title="best trade-offs, fastest first", fontsize=9)
    return figure


def _draw(axis, point: Point, divisor: float, **style) -> None:
    score = point.score
    ends = [[score.value - score.low], [score.high - score.value]]
    axis.errorbar(
        point.seconds / divisor, score.value, ends, fmt="o", capsize=3, elinewidth=1, **style
    )
