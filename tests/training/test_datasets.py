"""What a report shows as seen in training."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.utils.class_weight import compute_class_weight
from small_training import recipe, stage

from podium.data.batches import training_batches
from podium.training.datasets import FoldDataset, class_weights, sample_augmented, stage_seed

LIVELY = {"crop": 0.5, "rotate": 20.0}


def test_it_is_the_first_batch_of_the_last_stage_on_images(images: FoldDataset) -> None:
    two = recipe(stages=[stage("head"), stage("all")], augmentation=LIVELY)
    seen = sample_augmented(images, two, 5)
    batches = training_batches(
        images.cache,
        images.train,
        images.train_labels,
        size=16,
        batch_size=8,
        augmentation=two.augmentation,
        seed=stage_seed(two, 1),
        epochs=range(1),
    )
    expected, labels = next(iter(batches))
    assert seen.stage == 1
    np.testing.assert_array_equal(seen.images, expected[:5])
    np.testing.assert_array_equal(seen.labels, labels[:5])


def test_mixed_images_have_mixed_labels(images: FoldDataset) -> None:
    mixed = recipe(augmentation={**LIVELY, "mixup": 4.0})
    seen = sample_augmented(images, mixed, 8)
    assert ((seen.labels > 0.01) & (seen.labels < 0.99)).any()
    np.testing.assert_allclose(seen.labels.sum(axis=1), 1, rtol=1e-5)


def test_where_all_features_are_cached_nothing_is_mixed(images: FoldDataset) -> None:
    stages, augmentation = [stage("all"), stage("head")], {**LIVELY, "mixup": 4.0}
    cached = recipe(stages=stages[1:], augmentation=augmentation)
    boxes = np.tile(np.array([0.2, 0.2, 0.8, 0.8], np.float32), (len(images.train), 1))
    seen = sample_augmented(replace(images, train_boxes=boxes), cached, 4)
    assert seen.stage == 0 and set(np.unique(seen.labels)) == {0, 1}
    assert seen.boxes.shape == (4, 4) and not np.allclose(seen.boxes, boxes[:4])
    assert sample_augmented(images, cached, 4).boxes is None
    assert sample_augmented(images, recipe(stages=stages), 4).stage == 0, "that saw images"


def test_fewer_images_than_a_batch(images: FoldDataset, tmp_path: Path) -> None:
    few = replace(images, train=images.train[:3], train_labels=images.train_labels[:3])
    assert sample_augmented(few, recipe(), 16).images.shape == (3, 16, 16, 3)


def test_class_weights_are_those_of_scikit_learn(images: FoldDataset) -> None:
    classes = np.array([0] * 3 + [1] * 9)
    uneven = replace(images, train_labels=np.eye(3, dtype=np.float32)[classes])  # none of class 2
    weights = class_weights(uneven, recipe(class_weight="balanced"))
    expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=classes)
    np.testing.assert_allclose(weights, [*expected, 0], rtol=1e-6)
    np.testing.assert_allclose(weights[classes].mean(), 1, rtol=1e-6)
    assert class_weights(uneven, recipe()) is None
