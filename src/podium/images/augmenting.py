"""Random changes to training pictures, the same again for the same seed."""

import os
import random
from collections import deque
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # else the import asks PyPI for a newer version

import albumentations as A  # noqa: N812

from podium.recipe import Augmentation

CROP_RATIO = 4 / 3  # of a crop's sides, relative to the picture's own: 3/4 to 4/3
ERASED_SHARE = (0.05, 0.2)  # of the area
BLUR_SIGMA = (0.5, 1.5)  # pixels of the square picture
NOISE_STD = (0.02, 0.08)  # relative to the range of values


class RelativeResizedCrop(A.RandomResizedCrop):
    """A random crop, stretched to the square: its sides keep near the picture's own ratio.

    albumentations' own crop has a ratio near 1 whatever the picture's, so that a wide picture
    is stretched when validating and never when training. The method is that of
    arXiv:1409.4842, p. 8.
    """

    def get_params_dependent_on_data(
        self,
        params: dict[str, Any],
        data: dict[str, Any],
    ) -> dict[str, Any]:
        """Draw the crop's place as (x_min, y_min, x_max, y_max) in pixels."""
        height, width = params["shape"][:2]
        area = self.py_random.uniform(*self.scale)
        # A ratio beyond `area` or 1/area would not fit; drawn within, none is ever refused.
        widest = min(np.log(self.ratio[1]), -np.log(area))
        ratio = np.exp(self.py_random.uniform(-widest, widest))
        crop_height = min(height, max(1, round(height * np.sqrt(area / ratio))))
        crop_width = min(width, max(1, round(width * np.sqrt(area * ratio))))
        top = self.py_random.randint(0, height - crop_height)
        left = self.py_random.randint(0, width - crop_width)
        return {"crop_coords": (left, top, left + crop_width, top + crop_height)}


def build_augmenter(augmentation: Augmentation, size: int) -> A.Compose:
    """A pipeline from uint8 (height, width, 3) of any size to uint8 (size, size, 3).

    What the recipe sets to 0 is left out, and costs nothing.
    """
    steps = _geometry(augmentation, size) + _light_and_noise(augmentation)
    return A.Compose(steps, strict=True)  # strict: a wrong argument raises and not only warns


def augment(augmenter: A.Compose, picture: np.ndarray, seed: int) -> np.ndarray:
    """Augment a picture; the same seed and picture give the same result in any order of calls.

    One augmenter must not be used by two threads at once: see `seeded_augmenter`.
    """
    # Compose.set_random_seed would start every step from the same seed: their draws would be
    # equal, and mirrored pictures always the darker ones. Here all draw from one stream.
    augmenter.set_random_state(np.random.default_rng(seed), random.Random(seed))
    return augmenter(image=picture)["image"]


def seeded_augmenter(
    augmentation: Augmentation, size: int
) -> Callable[[np.ndarray, int], np.ndarray]:
    """A function (picture, seed) → uint8 (size, size, 3) that any number of threads may call."""
    # Not threading.local: TensorFlow's threads lose it between calls. deque is thread-safe.
    idle: deque[A.Compose] = deque()

    def augment_picture(picture: np.ndarray, seed: int) -> np.ndarray:
        try:
            augmenter = idle.pop()
        except IndexError:
            augmenter = build_augmenter(augmentation, size)
        augmented = augment(augmenter, picture, seed)
        idle.append(augmenter)
        return augmented

    return augment_picture


def _geometry(augmentation: Augmentation, size: int) -> list[A.BasicTransform]:
    """Steps that move pixels; the first makes the picture square."""
    square = (size, size)
    steps: list[A.BasicTransform] = []
    if augmentation.crop < 1:
        scale, ratio = (augmentation.crop, 1.0), (1 / CROP_RATIO, CROP_RATIO)
        steps.append(RelativeResizedCrop(square, scale, ratio, area_for_downscale="image"))
    else:
        steps.append(A.Resize(size, size, area_for_downscale="image"))
    if augmentation.mirror:
        steps.append(A.HorizontalFlip(p=0.5))
    if augmentation.rotate > 0:
        limit = (-augmentation.rotate, augmentation.rotate)
        steps.append(A.Rotate(limit=limit, border_mode=cv2.BORDER_REFLECT_101, p=1.0))
    if augmentation.shift > 0:
        steps.append(A.Pad(padding=augmentation.shift, border_mode=cv2.BORDER_REFLECT_101))
        steps.append(A.RandomCrop(size, size))
    return steps


def _light_and_noise(augmentation: Augmentation) -> list[A.BasicTransform]:
    """Steps that change values and leave them where they are."""
    steps: list[A.BasicTransform] = []
    if augmentation.light > 0:
        limit = (-augmentation.light, augmentation.light)
        steps.append(A.RandomBrightnessContrast(limit, limit, brightness_by_max=False, p=1.0))
    if augmentation.colour > 0:
        hue = 90 * augmentation.colour  # OpenCV's circle of hues has 180 steps, so 1 is all
        value = 255 * augmentation.colour
        steps.append(A.HueSaturationValue((-hue, hue), (-value, value), (-value, value), p=1.0))
    if augmentation.blur > 0:
        steps.append(A.GaussianBlur(sigma_limit=BLUR_SIGMA, p=augmentation.blur))
    if augmentation.noise > 0:
        steps.append(A.GaussNoise(std_range=NOISE_STD, p=augmentation.noise))
    if augmentation.erase > 0:
        steps.append(A.Erasing(scale=ERASED_SHARE, fill="random", p=augmentation.erase))
    return steps
