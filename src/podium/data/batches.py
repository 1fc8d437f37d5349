"""Pictures to tf.data batches that are the same on any number of threads and after a restart."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from podium.competitions.boxes import NO_BOX
from podium.data.augmentation import seeded_box_augmenter
from podium.data.datasets import PREFETCHED, keeping, threads, untuned, weakly
from podium.data.epochs import steps_per_epoch
from podium.data.outlines import ELLIPSE
from podium.files.images import read_picture, resize
from podium.recipes.tables import Augmentation
from podium.system import free_memory

Picture = np.ndarray  # uint8 (height, width, 3)
View = Callable[[Picture, int], Picture]


class PictureCache(Sequence[Picture]):
    """The pictures of `paths`, decoded once as long as memory lasts; safe for threads.

    Decoding a photograph takes ten times as long as augmenting it, and each epoch needs it.

    Args:
        paths: picture files; `cache[i]` is the picture of `paths[i]`.
        side: pixels; a picture's shorter side is shrunk to this, and never enlarged.
        memory_share: of the memory that is free now, between 0 and 1; pictures beyond it are
            decoded at each access.
    """

    def __init__(self, paths: Sequence[Path], side: int, memory_share: float) -> None:
        self._paths = [Path(path) for path in paths]
        self._side = side
        self._budget = int(memory_share * free_memory())
        self._kept: dict[int, Picture] = {}
        self._nbytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Picture:  # type: ignore[override]
        """The picture, read-only, its shorter side at most `side` pixels.

        Raises:
            UnreadablePicture: the file gives no whole picture.
        """
        index = range(len(self._paths))[index]  # negative ones count from the end
        picture = self._kept.get(index)
        if picture is None:
            picture = shrink(read_picture(self._paths[index], self._side), self._side)
            picture.flags.writeable = False  # a change in place would last for all epochs
            self._keep(index, picture)
        return picture

    @property
    def nbytes(self) -> int:
        """Memory of the pictures that are kept, bytes."""
        return self._nbytes

    def _keep(self, index: int, picture: Picture) -> None:
        with self._lock:
            fits = self._nbytes + picture.nbytes <= self._budget
            if fits and index not in self._kept:
                self._kept[index] = picture
                self._nbytes += picture.nbytes


def training_batches(
    cache: Sequence[Picture],
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
) -> tf.data.Dataset:
    """Augmented batches of the epochs `first_epoch` to `epochs` - 1, each in an order of its own.

    Everything random depends on (seed, epoch, picture) alone: a run that was killed and starts
    again at epoch 3 gets the batches that it would have had.

    Args:
        cache: uint8 (height, width, 3) each.
        indices: int (n,), which of the cache's pictures to train on.
        labels: float32 (n, classes), `labels[i]` for picture `indices[i]`.
        boxes: float32 (n, 4) in shares of the pictures, NaN where there is none: they are moved
            along with what they are around.
        size: side of the square that pictures are stretched to, pixels.

    Returns:
        (uint8 (batch, size, size, 3), float32 (batch, classes)), `steps_per_epoch` an epoch; with
        boxes, (pictures, (labels, float32 (batch, 4))), in shares of the square, NaN where there
        is none or hardly any of it is left. What is left of an epoch's order is dropped: a small
        last batch would weigh too much.

    Raises:
        ValueError: no pictures, not as many labels as pictures, or no epoch to train.
    """
    _check(indices, labels, first_epoch, epochs)
    batch_size = min(batch_size, len(indices))
    steps = steps_per_epoch(len(indices), batch_size)
    found = np.tile(NO_BOX, (len(indices), 1)) if boxes is None else boxes
    augment = seeded_box_augmenter(augmentation, size, ELLIPSE)
    labels = labels.astype(np.float32)
    maker = _Maker(cache, indices, labels, found, size, batch_size, seed, augment)

    def epoch_positions(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.numpy_function(weakly(maker.order), [epoch], tf.int64, stateful=False)
        order = tf.ensure_shape(order, (steps, batch_size))
        return tf.data.Dataset.from_tensor_slices((tf.repeat(epoch, steps), order))

    def load(epoch: tf.Tensor, positions: tf.Tensor):
        types = tf.uint8, tf.float32, tf.float32
        made = tf.numpy_function(weakly(maker.batch), [epoch, positions], types, stateful=False)
        pictures = tf.ensure_shape(made[0], (batch_size, size, size, 3))
        classes = tf.ensure_shape(made[1], (batch_size, *labels.shape[1:]))
        if boxes is None:
            return pictures, classes
        return pictures, (classes, tf.ensure_shape(made[2], (batch_size, 4)))

    batches = (
        tf.data.Dataset.range(first_epoch, epochs)
        .flat_map(epoch_positions)
        .map(load, num_parallel_calls=threads(), deterministic=True)
        .prefetch(PREFETCHED)
    )
    count = (epochs - first_epoch) * steps
    batches = batches.apply(tf.data.experimental.assert_cardinality(count))
    return keeping(untuned(batches), maker)


@dataclass(frozen=True)
class _Maker:
    """What makes the batches of `training_batches` one by one, on any thread."""

    cache: Sequence[Picture]
    indices: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray
    size: int
    batch_size: int
    seed: int
    augment: Callable[[Picture, np.ndarray, int], tuple[Picture, np.ndarray]]

    def order(self, epoch: np.int64) -> np.ndarray:
        """Positions in `indices`, int64 (steps, batch)."""
        count = len(self.indices)
        steps = steps_per_epoch(count, self.batch_size)
        order = np.random.default_rng((self.seed, int(epoch))).permutation(count)
        return order[: steps * self.batch_size].reshape(steps, self.batch_size)

    def batch(self, epoch: np.int64, positions: np.ndarray) -> tuple[np.ndarray, ...]:
        """Pictures, labels and boxes, looked up by one position: they cannot part."""
        pictures = np.empty((len(positions), self.size, self.size, 3), np.uint8)
        boxes = np.empty((len(positions), 4), np.float32)
        for place, position in enumerate(positions):
            index = int(self.indices[position])
            entropy = np.random.SeedSequence((self.seed, int(epoch), index))
            seed = int(entropy.generate_state(1, np.uint64)[0])
            box = self.boxes[position]
            pictures[place], boxes[place] = self.augment(self.cache[index], box, seed)
        return pictures, self.labels[positions], boxes


def view_batches(
    cache: Sequence[Picture],
    indices: np.ndarray,
    *,
    size: int,
    batch_size: int,
    view: View | Sequence[View],
) -> tf.data.Dataset:
    """Batches to predict: uint8 (≤ batch_size, size, size, 3), in the order of `indices`.

    Args:
        view: (picture, size) → uint8 (size, size, 3); called by many threads at once. Several
            views of a picture follow each other, and it is taken from the cache once for them.
    """
    views = view if isinstance(view, Sequence) else [view]
    indices = np.asarray(indices, dtype=np.int64)
    at_once = max(1, batch_size // len(views))  # pictures
    viewer = _Viewer(cache, views, size)

    def load(some: tf.Tensor) -> tf.Tensor:
        pictures = tf.numpy_function(weakly(viewer.batch), [some], tf.uint8, stateful=False)
        return tf.ensure_shape(pictures, (None, size, size, 3))

    batches = (
        tf.data.Dataset.from_tensor_slices(indices)
        .batch(at_once)
        .map(load, num_parallel_calls=threads(), deterministic=True)
        .rebatch(batch_size)
        .prefetch(PREFETCHED)
    )
    steps = -(-len(indices) * len(views) // batch_size)
    batches = batches.apply(tf.data.experimental.assert_cardinality(steps))
    return keeping(untuned(batches), viewer)


@dataclass(frozen=True)
class _Viewer:
    """What makes the batches of `view_batches` one by one, on any thread."""

    cache: Sequence[Picture]
    views: Sequence[View]
    size: int

    def batch(self, indices: np.ndarray) -> np.ndarray:
        """All views of the first picture, then of the second, …"""
        size = self.size
        pictures = np.empty((len(indices), len(self.views), size, size, 3), np.uint8)
        for place, index in enumerate(indices):
            picture = self.cache[int(index)]
            for number, view in enumerate(self.views):
                pictures[place, number] = _square(view(picture, size), size)
        return pictures.reshape(-1, size, size, 3)


def _square(picture: Picture, size: int) -> Picture:
    """The picture, if it has the shape that it should: NumPy would stretch a single pixel."""
    if picture.shape != (size, size, 3):
        raise ValueError(f"a view must give ({size}, {size}, 3), came {picture.shape}")
    return picture


def shrink(picture: Picture, side: int) -> Picture:
    """Shrink to a shorter side of `side` pixels, in proportion; smaller pictures stay."""
    height, width = picture.shape[:2]
    scale = side / min(height, width)
    if scale >= 1:
        return picture
    return resize(picture, max(side, round(height * scale)), max(side, round(width * scale)))


def _check(indices: np.ndarray, labels: np.ndarray, first_epoch: int, epochs: int) -> None:
    """Refuse what would train on nothing, or on another picture's label."""
    if len(indices) == 0:
        raise ValueError("there are no pictures to train on: indices is empty")
    if labels.ndim != 2 or len(labels) != len(indices):
        raise ValueError(
            f"labels must be one-hot, a row per picture: expected ({len(indices)}, classes), "
            f"came {labels.shape}"
        )
    if not 0 <= first_epoch < epochs:
        raise ValueError(f"first_epoch must be 0 to epochs - 1 = {epochs - 1}, came {first_epoch}")
