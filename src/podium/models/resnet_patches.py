"""A residual network for small images whose first layer is solved and not trained.

With some hundred to some thousand images, the filters next to the pixels are what a network
learns worst. Here they are the whitened principal components of the training images' own patches
(Coates and Ng 2011, "An analysis of single-layer networks"), applied to the local contrast.
"""

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers, ops

from podium.models.patches import random_patches
from podium.models.small_resnets import convolution, residual_block

PATCH = 4  # pixels, side
SAMPLED = 40_000  # patches that the filters are computed from
FLATTEN = 0.05  # added to the variances when whitening, relative to their mean
EPSILON = 0.05  # added to the variance of a neighborhood, of pixels with a deviation of about 1


@keras.saving.register_keras_serializable("podium")
class LocalContrast(layers.Layer):
    """Each pixel less the mean of its neighborhood, over its deviation, all colors together."""

    def call(self, images):
        def local(values):
            return ops.average_pool(values, PATCH, 1, "same")

        mean = local(ops.mean(images, axis=-1, keepdims=True))
        squares = local(ops.mean(images * images, axis=-1, keepdims=True))
        variance = ops.maximum(squares - mean * mean, 0.0)
        return (images - mean) * ops.rsqrt(variance + EPSILON)


@keras.saving.register_keras_serializable("podium")
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

    def compute_output_shape(self, shape):
        return (*shape[:-1], 2 * PATCH * PATCH * shape[-1])

    def fit(self, images: np.ndarray) -> None:
        """Whitened principal components of random patches of (images, height, width, 3)."""
        patches = random_patches(images, PATCH, SAMPLED)
        variances, components = np.linalg.eigh(np.cov(patches.T))
        kernel = components / np.sqrt(variances + FLATTEN * variances.mean())
        self.kernel.assign(kernel[:, ::-1].reshape(PATCH, PATCH, images.shape[-1], -1))


def resnet_patches(filters: Sequence[int] = (32, 64, 128)) -> keras.Model:
    """Build the network without its top: (batch, height, width, 3) → (…, height/8, width/8, 128).

    Args:
        filters: channels of the three groups; each halves the image.
    """
    inputs = keras.Input((None, None, 3))
    x = WhitenedPatches(name="stem_patches")(LocalContrast(name="stem_contrast")(inputs))
    x = layers.Concatenate(name="stem_join")([x, inputs])  # colors, which the contrast hides
    for group, width in enumerate(filters, start=1):
        x = convolution(x, width, 2, f"block{group}a_")
        x = layers.Activation("relu", name=f"block{group}a_activation")(x)
        if group < len(filters):
            x = residual_block(x, width, 1, f"block{group}b_")
    return keras.Model(inputs, x, name="resnet-patches")


def fit_patches(network: keras.Model, images: np.ndarray) -> None:
    """Fit the first layer to training images.

    Args:
        images: float32 (images, height, width, 3) as the network gets them.
    """
    contrast = network.get_layer("stem_contrast")
    network.get_layer("stem_patches").fit(ops.convert_to_numpy(contrast(images)))
