"""The random changes that move pixels, and what is marked in the image along with them."""

import math
from typing import Any

import albumentations as A  # noqa: N812
import cv2
import numpy as np
from albumentations.core.type_definitions import Targets

from podium.files.image_io import resize

CROP_RATIO = 4 / 3  # of a crop's sides, relative to the image's own: 3/4 to 4/3


class Framing(A.DualTransform):
    """A random crop, mirrored and turned by chance, stretched to the square in one go.

    albumentations has a step for each of these, and each resamples the whole image: together
    they take twice as long and blur it three times. Its crops have a ratio near 1 whatever the
    image's, so that a wide image is stretched when validating and never when training; these
    keep near the image's own. How a crop is drawn is that of arXiv:1409.4842, p. 8.
    """

    _targets = (Targets.IMAGE, Targets.KEYPOINTS)

    def __init__(self, size: int, smallest: float, mirror: bool, rotate: float) -> None:
        super().__init__(p=1.0)
        self.size, self.smallest, self.mirror, self.rotate = size, smallest, mirror, rotate

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
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
        """Cut the box out of the image, uint8 (height, width, 3) → (size, size, 3)."""
        if angle:
            return _turned(img, box, mirrored, angle, self.size)
        left, top, width, height = box
        square = resize(img[top : top + height, left : left + width], self.size, self.size)
        return cv2.flip(square, 1) if mirrored else square

    def apply_to_keypoints(
        self,
        keypoints: np.ndarray,
        box: tuple[int, int, int, int],
        mirrored: bool,
        angle: float,
        **params: Any,
    ) -> np.ndarray:
        """Take points (n, 2 or more) along: x and y in pixels, where (0, 0) is a pixel's middle."""
        left, top, width, height = box
        # From the crop's center, in shares of its sides; turned back, for `_turned` goes from the
        # square to the image.
        x = (keypoints[:, 0] + 0.5 - left) / width - 0.5
        y = (keypoints[:, 1] + 0.5 - top) / height - 0.5
        x = -x if mirrored else x
        cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        moved = keypoints.copy()
        moved[:, 0] = (cosine * x + sine * y + 0.5) * self.size - 0.5
        moved[:, 1] = (cosine * y - sine * x + 0.5) * self.size - 0.5
        return moved


class Shift(A.DualTransform):
    """The square moved by up to so many pixels either way, over its own reflection.

    albumentations would pad and crop, and mirror points and boxes into the border as well.
    """

    _targets = (Targets.IMAGE, Targets.KEYPOINTS)

    def __init__(self, most: int) -> None:
        super().__init__(p=1.0)
        self.most = most

    def get_params(self) -> dict[str, Any]:
        """Draw where the square is cut out of the padded one, in pixels."""
        random = self.py_random
        return {"x": random.randint(0, 2 * self.most), "y": random.randint(0, 2 * self.most)}

    def apply(self, img: np.ndarray, x: int, y: int, **params: Any) -> np.ndarray:
        height, width = img.shape[:2]
        padded = cv2.copyMakeBorder(img, *[self.most] * 4, cv2.BORDER_REFLECT_101)
        return padded[y : y + height, x : x + width]

    def apply_to_keypoints(
        self, keypoints: np.ndarray, x: int, y: int, **params: Any
    ) -> np.ndarray:
        moved = keypoints.copy()
        moved[:, 0] += self.most - x
        moved[:, 1] += self.most - y
        return moved


def _turned(
    image: np.ndarray, box: tuple[int, int, int, int], mirrored: bool, angle: float, size: int
) -> np.ndarray:
    """The box of an image, turned about its center by degrees; around the image it reflects."""
    left, top, width, height = box
    # Interpolation reads the four nearest pixels: what shrinks to a half is averaged before.
    across, down = max(1, width // size), max(1, height // size)
    if across > 1 or down > 1:
        wide, high = image.shape[1] // across, image.shape[0] // down
        whole = image[: high * down, : wide * across]
        image = cv2.resize(whole, (wide, high), interpolation=cv2.INTER_AREA)
    # From a pixel of the square to one of the image, where (0, 0) is the middle of a pixel.
    x_scale, y_scale = width / across / size, height / down / size
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    sign, middle = (-1 if mirrored else 1), (size - 1) / 2
    x_of_x, x_of_y = sign * x_scale * cosine, -sign * x_scale * sine
    y_of_x, y_of_y = y_scale * sine, y_scale * cosine
    x_center, y_center = (left + width / 2) / across - 0.5, (top + height / 2) / down - 0.5
    matrix = np.array(
        [
            (x_of_x, x_of_y, x_center - middle * (x_of_x + x_of_y)),
            (y_of_x, y_of_y, y_center - middle * (y_of_x + y_of_y)),
        ]
    )
    return cv2.warpAffine(
        image,
        matrix,
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )
