"""The sample competition: vehicles drawn by code, laid out as Kaggle unpacks a real competition.

It lets the demo and the tests run with nothing downloaded. The classes differ in shape alone:
color, place, light and background come from the same distributions for all of them.
"""

import colorsys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from podium.files.atomic_write import atomic_folder, write_csv

Canvas = np.ndarray  # uint8 (height, width, 3) RGB; its points are counted in canvas heights
Part = tuple[str, np.ndarray | list[tuple[float, float]]]  # a paint; an outline in decimeters
Rng = np.random.Generator


def _box(paint: str, left: float, bottom: float, right: float, top: float) -> Part:
    return paint, [(left, bottom), (left, top), (right, top), (right, bottom)]


def _wheel(x: float, radius: float) -> list[Part]:
    angle = np.linspace(0, 2 * np.pi, 33)
    circle = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    hub = np.array((x, radius))
    return [("rubber", hub + circle), ("metal", hub + 0.55 * circle)]


# Side views, back to front; x goes from the tail to the nose, y upwards from the road.
_PARTS: dict[str, list[Part]] = {
    "sedan": [
        ("body", [(0, 2.6), (0, 8.8), (1, 10), (9.5, 10.2), (14.5, 13.8), (17, 14.4), (25, 14.4),
                  (28.5, 13.6), (34, 9.6), (43.5, 8.2), (46, 6), (46, 2.6)]),
        ("glass", [(12, 10.2), (15.6, 13.1), (20.6, 13.4), (20.6, 10)]),
        ("glass", [(21.8, 10), (21.8, 13.4), (25, 13.4), (27.8, 12.7), (31.6, 9.8)]),
        _box("lamp", 43.2, 6, 45.8, 7.5), *_wheel(9, 3.2), *_wheel(37, 3.2),
    ],
    "van": [
        ("body", [(0, 3), (0, 21), (1.4, 22.4), (31, 22.4), (35.4, 21.4), (41, 13.2), (47.6, 11),
                  (49.6, 8), (49.6, 3)]),
        ("glass", [(32, 13), (32, 20), (35, 20), (39.6, 13)]), _box("gap", 17.3, 4, 17.7, 21),
        _box("lamp", 46.6, 8, 49.2, 10), *_wheel(9.6, 3.5), *_wheel(40.6, 3.5),
    ],
    "bus": [
        ("body", [(0, 3), (0, 24.6), (1.4, 26), (66, 26), (69, 24), (70, 12), (70, 3)]),
        *(_box("glass", left, 13.6, left + 9, 22.4) for left in (2.4, 12.4, 22.4, 32.4, 42.4)),
        _box("glass", 53, 4.4, 59.6, 22.4), _box("glass", 61.4, 11.6, 68.2, 22.4),
        _box("lamp", 67.4, 6, 69.8, 8.2), *_wheel(15, 4.2), *_wheel(48, 4.2),
    ],
    "truck": [
        _box("gap", 1, 5, 56, 7.6), _box("accent", 0, 8, 47, 31),
        *(_box("gap", x, 8.6, x + 0.3, 30.4) for x in (9.4, 18.8, 28.2, 37.6)),
        ("body", [(49.6, 3.4), (49.6, 23), (51.6, 25.4), (60.4, 25.4), (64.4, 12), (64.4, 3.4)]),
        ("glass", [(54, 14), (54, 22.4), (60, 22.4), (62.2, 14)]),
        _box("lamp", 61.8, 5.4, 64.2, 7.6), *_wheel(8, 4), *_wheel(17, 4), *_wheel(56, 4),
    ],
    "tractor": [
        ("glass", [(4.6, 13), (6.4, 25.4), (17, 25.4), (19.4, 13)]),
        _box("body", 4.8, 25, 18.6, 27), _box("metal", 27, 15, 28, 23),
        ("body", [(1, 13), (4, 17.4), (13, 17.4), (17, 15.8), (34, 14.6), (36.4, 13), (36.4, 7)]),
        _box("gap", 24, 9.8, 35, 12.2), _box("lamp", 34.6, 10.6, 36.4, 12.6),
        *_wheel(8.6, 8.2), *_wheel(31, 4.8),
    ],
    "motorcycle": [
        *_wheel(5.6, 5.4), *_wheel(30, 5.4),
        ("metal", [(29.4, 5.2), (23.8, 18.4), (25, 18.8), (30.6, 5.6)]),
        ("gap", [(5.6, 4.7), (12, 11), (22, 12), (23, 5), (20, 4)]),
        ("accent", [(0, 12.4), (4, 16), (13, 14.6), (14, 11), (5, 11.6)]),
        ("body", [(12.6, 11.4), (14, 15), (17.6, 17.6), (23, 17), (25, 13), (20, 11)]),
        ("body", [(23.4, 13.4), (22.6, 19), (25, 19.6), (28.6, 15.6), (27, 12)]),
        ("glass", [(23.8, 18.8), (23.2, 22.6), (24.6, 22.4), (27.6, 17)]),
        _box("gap", 20.6, 19, 25, 20), _box("lamp", 26.8, 14, 28.8, 16.2),
    ],
}  # fmt: skip

VEHICLES: tuple[str, ...] = tuple(_PARTS)

# Ranges of hue, saturation and value.
_PAINTS = {
    "body": ((0, 1), (0.3, 1), (0.4, 0.9)),
    "accent": ((0, 1), (0.3, 1), (0.4, 0.9)),
    "glass": ((0.5, 0.65), (0.05, 0.3), (0.12, 0.35)),
    "rubber": ((0, 1), (0, 0.1), (0.08, 0.22)),
    "gap": ((0, 1), (0, 0.1), (0.02, 0.15)),
    "metal": ((0, 1), (0, 0.1), (0.45, 0.9)),
    "lamp": ((0.1, 0.17), (0, 0.4), (0.85, 1)),
    "pale": ((0, 1), (0, 0.2), (0.6, 1)),
    "any": ((0, 1), (0, 0.7), (0.2, 1)),
}


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
        train: number of labeled images.
        test: number of images to predict.
        seed: the same seed draws the same bytes, whatever else was drawn before.
        size: width and height of an image, in pixels.
        overwrite: whether a folder that is already there is replaced.
    """
    if folder.exists() and not overwrite:
        raise ValueError(f"{folder} is already there; pass overwrite=True to draw it again.")
    # As in the real competition, a name tells nothing of the class: not by value, not by order.
    names = np.random.default_rng(seed).choice(40_000_000, train + test, replace=False)
    files = [f"{1_060_000_000 + name}.jpg" for name in names]
    labels = [index % len(VEHICLES) for index in range(len(files))]
    with atomic_folder(folder, replace=overwrite) as part:

        def draw(index: int) -> None:
            place = Path("train", str(labels[index])) if index < train else Path("test_upload")
            path = part / place / files[index]
            path.parent.mkdir(parents=True, exist_ok=True)
            bgr = cv2.cvtColor(draw_image(seed, index, size), cv2.COLOR_RGB2BGR)
            path.write_bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 92])[1])

        with ThreadPoolExecutor() as pool:  # OpenCV and NumPy release the lock
            drawn = pool.map(draw, range(len(files)))
            list(tqdm(drawn, "drawing images", len(files), unit=" images"))
        table = pd.DataFrame({"Id": files, "Category": labels})
        labeled, truth = table[:train].sort_values("Id"), table[train:].sort_values("Id")
        write_csv(part / "train.csv", labeled, index=False)
        write_csv(part / "truth.csv", truth, index=False)
        write_csv(part / "sample-submission.csv", truth.assign(Category=0), index=False)


def draw_image(seed: int, index: int, size: tuple[int, int] = (160, 120)) -> np.ndarray:
    """Image number `index`, uint8 (height, width, 3) RGB; its class is index % len(VEHICLES)."""
    rng = np.random.default_rng([seed, index])
    width, height = size
    canvas = np.zeros((2 * height, 2 * width, 3), np.uint8)  # shrunk at the end: finer edges
    _draw_background(canvas, rng)
    _draw_vehicle(canvas, _PARTS[VEHICLES[index % len(VEHICLES)]], rng)
    if rng.random() < 0.5:  # a post stands before it
        left = rng.uniform(0.2, 0.8) * width / height
        _fill(canvas, _rectangle(left, 0, left + rng.uniform(0.02, 0.06), 1), _color(rng, "any"))
    return _photograph(cv2.resize(canvas, size, interpolation=cv2.INTER_AREA), rng)


def _color(rng: Rng, paint: str) -> np.ndarray:
    """A color of the paint, float32 (3,), 0 to 255."""
    hue, saturation, value = (rng.uniform(*limits) for limits in _PAINTS[paint])
    return 255 * np.array(colorsys.hsv_to_rgb(hue, saturation, value), np.float32)


def _fill(canvas: Canvas, outline: np.ndarray, color: np.ndarray) -> None:
    """Fill an outline, float (points, 2), with smooth edges."""
    fixed_point = np.round(outline * canvas.shape[0] * 16).astype(np.int32)
    cv2.fillPoly(canvas, [fixed_point], color.tolist(), cv2.LINE_AA, shift=4)


def _rectangle(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def _ramp(canvas: Canvas, rng: Rng) -> np.ndarray:
    """Float32 (height, width, 1): 0 to 1 across the canvas, in some direction."""
    angle = rng.uniform(0, 2 * np.pi)
    x = np.linspace(0, np.cos(angle), canvas.shape[1], dtype=np.float32)
    y = np.linspace(0, np.sin(angle), canvas.shape[0], dtype=np.float32)
    ramp = y[:, None] + x
    return ((ramp - ramp.min()) / np.ptp(ramp))[..., None]


def _draw_background(canvas: Canvas, rng: Rng) -> None:
    """Houses, hills and a road below a gradient of colors; out of focus, and in haze."""
    aspect = canvas.shape[1] / canvas.shape[0]
    start, end = _color(rng, "any"), _color(rng, "pale")
    canvas[:] = start + (end - start) * _ramp(canvas, rng)
    for _ in range(rng.integers(5)):
        left, top, width, pane = rng.uniform((-0.2, 0, 0.2, 0.04), (aspect, 0.5, 0.7, 0.1))
        color = _color(rng, "any")
        _fill(canvas, _rectangle(left, top, left + width, 1), _color(rng, "any"))
        for x in np.arange(left + pane / 2, left + width - pane, 1.7 * pane):
            for y in np.arange(top + pane / 2, 1, 1.7 * pane):
                _fill(canvas, _rectangle(x, y, x + pane, y + pane), color)
    x = np.linspace(0, aspect, 40)
    for depth in np.linspace(0, 0.3, rng.integers(4)):
        waves = np.sin(x * rng.uniform(2, 9) + rng.uniform(0, 6)) * rng.uniform(0.01, 0.1)
        ridge = np.stack([x, rng.uniform(0.3, 0.6) + depth + waves], axis=1)
        _fill(canvas, np.concatenate([ridge, [(aspect, 1), (0, 1)]]), _color(rng, "any"))
    if rng.random() < 0.7:
        _fill(canvas, _rectangle(0, rng.uniform(0.55, 0.85), aspect, 1), _color(rng, "any"))
    blurred = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.002, 0.02) * canvas.shape[0])
    haze, thickness = _color(rng, "pale"), np.float32(rng.uniform(0.35, 0.7))
    canvas[:] = blurred + (haze - blurred) * thickness


def _draw_vehicle(canvas: Canvas, parts: list[Part], rng: Rng) -> None:
    """Draw it somewhere near the middle, with other proportions each time."""
    aspect = canvas.shape[1] / canvas.shape[0]
    points = np.concatenate([outline for _, outline in parts])
    low, high = points.min(axis=0), points.max(axis=0)
    stretch = rng.uniform(0.92, 1.08, size=2)
    width, height = (high - low) * stretch
    # Every class covers about as much of the image: neither size nor amount of color betrays it.
    scale = min(rng.uniform(0.64, 0.78) / np.sqrt(width * height), 1.25 / width)
    turn, shear = np.radians(rng.uniform(-8, 8)), rng.uniform(-0.15, 0.15)
    rotation = np.array([(np.cos(turn), -np.sin(turn)), (np.sin(turn), np.cos(turn))])
    mirror = rng.choice([-1, 1])
    matrix = rotation @ [(1, shear), (0, 1)] @ np.diag(stretch * (mirror * scale, -scale))
    slack = np.clip((aspect - width * scale) / 2, 0, 0.12)
    center = aspect / 2 + rng.uniform(-1, 1) * slack, rng.uniform(0.5, 0.62)
    paints = {paint: _color(rng, paint) for paint in _PAINTS}
    for paint, outline in parts:
        _fill(canvas, (outline - (low + high) / 2) @ matrix.T + center, paints[paint])


def _photograph(image: np.ndarray, rng: Rng) -> np.ndarray:
    """Brightness, tint and a gradient of light; then blur, then the sensor's noise."""
    light = (rng.uniform(0.75, 1.1) * rng.uniform(0.92, 1.08, size=3)).astype(np.float32)
    seen = image * light * (1 + np.float32(rng.uniform(0, 0.5)) * (_ramp(image, rng) - 0.5))
    seen = cv2.GaussianBlur(seen, (0, 0), rng.uniform(0.2, 1.0))
    seen += rng.uniform(1, 6) * rng.standard_normal(seen.shape, dtype=np.float32)
    return np.clip(seen, 0, 255).round().astype(np.uint8)
