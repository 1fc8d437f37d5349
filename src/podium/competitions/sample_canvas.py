"""Colors and strokes that the sample competition is drawn with."""

import colorsys

import cv2
import numpy as np

Canvas = np.ndarray  # uint8 (height, width, 3), RGB; its points are counted in canvas heights
Color = np.ndarray  # float32 (3,), 0 to 255
Range = tuple[float, float]
Rng = np.random.Generator


def random_color(
    rng: Rng, hue: Range = (0, 1), saturation: Range = (0, 1), value: Range = (0.2, 1)
) -> Color:
    """A color drawn evenly from these ranges, each a fraction of the whole scale."""
    hsv = rng.uniform(*hue) % 1, rng.uniform(*saturation), rng.uniform(*value)
    return 255 * np.array(colorsys.hsv_to_rgb(*hsv), np.float32)


def fill(canvas: Canvas, outline: np.ndarray, color: Color | float) -> None:
    """Fill one outline, float (points, 2), with smooth edges."""
    fixed_point = np.round(outline * canvas.shape[0] * 16).astype(np.int32)
    cv2.fillPoly(canvas, [fixed_point], np.atleast_1d(color).tolist(), cv2.LINE_AA, shift=4)


def rectangle(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def ellipse(x: float, y: float, width: float, height: float) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return np.stack([x + width / 2 * np.cos(angle), y + height / 2 * np.sin(angle)], axis=1)


def darken(canvas: Canvas, outline: np.ndarray, amount: float, softness: float) -> None:
    """A soft shadow that takes away `amount` of the light; `softness` in canvas heights."""
    mask = np.zeros(canvas.shape[:2], np.uint8)
    fill(mask, outline, 255)
    mask = cv2.GaussianBlur(mask, (0, 0), softness * canvas.shape[0])
    canvas[:] = canvas * (1 - np.float32(amount / 255) * mask[..., None])


def aspect_of(canvas: Canvas) -> float:
    return canvas.shape[1] / canvas.shape[0]


def ramp_of(canvas: Canvas, angle: float) -> np.ndarray:
    """Float32 (height, width, 1): 0 to 1 across the canvas, in the direction of `angle`."""
    x = np.linspace(0, np.cos(angle), canvas.shape[1], dtype=np.float32)
    y = np.linspace(0, np.sin(angle), canvas.shape[0], dtype=np.float32)
    ramp = y[:, None] + x
    return ((ramp - ramp.min()) / np.ptp(ramp))[..., None]
