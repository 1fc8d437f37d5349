"""Batches: full, repeatable from any epoch, and a label never leaves its image."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from podium.data import batches
from podium.data.batches import ImageCache, epoch_order, training_batches, view_batches
from podium.files.image_io import UnreadableImage, resize
from podium.recipes.recipe import steps_per_epoch
from podium.recipes.tables import Augmentation

PLAIN = Augmentation(mirror=False, crop=1.0, rotate=0.0, light=0.0, color=0.0)
LIVELY = Augmentation(crop=0.5, rotate=20.0, noise=0.5, erase=0.5, shift=3)
COUNT = 23


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Image number n has the gray level 10 n all over, and sizes differ."""
    made = []
    for number in range(COUNT):
        path = tmp_path / f"{number}.png"
        Image.new("L", (20 + number, 40), 10 * number).save(path)
        made.append(path)
    return made


@pytest.fixture
def cache(paths: list[Path]) -> ImageCache:
    return ImageCache(paths, side=24, memory_share=0.1)


def numbers(images: Any) -> list[int]:
    """Which images a batch holds, read off their gray."""
    return (np.asarray(images)[:, 0, 0, 0] // 10).tolist()


def training(cache: ImageCache, indices: np.ndarray | None = None, **changes: Any) -> list[Any]:
    indices = np.arange(COUNT) if indices is None else indices
    settings = {
        "size": 16, "batch_size": 5, "augmentation": PLAIN,
        "seed": 0, "epochs": range(1),
    } | changes  # fmt: skip
    labels = np.eye(COUNT, dtype=np.float32)[indices]
    return list(training_batches(cache, indices, labels, **settings))


def test_batches_are_full_and_typed(cache: ImageCache) -> None:
    labels = np.eye(COUNT, dtype=np.float32)
    batches = training_batches(
        cache, np.arange(COUNT), labels, size=16, batch_size=5, augmentation=LIVELY,
        seed=0, epochs=range(3),
    )  # fmt: skip
    assert len(batches) == 3 * steps_per_epoch(COUNT, 5) == 12
    taken = list(batches)
    assert len(taken) == 12
    for images, classes in taken:
        assert (images.shape, images.dtype) == ((5, 16, 16, 3), np.uint8)
        assert (classes.shape, classes.dtype) == ((5, COUNT), np.float32)
    image, label = batches.row
    assert (image.shape, image.base) == ((16, 16, 3), np.uint8)
    assert (label.shape, label.base) == ((COUNT,), np.float32)


def test_label_stays_with_its_image(cache: ImageCache) -> None:
    indices = np.array([20, 3, 7, 11, 2, 19, 5])
    seen = []
    for images, labels in training(cache, indices, batch_size=3, epochs=range(6)):
        assert numbers(images) == labels.argmax(axis=1).tolist()
        seen += numbers(images)
    assert set(seen) == set(indices.tolist())


def test_an_epoch_has_each_image_at_most_once(cache: ImageCache) -> None:
    taken = training(cache, epochs=range(3))
    epochs = [
        list(chain(*(numbers(images) for images, _ in taken[start : start + 4])))
        for start in (0, 4, 8)
    ]
    for epoch in epochs:
        assert len(set(epoch)) == 20
    assert epochs[0] != epochs[1] != epochs[2]


def test_fewer_images_than_a_batch_are_one_batch(cache: ImageCache) -> None:
    taken = training(cache, np.array([4, 9, 1]), batch_size=8, epochs=range(2))
    assert [sorted(numbers(images)) for images, _ in taken] == [[1, 4, 9]] * 2
    assert steps_per_epoch(3, 8) == 1


@pytest.mark.parametrize("mixup", [0.0, 0.4])
def test_a_later_start_continues_the_same_run(
    cache: ImageCache, paths: list[Path], mixup: float
) -> None:
    lively = LIVELY.model_copy(update={"mixup": mixup})
    whole = training(cache, augmentation=lively, epochs=range(5))
    fresh = ImageCache(paths, side=24, memory_share=0.0)  # nor does the cache matter
    rest = training(fresh, augmentation=lively, epochs=range(3, 5))
    assert len(rest) == 8
    for (images, labels), (again, labels_again) in zip(whole[12:], rest, strict=True):
        np.testing.assert_array_equal(images, again)
        np.testing.assert_array_equal(labels, labels_again)


def test_threads_and_runs_do_not_matter_but_seeds_and_epochs_do(cache: ImageCache) -> None:
    def pixels(threads: int, seed: int = 0) -> np.ndarray:
        indices, labels = np.arange(COUNT), np.eye(COUNT, dtype=np.float32)
        dataset = training_batches(
            cache, indices, labels, size=16, batch_size=COUNT, augmentation=LIVELY,
            seed=seed, epochs=range(2),
        )  # fmt: skip
        ordered = [
            images[label.argmax(axis=1).argsort()]
            for images, label in replace(dataset, threads=threads)
        ]
        return np.stack(ordered)

    one = pixels(1)
    np.testing.assert_array_equal(one, pixels(8))
    np.testing.assert_array_equal(one, pixels(0))
    assert (one[0] != one[1]).any()
    assert (one != pixels(8, seed=1)).any()


def test_augmentation_of_an_image_does_not_depend_on_the_others(cache: ImageCache) -> None:
    def image_seven(indices: np.ndarray) -> np.ndarray:
        size = len(indices)
        [(images, labels)] = training(cache, indices, batch_size=size, augmentation=LIVELY)
        return images[labels[:, 7] == 1]

    alone = image_seven(np.array([7]))
    for others in (1, 4, 9, 15):
        np.testing.assert_array_equal(alone, image_seven(np.r_[8 : 8 + others, 7]))


def test_calm_epochs_are_not_mixed_and_each_is_asked_for_once(cache: ImageCache) -> None:
    asked = []

    def is_calm(epoch: int) -> bool:
        asked.append(epoch)
        return epoch == 1

    mixing = Augmentation(mixup=1.0)
    taken = training(cache, augmentation=mixing, epochs=range(3), is_calm=is_calm)
    whole = [bool((labels.max(axis=1) == 1).all()) for _, labels in taken]
    assert whole == [False] * 4 + [True] * 4 + [False] * 4
    assert asked == [0, 1, 2]
    calm = training(cache, augmentation=mixing.calm(), epochs=range(1, 2))
    for (images, _), (expected, _) in zip(taken[4:8], calm, strict=True):
        np.testing.assert_array_equal(images, expected)


def test_views_are_in_order_with_a_partial_last_batch(cache: ImageCache) -> None:
    indices = np.array([5, 0, 22, 22, 9, 13, 1])
    dataset = view_batches(
        cache,
        indices,
        size=16,
        batch_size=3,
        view=lambda image, size: resize(image, size, size),
    )
    assert (dataset.row.shape, dataset.row.base) == ((16, 16, 3), np.uint8)
    taken = list(dataset)
    assert [len(images) for images in taken] == [3, 3, 1]
    assert list(chain(*map(numbers, taken))) == indices.tolist()


class Counted(Sequence):
    """Images that count how often each of them is taken."""

    def __init__(self, images: Sequence) -> None:
        self.images, self.taken = images, Counter[int]()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        self.taken[index] += 1
        return self.images[index]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 64])
def test_views_of_an_image_come_together_and_take_it_once(
    cache: ImageCache, batch_size: int
) -> None:
    def brighter(by: int) -> Any:
        return lambda image, size: resize(image, size, size) // 10 * 10 + by

    counted = Counted(cache)
    indices = np.array([5, 0, 22, 9, 13])
    views = [brighter(0), brighter(1), brighter(2)]
    dataset = view_batches(counted, indices, size=16, batch_size=batch_size, view=views)
    taken = list(dataset)
    assert len(taken) == len(dataset) == -(-15 // batch_size)
    assert all(len(images) == batch_size for images in taken[:-1])
    rows = np.concatenate(taken)[:, 0, 0, 0]
    assert rows.tolist() == [10 * index + view for index in indices for view in range(3)]
    assert counted.taken == dict.fromkeys(indices.tolist(), 1)


def test_cache_shrinks_in_proportion_and_never_enlarges(tmp_path: Path) -> None:
    Image.new("RGB", (300, 100)).save(tmp_path / "large.png")
    Image.new("RGB", (30, 10)).save(tmp_path / "small.png")
    cache = ImageCache([tmp_path / "large.png", tmp_path / "small.png"], 50, 0.1)
    assert cache[0].shape == (50, 150, 3)
    assert cache[1].shape == (10, 30, 3)
    assert cache[-1].shape == (10, 30, 3)
    assert len(cache) == 2
    with pytest.raises(IndexError):
        cache[2]


def test_cache_keeps_the_side_of_a_large_jpeg(tmp_path: Path) -> None:
    Image.new("RGB", (900, 700), (200, 30, 40)).save(tmp_path / "large.jpg")
    assert ImageCache([tmp_path / "large.jpg"], 100, 0.1)[0].shape == (100, 129, 3)


def test_cache_decodes_once(cache: ImageCache, paths: list[Path]) -> None:
    first = cache[3]
    paths[3].unlink()
    assert cache[3] is first
    assert cache.nbytes == first.nbytes
    with pytest.raises(ValueError, match="read-only"):
        first[0, 0] = 1


def test_cache_keeps_within_its_share(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "free_memory", lambda: 20_000)
    cache = ImageCache(paths, side=24, memory_share=0.5)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            taken = list(pool.map(cache.__getitem__, range(COUNT)))
    assert numbers([image[:8, :8] for image in taken]) == list(range(COUNT))
    assert 0 < cache.nbytes <= 10_000
    nothing = ImageCache(paths, side=24, memory_share=0.0)
    assert nothing[2][0, 0, 0] == 20
    assert nothing.nbytes == 0


def test_unreadable_image_is_told(paths: list[Path]) -> None:
    paths[1].unlink()
    with pytest.raises(UnreadableImage):
        ImageCache(paths, 24, 0.1)[1]


# --- Rare classes


def labels_of(*counts: int) -> np.ndarray:
    return np.eye(len(counts), dtype=np.float32)[np.repeat(np.arange(len(counts)), counts)]


def test_a_balanced_epoch_draws_classes_alike_and_their_images_too() -> None:
    labels = labels_of(2, 30, 0, 9)
    orders = [epoch_order(labels, np.random.default_rng(n), balanced=True) for n in range(30)]
    for order in orders:
        drawn = np.bincount(order, minlength=len(labels))
        of_class = labels.T @ drawn
        assert len(order) == 41 and sorted(of_class) == [0, 13, 14, 14]
        for number in (0, 1, 3):
            assert np.ptp(drawn[labels[:, number] == 1]) <= 1
    assert np.bincount(np.concatenate(orders)).min() > 0, "all images come in time"
    again = epoch_order(labels, np.random.default_rng(3), balanced=True)
    np.testing.assert_array_equal(again, orders[3])
    plain = epoch_order(labels, np.random.default_rng(0), balanced=False)
    np.testing.assert_array_equal(plain, np.random.default_rng(0).permutation(41))


def test_an_image_that_is_drawn_twice_looks_another_way(cache: ImageCache) -> None:
    settings = {"size": 16, "batch_size": 6, "augmentation": LIVELY, "seed": 0, "balanced": True}
    labels, indices = labels_of(1, 11), np.arange(12) % COUNT
    first, *_ = training_batches(cache, indices, labels, epochs=range(1), **settings)
    rare = first[0][first[1][:, 0] == 1]
    assert len(rare) > 1 and len(np.unique(rare, axis=0)) == len(rare)
    whole = list(training_batches(cache, indices, labels, epochs=range(2), **settings))
    resumed = list(training_batches(cache, indices, labels, epochs=range(1, 2), **settings))
    for one, other in zip(whole[2:], resumed, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def test_a_mixture_weighs_what_is_mixed(cache: ImageCache) -> None:
    mixed = Augmentation(mixup=1.0)
    weights = np.float32([4.0, 0.5])
    batches = training_batches(
        cache, np.arange(8), labels_of(2, 6), size=16, batch_size=8, augmentation=mixed,
        seed=0, epochs=range(1), class_weights=weights,
    )  # fmt: skip
    ((_, labels, counts),) = batches
    assert ((labels > 0) & (labels < 1)).any()
    np.testing.assert_allclose(counts, labels @ weights)
    assert batches.row[2] == np.float32
