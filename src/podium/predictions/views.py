"""The views of test-time augmentation: deterministic, the same for every picture."""

from dataclasses import dataclass

import cv2
import numpy as np

from podium.images.reading import resize


@dataclass(frozen=True)
class View:
    """A part of the picture, or the picture with a reflected border, perhaps mirrored.

    Called with a picture uint8 (height, width, 3) and a size in pixels, it gives
    uint8 (size, size, 3).

    Args:
        scale: side of the part relative to the picture's; above 1 a border is added.
        x, y: where the part lies: 0 left or top, 0.5 centre, 1 right or bottom.
    """

    name: str
    scale: float = 1.0
    x: float = 0.5
    y: float = 0.5
    mirror: bool = False

    def __call__(self, picture: np.ndarray, size: int) -> np.ndarray:
        height, width = picture.shape[:2]
        if self.scale > 1:
            top = round(height * (self.scale - 1) / 2)
            left = round(width * (self.scale - 1) / 2)
            picture = cv2.copyMakeBorder(picture, top, top, left, left, cv2.BORDER_REFLECT_101)
        elif self.scale < 1:
            part_height = max(1, round(height * self.scale))
            part_width = max(1, round(width * self.scale))
            top = round((height - part_height) * self.y)
            left = round((width - part_width) * self.x)
            picture = picture[top : top + part_height, left : left + part_width]
        picture = resize(picture, size, size)
        return np.ascontiguousarray(picture[:, ::-1] if self.mirror else picture)


CROP = 0.875
VIEWS = (  # in the order in which they are worth their time
    View("plain"),
    View("mirrored", mirror=True),
    View("centre", CROP),
    View("centre mirrored", CROP, mirror=True),
    View("top left", CROP, 0, 0),
    View("top right mirrored", CROP, 1, 0, mirror=True),
    View("bottom right", CROP, 1, 1),
    View("bottom left mirrored", CROP, 0, 1, mirror=True),
    View("wider", 1.125),
    View("wider mirrored", 1.125, mirror=True),
)
