"""Curves and rates show what was recorded, and what the training does."""

import numpy as np
import pandas as pd
import pytest

from podium.recipes.recipe import Recipe
from podium.recipes.recipe_file import parse_recipe
from podium.reports.figures import PALETTE, plain
from podium.reports.sections.curves import (
    POINTS,
    learning_curve,
    log_loss_of,
    rates_by_epoch,
)
from podium.training.one_cycle import one_cycle

HISTORY = pd.DataFrame(
    [
        {"stage": 0, "loss": 0.9, "val_loss": 1.0, "learning_rate": 4e-5},
        {"stage": 0, "loss": 0.7, "val_loss": 0.8, "learning_rate": 1e-7},
        {"stage": 1, "loss": 0.5, "val_loss": 0.6, "learning_rate": 1e-8},
    ]
)


def recipe(**changes: object) -> Recipe:
    stages = [
        {"unfreeze": "head", "epochs": 2, "learning_rate": 1e-3},
        {"unfreeze": "all", "epochs": 1, "learning_rate": 1e-4, "batch_size": 4},
    ]
    data = {"competition": "cars", "backbone": "resnet-small", "batch_size": 8, "stages": stages}
    return parse_recipe({**data, **changes}, "here")


def test_curves_are_the_history_of_each_fold_with_the_stages_apart() -> None:
    other = HISTORY.assign(val_loss=[2.0, 1.5, 1.0])
    (axis,) = learning_curve({"fold 0": HISTORY, "fold 1": other}, "loss", "loss").axes
    lines = [list(line.get_ydata()) for line in axis.lines if len(line.get_xdata()) == 3]
    assert lines == [[1.0, 0.8, 0.6], [0.9, 0.7, 0.5], [2.0, 1.5, 1.0], [0.9, 0.7, 0.5]]
    (boundary,) = [line for line in axis.lines if len(line.get_xdata()) == 2]
    assert list(boundary.get_xdata()) == [2.5, 2.5]
    assert [text.get_text() for text in axis.texts] == ["stage 1", "2"]
    named = [text.get_text() for text in axis.get_legend().texts]
    assert named == ["fold 0", "fold 1"] and "training dashed" in axis.get_title()


def test_folds_differ_in_color_and_in_their_marks() -> None:
    (axis,) = learning_curve(dict.fromkeys("abc", HISTORY), "loss", "loss").axes
    drawn = [line for line in axis.lines if line.get_label() in "abc"]
    assert {line.get_color() for line in drawn} == set(PALETTE[:3])
    assert len({line.get_marker() for line in drawn}) == 3


def test_rates_are_those_of_the_training() -> None:
    (axis,) = rates_by_epoch(recipe(), HISTORY).axes
    first, second = axis.lines[:2]
    assert (first.get_xdata()[0], second.get_xdata()[0]) == (0.5, 2.5), "as the other curves"
    assert (len(first.get_xdata()), len(second.get_xdata())) == (2 * POINTS, POINTS)
    cycle = recipe().one_cycle
    expected = [one_cycle(step, 2 * POINTS, 1e-3, cycle)[0] for step in range(2 * POINTS)]
    np.testing.assert_allclose(first.get_ydata(), expected)
    assert max(second.get_ydata()) == pytest.approx(1e-4, rel=1e-3)


def test_a_stage_that_ended_early_is_drawn_as_far_as_it_went() -> None:
    (axis,) = rates_by_epoch(recipe(), HISTORY.drop(index=1)).axes
    rates = axis.lines[0].get_ydata()
    assert len(rates) == POINTS
    expected = one_cycle(POINTS - 1, 2 * POINTS, 1e-3, recipe().one_cycle)[0]
    assert rates[-1] == pytest.approx(expected), "of the cycle as planned"


def test_a_name_with_dollars_is_no_formula() -> None:
    figure = learning_curve({"$\\frac{": HISTORY}, "loss", "loss")
    assert plain("$a$") == r"\$a\$"
    figure.canvas.draw()


def test_the_probe_is_held_against_the_log_loss_and_not_against_focal_loss() -> None:
    history = HISTORY.assign(val_log_loss=[1.2, 1.1, np.nan])
    assert [log_loss_of(row) for _, row in history.iterrows()] == [1.2, 1.1, 0.6]
    boxed = HISTORY.assign(val_head_loss=[0.4, 0.3, 0.2])
    assert log_loss_of(boxed.iloc[-1]) == 0.2
