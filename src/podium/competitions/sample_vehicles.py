"""The vehicles of the sample competition: six outlines, seen from the side, facing right."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

Points = list[tuple[float, float]]


class Part(NamedTuple):
    """One painted piece of a vehicle.

    Args:
        paint: what it is made of: body, accent, glass, rubber, metal, gap, lamp or tail.
        outline: float (points, 2), decimetres; x from the tail, y upwards from the road.
    """

    paint: str
    outline: np.ndarray


def _part(paint: str, points: Points, radius: float = 0.8) -> list[Part]:
    """A polygon whose corners are rounded off, by Bézier curves, within `radius` decimetres."""
    corner = np.array(points, dtype=float)  # (corners, 2)

    def start_of_curve(neighbor: np.ndarray) -> np.ndarray:
        length = np.linalg.norm(neighbor - corner, axis=1, keepdims=True)
        return corner + (neighbor - corner) * np.minimum(radius / length, 0.45)

    before = start_of_curve(np.roll(corner, 1, axis=0))
    after = start_of_curve(np.roll(corner, -1, axis=0))
    t = np.linspace(0, 1, 5)[:, None, None]
    curves = (1 - t) ** 2 * before + 2 * t * (1 - t) * corner + t**2 * after  # (5, corners, 2)
    return [Part(paint, curves.transpose(1, 0, 2).reshape(-1, 2))]


def _box(paint: str, left: float, bottom: float, right: float, top: float) -> list[Part]:
    return _part(paint, [(left, bottom), (left, top), (right, top), (right, bottom)], 0.4)


def _bar(
    paint: str, start: tuple[float, float], end: tuple[float, float], width: float
) -> list[Part]:
    """A straight tube, such as a fork or an exhaust."""
    a, b = np.array(start), np.array(end)
    along = (b - a) / np.linalg.norm(b - a)
    aside = np.array([-along[1], along[0]]) * width / 2
    return [Part(paint, np.array([a + aside, b + aside, b - aside, a - aside]))]


def _circle(x: float, y: float, radius: float) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 33)
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=1)


def _wheel(x: float, radius: float, rim: str = "metal", arch: bool = True) -> list[Part]:
    """A wheel that stands on the road, in the dark of its arch."""
    parts = [
        Part("rubber", _circle(x, radius, radius)),
        Part(rim, _circle(x, radius, radius * 0.58)),
        Part("rubber", _circle(x, radius, radius * 0.2)),
    ]
    return [Part("gap", _circle(x, radius * 1.08, radius * 1.2)), *parts] if arch else parts


def _spoked_wheel(x: float, radius: float) -> list[Part]:
    """A wheel to be seen through: a ring is one outline, out along its rim and back inside."""
    ring = [_circle(x, radius, radius), _circle(x, radius, radius * 0.72)[::-1]]
    spokes = [
        part
        for angle in np.arange(0, np.pi, np.pi / 4)
        for reach in [radius * 0.75 * np.array([np.cos(angle), np.sin(angle)])]
        for part in _bar(
            "metal", (x - reach[0], radius - reach[1]), (x + reach[0], radius + reach[1]), 0.35
        )
    ]
    return [Part("rubber", np.concatenate(ring)), *spokes, Part("metal", _circle(x, radius, 1.2))]


_SALOON = [
    *_part("body", [(0, 2.6), (0, 8.8), (1, 10), (9.5, 10.2), (14.5, 13.8), (17, 14.4), (25, 14.4),
                    (28.5, 13.6), (34, 9.6), (43.5, 8.2), (46, 6), (46, 2.6)]),
    *_part("glass", [(12, 10.2), (15.6, 13.1), (20.6, 13.4), (20.6, 10)], 0.6),
    *_part("glass", [(21.8, 10), (21.8, 13.4), (25, 13.4), (27.8, 12.7), (31.6, 9.8)], 0.6),
    *_bar("gap", (21.2, 13.2), (21.2, 3.5), 0.25),
    *_box("accent", 22.6, 8, 24.6, 8.7),
    *_box("tail", 0.1, 7, 1.6, 9.2),
    *_box("lamp", 43.2, 6, 45.8, 7.5),
    *_wheel(9, 3.2), *_wheel(37, 3.2),
]  # fmt: skip

_VAN = [
    *_part("body", [(0, 3), (0, 21), (1.4, 22.4), (31, 22.4), (35.4, 21.4), (41, 13.2), (47.6, 11),
                    (49.6, 8), (49.6, 3)], 1.2),
    *_part("glass", [(32, 13), (32, 20), (35, 20), (39.6, 13)], 0.6),
    *_bar("gap", (30.6, 22), (30.6, 4), 0.3), *_bar("gap", (17.5, 21), (17.5, 4), 0.3),
    *_bar("gap", (2, 14.2), (29.5, 14.2), 0.3),
    *_box("accent", 19, 11.6, 21, 12.4),
    *_box("tail", 0.1, 9, 1.3, 13),
    *_box("lamp", 46.6, 8, 49.2, 10),
    *_wheel(9.6, 3.5), *_wheel(40.6, 3.5),
]  # fmt: skip

_BUS = [
    *_part("body", [(0, 3), (0, 24.6), (1.4, 26), (66, 26), (69, 24), (70, 12), (70, 3)], 1.6),
    *(part for left in (2.4, 12.4, 22.4, 32.4, 42.4)
      for part in _box("glass", left, 13.6, left + 9, 22.4)),
    *_box("glass", 53, 4.4, 59.6, 22.4), *_bar("body", (56.3, 4.4), (56.3, 22.4), 0.6),
    *_part("glass", [(61.4, 11.6), (61.4, 22.4), (68.2, 22.4), (69.2, 11.6)], 0.8),
    *_box("accent", 0.6, 9.4, 52, 11),
    *_box("tail", 0.1, 6, 1.4, 9),
    *_box("lamp", 67.4, 6, 69.8, 8.2),
    *_wheel(15, 4.2), *_wheel(48, 4.2),
]  # fmt: skip

_LORRY = [
    *_box("gap", 1, 5, 56, 7.6),
    *_part("body", [(0, 8), (0, 31), (47, 31), (47, 8)]),
    *(part for x in (9.4, 18.8, 28.2, 37.6) for part in _bar("gap", (x, 30.4), (x, 8.6), 0.3)),
    *_part("accent", [(49.6, 3.4), (49.6, 23), (51.6, 25.4), (60.4, 25.4), (63.6, 14), (64.4, 12),
                      (64.4, 3.4)], 1.2),
    *_part("glass", [(54, 14), (54, 22.4), (60, 22.4), (62.2, 14)], 0.6),
    *_box("tail", 0.1, 5.4, 1.6, 7.4),
    *_box("lamp", 61.8, 5.4, 64.2, 7.6),
    *_wheel(8, 4), *_wheel(17, 4), *_wheel(56, 4),
]  # fmt: skip

_TRACTOR = [
    *_bar("metal", (27.4, 15), (27.4, 23), 1),
    *_part("glass", [(4.6, 13), (6.4, 25.4), (17, 25.4), (19.4, 13)], 0.6),
    *_part("body", [(4.6, 25), (5, 27), (18.6, 27), (18.6, 25)]),
    *_bar("body", (5.4, 13), (6.6, 26), 1.1), *_bar("body", (19.4, 13), (17.4, 26), 1.1),
    *_part("body", [(1, 13), (4, 17.4), (13, 17.4), (17, 14), (18.6, 7), (8, 6)], 2.5),
    *_part("body", [(17.4, 6), (17.4, 15.8), (34, 14.6), (36.4, 13), (36.4, 7)], 1.2),
    *_bar("gap", (24, 10), (35, 10), 0.5), *_bar("gap", (24, 12), (35, 12), 0.5),
    *_box("lamp", 34.6, 10.6, 36.4, 12.6),
    *_wheel(8.6, 8.2, rim="accent", arch=False), *_wheel(31, 4.8, rim="accent", arch=False),
]  # fmt: skip

_MOTORCYCLE = [
    *_spoked_wheel(5.6, 5.4), *_spoked_wheel(30, 5.4),
    *_bar("metal", (30, 5.4), (24.4, 18.6), 1.2),
    *_bar("metal", (5.6, 5.4), (15, 8), 1.4),
    *_part("gap", [(12, 4.6), (12, 11), (22, 12), (23, 5), (20, 4)], 1.2),
    *_bar("metal", (18, 5), (1.6, 6.4), 1.6),
    *_part("accent", [(0, 12.4), (3, 14.4), (14, 13.4), (14, 11), (5, 11.6)]),
    *_part("rubber", [(1.6, 14), (4, 16), (13, 14.6), (15, 13), (5, 13)]),
    *_part("body", [(12.6, 11.4), (14, 15), (17.6, 17.6), (23, 17), (25, 13), (20, 11)], 1.4),
    *_part("body", [(23.4, 13.4), (22.6, 19), (25, 19.6), (28.6, 15.6), (27, 12)], 1),
    *_bar("gap", (25, 19), (20.6, 20.4), 0.9),
    *_part("glass", [(23.8, 18.8), (23.2, 22.6), (24.6, 22.4), (27.6, 17)], 0.6),
    *_box("lamp", 26.8, 14, 28.8, 16.2),
    *_box("tail", -0.4, 12.8, 0.8, 14.2),
]  # fmt: skip

_PARTS: dict[str, list[Part]] = {
    "saloon": _SALOON,
    "van": _VAN,
    "bus": _BUS,
    "lorry": _LORRY,
    "tractor": _TRACTOR,
    "motorcycle": _MOTORCYCLE,
}

VEHICLES: tuple[str, ...] = tuple(_PARTS)


def build_vehicle(kind: str, rng: np.random.Generator) -> list[Part]:
    """The parts of one vehicle, back to front; no two of a kind have the same proportions."""
    parts = _PARTS[kind]
    length = max(part.outline[:, 0].max() for part in parts)
    stretch = rng.uniform(0.92, 1.08, size=2)
    # Below 1 in size, so that x stays in order: only the tail grows and the nose shrinks, or back.
    lean = rng.uniform(-0.12, 0.12)

    def reshape(outline: np.ndarray) -> np.ndarray:
        wave = np.sin(2 * np.pi * outline[:, 0] / length) * length / (2 * np.pi)
        return (outline + np.stack([lean * wave, 0 * wave], axis=1)) * stretch

    return [Part(part.paint, reshape(part.outline)) for part in parts]
