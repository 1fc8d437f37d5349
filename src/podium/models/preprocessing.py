"""The first layer of every network: from uint8 RGB to what its backbone was trained on."""

import keras
from keras import ops
from keras.applications import imagenet_utils


@keras.saving.register_keras_serializable("podium")
class Preprocessing(keras.layers.Layer):
    """Scale and normalize images, uint8 (batch, height, width, 3) RGB → float.

    The networks keep this inside, so that no two parts can disagree about it.

    Args:
        mode: of `keras.applications.imagenet_utils.preprocess_input`: "torch" for RGB in [0, 1]
            less ImageNet's mean over its deviation (EfficientNet), "tf" for RGB in [-1, 1]
            (Inception), "caffe" for BGR less the mean (VGG, ResNet50).
    """

    def __init__(self, mode: str, **kwargs):
        super().__init__(**kwargs)
        self.mode = mode

    def call(self, images):
        # In float32 whatever the policy: 1/255 steps are lost in bfloat16.
        images = imagenet_utils.preprocess_input(ops.cast(images, "float32"), mode=self.mode)
        return ops.cast(images, self.compute_dtype)

    def compute_output_spec(self, images):
        return keras.KerasTensor(images.shape, dtype=self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "mode": self.mode}
