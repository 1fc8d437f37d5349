"""Networks of a run as one model of Keras' own layers, which a process without Podium can open."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops
from keras.applications import imagenet_utils

from podium.models.backbones import Preprocessing
from podium.models.box_head import Enlarge, SideCells
from podium.models.network import Network
from podium.models.patches import PATCH
from podium.models.small_resnets import LocalContrast, WhitenedPatches


def portable_model(networks: Sequence[Network], size: int) -> keras.Model:
    """The mean of networks, from uint8 (batch, height, width, 3) RGB to a dictionary.

    It has "probabilities", float32 (batch, outputs), and where the networks find boxes "boxes",
    float32 (batch, 4): x_min, y_min, x_max, y_max in shares of the image, in order and within 0
    to 1. The networks stay as they are.

    Args:
        size: of the images that they predict, pixels. Others are taken as well, but not where a box
            head joins maps of several blocks.

    Raises:
        ValueError: one of the layers cannot be said in Keras' own.
    """
    several = [
        network.box_head is not None and len(network.box_head.inputs) > 1 for network in networks
    ]
    side = size if any(several) else None
    images = keras.Input((side, side, 3), dtype="uint8", name="images")
    found = []
    for number, network in enumerate(networks):
        clone = _cloned(network, size)
        clone.name = f"network_{number}"
        outputs = clone(images)
        found.append(outputs if isinstance(outputs, list) else [outputs])
    outputs = {}
    for name, each in zip(("probabilities", "boxes"), zip(*found, strict=True), strict=False):
        each = [_tidy(boxes) for boxes in each] if name == "boxes" else list(each)
        mean = layers.Average(name=name) if len(each) > 1 else layers.Identity(name=name)
        outputs[name] = mean(each if len(each) > 1 else each[0])
    return keras.Model(images, outputs, name="podium")


def _cloned(network: Network, size: int) -> keras.Model:
    pairs, enlarging = [], []

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, Enlarge):  # to the finest map, which comes first
            finest = network.trunk.compute_output_shape((1, size, size, 3))[1][1:3]
            coarse = keras.Input((None, None, layer.input[0].shape[-1]))
            enlarged = ops.image.resize(coarse, finest, interpolation="bilinear")
            enlarging.append(keras.Model(coarse, enlarged, name=layer.name))
            return enlarging[-1]
        pairs.append((layer, _portable(layer)))
        return pairs[-1][1]

    def call(layer: keras.layers.Layer, *given: Any, **options: Any) -> Any:
        return layer(*given[:1] if layer in enlarging else given, **options)

    cloned = keras.models.clone_model(
        network.model, clone_function=clone, call_function=call, recursive=True
    )
    for layer, twin in pairs:
        if getattr(layer, "weights", None):
            twin.set_weights(layer.get_weights())
    return cloned


def _portable(layer: keras.layers.Layer) -> keras.layers.Layer:
    """A layer that computes the same, with the same weights in the same order."""
    kind, config = type(layer), layer.get_config()
    if kind in _OPERATIONS:  # as a model, the sides of its maps left open
        given = keras.Input((None, None, layer.input.shape[-1]), dtype=layer.input.dtype)
        return keras.Model(given, _OPERATIONS[kind](layer, given), name=layer.name)
    if kind.__name__ == "FixedDropout":  # the efficientnet package's, of older Keras
        kind = layers.Dropout
    activation = getattr(layer, "activation", None)
    if getattr(activation, "__name__", "") == "swish":  # the package's own again, around `silu`
        config["activation"] = "silu"
    if not kind.__module__.startswith("keras."):
        raise ValueError(
            f"podium export does not take the layer {layer.name!r} ({kind.__name__}), which is "
            "Podium's own; it takes all backbones but patches, and all heads without centers"
        )
    return kind.from_config(config)


def _preprocessing(layer: Preprocessing, images: keras.KerasTensor) -> keras.KerasTensor:
    if layer.mode == "128":
        return layers.Rescaling(1 / 128, -1)(images)
    return imagenet_utils.preprocess_input(ops.cast(images, "float32"), mode=layer.mode)


def _whitened(layer: WhitenedPatches, x: keras.KerasTensor) -> keras.KerasTensor:
    x = layers.Conv2D(layer.kernel.shape[-1], PATCH, padding="same", use_bias=False)(x)
    return layers.Concatenate()([ops.relu(x), ops.relu(-x)])


def _side_cells(layer: SideCells, cells: keras.KerasTensor) -> keras.KerasTensor:
    """As `SideCells.call`, where nothing may ask for the shape."""
    where, distances = cells[..., :4], cells[..., 4:]
    weights = ops.exp(where - ops.max(where, axis=(1, 2), keepdims=True))
    weights = weights / ops.sum(weights, axis=(1, 2), keepdims=True)
    ones = ops.ones_like(cells[..., :1])
    y, x = (
        (ops.cumsum(ones, axis=axis) - 0.5) / ops.sum(ones, axis=axis, keepdims=True)
        for axis in (1, 2)
    )
    sides = ops.concatenate([x, y, x, y], axis=-1) + layer.REACH * distances
    return ops.sum(weights * sides, axis=(1, 2))


_OPERATIONS = {
    Preprocessing: _preprocessing,
    LocalContrast: LocalContrast.call,
    WhitenedPatches: _whitened,
    SideCells: _side_cells,
}


def _tidy(boxes: keras.KerasTensor) -> keras.KerasTensor:
    """As `competitions.boxes.tidy` has it."""
    first, second = boxes[:, :2], boxes[:, 2:]
    ordered = ops.concatenate([ops.minimum(first, second), ops.maximum(first, second)], axis=-1)
    return ops.clip(ordered, 0, 1)
