"""The first layer of every network: from uint8 RGB to what its backbone was trained on."""

import keras
import numpy as np
from keras import ops

_IMAGENET_MEAN = np.array([0.485, 0.456, 0.406])  # RGB in [0, 1]
_IMAGENET_STD = np.array([0.229, 0.224, 0.225])
_CAFFE_MEAN_BGR = np.array([103.939, 116.779, 123.68])  # BGR in [0, 255]


@keras.saving.register_keras_serializable("podium")
class Preprocessing(keras.layers.Layer):
    """Scale and normalize images, uint8 (batch, height, width, 3) RGB → float.

    The networks keep this inside, so that no two parts can disagree about it.

    Args:
        mode: "torch" for RGB in [0, 1] less ImageNet's mean over its deviation (EfficientNet),
            "tf" for RGB in [-1, 1] (Inception), "caffe" for BGR less the mean (VGG, ResNet50).
    """

    def __init__(self, mode: str, **kwargs):
        super().__init__(**kwargs)
        if mode not in ("torch", "tf", "caffe"):
            raise ValueError(f"mode must be torch, tf or caffe, came {mode!r}")
        self.mode = mode

    def call(self, images):
        # In float32 whatever the policy: 1/255 steps are lost in bfloat16.
        images = ops.cast(images, "float32")  # (batch, height, width, 3)
        if self.mode == "torch":
            images = (images / 255.0 - _IMAGENET_MEAN) / _IMAGENET_STD
        elif self.mode == "tf":
            images = images / 127.5 - 1.0
        else:
            images = ops.flip(images, axis=-1) - _CAFFE_MEAN_BGR
        return ops.cast(images, self.compute_dtype)

    def compute_output_spec(self, images):
        return keras.KerasTensor(images.shape, dtype=self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "mode": self.mode}
