"""The range test: a rate for each step, and what a curve says."""

from pathlib import Path

import numpy as np
import pytest
from small_training import make_training, recipe, stage

from podium.training.datasets import FoldDataset
from podium.training.lr_finder import LRCurve


def test_the_curve_says_where_it_falls_and_where_it_ends() -> None:
    """A loss that falls from 1e-3 on, is lowest at 1e-1, and then explodes."""
    rates = np.geomspace(1e-5, 1, 51)
    log = np.log10(rates)
    losses = np.where(log < -1, 2 - 1.9 / (1 + np.exp(-6 * (log + 2))), 0.1 + 5 * (log + 1))
    curve = LRCurve(rates, losses)
    assert curve.lowest == pytest.approx(1e-1)
    assert curve.suggested == pytest.approx(1e-2)
    assert curve.steepest == pytest.approx(1e-2, rel=0.3)


@pytest.mark.parametrize("which", [0, 1])
def test_rates_rise_until_the_loss_breaks(tmp_path: Path, images: FoldDataset, which: int) -> None:
    two = recipe(
        stages=[stage("head", 2), stage(2, 1)], head={"width": 0}, optimizer="sgd", layer_decay=0.5
    )
    training = make_training(two, images, tmp_path)
    curve = training.lr_range_test(which, 1e-6, 1e6, steps=30)
    assert len(curve.rates) == len(curve.losses) < 30, "a rate of a million breaks any network"
    assert curve.rates[0] == pytest.approx(1e-6)
    np.testing.assert_allclose(np.diff(np.log(curve.rates)), np.log(1e12) / 29, rtol=1e-4)
    assert np.isfinite(curve.losses).all()
    trained = tmp_path / "history.csv"
    assert trained.exists() == (which == 1), "the stages before are trained, this one is not"
