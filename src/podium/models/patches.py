"""The backbone `patches`, solved and not trained: an image's patches against random ones.

Filters are random patches of the training images, whitened (Coates, Ng and Lee 2011, "An analysis
of single-layer networks in unsupervised feature learning"). Features are the mean responses in the
cells of three grids, the same for an image and its mirror image.
"""

import keras
import numpy as np
from keras import layers, ops

PATCH = 4  # pixels, side
FILTERS = 96  # each gives two features a cell, for either sign
GRIDS = (1, 2, 4)  # cells along a side; each is a part of the last one
CELLS = tuple(grid * grid for grid in GRIDS)
CONTRAST = 0.2  # added to a patch's variance, of pixels with a deviation of about 1
FLATTEN = 0.1  # added to the variances when whitening, relative to their mean
FLAT = 0.2  # share of patches with the least in them, which are no filters
THRESHOLD = 0.5  # share of a filter's responses, of either sign, that count as none
POWER = 0.4  # of the mean responses, which evens out their distribution
SAMPLED = 15_000  # patches that the whitening is computed from
JUDGED = 4000  # of them, that the thresholds are computed from


class PooledPatches(layers.Layer):
    """(batch, height, width, channels) → (batch, 1, 1, all cells · 2 · FILTERS), grid after grid.

    The filters are weights that no training changes; `fit` computes them. In float32 whatever the
    policy: the variance of a patch is a difference of large numbers.
    """

    def __init__(self, **keywords):
        super().__init__(**{**keywords, "dtype": "float32"})

    def build(self, shape):
        def fixed(name: str, *sides: int) -> keras.Variable:
            return self.add_weight(shape=sides, trainable=False, name=name, initializer="zeros")

        self.kernel = fixed("kernel", PATCH, PATCH, shape[-1], FILTERS)
        self.bias = fixed("bias", FILTERS)
        self.threshold = fixed("threshold", FILTERS)

    def call(self, images):
        # Mirrored filters find in the image what the filters find in its mirror image.
        kernel = ops.concatenate([self.kernel, ops.flip(self.kernel, axis=1)], axis=-1)
        bias = ops.concatenate([self.bias, self.bias])
        threshold = ops.concatenate([self.threshold, self.threshold])
        # No filter has a mean, so that the patches' means need not be taken away.
        responses = ops.conv(images, kernel, padding="valid") * _inverse_deviation(images)
        height, width = ops.shape(responses)[1:3]
        side = GRIDS[-1]
        shares = _shares(height)[:, None, :, None] * _shares(width)[None, :, None, :]
        shares = ops.reshape(shares, (side * side, height * width))
        signs = []
        for above in (responses + (bias - threshold), -responses - (bias + threshold)):
            maps = ops.reshape(ops.relu(above), (-1, height * width, 2 * FILTERS))
            pooled = ops.reshape(ops.matmul(shares, maps), (-1, side, side, 2 * FILTERS))
            plain, mirrored = ops.split(pooled, 2, axis=-1)
            signs.append((plain + ops.flip(mirrored, axis=2)) / 2)
        finest = ops.concatenate(signs, axis=-1)  # (batch, 4, 4, 2 · FILTERS)
        flat = []
        for grid, cells in zip(GRIDS, CELLS, strict=True):
            size = side // grid  # given as strides too: without them Keras fails on JAX
            pooled = ops.average_pool(finest, size, size)
            flat.append(ops.reshape(pooled, (-1, 1, 1, cells * 2 * FILTERS)))
        return ops.power(ops.concatenate(flat, axis=-1), POWER)

    def fit(self, images: np.ndarray) -> None:
        """Compute the filters: whitened random patches of (images, height, width, channels)."""
        patches = random_patches(images, SAMPLED)
        patches -= patches.mean(axis=1, keepdims=True)
        patches /= np.sqrt(patches.var(axis=1, keepdims=True) + CONTRAST)
        mean = patches.mean(axis=0)
        variances, components = np.linalg.eigh(np.cov(patches.T))
        scale = 1 / np.sqrt(np.maximum(variances, 0) + FLATTEN * variances.mean() + 1e-12)
        whiten = ((components * scale) @ components.T).astype(np.float32)
        white = (patches - mean) @ whiten
        lengths = np.linalg.norm(white, axis=1)
        chosen = np.flatnonzero(lengths >= np.quantile(lengths, FLAT))[:FILTERS]
        filters = whiten @ (white[chosen] / (lengths[chosen, None] + 1e-12)).T
        filters -= filters.mean(axis=0)
        bias = -mean @ filters
        responses = patches[:JUDGED] @ filters + bias
        self.kernel.assign(filters.reshape(self.kernel.shape))
        self.bias.assign(bias)
        self.threshold.assign(np.quantile(np.abs(responses), THRESHOLD, axis=0))


def patches() -> keras.Model:
    """Build the network: (batch, height, width, 3) → (batch, 1, 1, 4032)."""
    inputs = keras.Input((None, None, 3))
    return keras.Model(inputs, PooledPatches(name="patches")(inputs), name="patches")


def _inverse_deviation(images):
    """1 / √(variance + CONTRAST) of the patch at each place: (batch, places, places, 1)."""
    moments = ops.stack([ops.mean(images, -1), ops.mean(images * images, -1)], axis=-1)
    mean, squares = ops.split(ops.average_pool(moments, PATCH, 1, "valid"), 2, axis=-1)
    return ops.rsqrt(ops.maximum(squares - mean * mean, 0.0) + CONTRAST)


def _shares(places):
    """The weight of each place in the mean of each cell along a side: (cells, places).

    Cells are of one size, so that a place on a border may belong to both sides in part: a mirrored
    image has mirrored cells, and coarser ones are means of finer ones.
    """
    size = ops.cast(places, "float32") / GRIDS[-1]
    begins = ops.arange(GRIDS[-1], dtype="float32")[:, None] * size
    place = ops.arange(places, dtype="float32")[None, :]
    within = ops.minimum(begins + size, place + 1) - ops.maximum(begins, place)
    return ops.maximum(within, 0.0) / size


def random_patches(images: np.ndarray, count: int) -> np.ndarray:
    """Cut patches from random places of random images (images, height, width, channels).

    Returns:
        float32 (count, values of a patch).
    """
    random = np.random.default_rng(0)
    total, height, width, _ = images.shape
    number = random.integers(0, total, count)
    top = random.integers(0, height - PATCH + 1, count)
    left = random.integers(0, width - PATCH + 1, count)
    windows = np.lib.stride_tricks.sliding_window_view(images, (PATCH, PATCH), (1, 2))
    found = windows[number, top, left].transpose(0, 2, 3, 1)  # (count, height, width, channels)
    return found.reshape(count, -1).astype(np.float32)
