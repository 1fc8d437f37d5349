"""What is made small: the loss of the classes, and that of a box head."""

import keras
from keras import ops

from podium.recipes.recipe import Recipe

BEND = 0.05  # shares of a side: errors below count by their square


def make_loss(
    recipe: Recipe, is_exclusive: bool = True
) -> tuple[keras.losses.Loss, list[keras.metrics.Metric | str]]:
    """The recipe's loss of the probabilities, and what is told beside it.

    Args:
        is_exclusive: a softmax, and no sigmoid each.
    """
    smoothing = recipe.label_smoothing
    metrics: list[keras.metrics.Metric | str] = ["accuracy"]
    plain, focal = keras.losses.CategoricalCrossentropy, keras.losses.CategoricalFocalCrossentropy
    log_loss = keras.metrics.CategoricalCrossentropy
    if not is_exclusive:
        metrics = [keras.metrics.MeanMetricWrapper(share_right, name="accuracy")]
        plain, focal = keras.losses.BinaryCrossentropy, keras.losses.BinaryFocalCrossentropy
        log_loss = keras.metrics.BinaryCrossentropy
    if smoothing or recipe.loss == "focal":  # by which no epoch is to be judged
        metrics.append(log_loss(name="log_loss"))
    if recipe.loss != "focal":
        return plain(label_smoothing=smoothing), metrics
    # Without Keras' alpha, which only makes the loss smaller; two classes have none by default.
    alpha = {"alpha": 1.0} if is_exclusive else {}
    return focal(gamma=recipe.focal_gamma, label_smoothing=smoothing, **alpha), metrics


def share_right(y_true, y_pred):
    """How many of the outputs are on the right side of a half: (batch,); mixed ones may be."""
    return ops.mean(ops.cast((y_true > 0.5) == (y_pred > 0.5), "float32"), axis=-1)


class BoxLoss(keras.losses.Loss):
    """1 − GIoU (Rezatofighi et al. 2019, arXiv:1902.09630) plus smooth L1 (arXiv:1504.08083).

    Boxes are (batch, 4) in shares; a truth of NaN counts nothing: that image has no box, or its
    head was cut away. IoU alone has no slope where boxes do not meet, and L1 alone thinks little
    of small heads.
    """

    def call(self, y_true, y_pred):
        there, truth = _there(y_true)
        error = ops.abs(y_pred - truth)
        bent = ops.where(error < BEND, 0.5 * error**2 / BEND, error - 0.5 * BEND)
        loss = 1 - overlap(truth, y_pred)[1] + ops.sum(bent, axis=-1)
        return ops.where(there, loss, 0.0)


class MeanIoUMetric(keras.metrics.Mean):
    """Mean intersection over union, of the images that have a box."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        there, truth = _there(y_true)
        weight = ops.cast(there, "float32")
        if sample_weight is not None:
            weight = weight * ops.cast(sample_weight, "float32")
        return super().update_state(overlap(truth, y_pred)[0], sample_weight=weight)


def overlap(first, second):
    """Intersection over union, and the generalized one (GIoU), of pairs of boxes (batch, 4)."""
    corner = ops.maximum(first[..., :2], second[..., :2])
    opposite = ops.minimum(first[..., 2:], second[..., 2:])
    shared = _area(corner, opposite)
    union = _area(first[..., :2], first[..., 2:]) + _area(second[..., :2], second[..., 2:]) - shared
    iou = shared / ops.maximum(union, keras.config.epsilon())
    hull = _area(
        ops.minimum(first[..., :2], second[..., :2]), ops.maximum(first[..., 2:], second[..., 2:])
    )
    return iou, iou - (hull - union) / ops.maximum(hull, keras.config.epsilon())


def _area(corner, opposite):
    return ops.prod(ops.maximum(opposite - corner, 0.0), axis=-1)


def _there(boxes):
    """Whether each box is there (batch,), and all of them with a stand-in where they are not.

    Masking the loss alone would not do: the slope of NaN times 0 is NaN.
    """
    there = ops.all(ops.isfinite(boxes), axis=-1)
    return there, ops.where(ops.expand_dims(there, -1), boxes, 0.5)
