"""Files of pretrained weights: their names and where they are found, without TensorFlow."""

from pathlib import Path

from podium import paths

_KERAS = "{}_weights_tf_dim_ordering_tf_kernels_notop.h5"
_EFFICIENTNETS = [f"efficientnet-b{number}" for number in range(8)]

# As the packages name them, by backbone and by what a recipe calls the weights.
WEIGHTS_FILES: dict[str, dict[str, str]] = {
    **{
        name: {
            "imagenet": f"{name}_weights_tf_dim_ordering_tf_kernels_autoaugment_notop.h5",
            "noisy-student": f"{name}_noisy-student_notop.h5",
        }
        for name in _EFFICIENTNETS
    },
    "vgg16": {"imagenet": _KERAS.format("vgg16")},
    "resnet50": {"imagenet": _KERAS.format("resnet50")},
    "inceptionv3": {"imagenet": _KERAS.format("inception_v3")},
    "inceptionresnetv2": {"imagenet": _KERAS.format("inception_resnet_v2")},
    "resnet-small": {},
    "resnet-8": {},
    "resnet-patches": {},
    "patches": {},
}


def weights_file(backbone: str, weights: str) -> str | None:
    """The file that a recipe's weights are in, or None where they have no file of a package."""
    return WEIGHTS_FILES.get(backbone, {}).get(weights)


def find_weights(file_name: str) -> Path | None:
    """The first file of that name in the places for pretrained weights, or attached on Kaggle."""
    own = [place / file_name for place in paths.pretrained()]
    candidates = [*own, *paths.find_in_kaggle_input(file_name)]
    return next((path for path in candidates if path.is_file()), None)
