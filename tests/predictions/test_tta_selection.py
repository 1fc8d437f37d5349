"""Views are chosen by what gains, and the choice is judged on other images."""

import numpy as np
import pandas as pd
import pytest

from podium.competitions.metrics import Accuracy, LogLoss, Metric
from podium.predictions.tta_selection import _weightings, choose_views

IMAGES = 400
LABELS = pd.Series(
    np.random.default_rng(0).integers(3, size=IMAGES),
    [f"{number}.jpg" for number in range(IMAGES)],
)
METRICS = pytest.mark.parametrize("metric", [Accuracy(), LogLoss()], ids=lambda metric: metric.name)


def view(name: str, seed: int, skill: float) -> pd.DataFrame:
    """Probabilities in one view, the rows in an order of their own."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(IMAGES, 3))
    logits[np.arange(IMAGES), LABELS] += skill
    powers = np.exp(2 * logits)
    index = pd.MultiIndex.from_product([LABELS.index, [name]], names=["id", "view"])
    table = pd.DataFrame(powers / powers.sum(axis=1, keepdims=True), index, list("abc"))
    return table.sample(frac=1, random_state=seed).astype(np.float32)


def value(metric: Metric, probabilities: pd.DataFrame) -> float:
    labels = LABELS.loc[probabilities.index].to_numpy()
    sign = 1 if metric.per_image_score else -1
    return sign * metric.per_image(labels, probabilities.to_numpy()).mean()


@METRICS
def test_good_views_are_kept_and_bad_ones_dropped(metric: Metric) -> None:
    views = [view("plain", 1, 1.0), view("good", 2, 1.0), view("bad", 3, -1.0)]
    choice = choose_views(pd.concat(views), LABELS, metric)
    assert choice.weights.keys() == {"plain", "good"}
    assert sum(choice.weights.values()) == pytest.approx(1)
    plain = value(metric, views[0].droplevel("view"))
    assert value(metric, choice.cross_fitted) > plain + 0.02
    assert sorted(choice.cross_fitted.index) == sorted(LABELS.index)
    np.testing.assert_allclose(choice.cross_fitted.sum(axis=1), 1, atol=1e-5)


@METRICS
def test_the_plain_view_stays_where_no_other_gains(metric: Metric) -> None:
    bad = [view(f"bad {seed}", seed, -0.5) for seed in range(2, 6)]
    plain = view("plain", 1, 2.0)
    choice = choose_views(pd.concat([plain, *bad]), LABELS, metric)
    assert choice.weights == {"plain": 1.0}
    wanted = plain.droplevel("view").loc[choice.cross_fitted.index]
    pd.testing.assert_frame_equal(choice.cross_fitted, wanted)


def test_the_plain_view_may_count_more_than_each_other() -> None:
    views = [view("plain", 1, 1.0), *(view(f"other {seed}", seed, 0.5) for seed in (2, 3))]
    weights = choose_views(pd.concat(views), LABELS, LogLoss()).weights
    assert weights.pop("plain") >= 0.5
    assert weights and len(set(weights.values())) == 1


def test_among_many_views_that_guess_the_score_is_not_that_of_the_luckiest() -> None:
    views = [view("plain" if seed == 0 else str(seed), seed, 0.0) for seed in range(8)]
    choice = choose_views(pd.concat(views), LABELS, Accuracy())
    luckiest = max(one["value"] for one in choice.tried)
    assert value(Accuracy(), choice.cross_fitted) < luckiest - 0.01


@METRICS
def test_an_image_has_no_part_in_its_own_choice(metric: Metric) -> None:
    """Where two views are level, an image that prefers one of them must not get it for that."""
    tables = pd.concat([view("plain", 1, 1.0), view("other", 2, 1.0)])
    before = choose_views(tables, LABELS, metric).cross_fitted
    first = LABELS.index[LABELS == 0][0]
    surer = tables.copy()
    surer.loc[(first, "other"), :] = [1, 0, 0]
    after = choose_views(surer, LABELS, metric).cross_fitted
    share = (before.loc[first, "a"] - tables.loc[(first, "plain"), "a"]) / (
        tables.loc[(first, "other"), "a"] - tables.loc[(first, "plain"), "a"]
    )
    found = (after.loc[first, "a"] - tables.loc[(first, "plain"), "a"]) / (
        1 - tables.loc[(first, "plain"), "a"]
    )
    assert found == pytest.approx(share, abs=1e-3)


def test_a_view_that_some_images_lack_is_passed_over() -> None:
    """As in a fold of a run that was predicted with fewer views."""
    tables = pd.concat([view("plain", 1, 1.0), view("half", 2, 5.0)[: IMAGES // 2]])
    assert choose_views(tables, LABELS, Accuracy()).weights == {"plain": 1.0}


def test_each_view_and_each_set_of_them_is_tried_once() -> None:
    for views in (1, 2, 4):
        weightings = list(_weightings(views))
        assert len(set(weightings)) == len(weightings)
        assert weightings[0] == (1.0,) + (0.0,) * (views - 1)
        np.testing.assert_allclose(np.sum(weightings, axis=1), 1)
        sets = {tuple(weight > 0 for weight in weights) for weights in weightings}
        assert len(sets) == 2**views - 1
    assert (0.5, 0.5, 0, 0) in weightings and (0.75, 0.125, 0.125, 0) in weightings
