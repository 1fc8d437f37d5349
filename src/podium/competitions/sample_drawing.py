"""The sample competition: vehicles drawn by code, laid out as Kaggle unpacks a real competition.

It lets the demo and the tests run with nothing downloaded. The kinds differ in shape alone: color,
place, light and background come from the same distributions for all of them.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from podium.competitions.sample_canvas import (
    Canvas,
    Color,
    Rng,
    aspect_of,
    darken,
    ellipse,
    fill,
    ramp_of,
    random_color,
)
from podium.competitions.sample_scenes import OCCLUDERS, SCENES, recede
from podium.competitions.sample_vehicles import VEHICLES, build_vehicle

__all__ = ["VEHICLES", "draw_sample"]


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
        train: number of labeled images, at least one of each kind.
        test: number of images to predict, at least one.
        seed: the same seed draws the same bytes, whatever else was drawn before.
        size: width and height of an image, in pixels.
        overwrite: whether a folder that is already there is replaced.
    """
    folder = Path(folder)
    if folder.exists() and not overwrite:
        raise ValueError(f"{folder} is already there; pass overwrite=True to draw it again.")
    if train < len(VEHICLES) or test < 1:
        raise ValueError(
            f"Got train={train} and test={test}; expected at least {len(VEHICLES)} images to "
            "train on, one of each kind, and one to test."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        drawn = Path(scratch, "drawn")
        _draw_files(drawn, train, test, seed, size)
        if folder.exists():
            folder.rename(Path(scratch, "replaced"))
        drawn.rename(folder)


def draw_image(seed: int, index: int, size: tuple[int, int] = (160, 120)) -> np.ndarray:
    """Image number `index`, uint8 (height, width, 3) RGB; its kind is index % len(VEHICLES)."""
    rng = np.random.default_rng([seed, index])
    width, height = size
    canvas = np.zeros((2 * height, 2 * width, 3), np.uint8)  # shrunk at the end: finer edges
    SCENES[rng.integers(len(SCENES))](canvas, rng)
    recede(canvas, rng)
    left, right, ground = _draw_vehicle(canvas, VEHICLES[index % len(VEHICLES)], rng)
    for _ in range(rng.choice([0, 1, 2], p=[0.5, 0.4, 0.1])):
        hide = OCCLUDERS[rng.integers(len(OCCLUDERS))]
        hide(canvas, rng, rng.uniform(left, right), ground)
    _cast_shadow(canvas, rng)
    return _photograph(cv2.resize(canvas, size, interpolation=cv2.INTER_AREA), rng)


# --- Files


def _draw_files(folder: Path, train: int, test: int, seed: int, size: tuple[int, int]) -> None:
    # As in the real competition, a name tells nothing of the class: not by value, not by order.
    names = np.random.default_rng(seed).choice(40_000_000, train + test, replace=False)
    files = [f"{1_060_000_000 + name}.jpg" for name in names]
    labels = [index % len(VEHICLES) for index in range(len(files))]

    def draw(index: int) -> None:
        part = Path("train", str(labels[index])) if index < train else Path("test_upload")
        _write_jpeg(folder / part / files[index], draw_image(seed, index, size))

    with ThreadPoolExecutor() as pool:  # OpenCV and NumPy release the lock
        drawn = pool.map(draw, range(len(files)))
        list(tqdm(drawn, "drawing images", len(files), unit=" images"))
    rows = list(zip(files, labels, strict=True))
    train_rows, test_rows = rows[:train], rows[train:]
    _write_csv(folder / "train.csv", sorted(train_rows))
    _write_csv(folder / "truth.csv", sorted(test_rows))
    _write_csv(folder / "sample-submission.csv", sorted((name, 0) for name, _ in test_rows))


def _write_jpeg(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    path.write_bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes())


def _write_csv(path: Path, rows: Iterable[tuple[str, int]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("Id", "Category"), *rows])


# --- The vehicle


def _draw_vehicle(canvas: Canvas, kind: str, rng: Rng) -> tuple[float, float, float]:
    """Draw it somewhere, and say where: its left, its right and the ground it stands on."""
    parts = build_vehicle(kind, rng)
    low = np.min([part.outline.min(axis=0) for part in parts], axis=0)
    high = np.max([part.outline.max(axis=0) for part in parts], axis=0)
    # Every kind covers about as much of the image: neither size nor amount of color betrays it.
    scale = rng.uniform(0.64, 0.78) / np.sqrt(np.prod(high - low))
    scale = min(scale, 1.25 / (high - low)[0])
    turn, shear = np.radians(rng.uniform(-6, 6)), rng.uniform(-0.1, 0.1)
    mirror = rng.choice([-1, 1])
    cosine, sine = np.cos(turn), np.sin(turn)
    matrix = np.array([(cosine, -sine), (sine, cosine)]) @ np.array([(1, shear), (0, 1)])
    matrix = matrix @ np.diag([mirror * scale, -scale])
    half_width, half_height = np.abs(matrix) @ (high - low) / 2
    slack = aspect_of(canvas) / 2 - 0.93 * half_width  # up to 7 % may stick out of the image
    center_x = aspect_of(canvas) / 2 + rng.uniform(-1, 1) * np.clip(slack, 0, 0.12)
    center_y = rng.uniform(0.5, 0.62)

    def place(outline: np.ndarray) -> np.ndarray:
        return (outline - (low + high) / 2) @ matrix.T + (center_x, center_y)

    length = high[0]
    darken(canvas, place(ellipse(length / 2, 0, length, 4)), rng.uniform(0.3, 0.8), 0.012)
    paints = _paints(rng)
    mask = np.zeros(canvas.shape[:2], np.uint8)
    for part in parts:
        fill(canvas, place(part.outline), paints[part.paint])
        fill(mask, place(part.outline), 255)
    shine = rng.uniform(0, 0.7) * (0.5 - ramp_of(canvas, np.pi / 2 - turn))  # light from above
    canvas[:] = np.clip(canvas * (1 + shine * (mask[..., None] / np.float32(255))), 0, 255)
    return center_x - half_width, center_x + half_width, center_y + half_height


def _paints(rng: Rng) -> dict[str, Color]:
    """One vehicle's colors, drawn in the same way for every kind."""
    return {
        "body": random_color(rng, saturation=(0.3, 1), value=(0.4, 0.9)),
        "accent": random_color(rng, saturation=(0.3, 1), value=(0.4, 0.9)),
        "glass": random_color(rng, (0.5, 0.65), (0.05, 0.3), (0.12, 0.35)),
        "rubber": random_color(rng, saturation=(0, 0.1), value=(0.08, 0.22)),
        "gap": random_color(rng, saturation=(0, 0.1), value=(0.02, 0.15)),
        "metal": random_color(rng, saturation=(0, 0.1), value=(0.45, 0.9)),
        "lamp": random_color(rng, (0.1, 0.17), (0, 0.4), (0.85, 1)),
        "tail": random_color(rng, (-0.03, 0.04), (0.7, 1), (0.5, 0.9)),
    }


# --- Light and camera


def _cast_shadow(canvas: Canvas, rng: Rng) -> None:
    """Now and then, the shadow of something outside the image."""
    if rng.random() < 0.25:
        x, width, slant = rng.uniform((0, 0.1, -0.5), (aspect_of(canvas), 0.6, 0.5))
        band = np.array([(x, 0), (x + width, 0), (x + width + slant, 1), (x + slant, 1)])
        darken(canvas, band, rng.uniform(0.2, 0.55), 0.015)


def _photograph(image: np.ndarray, rng: Rng) -> np.ndarray:
    """Brightness, tint and a gradient of light; then blur, then the sensor's noise."""
    light = rng.uniform(0.75, 1.1) * rng.uniform(0.92, 1.08, size=3)
    slope = rng.uniform(0, 0.5) * (ramp_of(image, rng.uniform(0, 2 * np.pi)) - 0.5)
    seen = image * light.astype(np.float32) * (1 + slope)
    seen = cv2.GaussianBlur(seen, (0, 0), rng.uniform(0.2, 1.0))
    seen += rng.uniform(1, 6) * rng.standard_normal(seen.shape, dtype=np.float32)
    return np.clip(seen, 0, 255).round().astype(np.uint8)
