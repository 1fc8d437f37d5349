"""Pretrained weights: found on disk before any download, so that a run works offline.

Every command reads the names of the files: this module imports neither TensorFlow nor h5py.
"""

import io
import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from podium import paths

if TYPE_CHECKING:  # imports TensorFlow, which takes seconds
    import keras

    from podium.models.backbones import Backbone

_KERAS = "{}_weights_tf_dim_ordering_tf_kernels_notop.h5"

# By backbone and by the recipe's word for the weights: the file, as the packages name it.
WEIGHTS_FILES: dict[str, dict[str, str]] = {
    **{
        f"efficientnet-b{number}": {
            "imagenet": f"efficientnet-b{number}_weights_tf_dim_ordering_tf_kernels_"
            "autoaugment_notop.h5",
            "noisy-student": f"efficientnet-b{number}_noisy-student_notop.h5",
        }
        for number in range(8)
    },
    "vgg16": {"imagenet": _KERAS.format("vgg16")},
    "resnet50": {"imagenet": _KERAS.format("resnet50")},
    "inceptionv3": {"imagenet": _KERAS.format("inception_v3")},
    "inceptionresnetv2": {"imagenet": _KERAS.format("inception_resnet_v2")},
    **{
        f"efficientnetv2-{kind}": {"imagenet": f"efficientnetv2-{kind}_notop.h5"}
        for kind in ("b0", "b1", "b2", "b3", "s", "m", "l")
    },
    **{
        f"convnext-{kind}": {"imagenet": f"convnext_{kind}_notop.h5"}
        for kind in ("tiny", "small", "base", "large", "xlarge")
    },
    **{name: {} for name in ("resnet-small", "resnet-8", "resnet-patches", "patches")},
}


class MissingWeights(ValueError):
    """A file of pretrained weights that is nowhere, or is not this backbone's."""


def weights_file(backbone: str, weights: str) -> str | None:
    """The file that a recipe's weights are in, or None where they have no file of a package."""
    return WEIGHTS_FILES.get(backbone, {}).get(weights)


def find_weights(file_name: str) -> Path | None:
    """The first file of that name in the places for pretrained weights, or attached on Kaggle."""
    own = [place / file_name for place in paths.pretrained()]
    candidates = [*own, *paths.find_in_kaggle_input(file_name)]
    return next((path for path in candidates if path.is_file()), None)


def check_choice(backbone: str, weights: str) -> Path | None:
    """Make sure that the weights are a package's, "none", or a file of weights.

    Returns:
        The file, or None where there is none: for "none", or before a download.

    Raises:
        MissingWeights: they are none of these.
        ForeignFile: the file is more than weights.
    """
    file = weights_file(backbone, weights)
    path = find_weights(file) if file else Path(weights)
    if weights == "none" or path is None:
        return None
    if not path.is_file():
        names = [*WEIGHTS_FILES[backbone], "none"]
        raise MissingWeights(
            f"weights of {backbone}: expected {', '.join(names)} or the path of an .h5 file, "
            f"came {weights!r}, which is no file"
        )
    from podium.files.untrusted import check_weights

    check_weights(path)
    return path


def build_pretrained(backbone: "Backbone", weights: str) -> "keras.Model":
    """Build the backbone with these weights: a package's name for them, a path, or "none".

    Raises:
        MissingWeights: names the file, the places looked at and the ways to get it.
        ForeignFile: the file is more than weights.
    """
    path = check_choice(backbone.name, weights)
    if path is None and weights != "none":
        return _download(backbone, weights)
    network = backbone.build(None)
    if path is None:
        return network
    try:
        network.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        raise MissingWeights(f"{path} does not hold weights of {backbone.name}: {error}") from error
    return network


def _download(backbone: "Backbone", weights: str) -> "keras.Model":
    """Let the package fetch its file (into ~/.keras/models, where it is found from then on)."""
    file_name = weights_file(backbone.name, weights)
    print(f"{file_name} is not on this machine; downloading it", flush=True)
    # Of a bar that moves at a terminal a file would get a line for each step.
    bars = nullcontext() if sys.stdout.isatty() else redirect_stdout(io.StringIO())
    try:
        with bars:
            return backbone.build(weights)
    except Exception as error:  # get_file raises a bare Exception when it cannot connect
        where = ", ".join(str(place) for place in paths.pretrained())
        raise MissingWeights(
            f"{file_name} is in none of {where}, and downloading it failed ({error}). Either run "
            f"the same command once with the internet on, or copy the file into "
            f"weights/pretrained/ (on Kaggle: attach a dataset that has it)"
        ) from error
