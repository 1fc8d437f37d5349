"""Mixup and cutmix: images of a batch mixed in pairs, and their labels in the same shares."""

import numpy as np

from podium.recipes.tables import Augmentation


def mix(
    images: np.ndarray, labels: np.ndarray, augmentation: Augmentation, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Mix a batch by the recipe: by one of the two methods, by chance where both are on, or not.

    The batch comes in a random order, so that a neighbor is as good a partner as any other image.

    Args:
        images: uint8 (batch, height, width, 3).
        labels: float32 (batch, classes).
    """
    if augmentation.mixup == augmentation.cutmix == 0 or random.random() >= augmentation.mixed:
        return images, labels
    cut = augmentation.cutmix > 0 and random.random() < (0.5 if augmentation.mixup else 1.0)
    alpha = augmentation.cutmix if cut else augmentation.mixup
    share = float(random.beta(alpha, alpha))
    return cutmix(images, labels, share, random) if cut else mixup(images, labels, share)


def mixup(images: np.ndarray, labels: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Each image laid over its neighbor (Zhang et al. 2017, arXiv:1710.09412).

    Args:
        images, labels: as `mix`.
        share: of the image itself; the neighbor has the rest.
    """
    own = images.astype(np.float32)
    mixed = share * own + (1 - share) * np.roll(own, 1, axis=0)
    return np.rint(mixed).astype(np.uint8), _mix_labels(labels, share)


def cutmix(
    images: np.ndarray, labels: np.ndarray, share: float, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A rectangle of each image's neighbor put into it (Yun et al. 2019, arXiv:1905.04899).

    Args:
        images, labels: as `mix`.
        share: of the area that stays; what the border cuts off the rectangle stays too.
    """
    height, width = images.shape[1:3]
    side = np.sqrt(1 - share)  # of the rectangle, relative to the image's
    y, x = random.integers(height), random.integers(width)
    top, bottom = np.clip((y - side * height / 2, y + side * height / 2), 0, height).astype(int)
    left, right = np.clip((x - side * width / 2, x + side * width / 2), 0, width).astype(int)
    mixed = images.copy()
    mixed[:, top:bottom, left:right] = np.roll(images, 1, axis=0)[:, top:bottom, left:right]
    return mixed, _mix_labels(labels, 1 - (bottom - top) * (right - left) / (height * width))


def _mix_labels(labels: np.ndarray, share: float) -> np.ndarray:
    return (share * labels + (1 - share) * np.roll(labels, 1, axis=0)).astype(np.float32)
