"""Several sets of weights made one, with BatchNorm statistics of its own (arXiv:1803.05407, 3.2).

The mean of several networks has other activations than each of them, so that the mean of their
statistics would not fit it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from podium.models.network import Network

Weights = Sequence[np.ndarray]  # as `get_weights` gives them
BatchNorms = Sequence[layers.BatchNormalization]


class Averager:
    """Gives a network the mean of several sets of its weights.

    Args:
        network: its own weights are lost.
        batches: gives batches of images as the network is trained on them, uint8 (batch, height,
            width, 3), each time from the first one on.
    """

    def __init__(self, network: Network, batches: Callable[[], Iterable]):
        self._network, self._batches = network, batches
        self._steps: dict[tuple[str, ...], Callable] = {}  # tracing a large network takes seconds

    def average(self, ingredients: Iterable[Weights]) -> None:
        """Give the network the mean of these weights, of which one at a time need be in memory.

        Statistics that differ between them are estimated again. The others belong to frozen
        layers: they are constants that all of the weights were trained with.
        """
        model = self._network.model
        mean, moved = _mean(ingredients)
        model.set_weights(mean)
        of_moved = {id(variable) for variable, one in zip(model.weights, moved, strict=True) if one}
        self.estimate(
            [
                layer
                for layer in _batchnorms(self._network)
                if any(id(variable) in of_moved for variable in _statistics(layer))
            ]
        )

    def estimate(self, batchnorms: BatchNorms) -> None:
        """Give BatchNorm layers the mean of the batches' statistics, nothing being dropped."""
        if not batchnorms:
            return
        variables = [variable for layer in batchnorms for variable in _statistics(layer)]
        total, count = [np.zeros(variable.shape) for variable in variables], 0
        with _only_these_learn(self._network, batchnorms):
            step = self._step(batchnorms)
            for images in self._batches():
                step(images)
                count += 1
                for sum_, variable in zip(total, variables, strict=True):
                    sum_ += variable.numpy()
        for sum_, variable in zip(total, variables, strict=True):
            variable.assign((sum_ / count).astype(np.float32))

    def _step(self, batchnorms: BatchNorms) -> Callable:
        """Run the network over a batch, whose statistics these layers then have."""
        names = tuple(layer.name for layer in batchnorms)
        if names not in self._steps:
            model = self._network.model
            self._steps[names] = tf.function(lambda images: model(images, training=True))
        return self._steps[names]


def _mean(ingredients: Iterable[Weights]) -> tuple[list[np.ndarray], list[bool]]:
    """The mean of each array, and whether it differs between the ingredients."""
    weights = iter(ingredients)
    first = next(weights)
    total, moved, count = [array.astype(np.float64) for array in first], [False] * len(first), 1
    for arrays in weights:
        count += 1
        for place, array in enumerate(arrays):
            total[place] += array
            moved[place] = moved[place] or not np.array_equal(first[place], array)
    mean = [(sum_ / count).astype(array.dtype) for sum_, array in zip(total, first, strict=True)]
    return mean, moved


@contextmanager
def _only_these_learn(network: Network, batchnorms: BatchNorms) -> Iterator[None]:
    """While it lasts, a training step forgets these layers' statistics for those of its batch.

    It changes no other layer, and drops nothing: at prediction nothing is dropped either.
    """
    every, chosen = _batchnorms(network), set(batchnorms)
    dropouts = [layer for layer in network.layers if isinstance(layer, layers.Dropout)]
    before = [(layer, layer.trainable, layer.momentum) for layer in every]
    rates = [(layer, layer.rate) for layer in dropouts]
    try:
        for layer in every:
            layer.trainable, layer.momentum = layer in chosen, 0.0
        for layer in dropouts:
            layer.rate = 0.0
        yield
    finally:
        for layer, trainable, momentum in before:
            layer.trainable, layer.momentum = trainable, momentum
        for layer, rate in rates:
            layer.rate = rate


def _statistics(layer: layers.BatchNormalization) -> list[keras.Variable]:
    return [layer.moving_mean, layer.moving_variance]


def _batchnorms(network: Network) -> list[layers.BatchNormalization]:
    return [layer for layer in network.layers if isinstance(layer, layers.BatchNormalization)]
