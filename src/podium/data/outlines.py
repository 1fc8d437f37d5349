"""Boxes as outlines of points, which can be turned and cut, and boxes around what is left."""

import numpy as np

from podium.competitions.boxes import NO_BOX, has_box

# Points around the square from (0, 0) to (1, 1), in order: what of a box the thing in it fills.
# A turned rectangle needs a larger box, a turned ellipse hardly one: turned by 10 degrees, the
# box around a square has 1.34 times its area, and the one around a circle has the same.
RECTANGLE = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float64)
_ANGLES = np.linspace(0, 2 * np.pi, 64, endpoint=False)
ELLIPSE = 0.5 + 0.5 * np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)


def outline_of(box: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """The points (n, 2) of an outline in a box (4,), in the units of the box."""
    return box[:2] + outline * (box[2:] - box[:2])


def visible_box(points: np.ndarray, least: float) -> np.ndarray:
    """The box around the part of an outline that lies in the image.

    Args:
        points: (n, 2) in shares of the image's sides, around something convex, in order.
        least: share of the area that must be in the image; with less it counts as cut away.

    Returns:
        float32 (4,), in shares; NaN where it is cut away.
    """
    kept = _clipped(points)
    whole, left = _area(points), _area(kept)
    if left == 0 or left < least * whole:
        return NO_BOX.copy()
    box = np.concatenate([kept.min(axis=0), kept.max(axis=0)]).clip(0, 1).astype(np.float32)
    return box if has_box(box) else NO_BOX.copy()


def _clipped(points: np.ndarray) -> np.ndarray:
    """A convex outline cut at each of the image's four sides (Sutherland and Hodgman 1974)."""
    for axis, sign, border in ((0, 1, 0), (0, -1, 1), (1, 1, 0), (1, -1, 1)):
        depth = sign * (points[:, axis] - border)  # how far within this side
        following, next_depth = np.roll(points, -1, axis=0), np.roll(depth, -1)
        crosses = depth * next_depth < 0
        way = np.divide(depth, depth - next_depth, out=np.zeros_like(depth), where=crosses)
        crossing = points + (following - points) * way[:, None]
        kept = np.stack([depth >= 0, crosses], axis=1)
        points = np.stack([points, crossing], axis=1)[kept]
    return points


def _area(points: np.ndarray) -> float:
    """The area within an outline (the shoelace formula)."""
    x, y = points.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
