"""The losses: of sigmoids, and of boxes, where what has none counts nothing."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
from small_training import recipe

from podium.competitions.boxes import iou
from podium.models.backend import column_gradients
from podium.training.losses import BoxLoss, MeanIoUMetric, make_loss, overlap

TRUTH = np.array([[0.2, 0.2, 0.6, 0.6], [0.1, 0.3, 0.5, 0.9]], np.float32)


def random_boxes(count: int, seed: int) -> np.ndarray:
    corners = np.sort(np.random.default_rng(seed).random((count, 2, 2)), axis=1)
    return corners.reshape(count, 4).astype(np.float32)


def slope_of(loss: Callable, boxes: np.ndarray) -> np.ndarray:
    """How each box changes its loss."""
    boxes = keras.ops.convert_to_tensor(boxes)
    ((slope,),) = column_gradients(lambda inputs: loss(inputs[0])[:, None], [boxes])
    return keras.ops.convert_to_numpy(slope)


def test_overlap_is_that_of_the_metrics() -> None:
    one, other = random_boxes(200, 0), random_boxes(200, 1)
    found, generalized = map(keras.ops.convert_to_numpy, overlap(one, other))
    np.testing.assert_allclose(found, iou(one, other), atol=1e-5)
    assert (generalized <= found + 1e-6).all() and (generalized > -1).all()


def test_giou_of_boxes_that_do_not_meet() -> None:
    """Two unit boxes two apart: a hull of 4 by 1, of which half is covered."""
    _, generalized = overlap(np.array([[0.0, 0, 1, 1]]), np.array([[3.0, 0, 4, 1]]))
    np.testing.assert_allclose(generalized, [-0.5], atol=1e-6)


def test_a_right_box_has_no_loss_and_a_wrong_one_its_sum() -> None:
    assert float(BoxLoss()(TRUTH, TRUTH)) == pytest.approx(0, abs=1e-6)
    moved = TRUTH[:1] + np.float32([0.1, 0, 0.1, 0])
    # 0.3·0.4 shared of 2·0.16 − 0.12, which is the hull; and two errors of 0.1.
    giou, smooth = 0.12 / 0.20, 2 * (0.1 - 0.025)
    assert float(BoxLoss()(TRUTH[:1], moved)) == pytest.approx(1 - giou + smooth, abs=1e-5)


def test_images_without_a_box_have_no_loss_and_no_slope() -> None:
    truth = np.concatenate([TRUTH, np.full((2, 4), np.nan, np.float32)])
    guess = random_boxes(4, 2)
    slope = slope_of(lambda boxes: BoxLoss(reduction="none")(truth, boxes), guess)
    assert np.isfinite(slope).all(), "NaN times 0 is NaN"
    assert (slope[:2] != 0).any(axis=1).all() and (slope[2:] == 0).all()
    loss = keras.ops.convert_to_numpy(BoxLoss(reduction="none")(truth, guess))
    assert (loss[2:] == 0).all()

    metric = MeanIoUMetric(name="mean_iou")
    metric.update_state(truth, guess)
    expected = iou(TRUTH, guess[:2])
    assert float(metric.result()) == pytest.approx(expected.mean(), abs=1e-5)
    metric.reset_state()
    metric.update_state(truth, guess, sample_weight=np.float32([3, 1, 3, 3]))
    assert float(metric.result()) == pytest.approx(expected @ [0.75, 0.25], abs=1e-5)


def test_boxes_are_learned_from_afar() -> None:
    """From boxes that do not meet the right ones, down the slope."""
    guess = keras.Variable(np.float32([[0.8, 0.8, 0.9, 0.9], [0.6, 0.0, 0.9, 0.1]]))
    optimizer = keras.optimizers.Adam(0.02)
    for _ in range(150):
        slope = slope_of(lambda boxes: BoxLoss(reduction="none")(TRUTH, boxes), guess.numpy())
        optimizer.apply([keras.ops.convert_to_tensor(slope / 2)], [guess])
    assert (iou(TRUTH, guess.numpy()) > 0.9).all()


def test_sigmoids_have_a_binary_loss_and_count_the_outputs_that_are_right() -> None:
    truth = np.array([[1.0, 0.0, 1.0], [0.3, 0.7, 0.0]], np.float32)  # the second is mixed
    said = np.array([[0.9, 0.2, 0.4], [0.4, 0.9, 0.1]], np.float32)
    losses = -(truth * np.log(said) + (1 - truth) * np.log(1 - said))
    loss, metrics = make_loss(recipe(label_smoothing=0.1), is_exclusive=False)
    (accuracy, plain) = metrics
    accuracy.update_state(truth, said)
    plain.update_state(truth, said)
    assert (accuracy.name, plain.name) == ("accuracy", "log_loss")
    assert float(accuracy.result()) == pytest.approx(5 / 6)
    assert float(plain.result()) == pytest.approx(losses.mean(), rel=1e-4)
    smooth = 0.9 * truth + 0.05
    losses = -(smooth * np.log(said) + (1 - smooth) * np.log(1 - said))
    assert float(loss(truth, said)) == pytest.approx(losses.mean(), rel=1e-4)


def test_one_class_an_image_has_the_loss_that_it_always_had() -> None:
    loss, metrics = make_loss(recipe())
    assert isinstance(loss, keras.losses.CategoricalCrossentropy) and metrics == ["accuracy"]


@pytest.mark.jax
def test_focal_loss_thinks_little_of_what_is_sure() -> None:
    truth = np.eye(2, dtype=np.float32)[[0, 0, 1]]
    guess = np.array([[0.9, 0.1], [0.4, 0.6], [0.5, 0.5]], np.float32)
    right = np.array([0.9, 0.4, 0.5])
    loss, metrics = make_loss(recipe(loss="focal", focal_gamma=3.0))
    assert float(loss(truth, guess)) == pytest.approx(
        np.mean((1 - right) ** 3 * -np.log(right)), rel=1e-4
    )
    plain, _ = make_loss(recipe(loss="focal", focal_gamma=0.0))
    assert float(plain(truth, guess)) == pytest.approx(-np.log(right).mean(), rel=1e-4)
    log_loss = metrics[1]
    log_loss.update_state(truth, guess)
    assert log_loss.name == "log_loss"
    assert float(log_loss.result()) == pytest.approx(-np.log(right).mean(), rel=1e-4)
    assert make_loss(recipe())[1] == ["accuracy"], "the loss itself judges"
