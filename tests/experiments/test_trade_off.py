"""The figure of a comparison, and which points of it nothing else beats."""

import pytest

from podium.experiments.trade_off import Point, pareto_front, trade_off
from podium.predictions.score import Score


def point(name: str, value: float, seconds: float, metric: str = "accuracy") -> Point:
    return Point(name, Score(metric, value, value - 0.02, value + 0.01, 100), seconds)


POINTS = [
    point("fast", 0.80, 10),
    point("slower and worse", 0.79, 20),
    point("good", 0.90, 60),
    point("as good and slower", 0.90, 61),
    point("as fast and worse", 0.85, 60),
    point("slow", 0.91, 600),
]


def front(points: list[Point], per_image_score: bool) -> list[str]:
    marks = pareto_front(points, per_image_score)
    return [one.name for one, mark in zip(points, marks, strict=True) if mark]


def test_the_front_is_what_nothing_beats_in_score_and_time() -> None:
    assert front(POINTS, per_image_score=True) == ["fast", "good", "slow"]


def test_the_lower_log_loss_is_the_better_one() -> None:
    assert front(POINTS, per_image_score=False) == ["fast", "slower and worse"]


@pytest.mark.parametrize("per_image_score", [True, False])
def test_points_that_are_the_same_stand_or_fall_together(per_image_score: bool) -> None:
    twins = [point("one", 0.9, 10), point("other", 0.9, 10)]
    assert front(twins, per_image_score) == ["one", "other"]
    better = point("better", 0.95 if per_image_score else 0.85, 10)
    assert front([*twins, better], per_image_score) == ["better"]


def test_a_point_alone_is_the_front() -> None:
    assert pareto_front([point("one", 0.5, 1)], per_image_score=True) == [True]
    assert pareto_front([], per_image_score=True) == []


def test_the_figure_names_the_front_and_no_other() -> None:
    figure = trade_off(POINTS, per_image_score=True, title="cars, fold 0")
    (axis,) = figure.axes
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.texts] == ["fast", "good", "slow"]
    drawn = {
        round(container[0].get_xdata()[0] * 60): container[0].get_ydata()[0]
        for container in axis.containers
    }
    assert drawn == {one.seconds: one.score.value for one in POINTS if one.seconds != 60} | {
        60: 0.9
    }
    # The ends of the interval are not the same on both sides.
    (bar,) = axis.containers[-1][2]
    assert bar.get_segments()[0][:, 1].tolist() == pytest.approx([0.89, 0.92])
    assert axis.get_xscale() == "log" and axis.get_xlabel().startswith("minutes")


def test_better_is_higher_up_and_short_runs_are_in_seconds() -> None:
    points = [point("one", 0.3, 20, "log loss"), point("two", 0.2, 40, "log loss")]
    (axis,) = trade_off(points, per_image_score=False, title="dogs").axes
    assert axis.yaxis_inverted() and axis.get_ylabel() == "log loss"
    assert axis.get_xscale() == "linear" and axis.get_xlabel().startswith("seconds")
