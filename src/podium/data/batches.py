"""Images to tf.data batches that are the same on any number of threads and after a restart."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from podium.competitions.boxes import NO_BOX
from podium.data.augmentation import Augmenter, seeded_augmenter
from podium.data.mixup import mix
from podium.data.tf_datasets import (
    PREFETCHED,
    keep_alive,
    num_threads,
    weak_callback,
    without_autotune,
)
from podium.files.image_io import read_image, resize
from podium.recipes.recipe import steps_per_epoch
from podium.recipes.tables import Augmentation
from podium.system import free_memory

ImageArray = np.ndarray  # uint8 (height, width, 3)
View = Callable[[ImageArray, int], ImageArray]


class ImageCache(Sequence[ImageArray]):
    """The images of `paths`, decoded once as long as memory lasts; safe for threads.

    Decoding a photograph takes ten times as long as augmenting it, and each epoch needs it.

    Args:
        paths: image files; `cache[i]` is the image of `paths[i]`.
        side: pixels; an image's shorter side is shrunk to this, and never enlarged.
        memory_share: of the memory that is free now, between 0 and 1; images beyond it are
            decoded at each access.
    """

    def __init__(self, paths: Sequence[Path], side: int, memory_share: float) -> None:
        self._paths = [Path(path) for path in paths]
        self._side = side
        self._budget = int(memory_share * free_memory())
        self._kept: dict[int, ImageArray] = {}
        self._nbytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> ImageArray:  # type: ignore[override]
        """The image, read-only, its shorter side at most `side` pixels.

        Raises:
            UnreadableImage: the file gives no whole image.
        """
        index = range(len(self._paths))[index]  # negative ones count from the end
        image = self._kept.get(index)
        if image is None:
            image = shrink(read_image(self._paths[index], self._side), self._side)
            image.flags.writeable = False  # a change in place would last for all epochs
            self._keep(index, image)
        return image

    @property
    def nbytes(self) -> int:
        """Memory of the images that are kept, bytes."""
        return self._nbytes

    def _keep(self, index: int, image: ImageArray) -> None:
        with self._lock:
            fits = self._nbytes + image.nbytes <= self._budget
            if fits and index not in self._kept:
                self._kept[index] = image
                self._nbytes += image.nbytes


def training_batches(
    cache: Sequence[ImageArray],
    indices: np.ndarray,
    labels: np.ndarray,
    boxes: np.ndarray | None = None,
    *,
    size: int,
    batch_size: int,
    augmentation: Augmentation,
    seed: int,
    first_epoch: int,
    epochs: int,
    is_calm: Callable[[int], bool] = lambda epoch: False,
) -> tf.data.Dataset:
    """Augmented batches of the epochs `first_epoch` to `epochs` - 1, each in an order of its own.

    Everything random depends on (seed, epoch, image) alone, and mixtures on (seed, step): a run
    that was killed and starts again at epoch 3 gets the batches that it would have had.

    Args:
        cache: uint8 (height, width, 3) each.
        indices: int (n,), which of the cache's images to train on.
        labels: float32 (n, classes), `labels[i]` for image `indices[i]`.
        boxes: float32 (n, 4) in shares of the images, NaN where there is none: they are moved
            along with what they are around.
        size: side of the square that images are stretched to, pixels.
        is_calm: which epochs have `Augmentation.calm`; each is asked for once, shortly before it
            begins.

    Returns:
        (uint8 (batch, size, size, 3), float32 (batch, classes)), `steps_per_epoch` an epoch; with
        boxes, (images, (labels, float32 (batch, 4))), in shares of the square, NaN where there
        is none or hardly any of it is left. What is left of an epoch's order is dropped: a small
        last batch would weigh too much.

    """
    batch_size = min(batch_size, len(indices))
    steps = steps_per_epoch(len(indices), batch_size)
    found = np.tile(NO_BOX, (len(indices), 1)) if boxes is None else boxes
    labels = labels.astype(np.float32)
    maker = _Maker(cache, indices, labels, found, size, batch_size, seed, augmentation, is_calm)

    def epoch_batches(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.numpy_function(weak_callback(maker.order), [epoch], tf.int64, stateful=False)
        order = tf.ensure_shape(order, (steps, batch_size))
        return tf.data.Dataset.from_tensor_slices(
            (epoch * steps + tf.range(steps, dtype=tf.int64), order)
        )

    def load(step: tf.Tensor, positions: tf.Tensor):
        types = tf.uint8, tf.float32, tf.float32
        made = tf.numpy_function(
            weak_callback(maker.batch), [step, positions], types, stateful=False
        )
        images = tf.ensure_shape(made[0], (batch_size, size, size, 3))
        classes = tf.ensure_shape(made[1], (batch_size, *labels.shape[1:]))
        if boxes is None:
            return images, classes
        return images, (classes, tf.ensure_shape(made[2], (batch_size, 4)))

    batches = (
        tf.data.Dataset.range(first_epoch, epochs)
        .flat_map(epoch_batches)
        .map(load, num_parallel_calls=num_threads(), deterministic=True)
        .prefetch(PREFETCHED)
    )
    count = (epochs - first_epoch) * steps
    batches = batches.apply(tf.data.experimental.assert_cardinality(count))
    return keep_alive(without_autotune(batches), maker)


@dataclass(eq=False)
class _Maker:
    """What makes the batches of `training_batches` one by one, on any thread."""

    cache: Sequence[ImageArray]
    indices: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray
    size: int
    batch_size: int
    seed: int
    augmentation: Augmentation
    is_calm: Callable[[int], bool]

    def __post_init__(self) -> None:
        self.steps = steps_per_epoch(len(self.indices), self.batch_size)
        self.strong = self.augmentation, seeded_augmenter(self.augmentation, self.size)
        calm = self.augmentation.calm()
        self.calm = calm, seeded_augmenter(calm, self.size)
        self.of_epoch: dict[int, tuple[Augmentation, Augmenter]] = {}

    def order(self, epoch: np.int64) -> np.ndarray:
        """Positions in `indices`, int64 (steps, batch)."""
        self.of_epoch[int(epoch)] = self.calm if self.is_calm(int(epoch)) else self.strong
        order = np.random.default_rng((self.seed, int(epoch))).permutation(len(self.indices))
        return order[: self.steps * self.batch_size].reshape(self.steps, self.batch_size)

    def batch(self, step: np.int64, positions: np.ndarray) -> tuple[np.ndarray, ...]:
        """Images, labels and boxes, looked up by one position: they cannot part."""
        epoch = int(step) // self.steps
        augmentation, augment = self.of_epoch[epoch]
        images = np.empty((len(positions), self.size, self.size, 3), np.uint8)
        boxes = np.empty((len(positions), 4), np.float32)
        for place, position in enumerate(positions):
            index = int(self.indices[position])
            entropy = np.random.SeedSequence((self.seed, epoch, index))
            seed = int(entropy.generate_state(1, np.uint64)[0])
            box = self.boxes[position]
            images[place], boxes[place] = augment(self.cache[index], seed, box)
        random = np.random.default_rng((self.seed, int(step)))
        return *mix(images, self.labels[positions], augmentation, random), boxes


def view_batches(
    cache: Sequence[ImageArray],
    indices: np.ndarray,
    *,
    size: int,
    batch_size: int,
    view: View | Sequence[View],
) -> tf.data.Dataset:
    """Batches to predict: uint8 (≤ batch_size, size, size, 3), in the order of `indices`.

    Args:
        view: (image, size) → uint8 (size, size, 3); called by many threads at once. Several
            views of an image follow each other, and it is taken from the cache once for them.
    """
    views = view if isinstance(view, Sequence) else [view]
    indices = np.asarray(indices, dtype=np.int64)
    at_once = max(1, batch_size // len(views))  # images
    viewer = _Viewer(cache, views, size)

    def load(some: tf.Tensor) -> tf.Tensor:
        images = tf.numpy_function(weak_callback(viewer.batch), [some], tf.uint8, stateful=False)
        return tf.ensure_shape(images, (None, size, size, 3))

    batches = (
        tf.data.Dataset.from_tensor_slices(indices)
        .batch(at_once)
        .map(load, num_parallel_calls=num_threads(), deterministic=True)
        .rebatch(batch_size)
        .prefetch(PREFETCHED)
    )
    steps = -(-len(indices) * len(views) // batch_size)
    batches = batches.apply(tf.data.experimental.assert_cardinality(steps))
    return keep_alive(without_autotune(batches), viewer)


@dataclass(frozen=True)
class _Viewer:
    """What makes the batches of `view_batches` one by one, on any thread."""

    cache: Sequence[ImageArray]
    views: Sequence[View]
    size: int

    def batch(self, indices: np.ndarray) -> np.ndarray:
        """All views of the first image, then of the second, …"""
        size = self.size
        images = np.empty((len(indices), len(self.views), size, size, 3), np.uint8)
        for place, index in enumerate(indices):
            image = self.cache[int(index)]
            for number, view in enumerate(self.views):
                images[place, number] = view(image, size)
        return images.reshape(-1, size, size, 3)


def shrink(image: ImageArray, side: int) -> ImageArray:
    """Shrink to a shorter side of `side` pixels, in proportion; smaller images stay."""
    height, width = image.shape[:2]
    scale = side / min(height, width)
    if scale >= 1:
        return image
    return resize(image, max(side, round(height * scale)), max(side, round(width * scale)))
