"""The views of test-time augmentation: deterministic, the same for every image."""

from dataclasses import dataclass

import cv2
import numpy as np

from podium.files.image_io import resize

Pixels = int | float | np.ndarray  # a number for all, or one for each


@dataclass(frozen=True)
class View:
    """A part of the image, or the image with a reflected border, perhaps mirrored.

    Called with an image uint8 (height, width, 3) and a size in pixels, it gives
    uint8 (size, size, 3).

    Args:
        scale: side of the part relative to the image's; above 1 a border is added.
        x, y: where the part lies: 0 left or top, 0.5 center, 1 right or bottom.
    """

    name: str
    scale: float = 1.0
    x: float = 0.5
    y: float = 0.5
    mirror: bool = False

    def __call__(self, image: np.ndarray, size: int) -> np.ndarray:
        left, top, width, height = map(int, self._part(*image.shape[1::-1]))
        if self.scale > 1:
            image = cv2.copyMakeBorder(image, -top, -top, -left, -left, cv2.BORDER_REFLECT_101)
        else:
            image = image[top : top + height, left : left + width]
        image = resize(image, size, size)
        return np.ascontiguousarray(image[:, ::-1] if self.mirror else image)

    def of_image(self, boxes: np.ndarray, width: Pixels, height: Pixels) -> np.ndarray:
        """Boxes of the image as the view shows them; beyond 0 to 1 where it cuts them.

        Args:
            boxes: (..., 4), in shares of the image.
            width, height: pixels of the image that the view is of; arrays (...) where each box
                is of another. An image that was shrunk before is cut at other pixels than the
                whole one, which moves a box by less than a pixel of the shrunk one.

        Returns:
            float64 (..., 4), in shares of the view's sides.
        """
        left, top, part_width, part_height = self._part(width, height)
        x = (boxes[..., ::2] * _each(width) - _each(left)) / _each(part_width)
        y = (boxes[..., 1::2] * _each(height) - _each(top)) / _each(part_height)
        return _joined(_mirrored(x) if self.mirror else x, y)

    def to_image(self, boxes: np.ndarray, width: Pixels, height: Pixels) -> np.ndarray:
        """Boxes that were predicted in the view, in shares of the image: `of_image` undone."""
        left, top, part_width, part_height = self._part(width, height)
        x = _mirrored(boxes[..., ::2]) if self.mirror else boxes[..., ::2]
        x = (x * _each(part_width) + _each(left)) / _each(width)
        y = (boxes[..., 1::2] * _each(part_height) + _each(top)) / _each(height)
        return _joined(x, y)

    def _part(self, width: Pixels, height: Pixels) -> tuple[Pixels, Pixels, Pixels, Pixels]:
        """Left, top, width and height of what the view shows; left and top below 0 of a border."""
        if self.scale > 1:
            left = -np.rint(width * (self.scale - 1) / 2)
            top = -np.rint(height * (self.scale - 1) / 2)
            return left, top, width - 2 * left, height - 2 * top
        part_width = np.maximum(1, np.rint(width * self.scale))
        part_height = np.maximum(1, np.rint(height * self.scale))
        left = np.rint((width - part_width) * self.x)
        top = np.rint((height - part_height) * self.y)
        return left, top, part_width, part_height


def _each(pixels: Pixels) -> np.ndarray:
    """A number for each box, beside its two coordinates of an axis."""
    return np.asarray(pixels, np.float64)[..., np.newaxis]


def _mirrored(x: np.ndarray) -> np.ndarray:
    """x_min and x_max from the other side."""
    return 1 - x[..., ::-1]


def _joined(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Boxes (..., 4) of x_min and x_max, and y_min and y_max."""
    return np.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], axis=-1)


CROP = 0.875
VIEWS = (  # in the order in which they are worth their time
    View("plain"),
    View("mirrored", mirror=True),
    View("center", CROP),
    View("center mirrored", CROP, mirror=True),
    View("top left", CROP, 0, 0),
    View("top right mirrored", CROP, 1, 0, mirror=True),
    View("bottom right", CROP, 1, 1),
    View("bottom left mirrored", CROP, 0, 1, mirror=True),
    View("wider", 1.125),
    View("wider mirrored", 1.125, mirror=True),
)
