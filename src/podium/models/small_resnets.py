"""Small residual networks (arXiv:1512.03385, 4.2), trained from scratch.

resnet-small is the one for 32×32 images, resnet-8 that of MLPerf Tiny (arXiv:2106.07597), with a
block in each group. The first layer of resnet-patches is solved and not trained: with some hundred
to some thousand images, the filters next to the pixels are what a network learns worst. There they
are the whitened principal components of the training images' own patches (Coates and Ng 2011, "An
analysis of single-layer networks"), applied to the local contrast.
"""

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers, ops

from podium.models.patches import PATCH, random_patches

SAMPLED = 40_000  # patches that the filters are computed from
FLATTEN = 0.05  # added to the variances when whitening, relative to their mean
EPSILON = 0.05  # added to the variance of a neighborhood, of pixels with a deviation of about 1


def resnet_small(blocks: Sequence[int]) -> keras.Model:
    """Build the network without its top: (batch, height, width, 3) → (…, height/4, width/4, 64).

    Args:
        blocks: residual blocks in each group; every group but the first halves the image.
    """
    inputs = keras.Input((None, None, 3))
    filters = (16, 32, 64)  # channels of each group
    x = _convolution(inputs, filters[0], 1, "stem_")
    x = layers.Activation("relu", name="stem_activation")(x)
    for group, (count, width) in enumerate(zip(blocks, filters, strict=True), start=1):
        for number in range(count):
            stride = 2 if number == 0 and group > 1 else 1
            x = _residual_block(x, width, stride, f"block{group}{chr(ord('a') + number)}_")
    return keras.Model(inputs, x, name="resnet-small")


def resnet_patches() -> keras.Model:
    """Build the network without its top: (batch, height, width, 3) → (…, /8, /8, 128)."""
    filters = (32, 64, 128)  # channels of the three groups; each halves the image
    inputs = keras.Input((None, None, 3))
    x = WhitenedPatches(name="stem_patches")(LocalContrast(name="stem_contrast")(inputs))
    x = layers.Concatenate(name="stem_join")([x, inputs])  # colors, which the contrast hides
    for group, width in enumerate(filters, start=1):
        x = _convolution(x, width, 2, f"block{group}a_")
        x = layers.Activation("relu", name=f"block{group}a_activation")(x)
        if group < len(filters):
            x = _residual_block(x, width, 1, f"block{group}b_")
    return keras.Model(inputs, x, name="resnet-patches")


class LocalContrast(layers.Layer):
    """Each pixel less the mean of its neighborhood, over its deviation, all colors together."""

    def call(self, images):
        def local(values):
            return ops.average_pool(values, PATCH, 1, "same")

        mean = local(ops.mean(images, axis=-1, keepdims=True))
        squares = local(ops.mean(images * images, axis=-1, keepdims=True))
        variance = ops.maximum(squares - mean * mean, 0.0)
        return (images - mean) * ops.rsqrt(variance + EPSILON)


class WhitenedPatches(layers.Layer):
    """Responses to fixed filters, each in two channels: where it is above zero, and below.

    The filters are a weight that no training changes; `fit` computes them.
    """

    def build(self, shape):
        count = PATCH * PATCH * shape[-1]  # all components
        self.kernel = self.add_weight(
            shape=(PATCH, PATCH, shape[-1], count), trainable=False, name="kernel"
        )

    def call(self, x):
        responses = ops.conv(x, ops.cast(self.kernel, x.dtype), padding="same")
        return ops.concatenate([ops.relu(responses), ops.relu(-responses)], axis=-1)

    def fit(self, images: np.ndarray) -> None:
        """Compute the filters: whitened principal components of patches of (images, …, 3)."""
        patches = random_patches(images, SAMPLED)
        variances, components = np.linalg.eigh(np.cov(patches.T))
        kernel = components / np.sqrt(variances + FLATTEN * variances.mean())
        self.kernel.assign(kernel[:, ::-1].reshape(PATCH, PATCH, images.shape[-1], -1))


def _residual_block(inputs, filters: int, stride: int, prefix: str):
    """relu(inputs + two convolutions), with a 1×1 convolution where the shapes differ."""
    x = _convolution(inputs, filters, stride, prefix + "first_")
    x = layers.Activation("relu", name=prefix + "activation")(x)
    x = _convolution(x, filters, 1, prefix + "second_")
    if stride > 1 or inputs.shape[-1] != filters:
        inputs = _convolution(inputs, filters, stride, prefix + "shortcut_", kernel=1)
    x = layers.Add(name=prefix + "add")([x, inputs])
    return layers.Activation("relu", name=prefix + "output")(x)


def _convolution(x, filters: int, stride: int, prefix: str, kernel: int = 3):
    """Convolution → BatchNorm; the layers' names begin with the prefix."""
    x = layers.Conv2D(
        filters,
        kernel,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=prefix + "conv",
    )(x)
    return layers.BatchNormalization(name=prefix + "bn")(x)
