"""Outlines: what is left of them in the image, against drawn and counted pixels."""

import cv2
import numpy as np
import pytest

from podium.data.outlines import ELLIPSE, RECTANGLE, outline_of, visible_box

SIDE = 400


def drawn(points: np.ndarray) -> np.ndarray:
    """The pixels within an outline, and as much around the image again."""
    mask = np.zeros((3 * SIDE, 3 * SIDE), np.uint8)
    cv2.fillPoly(mask, [np.rint((points + 1) * SIDE).astype(np.int32)], 1)
    return mask


def random_outline(seed: int) -> np.ndarray:
    """A rectangle or an ellipse, turned, somewhere in the image or over its border."""
    random = np.random.default_rng(seed)
    x, y, width, height = random.uniform((-0.3, -0.3, 0.1, 0.1), (0.9, 0.9, 0.6, 0.6))
    outline = outline_of(np.array([x, y, x + width, y + height]), (RECTANGLE, ELLIPSE)[seed % 2])
    angle, center = random.uniform(-np.pi, np.pi), outline.mean(axis=0)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (outline - center) @ turn + center


@pytest.mark.parametrize("clockwise", [True, False])
def test_the_box_is_that_of_the_pixels_that_are_left(clockwise: bool) -> None:
    cut = dropped = 0
    for seed in range(200):
        points = random_outline(seed)
        points = points if clockwise else points[::-1]
        mask = drawn(points)
        inside = mask[SIDE : 2 * SIDE, SIDE : 2 * SIDE]
        share = inside.sum() / mask.sum()
        if abs(share - 0.5) < 0.02:
            continue
        box = visible_box(points, least=0.5)
        assert np.isnan(box).all() == (share < 0.5), seed
        if share > 0.5:
            y, x = np.nonzero(inside)
            expected = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1]) / SIDE
            np.testing.assert_allclose(box, expected, atol=2 / SIDE, err_msg=str(seed))
        cut += 0.5 < share < 0.99
        dropped += share < 0.5
    assert cut > 30
    assert dropped > 30


@pytest.mark.parametrize("outline", [RECTANGLE, ELLIPSE])
def test_what_is_neither_turned_nor_cut_keeps_its_box(outline: np.ndarray) -> None:
    for box in ([0, 0, 1, 1], [0.25, 0.5, 0.75, 1], [0.1, 0.2, 0.3, 0.9]):
        box = np.float32(box)
        found = visible_box(outline_of(box.astype(float), outline), least=1 - 1e-9)
        np.testing.assert_allclose(found, box, atol=1e-6)
        assert found.dtype == np.float32


def test_a_round_thing_needs_no_larger_box_when_turned() -> None:
    turn = np.array([[0.8, 0.6], [-0.6, 0.8]])
    for outline, side in ((RECTANGLE, 0.4 * 1.4), (ELLIPSE, 0.4)):
        points = (outline_of(np.array([-0.2, -0.2, 0.2, 0.2]), outline)) @ turn + 0.5
        box = visible_box(points, least=0.5)
        np.testing.assert_allclose(box[2:] - box[:2], side, atol=2e-3)


@pytest.mark.parametrize("x", [-0.5, 1.0, 1.5])
def test_what_lies_beside_the_image_is_cut_away(x: float) -> None:
    for outline in (RECTANGLE, ELLIPSE):
        assert np.isnan(visible_box(outline_of(np.array([x, 0, x + 0.5, 1]), outline), 0.0)).all()


def test_nothing_has_no_box() -> None:
    line = outline_of(np.array([0.2, 0.3, 0.2, 0.9]), RECTANGLE)
    assert np.isnan(visible_box(line, least=0.5)).all()
