"""Heat maps of where a network sees a class: Grad-CAM (arXiv:1610.02391)."""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from podium.models.backend import column_gradients
from podium.models.kernel_head import KernelRegression
from podium.models.network import Network

BATCH = 32  # images at once

_POOLINGS = layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D


class NoHeatMap(ValueError):
    """A network without heat maps: no place of an image speaks for a class."""


class GradCam:
    """Heat maps of a network, whatever its backbone, its taps and its head but for kernels.

    `maps` goes from uint8 images (batch, height, width, 3) to a list of what the head pools,
    (batch, rows, columns, channels) each; `pooled` from there to the pooled features.

    Raises:
        NoHeatMap: the head is one of kernels, or no map has more than one cell.
    """

    def __init__(self, network: Network) -> None:
        logits = network.head.get_layer("logits")
        if isinstance(logits, KernelRegression):
            raise NoHeatMap(
                "a head of kernels compares whole images, so that there is no heat map of where "
                "it sees a class; other heads have one"
            )
        features = network.features
        inputs = [layer.input for layer in features.layers if isinstance(layer, _POOLINGS)]
        maps = list({id(tensor): tensor for tensor in inputs}.values())  # two poolings share one
        if all(tensor.shape[1:3] == (1, 1) for tensor in maps):
            raise NoHeatMap("the backbone gives one cell for the whole image: no heat map")
        self.maps = keras.Model(features.input, maps, name="maps")
        self.pooled = keras.Model(maps, features.output, name="pooled")
        self._logits = keras.Model(network.head.input, logits.output, name="logits")

    def __call__(self, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Compute how much each place of an image speaks for some classes.

        Args:
            images: uint8 (images, height, width, 3), as the network sees them.
            classes: class numbers (images, several).

        Returns:
            float32 (images, several, rows, columns) over the whole image: 1 where most speaks
            for the class, 0 where nothing does; all 0 if nothing does anywhere.
        """
        parts = [
            ops.convert_to_numpy(
                self.heat(self.maps(images[i : i + BATCH], training=False), classes[i : i + BATCH])
            )
            for i in range(0, len(images), BATCH)
        ]
        return np.concatenate(parts)

    def heat(self, maps: Any, classes: Any) -> Any:
        """Compute the same from the outputs of `maps`, as a part of a graph.

        Args:
            classes: int (batch, several), `several` known when it is traced.

        Returns:
            float32 (batch, several, rows, columns).
        """
        maps = list(maps) if isinstance(maps, (list, tuple)) else [maps]

        def chosen(maps: list[Any]) -> Any:  # logits (batch, several)
            logits = self._logits(self.pooled(maps, training=False), training=False)
            return ops.take_along_axis(logits, ops.cast(classes, "int32"), axis=1)

        heat = [_heat(maps, gradients) for gradients in column_gradients(chosen, maps)]
        return ops.stack(heat, axis=1)


def _heat(maps: list[Any], gradients: list[Any]) -> Any:
    """The heat of one class: float32 (batch, rows, columns) of the finest map."""
    size = tuple(map(max, zip(*(tensor.shape[1:3] for tensor in maps), strict=True)))
    total = 0.0
    for tensor, gradient in zip(maps, gradients, strict=True):
        # The paper takes the mean of the gradients. Their sum is the same but for a factor, and
        # counts per area: so maps of different fineness add up, each by what it says.
        weights = ops.sum(ops.cast(gradient, "float32"), axis=(1, 2), keepdims=True)
        heat = ops.sum(weights * ops.cast(tensor, "float32"), axis=-1, keepdims=True)
        total += ops.image.resize(heat, size)[..., 0]
    total = ops.relu(total)
    return ops.divide_no_nan(total, ops.max(total, axis=(1, 2), keepdims=True))
