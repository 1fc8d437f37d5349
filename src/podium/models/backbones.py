"""The backbones: how each is built, what it expects of an image, and where its blocks begin."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import keras
from keras import ops
from keras.applications import imagenet_utils

from podium.models.backend import silu
from podium.models.patches import patches
from podium.models.small_resnets import resnet_patches, resnet_small

# What the efficientnet package asks of `keras.backend`, which Keras has kept for TensorFlow alone:
# its swish is what it takes there for "tensorflow".
_OPERATIONS = SimpleNamespace(
    backend=lambda: "tensorflow",
    image_data_format=keras.config.image_data_format,
    is_keras_tensor=keras.utils.is_keras_tensor,
    shape=ops.shape,
    tf=SimpleNamespace(nn=SimpleNamespace(swish=silu)),
)


class Preprocessing(keras.layers.Layer):
    """Scale and normalize images, uint8 (batch, height, width, 3) RGB → float.

    The networks keep this inside, so that no two parts can disagree about it.

    Args:
        mode: of `keras.applications.imagenet_utils.preprocess_input`: "torch" for RGB in [0, 1]
            less ImageNet's mean over its deviation (EfficientNet, ConvNeXt), "tf" for RGB in
            [-1, 1] (Inception), "caffe" for BGR less the mean (VGG, ResNet50). Or "128" for RGB
            over 128 less 1 (EfficientNetV2 S to L).
    """

    def __init__(self, mode: str, **kwargs):
        super().__init__(**kwargs)
        self.mode = mode

    def call(self, images):
        # In float32 whatever the policy: 1/255 steps are lost in bfloat16.
        images = ops.cast(images, "float32")
        if self.mode == "128":
            images = images / 128 - 1
        else:
            images = imagenet_utils.preprocess_input(images, mode=self.mode)
        return ops.cast(images, self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "mode": self.mode}


@dataclass(frozen=True)
class Backbone:
    """A family member by its name in a recipe."""

    name: str
    build: Callable[[str | None], keras.Model]  # weights: None or what the package downloads
    preprocessing: str  # mode of `Preprocessing`
    block: str  # regular expression: a layer's block is the text that this matches in its name
    block_ends: bool = False  # the expression names the last layer of a block instead
    parts: tuple[int, ...] = (1,)  # relative numbers of channels that kernels keep apart
    drop_connect: float | None = None  # the rate where a recipe gives none

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
            if begins:
                blocks.append([])
            blocks[-1].append(layer)
        return blocks

    def block_outputs(self, network: keras.Model) -> dict[str, keras.KerasTensor]:
        """The output of each block of the built network, by the block's name."""
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
        # Not efficientnet.tfkeras, which also imports scikit-image and only hands over Keras.
        import efficientnet.model

        make = getattr(efficientnet.model, f"EfficientNet{letter.upper()}")
        return make(
            weights=weights,
            include_top=False,
            input_shape=(None, None, 3),
            backend=_OPERATIONS,
            layers=keras.layers,
            models=keras.models,
            utils=keras.utils,
        )

    # The paper's rate (arXiv:1905.11946), whatever the depth: the package counts the blocks of B0
    # in each network, so that B6 would drop its last branch at 0.55.
    blocks = r"stem|block\d+[a-z]|top"
    return Backbone(f"efficientnet-{letter}", build, "torch", blocks, drop_connect=0.2)


def _application(
    name: str, preprocessing: str, block: str, block_ends: bool = False, **options: Any
) -> Backbone:
    def build(weights: str | None) -> keras.Model:
        make = getattr(keras.applications, name)
        return make(weights=weights, include_top=False, input_shape=(None, None, 3), **options)

    return Backbone(name.lower(), build, preprocessing, block, block_ends)


def _efficientnet_v2(kind: str) -> Backbone:
    """Tan and Le 2021, arXiv:2104.00298."""
    mode = "torch" if kind.startswith("B") else "128"
    blocks = r"stem|block\d+[a-z]|top"
    made = _application(f"EfficientNetV2{kind}", mode, blocks, include_preprocessing=False)
    return replace(made, name=f"efficientnetv2-{kind.lower()}", drop_connect=0.2)


def _convnext(kind: str) -> Backbone:
    """Liu et al. 2022, arXiv:2201.03545."""
    blocks = r"convnext_\w+_(stem|downsampling_block_\d|stage_\d_block_\d+)"
    made = _application(f"ConvNeXt{kind}", "torch", blocks, include_preprocessing=False)
    return replace(made, name=f"convnext-{kind.lower()}")


def _own(
    name: str, build: Callable[[], keras.Model], block: str = r"stem|block\d+[a-z]", **more: Any
) -> Backbone:
    """A backbone of Podium's own, of which there are no pretrained weights."""
    return Backbone(name, lambda weights: build(), "torch", block, **more)


BACKBONES: dict[str, Backbone] = {
    backbone.name: backbone
    for backbone in (
        *(_efficientnet(f"b{number}") for number in range(8)),
        _application("VGG16", "caffe", r"block\d"),
        _application("ResNet50", "caffe", r"conv1|conv\d_block\d+"),
        _application("InceptionV3", "tf", r"mixed\d+$", True),
        _application(
            "InceptionResNetV2", "tf", r"mixed_\d[a-z]$|block\d+_\d+_ac$", block_ends=True
        ),
        *map(_efficientnet_v2, ("B0", "B1", "B2", "B3", "S", "M", "L")),
        *map(_convnext, ("Tiny", "Small", "Base", "Large", "XLarge")),
        _own("resnet-small", lambda: resnet_small(blocks=(2, 2, 2))),
        _own("resnet-8", lambda: resnet_small(blocks=(1, 1, 1))),
        _own("resnet-patches", resnet_patches),
        _own("patches", patches, block="patches", parts=(1, 4, 16)),
    )
}
