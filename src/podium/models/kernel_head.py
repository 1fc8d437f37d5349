"""The head of kernel regression, whose weights are solved (training/solvers.py), not trained."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers, ops


class KernelRegression(layers.Layer):
    """Logits as a weighted sum of Gaussian kernels around training images: the centers.

    The kernel is the sum of one for each part of the channels, exp(-squared distance), so that the
    widths of the kernels are in `scale`. In float32 whatever the policy: a squared distance is a
    difference of large numbers.

    Args:
        centers: how many there are; those that `set` leaves out weigh nothing.
        classes: number of classes.
        parts: relative numbers of channels in the parts, which follow each other.
    """

    def __init__(self, centers: int, classes: int, parts: Sequence[int] = (1,), **keywords):
        super().__init__(**{**keywords, "dtype": "float32"})
        self.count, self.classes, self.parts = centers, classes, tuple(parts)

    def build(self, shape):
        def fixed(name: str, *sides: int) -> keras.Variable:
            return self.add_weight(shape=sides, trainable=False, name=name, initializer="zeros")

        self.channels = split_channels(shape[-1], self.parts)
        self.mean = fixed("mean", shape[-1])
        self.scale = fixed("scale", shape[-1])
        self.centers = [
            fixed(f"centers_{number}", self.count, size)
            for number, size in enumerate(self.channels, start=1)
        ]
        self.squares = fixed("squares", len(self.parts), self.count)  # of the centers' lengths
        self.dual = fixed("dual", self.count, self.classes)

    def call(self, features):
        scaled = (features - self.mean) * self.scale  # (batch, channels)
        kernel, begin = 0.0, 0
        for number, (size, centers) in enumerate(zip(self.channels, self.centers, strict=True)):
            part = scaled[:, begin : begin + size]
            begin += size
            products = ops.matmul(part, ops.transpose(centers))  # (batch, centers)
            lengths = ops.sum(part * part, axis=-1, keepdims=True)
            kernel += ops.exp(ops.minimum(2 * products - lengths - self.squares[number], 0.0))
        return ops.matmul(kernel, self.dual)

    def set(self, mean: np.ndarray, scale: np.ndarray, centers: np.ndarray, dual: np.ndarray):
        """Take a solution.

        Args:
            mean, scale: (channels,), to standardize features: (features - mean) · scale.
            centers: (images, channels), already scaled; as many as there are centers, or fewer.
            dual: (images, classes), weights of the kernels in the logits.
        """
        unused = [(0, self.count - len(centers)), (0, 0)]
        parts = np.split(centers, np.cumsum(self.channels)[:-1], axis=1)
        squares = np.stack([(part * part).sum(axis=1) for part in parts])
        self.mean.assign(mean)
        self.scale.assign(scale)
        for weight, part in zip(self.centers, parts, strict=True):
            weight.assign(np.pad(part, unused))
        self.squares.assign(np.pad(squares, [(0, 0), unused[0]]))
        self.dual.assign(np.pad(dual, unused))

    def get_config(self):
        own = {"centers": self.count, "classes": self.classes, "parts": self.parts}
        return super().get_config() | own


def split_channels(channels: int, parts: Sequence[int]) -> list[int]:
    """The number of channels in each part; the last takes what is left over."""
    sizes = [channels * part // sum(parts) for part in parts]
    sizes[-1] += channels - sum(sizes)
    return sizes
