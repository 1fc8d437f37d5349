"""Boxes: overlap against counted pixels, metrics, and the way to pixels and back."""

import numpy as np
import pandas as pd
import pytest

from podium.competitions.boxes import (
    BOX_METRICS,
    NO_BOX,
    area,
    box_table,
    from_pixels,
    has_box,
    iou,
    tidy,
    to_pixels,
)


def painted(box: np.ndarray, side: int = 20) -> np.ndarray:
    """The pixels of a box whose corners are whole pixels."""
    mask = np.zeros((side, side), bool)
    x, y, other_x, other_y = box
    mask[y:other_y, x:other_x] = True
    return mask


def random_boxes(count: int, side: int = 20, seed: int = 0) -> np.ndarray:
    corners = np.random.default_rng(seed).integers(0, side, (count, 2, 2))
    corners = np.sort(corners, axis=1)
    corners[:, 1] += 1  # none is empty
    return corners.reshape(count, 4)


# --- Overlap


def test_iou_is_that_of_the_pixels() -> None:
    first, second = random_boxes(300), random_boxes(300, seed=1)
    expected = [
        (painted(one) & painted(other)).sum() / (painted(one) | painted(other)).sum()
        for one, other in zip(first, second, strict=True)
    ]
    assert 0 in expected and max(expected) > 0.5
    np.testing.assert_allclose(iou(first, second), expected)
    np.testing.assert_allclose(iou(first / 20, second / 20), expected)
    np.testing.assert_allclose(iou(second, first), expected)


def test_iou_of_a_box_with_itself_is_one() -> None:
    boxes = (random_boxes(50) / 20).astype(np.float32)
    np.testing.assert_array_equal(iou(boxes, boxes), 1)


def test_iou_broadcasts() -> None:
    boxes = random_boxes(12).reshape(3, 4, 4)
    assert iou(boxes, boxes[:, :1]).shape == (3, 4)
    np.testing.assert_array_equal(iou(boxes, boxes[:, :1])[:, 0], 1)


@pytest.mark.parametrize(
    "other",
    [[0.5, 0, 0.9, 1], [0.6, 0.6, 0.9, 0.9], [0.1, 0.1, 0.1, 0.9], [0.4, 0.4, 0.1, 0.1]],
    ids=["touching", "apart", "a line", "swapped"],
)
def test_iou_is_zero_where_nothing_is_shared(other: list[float]) -> None:
    assert iou(np.array([0, 0, 0.5, 1]), np.array(other)) == 0
    assert iou(np.array(other[:2] * 2), np.array(other[:2] * 2)) == 0, "no area, no overlap"


def test_iou_with_no_box_is_unknown() -> None:
    assert np.isnan(iou(np.array([0, 0, 1, 1]), NO_BOX))
    assert np.isnan(iou(NO_BOX, np.array([0, 0, 1, 1])))


def test_the_metrics_are_values_per_image() -> None:
    truth = np.tile([0.0, 0.0, 1.0, 1.0], (4, 1))
    predicted = np.array([[0, 0, 1, 1], [0, 0, 1, 0.6], [0, 0, 1, 0.5], [0, 0, 0.2, 0.2]])
    values = {metric.name: metric.per_image(truth, predicted) for metric in BOX_METRICS}
    np.testing.assert_allclose(values["mean IoU"], [1, 0.6, 0.5, 0.04])
    np.testing.assert_array_equal(values["IoU over 0.5"], [1, 1, 0, 0])
    np.testing.assert_array_equal(values["IoU over 0.75"], [1, 0, 0, 0])
    assert all(metric.higher_is_better for metric in BOX_METRICS)


# --- What a network gives


def test_tidy_boxes_are_boxes_of_the_image() -> None:
    boxes = np.random.default_rng(0).normal(0.5, 0.6, (200, 4))
    tidied = tidy(boxes)
    assert tidied.dtype == np.float32
    assert tidied.min() == 0
    assert tidied.max() == 1
    assert (tidied[:, :2] <= tidied[:, 2:]).all()
    np.testing.assert_array_equal(tidy(tidied), tidied)


def test_tidy_leaves_what_is_in_order() -> None:
    boxes = (random_boxes(50) / 20).astype(np.float32)
    np.testing.assert_array_equal(tidy(boxes), boxes)
    np.testing.assert_array_equal(tidy(boxes[:, [2, 1, 0, 3]]), boxes)
    assert np.isnan(tidy(NO_BOX)).all()


def test_a_box_is_there_where_it_has_an_area() -> None:
    boxes = np.array([[0, 0, 0.1, 0.1], NO_BOX, [0.1, 0.1, 0.1, 0.9], [0.5, 0.5, 0.2, 0.2]])
    assert has_box(boxes).tolist() == [True, False, False, False]
    np.testing.assert_allclose(area(boxes), [0.01, np.nan, 0, 0])


# --- Pixels


def test_annotated_pixels_are_counted_from_one_and_belong_to_the_box() -> None:
    np.testing.assert_array_equal(from_pixels(np.array([1, 1, 40, 20]), 40, 20), [0, 0, 1, 1])
    np.testing.assert_array_equal(
        from_pixels(np.array([11, 6, 20, 10]), 40, 20), np.float32([0.25, 0.25, 0.5, 0.5])
    )
    assert from_pixels(np.array([7, 7, 7, 7]), 40, 20)[2] == np.float32(7 / 40), "one pixel"


def test_annotated_boxes_end_at_the_border() -> None:
    whole = [0, 0, 1, 1]
    for corners in ([-5, 0, 41, 25], [41, 25, -5, 0], [0, 0, 40, 20]):
        np.testing.assert_array_equal(from_pixels(np.array(corners), 40, 20), whole)


@pytest.mark.parametrize("corners", [[50, 1, 60, 9], [-9, 1, 0, 9], [1, 21, 9, 30]])
def test_a_box_beside_the_image_is_none(corners: list[int]) -> None:
    assert np.isnan(from_pixels(np.array(corners), 40, 20)).all()


def sizes(**by_id: tuple[int, int]) -> pd.DataFrame:
    return pd.DataFrame.from_dict(by_id, orient="index", columns=["width", "height"])


def test_pixels_come_back_as_they_were_annotated() -> None:
    random = np.random.default_rng(0)
    for number in range(300):
        width, height = random.integers(2, 2000, 2)
        x, y = np.sort(random.integers(1, width + 1, 2)), np.sort(random.integers(1, height + 1, 2))
        corners = np.array([x[0], y[0], x[1], y[1]])
        boxes = box_table(["a"], from_pixels(corners, width, height)[np.newaxis])
        pixels = to_pixels(boxes, sizes(a=(width, height)))
        assert pixels.columns.tolist() == ["xmin", "ymin", "xmax", "ymax"]
        np.testing.assert_array_equal(pixels.loc["a"], corners, str(number))


def test_pixels_are_joined_by_id() -> None:
    boxes = box_table(["b", "a"], np.tile(np.float32([0, 0, 1, 1]), (2, 1)))
    pixels = to_pixels(boxes, sizes(a=(100, 50), b=(30, 20), c=(1, 1)))
    assert pixels.index.tolist() == ["b", "a"]
    assert pixels.loc["a"].tolist() == [1, 1, 100, 50]
    assert pixels.loc["b"].tolist() == [1, 1, 30, 20]


@pytest.mark.parametrize(
    "box", [[0.5, 0.5, 0.5, 0.5], [0.9, 0.8, 0.3, 0.2], [-3, -3, 9, 9], [1, 1, 1, 1]]
)
def test_any_box_is_one_of_the_image_in_pixels(box: list[float]) -> None:
    pixels = to_pixels(box_table(["a"], np.array([box])), sizes(a=(33, 21))).loc["a"]
    assert 1 <= pixels["xmin"] <= pixels["xmax"] <= 33
    assert 1 <= pixels["ymin"] <= pixels["ymax"] <= 21


def test_an_image_that_cannot_be_read_has_no_pixels() -> None:
    boxes = box_table(["a", "b"], np.array([NO_BOX, [0, 0, 1, 1]]))
    pixels = to_pixels(boxes, sizes(a=(0, 0), b=(30, 20)))
    assert pixels.loc["a"].isna().all()
    assert pixels.loc["b"].tolist() == [1, 1, 30, 20]
