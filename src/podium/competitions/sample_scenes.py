"""What stands behind and before the vehicles of the sample competition."""

from collections.abc import Callable

import cv2
import numpy as np

from podium.competitions.sample_canvas import (
    Canvas,
    Rng,
    aspect_of,
    ellipse,
    fill,
    ramp_of,
    random_color,
    rectangle,
)

# --- Scenes: what stands behind the vehicle


def _draw_sky(canvas: Canvas, rng: Rng) -> None:
    high = random_color(rng, (0.5, 0.65), (0.05, 0.7), (0.4, 1))
    low = random_color(rng, (0, 1), (0, 0.35), (0.6, 1))
    canvas[:] = high + (low - high) * ramp_of(canvas, np.pi / 2)


def _draw_road(canvas: Canvas, rng: Rng, top: float) -> None:
    aspect = aspect_of(canvas)
    asphalt = random_color(rng, saturation=(0, 0.2), value=(0.2, 0.6))
    white = random_color(rng, saturation=(0, 0.1), value=(0.9, 1))
    fill(canvas, rectangle(0, top, aspect, 1), asphalt)
    if rng.random() < 0.5:
        line, dash = rng.uniform(top, 1), rng.uniform(0.1, 0.3)
        for left in np.arange(-rng.uniform(0, dash), aspect, 2 * dash):
            fill(canvas, rectangle(left, line, left + dash, line + 0.015), white)


def _countryside(canvas: Canvas, rng: Rng) -> None:
    _draw_sky(canvas, rng)
    aspect, horizon = aspect_of(canvas), rng.uniform(0.3, 0.6)
    x = np.linspace(0, aspect, 40)
    for depth in np.linspace(0, 1, rng.integers(2, 5)):  # hills, the nearest last
        waves = np.sin(x * rng.uniform(2, 9) + rng.uniform(0, 6)) * rng.uniform(0.01, 0.07)
        ridge = np.stack([x, horizon + 0.2 * depth + waves], axis=1)
        color = random_color(rng, (0.08, 0.42), (0.15, 0.7), (0.25, 0.75))
        fill(canvas, np.concatenate([ridge, [(aspect, 1), (0, 1)]]), color)
    for _ in range(rng.integers(0, 7)):
        _draw_bush(canvas, rng, rng.uniform(0, aspect), horizon + rng.uniform(0, 0.25))
    if rng.random() < 0.7:
        _draw_road(canvas, rng, rng.uniform(0.65, 0.85))


def _town(canvas: Canvas, rng: Rng) -> None:
    _draw_sky(canvas, rng)
    aspect, street = aspect_of(canvas), rng.uniform(0.5, 0.75)
    left = -rng.uniform(0, 0.2)
    while left < aspect:
        right, top = left + rng.uniform(0.15, 0.5), rng.uniform(0, 0.45)
        fill(canvas, rectangle(left, top, right, street), random_color(rng, saturation=(0, 0.5)))
        pane = random_color(rng, saturation=(0, 0.4))
        width, height = rng.uniform(0.03, 0.09, size=2)
        for x in np.arange(left + width / 2, right - width, 1.7 * width):
            for y in np.arange(top + height / 2, street - height, 1.7 * height):
                fill(canvas, rectangle(x, y, x + width, y + height), pane)
        left = right
    _draw_road(canvas, rng, street)


def _wall(canvas: Canvas, rng: Rng) -> None:
    """Bricks, planks or panels, by their width and height."""
    stone, joint = random_color(rng, saturation=(0, 0.7)), random_color(rng, saturation=(0, 0.3))
    canvas[:] = joint
    width, height = rng.uniform(0.06, 0.6), rng.uniform(0.04, 0.25)
    gap, uneven = rng.uniform(0.004, 0.015), rng.uniform(0, 0.15)
    for row, y in enumerate(np.arange(0, 1, height)):
        for x in np.arange(-width * (row % 2) / 2, aspect_of(canvas), width):
            shade = np.clip(stone * rng.uniform(1 - uneven, 1 + uneven), 0, 255)
            fill(canvas, rectangle(x, y, x + width - gap, y + height - gap), shade)
    if rng.random() < 0.8:
        _draw_road(canvas, rng, rng.uniform(0.55, 0.85))


def _clutter(canvas: Canvas, rng: Rng) -> None:
    start, end = (random_color(rng, saturation=(0, 0.6)) for _ in range(2))
    canvas[:] = start + (end - start) * ramp_of(canvas, rng.uniform(0, 2 * np.pi))
    for _ in range(rng.integers(0, 25)):
        center = rng.uniform((0, 0), (aspect_of(canvas), 1))
        corners = rng.normal(0, rng.uniform(0.03, 0.15), (rng.integers(3, 6), 2))
        fill(canvas, center + corners, random_color(rng))


def _texture(canvas: Canvas, rng: Rng) -> None:
    """Noise in octaves, between two colors: gravel, foliage, plaster, fog."""
    height, width = canvas.shape[:2]
    noise, total = np.zeros((height, width), np.float32), 0.0
    roughness = rng.uniform(0.4, 1)
    for octave in range(2, 7):
        grid = rng.random((2**octave * 3 // 4, 2**octave), dtype=np.float32)
        weight = roughness**octave
        noise += weight * cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR)
        total += weight
    start, end = (random_color(rng, saturation=(0, 0.6)) for _ in range(2))
    canvas[:] = start + (end - start) * (noise / total)[..., None]


def recede(canvas: Canvas, rng: Rng) -> None:
    """Set the scene back behind the vehicle, on which the lens is focused."""
    blurred = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.002, 0.02) * canvas.shape[0])
    haze = random_color(rng, saturation=(0, 0.15), value=(0.75, 1))
    thickness = np.float32(rng.uniform(0.45, 0.75))
    canvas[:] = blurred + (haze - blurred) * thickness


SCENES: tuple[Callable[[Canvas, Rng], None], ...] = (
    _countryside,
    _countryside,
    _town,
    _town,
    _wall,
    _clutter,
    _texture,
)


# --- Occluders: what stands before it, at `x`, on `ground`


def _draw_pole(canvas: Canvas, rng: Rng, x: float, ground: float) -> None:
    width, bottom = rng.uniform(0.015, 0.05), ground + rng.uniform(0, 0.1)
    color = random_color(rng, saturation=(0, 0.4))
    fill(canvas, rectangle(x - width, 0, x + width, bottom), 0.7 * color)
    fill(canvas, rectangle(x - width, 0, x + width / 4, bottom), color)


def _draw_tree(canvas: Canvas, rng: Rng, x: float, ground: float) -> None:
    trunk, bottom = rng.uniform(0.02, 0.045), ground + rng.uniform(0, 0.1)
    bark = random_color(rng, (0.05, 0.1), (0.3, 0.6), (0.2, 0.45))
    fill(canvas, rectangle(x - trunk, 0, x + trunk, bottom), bark)
    for _ in range(3):
        _draw_bush(canvas, rng, x + rng.normal(0, 0.12), rng.uniform(0, 0.25))


def _draw_bush(canvas: Canvas, rng: Rng, x: float, ground: float) -> None:
    spread, hue = rng.uniform(0.04, 0.12), rng.uniform(0.15, 0.4)
    for _ in range(rng.integers(6, 14)):
        dx, dy = rng.normal(0, spread * 0.6, size=2)
        leaves = ellipse(x + dx, ground - spread / 2 + dy, *rng.uniform(0.4, 1.1, size=2) * spread)
        fill(canvas, leaves, random_color(rng, (hue - 0.03, hue + 0.03), (0.4, 0.8), (0.2, 0.6)))


def _draw_railing(canvas: Canvas, rng: Rng, x: float, ground: float) -> None:
    top, bottom = ground - rng.uniform(0.1, 0.22), ground + 0.04
    step, reach = rng.uniform(0.04, 0.09), rng.uniform(0.2, 0.6)
    color = random_color(rng, saturation=(0, 0.5))
    for bar in np.arange(x - reach, x + reach, step):
        fill(canvas, rectangle(bar, top, bar + 0.012, bottom), color)
    for rail in (top, bottom - 0.05):
        fill(canvas, rectangle(x - reach, rail, x + reach, rail + 0.018), color)


def _draw_board(canvas: Canvas, rng: Rng, x: float, ground: float) -> None:
    """A sign or a crate: a slightly crooked patch of one color."""
    width, height = rng.uniform(0.07, 0.2, size=2)
    center = (x, ground - rng.uniform(0, 0.3))
    crooked = rectangle(-width, -height, width, height) + rng.normal(0, 0.01, (4, 2))
    fill(canvas, center + crooked / 2, random_color(rng))
    fill(canvas, center + crooked / 3, random_color(rng))


OCCLUDERS: tuple[Callable[[Canvas, Rng, float, float], None], ...] = (
    _draw_pole,
    _draw_tree,
    _draw_bush,
    _draw_railing,
    _draw_board,
)
