"""The mean of several sets of weights, with BatchNorm statistics of its own (arXiv:1803.05407).

The mean of several networks has other activations than each of them, so the mean of their
statistics would not fit it.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from keras import layers

from podium.models.backend import compiled
from podium.models.network import Network

Weights = Sequence[np.ndarray]  # as `get_weights` gives them


class Averager:
    """Gives a network the mean of several sets of its weights.

    Args:
        network: to predict with from now on: its own weights are lost, it is not to be trained.
        batches: gives batches of images as the network is trained on them, uint8 (batch, height,
            width, 3), each time from the first one on.
    """

    def __init__(self, network: Network, batches: Callable[[], Iterable]):
        self._model, self._batches = network.model, batches
        self._batchnorms = [x for x in network.layers if isinstance(x, layers.BatchNormalization)]
        self._steps: dict[frozenset[str], Callable] = {}  # tracing a large network takes seconds
        for layer in self._batchnorms:
            layer.momentum = 0.0  # a step replaces the statistics by those of its batch
        for layer in network.layers:
            if isinstance(layer, layers.Dropout):
                layer.rate = 0.0  # nor is anything dropped at prediction

    def average(self, ingredients: Iterable[Weights]) -> None:
        """Give the network the mean of these weights, of which one at a time is in memory.

        Statistics that differ between them are estimated again. The others belong to frozen
        layers: they are constants that all of the weights were trained with.
        """
        weights = iter(ingredients)
        first, count = next(weights), 1
        total = [array.astype(np.float64) for array in first]
        differs = [False] * len(first)
        for arrays in weights:
            count += 1
            for place, array in enumerate(arrays):
                total[place] += array
                differs[place] = differs[place] or not np.array_equal(first[place], array)
        self._model.set_weights([array / count for array in total])
        pairs = zip(self._model.weights, differs, strict=True)
        changed = {variable.path for variable, is_changed in pairs if is_changed}
        self.estimate(
            [
                layer
                for layer in self._batchnorms
                if changed & {layer.moving_mean.path, layer.moving_variance.path}
            ]
        )

    def estimate(self, batchnorms: Sequence[layers.BatchNormalization]) -> None:
        """Give BatchNorm layers the mean of the batches' statistics; others stay as they are."""
        if not batchnorms:
            return
        for layer in self._batchnorms:
            layer.trainable = layer in batchnorms
        names = frozenset(layer.name for layer in batchnorms)
        statistics = [v for layer in batchnorms for v in (layer.moving_mean, layer.moving_variance)]
        if names not in self._steps:
            self._steps[names] = compiled(
                lambda images: self._model(images, training=True),
                self._model.variables,
                changed=[v for v in self._model.variables if not v.trainable],
            )
        step = self._steps[names]
        values = []
        for images in self._batches():
            step(images)
            values.append([variable.numpy() for variable in statistics])
        for variable, of_batches in zip(statistics, zip(*values, strict=True), strict=True):
            variable.assign(np.mean(of_batches, axis=0))
