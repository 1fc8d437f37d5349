"""The sample competition: vehicles drawn by code, laid out as Kaggle unpacks a real competition.

It lets the demo and the tests run with nothing downloaded. The kinds differ in shape alone: colour,
place, light and background come from the same distributions for all of them.
"""

from __future__ import annotations

import colorsys
import csv
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from podium.competitions.sample_vehicles import VEHICLES, build_vehicle

__all__ = ["VEHICLES", "draw_sample"]

Canvas = np.ndarray  # uint8 (height, width, 3), RGB; its points are counted in canvas heights
Colour = np.ndarray  # float32 (3,), 0 to 255
Range = tuple[float, float]
Rng = np.random.Generator


def draw_sample(
    folder: Path,
    train: int = 1200,
    test: int = 300,
    seed: int = 0,
    size: tuple[int, int] = (160, 120),
    overwrite: bool = False,
) -> None:
    """Draw the whole competition into `folder`, which appears complete or not at all.

    Args:
        folder: where to; its last part is the competition's name.
        train: number of labelled pictures, at least one of each kind.
        test: number of pictures to predict, at least one.
        seed: the same seed draws the same bytes, whatever else was drawn before.
        size: width and height of a picture, in pixels.
        overwrite: whether a folder that is already there is replaced.
    """
    folder = Path(folder)
    if folder.exists() and not overwrite:
        raise ValueError(f"{folder} is already there; pass overwrite=True to draw it again.")
    if train < len(VEHICLES) or test < 1:
        raise ValueError(
            f"Got train={train} and test={test}; expected at least {len(VEHICLES)} pictures to "
            "train on, one of each kind, and one to test."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        drawn = Path(scratch, "drawn")
        _draw_files(drawn, train, test, seed, size)
        if folder.exists():
            folder.rename(Path(scratch, "replaced"))
        drawn.rename(folder)


def draw_picture(seed: int, index: int, size: tuple[int, int] = (160, 120)) -> np.ndarray:
    """Picture number `index`, uint8 (height, width, 3) RGB; its kind is index % len(VEHICLES)."""
    rng = np.random.default_rng([seed, index])
    width, height = size
    canvas = np.zeros((2 * height, 2 * width, 3), np.uint8)  # shrunk at the end: finer edges
    _SCENES[rng.integers(len(_SCENES))](canvas, rng)
    _recede(canvas, rng)
    left, right, ground = _draw_vehicle(canvas, VEHICLES[index % len(VEHICLES)], rng)
    for _ in range(rng.choice([0, 1, 2], p=[0.5, 0.4, 0.1])):
        hide = _OCCLUDERS[rng.integers(len(_OCCLUDERS))]
        hide(canvas, rng, rng.uniform(left, right), ground)
    _cast_shadow(canvas, rng)
    return _photograph(cv2.resize(canvas, size, interpolation=cv2.INTER_AREA), rng)


# --- Files


def _draw_files(folder: Path, train: int, test: int, seed: int, size: tuple[int, int]) -> None:
    # As in the real competition, a name tells nothing of the class: not by value, not by order.
    names = np.random.default_rng(seed).choice(40_000_000, train + test, replace=False)
    train_rows: list[tuple[str, int]] = []
    test_rows: list[tuple[str, int]] = []
    for index, name in enumerate(tqdm(names, desc="Drawing pictures", unit="picture")):
        label, file_name = index % len(VEHICLES), f"{1_060_000_000 + name}.jpg"
        if index < train:
            path = folder / "train" / str(label) / file_name
            train_rows.append((file_name, label))
        else:
            path = folder / "test_upload" / file_name
            test_rows.append((file_name, label))
        _write_jpeg(path, draw_picture(seed, index, size))
    _write_csv(folder / "train.csv", sorted(train_rows))
    _write_csv(folder / "truth.csv", sorted(test_rows))
    _write_csv(folder / "sample-submission.csv", sorted((name, 0) for name, _ in test_rows))


def _write_jpeg(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    path.write_bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes())


def _write_csv(path: Path, rows: Iterable[tuple[str, int]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("Id", "Category"), *rows])


# --- Colours and strokes


def _colour(
    rng: Rng, hue: Range = (0, 1), saturation: Range = (0, 1), value: Range = (0.2, 1)
) -> Colour:
    """A colour drawn evenly from these ranges, each a fraction of the whole scale."""
    hsv = rng.uniform(*hue) % 1, rng.uniform(*saturation), rng.uniform(*value)
    return 255 * np.array(colorsys.hsv_to_rgb(*hsv), np.float32)


def _fill(canvas: Canvas, outline: np.ndarray, colour: Colour | float) -> None:
    """Fill one outline, float (points, 2), with smooth edges."""
    fixed_point = np.round(outline * canvas.shape[0] * 16).astype(np.int32)
    cv2.fillPoly(canvas, [fixed_point], np.atleast_1d(colour).tolist(), cv2.LINE_AA, shift=4)


def _rectangle(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def _ellipse(x: float, y: float, width: float, height: float) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return np.stack([x + width / 2 * np.cos(angle), y + height / 2 * np.sin(angle)], axis=1)


def _darken(canvas: Canvas, outline: np.ndarray, amount: float, softness: float) -> None:
    """A soft shadow that takes away `amount` of the light; `softness` in canvas heights."""
    mask = np.zeros(canvas.shape[:2], np.uint8)
    _fill(mask, outline, 255)
    mask = cv2.GaussianBlur(mask, (0, 0), softness * canvas.shape[0])
    canvas[:] = canvas * (1 - np.float32(amount / 255) * mask[..., None])


def _aspect(canvas: Canvas) -> float:
    return canvas.shape[1] / canvas.shape[0]


def _ramp(canvas: Canvas, angle: float) -> np.ndarray:
    """Float32 (height, width, 1): 0 to 1 across the canvas, in the direction of `angle`."""
    x = np.linspace(0, np.cos(angle), canvas.shape[1], dtype=np.float32)
    y = np.linspace(0, np.sin(angle), canvas.shape[0], dtype=np.float32)
    ramp = y[:, None] + x
    return ((ramp - ramp.min()) / np.ptp(ramp))[..., None]


# --- Scenes: what stands behind the vehicle


def _draw_sky(canvas: Canvas, rng: Rng) -> None:
    high = _colour(rng, (0.5, 0.65), (0.05, 0.7), (0.4, 1))
    low = _colour(rng, (0, 1), (0, 0.35), (0.6, 1))
    canvas[:] = high + (low - high) * _ramp(canvas, np.pi / 2)


def _draw_road(canvas: Canvas, rng: Rng, top: float) -> None:
    aspect = _aspect(canvas)
    asphalt = _colour(rng, saturation=(0, 0.2), value=(0.2, 0.6))
    white = _colour(rng, saturation=(0, 0.1), value=(0.9, 1))
    _fill(canvas, _rectangle(0, top, aspect, 1), asphalt)
    if rng.random() < 0.5:
        line, dash = rng.uniform(top, 1), rng.uniform(0.1, 0.3)
        for left in np.arange(-rng.uniform(0, dash), aspect, 2 * dash):
            _fill(canvas, _rectangle(left, line, left + dash, line + 0.015), white)


def _countryside(canvas: Canvas, rng: Rng) -> None:
    _draw_sky(canvas, rng)
    aspect, horizon = _aspect(canvas), rng.uniform(0.3, 0.6)
    x = np.linspace(0, aspect, 40)
    for depth in np.linspace(0, 1, rng.integers(2, 5)):  # hills, the nearest last
        waves = np.sin(x * rng.uniform(2, 9) + rng.uniform(0, 6)) * rng.uniform(0.01, 0.07)
        ridge = np.stack([x, horizon + 0.2 * depth + waves], axis=1)
        colour = _colour(rng, (0.08, 0.42), (0.15, 0.7), (0.25, 0.75))
        _fill(canvas, np.concatenate([ridge, [(aspect, 1), (0, 1)]]), colour)
    for _ in range(rng.integers(0, 7)):
        _draw_bush(canvas, rng, rng.uniform(0, aspect), horizon + rng.uniform(0, 0.25))
    if rng.random() < 0.7:
        _draw_road(canvas, rng, rng.uniform(0.65, 0.85))


def _town(canvas: Canvas, rng: Rng) -> None:
    _draw_sky(canvas, rng)
    aspect, street = _aspect(canvas), rng.uniform(0.5, 0.75)
    left = -rng.uniform(0, 0.2)
    while left < aspect:
        right, top = left + rng.uniform(0.15, 0.5), rng.uniform(0, 0.45)
        _fill(canvas, _rectangle(left, top, right, street), _colour(rng, saturation=(0, 0.5)))
        pane = _colour(rng, saturation=(0, 0.4))
        width, height = rng.uniform(0.03, 0.09, size=2)
        for x in np.arange(left + width / 2, right - width, 1.7 * width):
            for y in np.arange(top + height / 2, street - height, 1.7 * height):
                _fill(canvas, _rectangle(x, y, x + width, y + height), pane)
        left = right
    _draw_road(canvas, rng, street)


def _wall(canvas: Canvas, rng: Rng) -> None:
    """Bricks, planks or panels, by their width and height."""
    stone, joint = _colour(rng, saturation=(0, 0.7)), _colour(rng, saturation=(0, 0.3))
    canvas[:] = joint
    width, height = rng.uniform(0.06, 0.6), rng.uniform(0.04, 0.25)
    gap, uneven = rng.uniform(0.004, 0.015), rng.uniform(0, 0.15)
    for row, y in enumerate(np.arange(0, 1, height)):
        for x in np.arange(-width * (row % 2) / 2, _aspect(canvas), width):
            shade = np.clip(stone * rng.uniform(1 - uneven, 1 + uneven), 0, 255)
            _fill(canvas, _rectangle(x, y, x + width - gap, y + height - gap), shade)
    if rng.random() < 0.8:
        _draw_road(canvas, rng, rng.uniform(0.55, 0.85))


def _clutter(canvas: Canvas, rng: Rng) -> None:
    start, end = (_colour(rng, saturation=(0, 0.6)) for _ in range(2))
    canvas[:] = start + (end - start) * _ramp(canvas, rng.uniform(0, 2 * np.pi))
    for _ in range(rng.integers(0, 25)):
        centre = rng.uniform((0, 0), (_aspect(canvas), 1))
        corners = rng.normal(0, rng.uniform(0.03, 0.15), (rng.integers(3, 6), 2))
        _fill(canvas, centre + corners, _colour(rng))


def _texture(canvas: Canvas, rng: Rng) -> None:
    """Noise in octaves, between two colours: gravel, foliage, plaster, fog."""
    height, width = canvas.shape[:2]
    noise, total = np.zeros((height, width), np.float32), 0.0
    roughness = rng.uniform(0.4, 1)
    for octave in range(2, 7):
        grid = rng.random((2**octave * 3 // 4, 2**octave), dtype=np.float32)
        weight = roughness**octave
        noise += weight * cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR)
        total += weight
    start, end = (_colour(rng, saturation=(0, 0.6)) for _ in range(2))
    canvas[:] = start + (end - start) * (noise / total)[..., None]


def _recede(canvas: Canvas, rng: Rng) -> None:
    """Set the scene back behind the vehicle, on which the lens is focused."""
    blurred = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.002, 0.02) * canvas.shape[0])
    haze = _colour(rng, saturation=(0, 0.15), value=(0.75, 1))
    thickness = np.float32(rng.uniform(0.45, 0.75))
    canvas[:] = blurred + (haze - blurred) * thickness


_SCENES: tuple[Callable[[Canvas, Rng], None], ...] = (
    _countryside, _countryside, _town, _town, _wall, _clutter, _texture,
)  # fmt: skip


# --- The vehicle


def _draw_vehicle(canvas: Canvas, kind: str, rng: Rng) -> tuple[float, float, float]:
    """Draw it somewhere, and say where: its left, its right and the ground it stands on."""
    parts = build_vehicle(kind, rng)
    low = np.min([part.outline.min(axis=0) for part in parts], axis=0)
    high = np.max([part.outline.max(axis=0) for part in parts], axis=0)
    # Every kind covers about as much of the picture: neither size nor amount of colour betrays it.
    scale = rng.uniform(0.64, 0.78) / np.sqrt(np.prod(high - low))
    scale = min(scale, 1.25 / (high - low)[0])
    turn, shear = np.radians(rng.uniform(-6, 6)), rng.uniform(-0.1, 0.1)
    mirror = rng.choice([-1, 1])
    cosine, sine = np.cos(turn), np.sin(turn)
    matrix = np.array([(cosine, -sine), (sine, cosine)]) @ np.array([(1, shear), (0, 1)])
    matrix = matrix @ np.diag([mirror * scale, -scale])
    half_width, half_height = np.abs(matrix) @ (high - low) / 2
    slack = _aspect(canvas) / 2 - 0.93 * half_width  # up to 7 % may stick out of the picture
    centre_x = _aspect(canvas) / 2 + rng.uniform(-1, 1) * np.clip(slack, 0, 0.12)
    centre_y = rng.uniform(0.5, 0.62)

    def place(outline: np.ndarray) -> np.ndarray:
        return (outline - (low + high) / 2) @ matrix.T + (centre_x, centre_y)

    length = high[0]
    _darken(canvas, place(_ellipse(length / 2, 0, length, 4)), rng.uniform(0.3, 0.8), 0.012)
    paints = _paints(rng)
    mask = np.zeros(canvas.shape[:2], np.uint8)
    for part in parts:
        _fill(canvas, place(part.outline), paints[part.paint])
        _fill(mask, place(part.outline), 255)
    shine = rng.uniform(0, 0.7) * (0.5 - _ramp(canvas, np.pi / 2 - turn))  # light from above
    canvas[:] = np.clip(canvas * (1 + shine * (mask[..., None] / np.float32(255))), 0, 255)
    return centre_x - half_width, centre_x + half_width, centre_y + half_height


def _paints(rng: Rng) -> dict[str, Colour]:
    """One vehicle's colours, drawn in the same way for every kind."""
    return {
        "body": _colour(rng, saturation=(0.3, 1), value=(0.4, 0.9)),
        "accent": _colour(rng, saturation=(0.3, 1), value=(0.4, 0.9)),
        "glass": _colour(rng, (0.5, 0.65), (0.05, 0.3), (0.12, 0.35)),
        "rubber": _colour(rng, saturation=(0, 0.1), value=(0.08, 0.22)),
        "gap": _colour(rng, saturation=(0, 0.1), value=(0.02, 0.15)),
        "metal": _colour(rng, saturation=(0, 0.1), value=(0.45, 0.9)),
        "lamp": _colour(rng, (0.1, 0.17), (0, 0.4), (0.85, 1)),
        "tail": _colour(rng, (-0.03, 0.04), (0.7, 1), (0.5, 0.9)),
    }


# --- Occluders: what stands before it, at `x`, on `ground`


def _draw_pole(canvas: Canvas, rng: Rng, x: float, ground: float) -> None:
    width, bottom = rng.uniform(0.015, 0.05), ground + rng.uniform(0, 0.1)
    colour = _colour(rng, saturation=(0, 0.4))
    _fill(canvas, _rectangle(x - width, 0, x + width, bottom), 0.7 * colour)
    _fill(canvas, _rectangle(x - width, 0, x + width / 4, bottom), colour)


def _draw_tree(canvas: Canvas, rng: Rng, x: float, ground: float) -> None:
    trunk, bottom = rng.uniform(0.02, 0.045), ground + rng.uniform(0, 0.1)
    bark = _colour(rng, (0.05, 0.1), (0.3, 0.6), (0.2, 0.45))
    _fill(canvas, _rectangle(x - trunk, 0, x + trunk, bottom), bark)
    for _ in range(3):
        _draw_bush(canvas, rng, x + rng.normal(0, 0.12), rng.uniform(0, 0.25))


def _draw_bush(canvas: Canvas, rng: Rng, x: float, ground: float) -> None:
    spread, hue = rng.uniform(0.04, 0.12), rng.uniform(0.15, 0.4)
    for _ in range(rng.integers(6, 14)):
        dx, dy = rng.normal(0, spread * 0.6, size=2)
        leaves = _ellipse(x + dx, ground - spread / 2 + dy, *rng.uniform(0.4, 1.1, size=2) * spread)
        _fill(canvas, leaves, _colour(rng, (hue - 0.03, hue + 0.03), (0.4, 0.8), (0.2, 0.6)))


def _draw_railing(canvas: Canvas, rng: Rng, x: float, ground: float) -> None:
    top, bottom = ground - rng.uniform(0.1, 0.22), ground + 0.04
    step, reach = rng.uniform(0.04, 0.09), rng.uniform(0.2, 0.6)
    colour = _colour(rng, saturation=(0, 0.5))
    for bar in np.arange(x - reach, x + reach, step):
        _fill(canvas, _rectangle(bar, top, bar + 0.012, bottom), colour)
    for rail in (top, bottom - 0.05):
        _fill(canvas, _rectangle(x - reach, rail, x + reach, rail + 0.018), colour)


def _draw_board(canvas: Canvas, rng: Rng, x: float, ground: float) -> None:
    """A sign or a crate: a slightly crooked patch of one colour."""
    width, height = rng.uniform(0.07, 0.2, size=2)
    centre = (x, ground - rng.uniform(0, 0.3))
    crooked = _rectangle(-width, -height, width, height) + rng.normal(0, 0.01, (4, 2))
    _fill(canvas, centre + crooked / 2, _colour(rng))
    _fill(canvas, centre + crooked / 3, _colour(rng))


_OCCLUDERS: tuple[Callable[[Canvas, Rng, float, float], None], ...] = (
    _draw_pole, _draw_tree, _draw_bush, _draw_railing, _draw_board,
)  # fmt: skip


# --- Light and camera


def _cast_shadow(canvas: Canvas, rng: Rng) -> None:
    """Now and then, the shadow of something outside the picture."""
    if rng.random() < 0.25:
        x, width, slant = rng.uniform((0, 0.1, -0.5), (_aspect(canvas), 0.6, 0.5))
        band = np.array([(x, 0), (x + width, 0), (x + width + slant, 1), (x + slant, 1)])
        _darken(canvas, band, rng.uniform(0.2, 0.55), 0.015)


def _photograph(picture: np.ndarray, rng: Rng) -> np.ndarray:
    """Brightness, tint and a gradient of light; then blur, then the sensor's noise."""
    light = rng.uniform(0.75, 1.1) * rng.uniform(0.92, 1.08, size=3)
    slope = rng.uniform(0, 0.5) * (_ramp(picture, rng.uniform(0, 2 * np.pi)) - 0.5)
    seen = picture * light.astype(np.float32) * (1 + slope)
    seen = cv2.GaussianBlur(seen, (0, 0), rng.uniform(0.2, 1.0))
    seen += rng.uniform(1, 6) * rng.standard_normal(seen.shape, dtype=np.float32)
    return np.clip(seen, 0, 255).round().astype(np.uint8)
