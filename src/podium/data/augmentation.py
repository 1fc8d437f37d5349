"""Random changes to training images, the same again for the same seed."""

import random
from collections import deque
from collections.abc import Callable
from typing import Any

import albumentations as A  # noqa: N812
import numpy as np

from podium.competitions.boxes import NO_BOX, has_box
from podium.data.outlines import ELLIPSE, outline_of, visible_box
from podium.data.transforms import Framing, Shift
from podium.recipes.tables import Augmentation

Augmenter = Callable[..., tuple[np.ndarray, np.ndarray]]  # see `seeded_augmenter`

LEAST_VISIBLE = 0.5  # of what a box is around; with less of it in the image the box is dropped
ERASED_SHARE = (0.05, 0.2)  # of the area
BLUR_SIGMA = (0.5, 1.5)  # pixels of the square image
NOISE_STD = (0.02, 0.08)  # relative to the range of values

# TrivialAugment's wide ranges (arXiv:2103.10158, table 7), either way.
SHEAR = 45.0  # degrees, whose tangent the paper has as 0.99
TRANSLATION = 32  # pixels, and at the most half of the side
ROTATION = 135.0  # degrees
FACTOR = (0.01, 1.99)  # of brightness, contrast, saturation
BITS = (2, 8)


def build_augmenter(augmentation: Augmentation, size: int) -> A.Compose:
    """A pipeline from uint8 (height, width, 3) of any size to uint8 (size, size, 3).

    What the recipe sets to 0 is left out, and costs nothing.
    """
    # Steps that move pixels; the first makes the image square.
    turn = 0.0 if augmentation.trivial else augmentation.rotate
    steps = [Framing(size, augmentation.crop, augmentation.mirror, turn)]
    steps += [Shift(augmentation.shift)] if augmentation.shift else []
    steps += [_trivial(size)] if augmentation.trivial else []
    steps += _light_and_noise(augmentation)
    # Points that leave the image are kept: boxes are cut by their outlines.
    points = A.KeypointParams("xy", remove_invisible=False)
    # strict: a wrong argument raises and not only warns
    return A.Compose(steps, keypoint_params=points, strict=True)


def augment(
    augmenter: A.Compose,
    image: np.ndarray,
    seed: int,
    box: np.ndarray = NO_BOX,
    outline: np.ndarray = ELLIPSE,
) -> tuple[np.ndarray, np.ndarray]:
    """Augment an image, with its box where it has one; the same seed gives the same result.

    One augmenter must not be used by two threads at once: see `seeded_augmenter`.

    Args:
        box: float32 (4,), fractions of the image; NaN where it has none. The image is augmented
            alike with and without it.
        outline: what in the box it is drawn around, `outlines.RECTANGLE` or `outlines.ELLIPSE`:
            after a turn the box is drawn around that again.

    Returns:
        uint8 (size, size, 3), and float32 (4,), fractions of the square: the part that is in it,
        NaN where there was no box or less than `LEAST_VISIBLE` of its outline's area is in it.
    """
    # Compose.set_random_seed would start every step from the same seed: their draws would be
    # equal, and mirrored images always the darker ones. Here all draw from one stream.
    augmenter.set_random_state(np.random.default_rng(seed), random.Random(seed))
    if not has_box(box):
        return augmenter(image=image)["image"], NO_BOX.copy()
    height, width = image.shape[:2]
    # albumentations puts (0, 0) in the middle of the first pixel, a box at its corner.
    points = outline_of(box.astype(np.float64), outline) * (width, height) - 0.5
    changed = augmenter(image=image, keypoints=points)
    side = changed["image"].shape[0]
    return changed["image"], visible_box((changed["keypoints"] + 0.5) / side, LEAST_VISIBLE)


def seeded_augmenter(augmentation: Augmentation, size: int) -> Augmenter:
    """`augment` as a function (image, seed, box) that any number of threads may call."""
    # Not threading.local: TensorFlow's threads lose it between calls. deque is thread-safe.
    idle: deque[A.Compose] = deque()

    def augment_alone(
        image: np.ndarray, seed: int, box: np.ndarray = NO_BOX
    ) -> tuple[np.ndarray, np.ndarray]:
        try:
            augmenter = idle.pop()
        except IndexError:
            augmenter = build_augmenter(augmentation, size)
        augmented = augment(augmenter, image, seed, box)
        idle.append(augmenter)
        return augmented

    return augment_alone


def _trivial(size: int) -> A.OneOf:
    """One of TrivialAugment's changes, each as likely, of a strength that is as likely as any."""
    way, one = min(TRANSLATION, size // 2), (1.0, 1.0)

    def affine(**changes: Any) -> A.Affine:
        return A.Affine(**changes, p=1.0)  # what it uncovers is black, as in the paper

    def jitter(**changes: tuple[float, float]) -> A.ColorJitter:
        others = {"brightness": one, "contrast": one, "saturation": one, "hue": (0.0, 0.0)}
        return A.ColorJitter(**{**others, **changes}, p=1.0)

    sharper = A.Sharpen(alpha=(0.0, 1.0), lightness=one, p=1.0)
    softer = A.GaussianBlur(sigma_limit=(0.1, 1.0), p=1.0)
    changes = [
        A.NoOp(p=1.0),
        affine(shear={"x": (-SHEAR, SHEAR), "y": 0}),
        affine(shear={"x": 0, "y": (-SHEAR, SHEAR)}),
        affine(translate_px={"x": (-way, way), "y": 0}),
        affine(translate_px={"x": 0, "y": (-way, way)}),
        affine(rotate=(-ROTATION, ROTATION)),
        jitter(brightness=FACTOR),
        jitter(contrast=FACTOR),
        jitter(saturation=FACTOR),
        A.OneOf([sharper, softer], p=1.0),
        A.Posterize(num_bits=BITS, p=1.0),
        A.Solarize(threshold_range=(0.0, 1.0), p=1.0),
        A.AutoContrast(method="pil", p=1.0),
        A.Equalize(p=1.0),
    ]
    return A.OneOf(changes, p=1.0)


def _light_and_noise(augmentation: Augmentation) -> list[A.BasicTransform]:
    """Steps that change values and leave them where they are."""
    steps: list[A.BasicTransform] = []
    if augmentation.light > 0 and not augmentation.trivial:
        limit = (-augmentation.light, augmentation.light)
        steps.append(A.RandomBrightnessContrast(limit, limit, brightness_by_max=False, p=1.0))
    if augmentation.color > 0 and not augmentation.trivial:
        hue = 90 * augmentation.color  # OpenCV's circle of hues has 180 steps, so 1 is all
        value = 255 * augmentation.color
        steps.append(A.HueSaturationValue((-hue, hue), (-value, value), (-value, value), p=1.0))
    if augmentation.blur > 0:
        steps.append(A.GaussianBlur(sigma_limit=BLUR_SIGMA, p=augmentation.blur))
    if augmentation.noise > 0:
        steps.append(A.GaussNoise(std_range=NOISE_STD, p=augmentation.noise))
    if augmentation.erase > 0:
        steps.append(A.Erasing(scale=ERASED_SHARE, fill="random", p=augmentation.erase))
    return steps
