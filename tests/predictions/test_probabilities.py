"""Averaging goes by id, over the views that are wanted and over folds."""

import numpy as np
import pandas as pd
import pytest

from podium.predictions.probabilities import average_views, class_prior

CLASSES = ["cat", "dog", "cow"]


def predictions(view: str, rows: dict[str, list[float]]) -> pd.DataFrame:
    index = pd.MultiIndex.from_product([rows, [view]], names=["id", "view"])
    return pd.DataFrame(list(rows.values()), index, CLASSES, dtype=np.float32)


@pytest.fixture
def two_views() -> pd.DataFrame:
    """The second view has the images in another order."""
    return pd.concat(
        [
            predictions("plain", {"a": [1, 0, 0], "b": [0, 1, 0], "c": [0.5, 0, 0.5]}),
            predictions("mirrored", {"c": [0, 0, 1], "a": [0.5, 0.5, 0], "b": [0, 0, 1]}),
        ]
    )


def test_views_are_joined_by_id(two_views: pd.DataFrame) -> None:
    mean = average_views(two_views)
    assert mean.columns.tolist() == CLASSES
    assert mean.index.name == "id"
    expected = {"a": [0.75, 0.25, 0], "b": [0, 0.5, 0.5], "c": [0.25, 0, 0.75]}
    assert {name: row.tolist() for name, row in mean.iterrows()} == expected


def test_the_order_of_the_rows_does_not_matter(two_views: pd.DataFrame) -> None:
    expected = average_views(two_views)
    for seed in range(5):
        shuffled = average_views(two_views.sample(frac=1, random_state=seed))
        pd.testing.assert_frame_equal(shuffled.loc[expected.index], expected)


def test_only_the_named_views_count(two_views: pd.DataFrame) -> None:
    plain = average_views(two_views, {"plain": 1.0})
    assert plain.loc["a"].tolist() == [1, 0, 0]
    mirrored = average_views(two_views, {"mirrored": 2.0})
    assert mirrored.loc["a"].tolist() == [0.5, 0.5, 0]
    pd.testing.assert_frame_equal(
        average_views(two_views, {"plain": 0.5, "mirrored": 0.5}), average_views(two_views)
    )


def test_folds_are_averaged(two_views: pd.DataFrame) -> None:
    other = predictions("plain", {"a": [0, 0, 1]})
    mean = average_views(pd.concat([two_views, other]), {"plain": 1.0})
    assert mean.loc["a"].tolist() == [0.5, 0, 0.5]
    assert mean.loc["b"].tolist() == [0, 1, 0]


def test_rows_are_float32_that_sum_to_one() -> None:
    rng = np.random.default_rng(0)
    values = rng.dirichlet([0.1] * 3, 300).astype(np.float16)  # as mixed precision leaves them
    rows = {str(number): row.tolist() for number, row in enumerate(values)}
    mean = average_views(predictions("plain", rows))
    assert set(mean.dtypes) == {np.dtype(np.float32)}
    np.testing.assert_allclose(mean.sum(axis=1), 1, atol=3e-7)


def test_the_prior_is_the_share_of_each_class_in_training() -> None:
    labels = pd.Series([0, 0, 0, 2], index=list("abcd"))
    prior = class_prior(labels, pd.Index(["x", "y"], name="id"), CLASSES)
    assert prior.columns.tolist() == CLASSES
    assert prior.loc["x"].tolist() == prior.loc["y"].tolist() == [0.75, 0, 0.25]
    assert class_prior(labels, pd.Index([]), CLASSES).empty


def test_a_view_counts_by_its_weight(two_views: pd.DataFrame) -> None:
    mean = average_views(two_views, {"plain": 0.75, "mirrored": 0.25})
    np.testing.assert_allclose(mean.loc["b"], [0, 0.75, 0.25])
    np.testing.assert_allclose(mean.loc["c"], [0.375, 0, 0.625])
