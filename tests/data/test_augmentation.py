"""Augmenting: each setting does what it says, and a seed gives the same image anywhere."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from podium.data.augmentation import augment, build_augmenter, seeded_augmenter
from podium.data.outlines import RECTANGLE
from podium.files.image_io import resize
from podium.recipes.tables import Augmentation

pytestmark = pytest.mark.filterwarnings("error")  # albumentations only warns of wrong arguments

NOTHING = {"mirror": False, "crop": 1.0, "rotate": 0.0, "light": 0.0, "color": 0.0}
ALL = {
    "crop": 0.5, "rotate": 30.0, "light": 0.4, "color": 0.3,
    "blur": 0.5, "noise": 0.5, "erase": 0.5, "shift": 8,
}  # fmt: skip


def only(**settings: object) -> Augmentation:
    return Augmentation.model_validate({**NOTHING, **settings})


def augmented(augmentation: Augmentation, image: np.ndarray, count: int = 60) -> np.ndarray:
    augmenter = build_augmenter(augmentation, 32)
    return np.stack([augment(augmenter, image, seed)[0] for seed in range(count)])


@pytest.fixture
def ramp() -> np.ndarray:
    """Red rises to the right, green downwards: shows where a pixel came from."""
    image = np.full((32, 32, 3), 100, dtype=np.uint8)
    image[..., 0] = np.arange(32) * 4
    image[..., 1] = np.arange(32)[:, None] * 4
    return image


@pytest.mark.parametrize("shape", [(20, 90, 3), (200, 40, 3), (48, 48, 3), (1, 1, 3)])
@pytest.mark.parametrize("size", [16, 48])
def test_any_image_becomes_a_square(shape: tuple[int, int, int], size: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    augmenter = build_augmenter(Augmentation.model_validate(ALL), size)
    for seed in range(20):
        result = augment(augmenter, image, seed)[0]
        assert result.shape == (size, size, 3)
        assert result.dtype == np.uint8


def test_largest_settings_are_accepted(ramp: np.ndarray) -> None:
    extreme = {"crop": 0.01, "rotate": 180.0, "light": 1.0, "color": 1.0, "shift": 64}
    extreme |= {"blur": 1.0, "noise": 1.0, "erase": 1.0}
    results = augmented(Augmentation.model_validate(extreme), ramp, count=20)
    assert results.shape == (20, 32, 32, 3)


def test_nothing_only_resizes(ramp: np.ndarray) -> None:
    for result in augmented(only(), ramp, count=5):
        np.testing.assert_array_equal(result, ramp)


def test_mirror_is_half_of_them(ramp: np.ndarray) -> None:
    results = augmented(only(mirror=True), ramp, count=200)
    mirrored = (results == ramp[:, ::-1]).all(axis=(1, 2, 3))
    assert ((results == ramp).all(axis=(1, 2, 3)) | mirrored).all()
    assert 70 < mirrored.sum() < 130


def test_steps_draw_independently(ramp: np.ndarray) -> None:
    # With one seed for all steps, all of those mirrored would be erased as well.
    results = augmented(only(mirror=True, erase=0.5), ramp[:1].repeat(32, axis=0), count=300)
    mirrored = np.median(results[:, :, 0, 0], axis=1) > np.median(results[:, :, -1, 0], axis=1)
    erased = np.array([len(np.unique(result[..., 2])) > 3 for result in results])
    table = np.histogram2d(mirrored, erased, bins=2)[0]
    assert table.min() > 40, table


def test_crop_keeps_its_share_and_the_images_ratio() -> None:
    image = np.zeros((100, 300, 3), dtype=np.uint8)  # wide: a square crop would lose most
    image[..., 0] = np.linspace(0, 250, 300).astype(np.uint8)
    image[..., 1] = np.linspace(0, 250, 100).astype(np.uint8)[:, None]
    results = augmented(only(crop=0.6), image).astype(float)
    width = (results[:, 16, -1, 0] - results[:, 16, 0, 0]) / 250
    height = (results[:, -1, 16, 1] - results[:, 0, 16, 1]) / 250
    area, ratio = width * height, width / height
    assert (area > 0.5).all()
    assert area.min() < 0.7
    assert area.max() > 0.85
    assert 0.7 < ratio.min() < 0.95
    assert 1.05 < ratio.max() < 1.45


def test_rotation_reflects_at_the_border() -> None:
    white = np.full((40, 40, 3), 255, dtype=np.uint8)
    assert (augmented(only(rotate=45.0), white) == 255).all()


def test_rotation_turns_both_ways(ramp: np.ndarray) -> None:
    results = augmented(only(rotate=20.0), ramp).astype(int)
    slope = results[:, 26, 16, 0] - results[:, 6, 16, 0]  # red grows downwards when turned
    assert slope.min() < -10
    assert slope.max() > 10


def test_a_turned_crop_is_the_crop_turned(ramp: np.ndarray) -> None:
    """Red and green grow evenly: by them each pixel tells where in the image it comes from."""
    large = resize(ramp, 256, 320)
    for mirror in (False, True):
        results = augmented(only(crop=0.5, rotate=30.0, mirror=mirror), large).astype(float)
        x, y = results[..., 0] / 4 / 32, results[..., 1] / 4 / 32  # of the image's sides
        center_x, center_y = x[:, 12:20, 12:20].mean(axis=(1, 2)), y[:, 12:20, 12:20].mean((1, 2))
        assert 0.25 < center_x.min() < center_x.max() < 0.75
        assert 0.25 < center_y.min() < center_y.max() < 0.75
        # Steps to the right and down, in shares of the image, at the center of each result.
        right = np.stack([x[:, 16, 22] - x[:, 16, 10], y[:, 16, 22] - y[:, 16, 10]], axis=1)
        down = np.stack([x[:, 22, 16] - x[:, 10, 16], y[:, 22, 16] - y[:, 10, 16]], axis=1)
        mirrored = right[:, 0] < 0
        assert mirrored.any() == mirror
        width, height = np.hypot(right[:, 0], down[:, 0]), np.hypot(right[:, 1], down[:, 1])
        area = width * height * (32 / 12) ** 2
        assert 0.4 < area.min() < 0.65
        assert 0.75 < area.max() < 1.1
        sides = np.stack([width, height], axis=1)
        across, along = right / sides, down / sides
        np.testing.assert_allclose(
            (across * along).sum(axis=1), 0, atol=0.1
        )  # still at right angles
        angle = np.degrees(np.arctan2(right[:, 1] / height, np.abs(right[:, 0]) / width))
        assert angle.min() < -20
        assert angle.max() > 20


def test_turning_averages_what_it_shrinks() -> None:
    stripes = np.zeros((256, 256, 3), dtype=np.uint8)
    stripes[:, ::4] = 200
    turned = augmented(only(rotate=5.0), stripes, count=10)[:, 4:-4, 4:-4]
    assert np.abs(turned.astype(int) - 50).max() < 20


def test_shift_moves_up_to_its_pixels(ramp: np.ndarray) -> None:
    results = augmented(only(shift=4), ramp, count=150).astype(int)
    moved = (results[:, 16, 16, 0] - ramp[16, 16, 0]) // 4
    assert moved.min() == -4
    assert moved.max() == 4


def test_light_and_color(ramp: np.ndarray) -> None:
    gray = np.full((32, 32, 3), 120, dtype=np.uint8)
    means = augmented(only(light=0.3), gray).mean(axis=(1, 2, 3))
    assert means.min() < 100
    assert means.max() > 140
    assert means.min() > 50
    colored = augmented(only(color=0.2), ramp).astype(int)
    assert np.abs(colored - ramp).mean(axis=(1, 2, 3)).max() > 5


def test_blur_and_noise_change_detail() -> None:
    checks = np.indices((32, 32)).sum(axis=0) % 2 * 200
    image = np.repeat(checks[..., None], 3, axis=2).astype(np.uint8)
    blurred = augmented(only(blur=1.0), image)
    assert (blurred.std(axis=(1, 2, 3)) < 90).all()  # 100 before
    flat = np.full((32, 32, 3), 128, dtype=np.uint8)
    noisy = augmented(only(noise=1.0), flat)
    assert (noisy.std(axis=(1, 2, 3)) > 2).all()
    share = (augmented(only(noise=0.3), flat, 200).std(axis=(1, 2, 3)) > 0).mean()
    assert 0.2 < share < 0.4


def test_erasing_paints_one_rectangle_over() -> None:
    black = np.zeros((64, 64, 3), dtype=np.uint8)
    for result in augmented(only(erase=1.0), black):
        rows, columns = np.nonzero(result.any(axis=2))
        area = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        assert 0.03 < area / 32**2 < 0.25
        assert len(rows) > 0.95 * area  # painted all over, and so a single one


def test_seed_decides_whatever_came_before(ramp: np.ndarray) -> None:
    augmentation = Augmentation.model_validate(ALL)
    forward, backward = (build_augmenter(augmentation, 32) for _ in range(2))
    there = [augment(forward, ramp, seed)[0] for seed in range(50)]
    back = [augment(backward, ramp, seed)[0] for seed in reversed(range(50))][::-1]
    np.testing.assert_array_equal(there, back)
    assert len({result.tobytes() for result in there}) == 50


def test_seed_decides_on_any_number_of_threads(ramp: np.ndarray) -> None:
    augmentation = Augmentation.model_validate(ALL)
    augment_image = seeded_augmenter(augmentation, 32)
    with ThreadPoolExecutor(8) as pool:
        threaded = list(pool.map(lambda seed: augment_image(ramp, seed)[0], range(200)))
    plain = build_augmenter(augmentation, 32)
    np.testing.assert_array_equal(threaded, [augment(plain, ramp, seed)[0] for seed in range(200)])


def test_the_image_itself_is_not_changed(ramp: np.ndarray) -> None:
    ramp.flags.writeable = False  # as those of the cache
    before = ramp.copy()
    augmented(Augmentation.model_validate(ALL), ramp)
    augmented(only(erase=1.0, noise=1.0), ramp)
    np.testing.assert_array_equal(ramp, before)


def test_importing_asks_no_server_and_no_tensorflow() -> None:
    script = (
        "import socket, sys, urllib.request\n"
        "def refuse(*a, **k): raise SystemExit('network')\n"
        "socket.socket.connect = refuse; urllib.request.urlopen = refuse\n"
        "import podium.data.augmentation, podium.data.check, podium.data.splits\n"
        "sys.exit('tensorflow' in sys.modules and 'tensorflow was imported')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# --- TrivialAugment


def test_trivial_takes_one_change_and_the_same_again(ramp: np.ndarray) -> None:
    trivial = only(trivial=True)
    results = augmented(trivial, ramp, count=200)
    np.testing.assert_array_equal(results, augmented(trivial, ramp, count=200))
    unchanged = sum(np.array_equal(result, ramp) for result in results)
    assert 5 < unchanged < 60, "a 14th is left alone, and strengths may be next to nothing"
    assert len(np.unique(results, axis=0)) > 100
    black = (results == 0).all(axis=-1).mean(axis=(1, 2)) > 0.02
    assert black.any() and not black.all(), "of some pixels moved, of others values"


def test_trivial_stands_in_the_place_of_light_and_turns(ramp: np.ndarray) -> None:
    alone = augmented(only(trivial=True), ramp)
    beside = augmented(only(trivial=True, rotate=90.0, light=1.0, color=1.0), ramp)
    np.testing.assert_array_equal(alone, beside)
    assert not Augmentation(trivial=True).calm().trivial


def test_boxes_go_with_a_trivial_change() -> None:
    """Around a bright square, wherever it goes."""
    image = np.full((64, 64, 3), 90, np.uint8)
    image[24:40, 24:40] = (250, 120, 120)
    box = np.float32([24, 24, 40, 40]) / 64
    augmenter = build_augmenter(only(trivial=True), 64)
    centers = []
    for seed in range(80):
        seen, moved = augment(augmenter, image, seed, box, RECTANGLE)
        red = seen[..., 0].astype(int) - seen[..., 1]
        if np.isfinite(moved).all() and red.max() > 60:
            rows, columns = np.nonzero(red > 60)
            expected = np.array([columns.mean(), rows.mean()]) + 0.5
            centers.append(np.abs((moved[:2] + moved[2:]) / 2 * 64 - expected).max())
    assert len(centers) > 40 and max(centers) < 1.5
