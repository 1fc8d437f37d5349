"""The small residual network for 32×32 images, trained from scratch (arXiv:1512.03385, 4.2).

With one block in each group it is the ResNet-8 of MLPerf Tiny (arXiv:2106.07597).
"""

from collections.abc import Sequence

import keras
from keras import layers


def resnet_small(blocks: Sequence[int], filters: Sequence[int] = (16, 32, 64)) -> keras.Model:
    """Build the network without its top: (batch, height, width, 3) → (…, height/4, width/4, 64).

    Args:
        blocks: residual blocks in each group; every group but the first halves the image.
        filters: channels of each group.
    """
    inputs = keras.Input((None, None, 3))
    x = convolution(inputs, filters[0], 1, "stem_")
    x = layers.Activation("relu", name="stem_activation")(x)
    for group, (count, width) in enumerate(zip(blocks, filters, strict=True), start=1):
        for number in range(count):
            stride = 2 if number == 0 and group > 1 else 1
            x = residual_block(x, width, stride, f"block{group}{chr(ord('a') + number)}_")
    return keras.Model(inputs, x, name="resnet-small")


def residual_block(inputs, filters: int, stride: int, prefix: str):
    """relu(inputs + two convolutions), with a 1×1 convolution where the shapes differ."""
    x = convolution(inputs, filters, stride, prefix + "first_")
    x = layers.Activation("relu", name=prefix + "activation")(x)
    x = convolution(x, filters, 1, prefix + "second_")
    if stride > 1 or inputs.shape[-1] != filters:
        inputs = convolution(inputs, filters, stride, prefix + "shortcut_", kernel=1)
    x = layers.Add(name=prefix + "add")([x, inputs])
    return layers.Activation("relu", name=prefix + "output")(x)


def convolution(x, filters: int, stride: int, prefix: str, kernel: int = 3):
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
