"""Images to batches that are the same on any number of threads and after a restart."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from podium.competitions.boxes import NO_BOX
from podium.data.augmentation import Augmenter, seeded_augmenter
from podium.data.copies import read_shrunk
from podium.data.mixup import mix
from podium.recipes.recipe import steps_per_epoch
from podium.recipes.tables import Augmentation
from podium.system import free_memory

ImageArray = np.ndarray  # uint8 (height, width, 3)
View = Callable[[ImageArray, int], ImageArray]

PREFETCHED = 2  # batches, beside those that are being made

# The augmentation and what does it, the epoch, the step, and which of the images.
_Task = tuple[tuple[Augmentation, Augmenter], int, int, np.ndarray]


@dataclass(frozen=True)
class Batches:
    """Batches of arrays, made ahead of their use and in their order; `iter` begins anew.

    Args:
        make: a batch of a task, on any thread: an array, or a nest of tuples of arrays.
        tasks: begins to give the tasks; asked for the next one shortly before it is made.
        rows: of all of them together.
        batch_size: rows of each; of the last one, what is left of `rows`.
        row: what `make` gives, with the type of a row in place of each array, e.g.
            `np.dtype((np.uint8, (size, size, 3)))`.
        whole: no batch is smaller, whatever is left.
        regroup: whether `make` gives parts of another length, to be put together anew.
        threads: that make batches; 0: they are made when they are asked for.
    """

    make: Callable[[Any], Any]
    tasks: Callable[[], Iterable[Any]]
    rows: int
    batch_size: int
    row: Any
    whole: bool = False
    regroup: bool = False
    threads: int = os.cpu_count() or 1

    def __len__(self) -> int:
        return -(-self.rows // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        return _regrouped(self._made(), self.batch_size) if self.regroup else self._made()

    def _made(self) -> Iterator[Any]:
        if not self.threads:
            yield from map(self.make, self.tasks())
            return
        # A batch on one thread: calls for single images take as long as augmenting them.
        pool = ThreadPoolExecutor(self.threads)
        waiting = deque()
        try:
            for task in self.tasks():
                waiting.append(pool.submit(self.make, task))
                if len(waiting) >= self.threads + PREFETCHED:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # also where no more are asked for
            pool.shutdown(wait=False, cancel_futures=True)


class ImageCache(Sequence[ImageArray]):
    """The images of `paths`, decoded once as long as memory lasts; safe for threads.

    Decoding a photograph takes ten times as long as augmenting it, and each epoch needs it.

    Args:
        paths: image files; `cache[i]` is the image of `paths[i]`.
        side: pixels; an image's shorter side is shrunk to this, and never enlarged.
        memory_share: of the memory that is free now, between 0 and 1; images beyond it are
            decoded at each access.
        copies: where shrunk copies of large ones are kept on the disk; none: there are none.
    """

    def __init__(
        self, paths: Sequence[Path], side: int, memory_share: float, copies: Path | None = None
    ) -> None:
        self._paths = [Path(path) for path in paths]
        self._side, self._copies = side, copies
        self._budget = int(memory_share * free_memory())
        self._kept: dict[int, ImageArray] = {}
        self.nbytes = 0  # memory of the images that are kept
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
            image = read_shrunk(self._paths[index], self._side, self._copies)
            image.flags.writeable = False  # a change in place would last for all epochs
            with self._lock:
                fits = self.nbytes + image.nbytes <= self._budget
                if fits and index not in self._kept:
                    self._kept[index] = image
                    self.nbytes += image.nbytes
        return image


def training_batches(
    cache: Sequence[ImageArray],
    indices: np.ndarray,
    targets: np.ndarray | tuple[np.ndarray, np.ndarray],
    *,
    size: int,
    batch_size: int,
    augmentation: Augmentation,
    seed: int,
    epochs: range,
    is_calm: Callable[[int], bool] = lambda epoch: False,
    balanced: bool = False,
    class_weights: np.ndarray | None = None,
) -> Batches:
    """Augmented batches of these epochs, each in an order of its own.

    Everything random depends on (seed, epoch, image) alone, and mixtures on (seed, step): a run
    that was killed and starts again at epoch 3 gets the batches that it would have had.

    Args:
        cache: uint8 (height, width, 3) each.
        indices: int (n,), which of the cache's images to train on.
        targets: labels, float32 (n, classes), `labels[i]` for image `indices[i]`; or these and
            boxes, float32 (n, 4) in shares of the images, NaN where there is none: they are moved
            along with what they are around.
        size: side of the square that images are stretched to, pixels.
        is_calm: which epochs have `Augmentation.calm`; each is asked for once, shortly before it
            begins.
        balanced: whether an epoch draws as many images of each class, see `epoch_order`.
        class_weights: how much an image of each class counts, float32 (classes,).

    Returns:
        (uint8 (batch, size, size, 3), float32 (batch, classes)), `steps_per_epoch` an epoch; with
        boxes, (images, (labels, float32 (batch, 4))), in shares of the square, NaN where there
        is none or hardly any of it is left; with `class_weights`, (images, labels, weights,
        float32 (batch,)), where a mixture weighs what is mixed. What is left of an epoch's order
        is dropped: a small last batch would weigh too much.
    """
    batch_size = min(batch_size, len(indices))
    steps = steps_per_epoch(len(indices), batch_size)
    labels, boxes = targets if isinstance(targets, tuple) else (targets, None)
    strong, calm = (
        (each, seeded_augmenter(each, size)) for each in (augmentation, augmentation.calm())
    )

    def tasks() -> Iterator[_Task]:
        for epoch in epochs:
            how = calm if is_calm(epoch) else strong
            order = epoch_order(labels, np.random.default_rng((seed, epoch)), balanced)
            parts = order[: steps * batch_size].reshape(steps, batch_size)
            for step, positions in enumerate(parts, start=epoch * steps):
                yield how, epoch, step, positions

    def make(task: _Task) -> tuple[np.ndarray, Any]:
        """Images, labels and boxes, looked up by one position: they cannot part."""
        (augmentation, augment), epoch, step, positions = task
        images = np.empty((batch_size, size, size, 3), np.uint8)
        moved = np.empty((batch_size, 4), np.float32)
        for place, position in enumerate(positions):
            index = int(indices[position])
            # An image that an epoch draws twice is not the same twice.
            drawn = (step * batch_size + place,) if balanced else ()
            entropy = np.random.SeedSequence((seed, epoch, index, *drawn))
            own_seed = int(entropy.generate_state(1, np.uint64)[0])
            box = NO_BOX if boxes is None else boxes[position]
            images[place], moved[place] = augment(cache[index], own_seed, box)
        random = np.random.default_rng((seed, step))
        images, mixed = mix(images, labels[positions], augmentation, random)
        if class_weights is not None:
            return images, mixed, mixed @ class_weights
        return images, mixed if boxes is None else (mixed, moved)

    image = np.dtype((np.uint8, (size, size, 3)))
    weight = () if class_weights is None else (np.dtype(np.float32),)
    rows = len(epochs) * steps * batch_size
    row = (image, type_of_rows(targets), *weight)
    return Batches(make, tasks, rows, batch_size, row, whole=True)


def epoch_order(labels: np.ndarray, random: np.random.Generator, balanced: bool) -> np.ndarray:
    """The positions of an epoch's images, as many as there are, in a random order.

    Args:
        labels: float32 (images, classes); an image is of the class that has the most of it.
        balanced: as many of each class (the numbers differ by 1 at most), and of each class all
            images as often (the same holds): rare ones come many times, common ones not all.
    """
    if not balanced:
        return random.permutation(len(labels))
    classes = labels.argmax(axis=1)
    present = random.permutation(np.unique(classes))  # whose turn it is to have one more
    shares = np.full(len(present), len(labels) // len(present))
    shares[: len(labels) % len(present)] += 1
    drawn = []
    for number, share in zip(present, shares, strict=True):
        own = np.flatnonzero(classes == number)
        rounds = [random.permutation(own) for _ in range(-(-share // len(own)))]
        drawn.append(np.concatenate([*rounds, own[:0]])[:share])
    return random.permutation(np.concatenate(drawn))


def view_batches(
    cache: Sequence[ImageArray],
    indices: np.ndarray,
    *,
    size: int,
    batch_size: int,
    view: View | Sequence[View],
    targets: Any = None,
) -> Batches:
    """Batches to predict: uint8 (≤ batch_size, size, size, 3), in the order of `indices`.

    Args:
        view: (image, size) → uint8 (size, size, 3); called by many threads at once. Several
            views of an image follow each other, and it is taken from the cache once for them.
        targets: float32 (images, …), or a tuple of such, that come with a single view.
    """
    views = view if isinstance(view, Sequence) else [view]
    rows, at_once = len(indices) * len(views), max(1, batch_size // len(views))  # images
    image = np.dtype((np.uint8, (size, size, 3)))

    def make(part: slice) -> Any:
        images = np.empty((part.stop - part.start, len(views), size, size, 3), np.uint8)
        for place, index in enumerate(indices[part]):
            taken = cache[int(index)]
            for number, one in enumerate(views):
                images[place, number] = one(taken, size)
        images = images.reshape(-1, size, size, 3)
        return images if targets is None else (images, rows_of(targets, part))

    return Batches(
        make,
        lambda: slices(len(indices), at_once),
        rows=rows,
        batch_size=batch_size,
        row=image if targets is None else (image, type_of_rows(targets)),
        regroup=at_once * len(views) != batch_size,
    )


def _regrouped(parts: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """The same rows, so many at a time."""
    held: list[np.ndarray] = []
    for part in parts:
        held.append(part)
        while sum(map(len, held)) >= size:
            rows = np.concatenate(held)
            yield rows[:size]
            held = [rows[size:]]
    if sum(map(len, held)):
        yield np.concatenate(held)


def slices(rows: int, batch_size: int) -> Iterator[slice]:
    """All rows, so many at a time."""
    return (slice(i, min(i + batch_size, rows)) for i in range(0, rows, batch_size))


def rows_of(arrays: Any, part: slice) -> Any:
    """These rows of an array, or of each array of a tuple."""
    return tuple(one[part] for one in arrays) if isinstance(arrays, tuple) else arrays[part]


def type_of_rows(arrays: Any) -> Any:
    """The type of a row of an array, or of each array of a tuple."""
    if isinstance(arrays, tuple):
        return tuple(type_of_rows(one) for one in arrays)
    return np.dtype((arrays.dtype, arrays.shape[1:]))
