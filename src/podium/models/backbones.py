"""The backbones: how each is built, what it expects of an image, and where its blocks begin."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np


@dataclass(frozen=True)
class Backbone:
    """A family member by its name in a recipe."""

    name: str
    build: Callable[[str | None], keras.Model]  # weights: None or what the package downloads
    preprocessing: str  # mode of `Preprocessing`
    block: str  # regular expression: a layer's block is the text that this matches in its name
    block_ends: bool = False  # the expression names the last layer of a block instead
    # What is computed from preprocessed training images, float32 (images, height, width, 3).
    fit: Callable[[keras.Model, np.ndarray], None] | None = None
    parts: tuple[int, ...] = (1,)  # relative numbers of channels of what a kernel keeps apart

    def blocks(self, network: keras.Model) -> list[list[keras.layers.Layer]]:
        """The layers of the built network in blocks, from the image to the top."""
        blocks: list[list[keras.layers.Layer]] = [[]]
        current, ended = None, False
        for layer in network.layers:
            match = re.match(self.block, layer.name)
            if self.block_ends:
                begins, ended = ended, bool(match)
            else:
                # What stands before the first match, such as the input, goes with its block.
                begins = current is not None and bool(match) and match[0] != current
                current = match[0] if match else current
            if begins and blocks[-1]:
                blocks.append([])
            blocks[-1].append(layer)
        return blocks

    def block_outputs(self, network: keras.Model) -> dict[str, keras.KerasTensor]:
        """What each block of the built network gives, by the block's name."""
        outputs = {}
        for block in self.blocks(network):
            matches = [re.match(self.block, layer.name) for layer in block]
            names = [match[0] for match in matches if match]
            if names:
                outputs[names[-1]] = block[-1].output
        return outputs


def get_backbone(name: str) -> Backbone:
    """The backbone of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in BACKBONES:
        raise ValueError(f"no backbone {name!r}; there are: {', '.join(BACKBONES)}")
    return BACKBONES[name]


def _efficientnet(letter: str) -> Backbone:
    def build(weights: str | None) -> keras.Model:
        # Not efficientnet.tfkeras, which also imports scikit-image, for what Podium does not use;
        # all that it adds to the networks is to hand them Keras.
        import efficientnet.model
        from tensorflow import keras as tf_keras

        make = getattr(efficientnet.model, f"EfficientNet{letter.upper()}")
        return make(
            weights=weights,
            include_top=False,
            input_shape=(None, None, 3),
            backend=tf_keras.backend,
            layers=tf_keras.layers,
            models=tf_keras.models,
            utils=tf_keras.utils,
        )

    return Backbone(f"efficientnet-{letter}", build, "torch", block=r"stem|block\d+[a-z]|top")


def _keras_application(
    name: str, preprocessing: str, block: str, block_ends: bool = False
) -> Backbone:
    def build(weights: str | None) -> keras.Model:
        make = getattr(keras.applications, name)
        return make(weights=weights, include_top=False, input_shape=(None, None, 3))

    return Backbone(name.lower(), build, preprocessing, block, block_ends)


def _resnet_small(name: str, blocks: tuple[int, ...]) -> Backbone:
    def build(weights: str | None) -> keras.Model:
        from podium.models.small_resnets import resnet_small

        return resnet_small(blocks)

    return Backbone(name, build, preprocessing="torch", block=r"stem|block\d+[a-z]")


def _resnet_patches() -> Backbone:
    def build(weights: str | None) -> keras.Model:
        from podium.models.resnet_patches import resnet_patches

        return resnet_patches()

    def fit(network: keras.Model, images: np.ndarray) -> None:
        from podium.models.resnet_patches import fit_patches

        fit_patches(network, images)

    return Backbone("resnet-patches", build, "torch", block=r"stem|block\d+[a-z]", fit=fit)


def _patches() -> Backbone:
    def build(weights: str | None) -> keras.Model:
        from podium.models.patches import patches

        return patches()

    def fit(network: keras.Model, images: np.ndarray) -> None:
        from podium.models.patches import fit_patches_dictionary

        fit_patches_dictionary(network, images)

    return Backbone("patches", build, "torch", block="patches", fit=fit, parts=(1, 4, 16))


BACKBONES: dict[str, Backbone] = {
    backbone.name: backbone
    for backbone in (
        *(_efficientnet(f"b{number}") for number in range(8)),
        _keras_application("VGG16", "caffe", r"block\d"),
        _keras_application("ResNet50", "caffe", r"conv1|conv\d_block\d+"),
        _keras_application("InceptionV3", "tf", r"mixed\d+$", block_ends=True),
        _keras_application(
            "InceptionResNetV2",
            "tf",
            r"mixed_\d[a-z]$|block\d+_\d+_ac$",
            block_ends=True,
        ),
        _resnet_small("resnet-small", blocks=(2, 2, 2)),
        _resnet_small("resnet-8", blocks=(1, 1, 1)),
        _resnet_patches(),
        _patches(),
    )
}
