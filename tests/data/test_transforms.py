"""Boxes follow the pixels: what is drawn is found in the changed image where its box says."""

from concurrent.futures import ThreadPoolExecutor

import albumentations as A  # noqa: N812
import cv2
import numpy as np
import pytest

from podium.competitions.boxes import has_box
from podium.data.augmentation import (
    LEAST_VISIBLE,
    augment,
    build_augmenter,
    seeded_augmenter,
)
from podium.data.outlines import ELLIPSE, RECTANGLE
from podium.data.transforms import Shift
from podium.recipes.tables import Augmentation

pytestmark = pytest.mark.filterwarnings("error")

SIZE = 64
NOTHING = {"mirror": False, "crop": 1.0, "rotate": 0.0, "light": 0.0, "color": 0.0}
SHAPES = [(64, 64), (200, 150), (90, 333), (40, 30), (301, 450)]
# In the middle: its reflection in the border is never seen, however it is turned or moved.
INNER = (0.25, 0.3, 0.7, 0.65)
CORNERS = [(0.0, 0.0, 0.4, 0.5), (0.5, 0.6, 1.0, 1.0), (0.0, 0.3, 1.0, 0.8), (0.0, 0.0, 1.0, 1.0)]


def only(**settings: object) -> Augmentation:
    return Augmentation.model_validate({**NOTHING, **settings})


def with_box(
    shape: tuple[int, int], shares: tuple[float, ...], outline: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A rectangle or an ellipse, white in black, and its box."""
    height, width = shape
    box = np.rint(np.array(shares) * (width, height, width, height)).astype(int)
    x, y, other_x, other_y = box
    image = np.zeros((height, width, 3), np.uint8)
    if outline is RECTANGLE:
        image[y:other_y, x:other_x] = 255
    else:
        large = np.zeros((8 * height, 8 * width), np.uint8)  # for OpenCV draws on whole pixels
        center, axes = (
            (4 * (x + other_x), 4 * (y + other_y)),
            (4 * (other_x - x), 4 * (other_y - y)),
        )
        cv2.ellipse(large, tuple(map(int, center)), tuple(map(int, axes)), 0, 0, 360, 255, -1)
        image[:] = cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA)[..., None]
    return image, np.float32(box / (width, height, width, height))


def found(image: np.ndarray) -> np.ndarray:
    """Where the white is, in pixels' edges."""
    y, x = np.nonzero(image[..., 1] > 127)
    return np.array([x.min(), y.min(), x.max() + 1, y.max() + 1], float)


SETTINGS = {
    "mirror": {"mirror": True},
    "crop": {"crop": 0.4},
    "turn": {"rotate": 20.0},
    "shift": {"shift": 8},
    "framed": {"mirror": True, "crop": 0.4, "rotate": 15.0},
    # Not after a crop: what it cuts goes on as a reflection in what the shift brings in.
    "turned and shifted": {"mirror": True, "rotate": 10.0, "shift": 5},
}


@pytest.mark.parametrize("outline", [RECTANGLE, ELLIPSE], ids=["rectangle", "ellipse"])
@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_box_is_where_its_pixels_are(
    shape: tuple[int, int], name: str, outline: np.ndarray
) -> None:
    image, box = with_box(shape, INNER, outline)
    augmenter = build_augmenter(only(**SETTINGS[name]), SIZE)
    off = []
    for seed in range(60):
        changed, moved = augment(augmenter, image, seed, box, outline)
        if has_box(moved):
            off.append(np.abs(moved * SIZE - found(changed)).max())
        else:
            assert name in ("crop", "framed"), "nothing else cuts it away"
    # Half a pixel is what a threshold on the blurred edge of an enlarged image may be off, and
    # half of one the rounding; of a small image that grows a pixel is several.
    grows = max(1, SIZE / min(shape))
    assert max(off) < 1 + (grows - 1) / 2, max(off)
    assert np.mean(off) < 0.75 * grows
    assert len(off) > 40


@pytest.mark.parametrize("outline", [RECTANGLE, ELLIPSE], ids=["rectangle", "ellipse"])
@pytest.mark.parametrize("shares", CORNERS, ids=str)
def test_a_box_at_the_border_is_cut_as_its_pixels_are(
    shares: tuple[float, ...], outline: np.ndarray
) -> None:
    image, box = with_box((120, 200), shares, outline)
    augmenter = build_augmenter(only(mirror=True, crop=0.4), SIZE)
    kept = 0
    for seed in range(80):
        changed, moved = augment(augmenter, image, seed, box, outline)
        if has_box(moved):
            np.testing.assert_allclose(moved * SIZE, found(changed), atol=1.01, err_msg=str(seed))
            kept += 1
    assert kept > 20


def test_less_than_the_share_in_the_image_is_cut_away() -> None:
    image, box = with_box((120, 200), (0.0, 0.1, 0.4, 0.6), RECTANGLE)
    image[..., 0] = np.linspace(0, 250, 200).astype(np.uint8)  # by these the crop's sides
    image[..., 2] = np.linspace(0, 250, 120).astype(np.uint8)[:, None]
    augmenter = build_augmenter(only(crop=0.3), SIZE)
    whole, dropped, cut = float(np.prod(box[2:] - box[:2])), 0, 0
    for seed in range(300):
        changed, moved = augment(augmenter, image, seed, box, RECTANGLE)
        values = changed.astype(float)
        across = (values[0, -1, 0] - values[0, 0, 0]) / 250 * SIZE / (SIZE - 1)
        down = (values[-1, 0, 2] - values[0, 0, 2]) / 250 * SIZE / (SIZE - 1)
        share = (changed[..., 1] > 127).mean() * across * down / whole
        if abs(share - LEAST_VISIBLE) > 0.05:
            assert has_box(moved) == (share > LEAST_VISIBLE), (seed, share)
        dropped += share < LEAST_VISIBLE
        cut += LEAST_VISIBLE < share < 0.95
    assert dropped > 20
    assert cut > 20


def test_shift_and_crop_cut_a_box_together() -> None:
    """Each of the two may leave more than the share, and both less."""
    image, box = with_box((SIZE, SIZE), (0.0, 0.0, 0.25, 1.0), RECTANGLE)
    augmenter = build_augmenter(only(shift=16), SIZE)
    kept = [has_box(augment(augmenter, image, n, box, RECTANGLE)[1]) for n in range(100)]
    assert 60 < sum(kept) < 95, "cut away where it moves by more than 8 of its 16 pixels"


@pytest.mark.parametrize(
    "settings", [*SETTINGS.values(), {"crop": 0.2, "erase": 1.0, "light": 0.5}]
)
def test_the_image_is_the_same_with_and_without_its_box(settings: dict[str, object]) -> None:
    image, box = with_box((90, 120), INNER, RECTANGLE)
    augmenter = build_augmenter(only(**settings), SIZE)
    for seed in range(20):
        expected = augment(augmenter, image, seed)[0]
        for some in (box, np.full(4, np.nan, np.float32)):
            changed, moved = augment(augmenter, image, seed, some, ELLIPSE)
            np.testing.assert_array_equal(changed, expected)
            assert moved.shape == (4,)
            assert moved.dtype == np.float32
            assert has_box(some) or np.isnan(moved).all()


def test_light_noise_and_erasing_leave_a_box_alone() -> None:
    image, box = with_box((80, 100), INNER, RECTANGLE)
    augmentation = only(light=0.5, color=0.5, blur=1.0, noise=1.0, erase=1.0)
    augmenter = build_augmenter(augmentation, SIZE)
    for seed in range(20):
        _, moved = augment(augmenter, image, seed, box, RECTANGLE)
        np.testing.assert_allclose(moved, box, atol=1e-6)


def test_a_box_stays_in_the_image_whatever_is_done() -> None:
    extreme = only(mirror=True, crop=0.01, rotate=180.0, shift=64)
    for size in (16, 48):
        augmenter = build_augmenter(extreme, size)
        for seed in range(100):
            image, box = with_box((37, 53), CORNERS[seed % 4], RECTANGLE)
            _, moved = augment(augmenter, image, seed, box, (RECTANGLE, ELLIPSE)[seed % 2])
            assert np.isnan(moved).all() or (
                0 <= moved[0] < moved[2] <= 1 and 0 <= moved[1] < moved[3] <= 1
            )


def test_the_seed_decides_on_any_number_of_threads() -> None:
    augmentation = only(mirror=True, crop=0.4, rotate=15.0, shift=5, light=0.3)
    image, box = with_box((80, 100), INNER, RECTANGLE)
    both = seeded_augmenter(augmentation, SIZE)
    with ThreadPoolExecutor(8) as pool:
        threaded = list(pool.map(lambda seed: both(image, seed, box), range(100)))
    plain = build_augmenter(augmentation, SIZE)
    for seed, (changed, moved) in enumerate(threaded):
        expected = augment(plain, image, seed, box, ELLIPSE)
        np.testing.assert_array_equal(changed, expected[0])
        np.testing.assert_array_equal(moved, expected[1])
        np.testing.assert_array_equal(changed, both(image, seed)[0])


def test_the_shift_is_a_crop_of_the_reflected_image() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    padded = np.pad(image, ((6, 6), (6, 6), (0, 0)), mode="reflect")
    parts = {padded[y : y + 20, x : x + 20].tobytes() for x in range(13) for y in range(13)}
    shift = A.Compose([Shift(6)], strict=True)
    seen = {np.ascontiguousarray(shift(image=image)["image"]).tobytes() for _ in range(400)}
    assert seen <= parts
    assert len(seen) > 120
