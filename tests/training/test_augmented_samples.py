"""What is shown as seen in training is what was seen."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_training import draw, recipe, stage

from podium.data.batches import training_batches
from podium.training.augmented_samples import as_seen
from podium.training.cached_features import augmented_view
from podium.training.datasets import FoldPictures, stage_seed

LIVELY = {"crop": 0.5, "rotate": 20.0}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> FoldPictures:
    return draw(tmp_path_factory.mktemp("pictures"))


def test_it_is_the_first_batch_of_the_last_stage_on_pictures(pictures: FoldPictures) -> None:
    two = recipe(stages=[stage("head"), stage("all")], augmentation=LIVELY)
    seen = as_seen(pictures, two, 5)
    batches = training_batches(
        pictures.cache,
        pictures.train,
        pictures.train_labels,
        size=16,
        batch_size=8,
        augmentation=two.augmentation,
        seed=stage_seed(two, 1),
        first_epoch=0,
        epochs=1,
    )
    expected, labels = next(batches.as_numpy_iterator())
    assert (seen.stage, seen.cached) == (1, False)
    np.testing.assert_array_equal(seen.pictures, expected[:5])
    np.testing.assert_array_equal(seen.labels, labels[:5])


def test_mixed_pictures_have_mixed_labels(pictures: FoldPictures) -> None:
    mixed = recipe(augmentation={**LIVELY, "mixup": 4.0})
    seen = as_seen(pictures, mixed, 8)
    assert ((seen.labels > 0.01) & (seen.labels < 0.99)).any()
    np.testing.assert_allclose(seen.labels.sum(axis=1), 1, rtol=1e-5)


def test_of_cached_features_it_is_the_views_that_were_cached(pictures: FoldPictures) -> None:
    cached = recipe(stages=[stage("head")], augmentation=LIVELY, cached_views=2)
    boxes = np.tile(np.array([0.2, 0.2, 0.8, 0.8], np.float32), (len(pictures.train), 1))
    seen = as_seen(replace(pictures, train_boxes=boxes), cached, 4)
    assert (seen.stage, seen.cached) == (0, True)
    chosen = np.linspace(0, len(pictures.train) - 1, 4).astype(int)
    for number, position in enumerate(chosen):
        picture = pictures.cache[int(pictures.train[position])]
        expected = augmented_view(cached, number % 2, 16)(picture, 16)
        np.testing.assert_array_equal(seen.pictures[number], expected)
    np.testing.assert_array_equal(seen.labels, pictures.train_labels[chosen])
    assert seen.boxes.shape == (4, 4) and not np.allclose(seen.boxes, boxes[:4])
    assert as_seen(pictures, cached, 4).boxes is None


def test_fewer_pictures_than_a_batch(pictures: FoldPictures, tmp_path: Path) -> None:
    few = replace(pictures, train=pictures.train[:3], train_labels=pictures.train_labels[:3])
    assert as_seen(few, recipe(), 16).pictures.shape == (3, 16, 16, 3)
