"""Random changes to training pictures, the same again for the same seed."""

import math
import os
import random
from collections import deque
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # else the import asks PyPI for a newer version

import albumentations as A  # noqa: N812

from podium.images.reading import resize
from podium.recipe import Augmentation

CROP_RATIO = 4 / 3  # of a crop's sides, relative to the picture's own: 3/4 to 4/3
ERASED_SHARE = (0.05, 0.2)  # of the area
BLUR_SIGMA = (0.5, 1.5)  # pixels of the square picture
NOISE_STD = (0.02, 0.08)  # relative to the range of values


class Framing(A.ImageOnlyTransform):
    """A random crop, mirrored and turned by chance, stretched to the square in one go.

    albumentations has a step for each of these, and each resamples the whole picture: together
    they take twice as long and blur it three times. Its crops have a ratio near 1 whatever the
    picture's, so that a wide picture is stretched when validating and never when training; these
    keep near the picture's own. How a crop is drawn is that of arXiv:1409.4842, p. 8.
    """

    def __init__(self, size: int, smallest: float, mirror: bool, rotate: float) -> None:
        super().__init__(p=1.0)
        self.size, self.smallest, self.mirror, self.rotate = size, smallest, mirror, rotate

    def get_params_dependent_on_data(
        self,
        params: dict[str, Any],
        data: dict[str, Any],
    ) -> dict[str, Any]:
        """Draw the crop as (left, top, width, height) in pixels, and how it is turned."""
        height, width = params["shape"][:2]
        random = self.py_random
        area = random.uniform(self.smallest, 1.0)
        # A ratio beyond `area` or 1/area would not fit; drawn within, none is ever refused.
        widest = min(math.log(CROP_RATIO), -math.log(area))
        ratio = math.exp(random.uniform(-widest, widest))
        crop_height = min(height, max(1, round(height * math.sqrt(area / ratio))))
        crop_width = min(width, max(1, round(width * math.sqrt(area * ratio))))
        left = random.randint(0, width - crop_width)
        top = random.randint(0, height - crop_height)
        return {
            "box": (left, top, crop_width, crop_height),
            "mirrored": self.mirror and random.random() < 0.5,
            "angle": random.uniform(-self.rotate, self.rotate),
        }

    def apply(
        self,
        img: np.ndarray,
        box: tuple[int, int, int, int],
        mirrored: bool,
        angle: float,
        **params: Any,
    ) -> np.ndarray:
        """Cut the box out of the picture, uint8 (height, width, 3) → (size, size, 3)."""
        if angle:
            return _turned(img, box, mirrored, angle, self.size)
        left, top, width, height = box
        square = resize(img[top : top + height, left : left + width], self.size, self.size)
        return cv2.flip(square, 1) if mirrored else square


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
    steps: list[A.BasicTransform] = [
        Framing(size, augmentation.crop, augmentation.mirror, augmentation.rotate)
    ]
    if augmentation.shift > 0:
        steps.append(A.Pad(padding=augmentation.shift, border_mode=cv2.BORDER_REFLECT_101))
        steps.append(A.RandomCrop(size, size))
    return steps


def _turned(
    picture: np.ndarray, box: tuple[int, int, int, int], mirrored: bool, angle: float, size: int
) -> np.ndarray:
    """The box of a picture, turned about its centre by degrees; around the picture it reflects."""
    left, top, width, height = box
    # Interpolation reads the four nearest pixels: what shrinks to a half is averaged before.
    across, down = max(1, width // size), max(1, height // size)
    if across > 1 or down > 1:
        wide, high = picture.shape[1] // across, picture.shape[0] // down
        whole = picture[: high * down, : wide * across]
        picture = cv2.resize(whole, (wide, high), interpolation=cv2.INTER_AREA)
    # From a pixel of the square to one of the picture, where (0, 0) is the middle of a pixel.
    x_scale, y_scale = width / across / size, height / down / size
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    sign, middle = (-1 if mirrored else 1), (size - 1) / 2
    x_of_x, x_of_y = sign * x_scale * cosine, -sign * x_scale * sine
    y_of_x, y_of_y = y_scale * sine, y_scale * cosine
    x_centre, y_centre = (left + width / 2) / across - 0.5, (top + height / 2) / down - 0.5
    matrix = np.array(
        [
            (x_of_x, x_of_y, x_centre - middle * (x_of_x + x_of_y)),
            (y_of_x, y_of_y, y_centre - middle * (y_of_x + y_of_y)),
        ]
    )
    return cv2.warpAffine(
        picture,
        matrix,
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )


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
