"""Mixup and cutmix: images and labels in the same shares."""

import numpy as np
import pytest

from podium.data.mixup import cutmix, mix, mixup
from podium.recipes.tables import Augmentation

SIZE = 8
LABELS = np.eye(4, dtype=np.float32)
# Image n is gray of 60 · n, so that what is whose can be told from any pixel.
IMAGES = np.repeat(np.arange(4, dtype=np.uint8) * 60, SIZE * SIZE * 3).reshape(4, SIZE, SIZE, 3)


def mixed(count: int, augmentation: Augmentation) -> list[tuple[np.ndarray, np.ndarray]]:
    return [
        mix(IMAGES, LABELS, augmentation, np.random.default_rng((3, step))) for step in range(count)
    ]


def test_mixup_is_the_weighted_mean_with_the_neighbor() -> None:
    images, labels = mixup(IMAGES, LABELS, 0.75)
    assert images.dtype == np.uint8
    assert images[1, 0, 0, 0] == 45 and images[0, 0, 0, 0] == 45  # of 0 and of 180
    np.testing.assert_allclose(labels[1], [0.25, 0.75, 0, 0])
    np.testing.assert_allclose(labels[0], [0.75, 0, 0, 0.25])


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 1.0])
def test_cutmix_labels_are_the_shares_of_the_area(share: float) -> None:
    for seed in range(20):
        images, labels = cutmix(IMAGES, LABELS, share, np.random.default_rng(seed))
        for number in range(4):
            own = (images[number] == 60 * number).mean()
            assert labels[number, number] == pytest.approx(own, abs=1e-6)
            assert labels[number].sum() == pytest.approx(1)
            assert labels[number, number - 1] == pytest.approx(1 - own, abs=1e-6)
    if share == 1:
        np.testing.assert_array_equal(images, IMAGES)


def test_nothing_is_done_unless_asked_for() -> None:
    images, labels = mix(IMAGES, LABELS, Augmentation(), np.random.default_rng(0))
    assert images is IMAGES and labels is LABELS


def test_each_batch_gets_one_of_both_methods() -> None:
    kinds = set()
    for images, labels in mixed(20, Augmentation(mixup=1.0, cutmix=1.0)):
        whole = set(np.unique(images)) <= {0, 60, 120, 180}
        kinds.add("cut" if whole else "laid over")
        np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-6)
    assert kinds == {"cut", "laid over"}


def test_a_share_of_the_batches_is_mixed() -> None:
    some = mixed(200, Augmentation(mixup=1.0, mixed=0.3))
    unmixed = [np.array_equal(labels, LABELS) for _, labels in some]
    assert 35 <= unmixed.count(False) <= 85
    for (images, _), is_whole in zip(some, unmixed, strict=True):
        assert not is_whole or np.array_equal(images, IMAGES)


def test_calm_augmentation_keeps_what_real_images_show() -> None:
    strong = Augmentation(crop=0.5, rotate=20, erase=0.5, blur=0.2, mixup=1.0, cutmix=1.0, shift=3)
    calm = strong.calm()
    assert calm.crop == 0.75
    assert calm.rotate == 20 and calm.shift == 3 and calm.mirror
    assert calm.erase == calm.blur == calm.noise == calm.mixup == calm.cutmix == 0
