"""Duplicates: copies are found however they were made, and no others."""

import io
from collections.abc import Callable

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from podium.data import near_duplicates
from podium.data.near_duplicates import fingerprint, near_copies, near_duplicate_groups
from podium.files.image_io import resize


def scene(seed: int, height: int = 160, width: int = 220) -> np.ndarray:
    """A made-up photograph: noise at all scales, as natural images have it."""
    rng = np.random.default_rng(seed)
    image = np.zeros((height, width, 3))
    for cells in (3, 6, 12, 24, 48):
        noise = rng.normal(size=(cells, cells, 3)) / cells**0.7
        image += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    image = (image - image.min()) / np.ptp(image) * 255
    return image.astype(np.uint8)


def groups_of(images: list[np.ndarray]) -> np.ndarray:
    return near_duplicate_groups(pd.DataFrame([fingerprint(image) for image in images]))


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.array(Image.open(buffer))


def cropped(image: np.ndarray) -> np.ndarray:
    """95 % of the area, from a corner: the hardest place."""
    height, width = (int(side * 0.95**0.5) for side in image.shape[:2])
    return image[:height, :width]


COPIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "same": lambda image: image.copy(),
    "half size": lambda image: resize(image, 80, 110),
    "squeezed": lambda image: resize(image, 160, 140),
    "quality 50": lambda image: jpeg(image, 50),
    "mirrored": lambda image: image[:, ::-1],
    "cropped": cropped,
    "rims off": lambda image: image[8:-8, 11:-11],
    "mirrored and cropped": lambda image: cropped(image[:, ::-1]),
    "brighter": lambda image: np.clip(image * 1.15, 0, 255).astype(np.uint8),
    "gray": lambda image: np.array(Image.fromarray(image).convert("L").convert("RGB")),
}


@pytest.mark.parametrize("how", COPIES)
def test_copies_are_found(how: str) -> None:
    originals = [scene(seed) for seed in range(20)]
    copies = [np.ascontiguousarray(COPIES[how](image)) for image in originals]
    groups = groups_of(originals + copies)
    assert groups[:20].tolist() == list(range(20))
    assert groups[20:].tolist() == list(range(20))


def test_copies_of_small_images_are_found_though_few_details_are_left() -> None:
    originals = [scene(seed, 32, 32) for seed in range(20)]
    for change in (lambda image: resize(image, 16, 16), lambda image: jpeg(image, 30)):
        groups = groups_of(originals + [change(image) for image in originals])
        assert groups.tolist() == [*range(20), *range(20)]


def test_different_images_are_apart() -> None:
    assert groups_of([scene(seed) for seed in range(300)]).tolist() == list(range(300))


def test_one_background_with_different_things_is_apart() -> None:
    studio, rng = scene(0), np.random.default_rng(0)
    images = []
    for seed in range(30):
        image = studio.copy()
        top, left = rng.integers(30, 50, 2)
        image[top : top + 80, left : left + 100] = scene(seed + 1, 80, 100)
        images.append(image)
    assert groups_of(images).tolist() == list(range(30))


@pytest.mark.parametrize("side", [28, 64, 224])
def test_flat_images_with_noise_are_apart(side: int) -> None:
    rng = np.random.default_rng(0)
    color = np.array([200.0, 60, 60])
    images = [
        np.clip(rng.normal(color, 12, (side, side, 3)), 0, 255).astype(np.uint8) for _ in range(40)
    ]
    assert groups_of(images).tolist() == list(range(40))


def test_simple_shapes_in_noise_are_apart() -> None:
    rng = np.random.default_rng(0)
    images = []
    for _ in range(60):
        image = rng.normal(110, 15, (48, 48, 3))
        cv2.circle(image, rng.integers(14, 34, 2).tolist(), 10, (220, 40, 40), -1)
        images.append(np.clip(image, 0, 255).astype(np.uint8))
    assert len(set(groups_of(images).tolist())) >= 58


def test_flat_images_are_copies_only_of_the_same_gray() -> None:
    flat = [np.full((40, 40, 3), value, dtype=np.uint8) for value in (0, 128, 0, 255)]
    assert groups_of(flat).tolist() == [0, 1, 0, 2]


def test_a_copy_of_a_copy_is_in_the_group() -> None:
    chain = [scene(0)]
    for _ in range(4):
        chain.append(cropped(chain[-1]))
    assert groups_of([*chain, scene(1)]).tolist() == [0, 0, 0, 0, 0, 1]


def test_unreadable_images_are_each_alone() -> None:
    rows = [{"thumbnail": None, "small": False}] * 3
    table = pd.DataFrame([*rows, fingerprint(scene(0))._asdict()])
    assert near_duplicate_groups(table).tolist() == [0, 1, 2, 3]
    assert near_duplicate_groups(table.iloc[:2]).tolist() == [0, 1]


def test_candidates_that_are_copies_of_others_are_told() -> None:
    images = [scene(seed) for seed in range(12)]
    copies = [cropped(images[1]), np.ascontiguousarray(images[3][:, ::-1]), images[8].copy()]
    cache = [*images, *copies]
    found = near_copies(cache, np.array([12, 5, 13, 14, 8]), np.array([0, 1, 2, 3, 4]))
    assert found.tolist() == [True, False, True, False, False], "14 is a copy, but of a candidate"
    assert near_copies(cache, np.array([12, 5]), np.array([], int)).tolist() == [False, False]


def test_the_order_of_the_images_does_not_matter() -> None:
    images = [scene(seed) for seed in range(40)]
    images += [cropped(image[:, ::-1]) for image in images[::3]]
    groups = groups_of(images)
    order = np.random.default_rng(0).permutation(len(images))
    again = np.empty_like(groups)
    again[order] = groups_of([images[place] for place in order])
    assert pd.factorize(again)[0].tolist() == groups.tolist()


def test_thousands_of_copies_of_one_image_are_not_all_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng, one, compared = np.random.default_rng(0), fingerprint(scene(0)).thumbnail, []
    noise = rng.integers(-2, 3, (400, *one.shape))
    thumbnails = list(np.clip(one + noise, 0, 255).astype(np.uint8))
    compare = near_duplicates._are_copies
    monkeypatch.setattr(
        near_duplicates, "_are_copies", lambda *pair: compared.append(0) or compare(*pair)
    )
    groups = near_duplicate_groups(pd.DataFrame({"thumbnail": thumbnails, "small": False}))
    assert not groups.any()
    assert len(compared) < 2 * len(thumbnails), "there are 79,800 pairs"
