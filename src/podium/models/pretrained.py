"""Pretrained weights: found on disk before any download, so that a run works offline."""

from pathlib import Path

import keras

from podium import paths
from podium.files.untrusted import check_weights
from podium.models.backbones import Backbone
from podium.models.weights_files import WEIGHTS_FILES, find_weights


class MissingWeights(ValueError):
    """A file of pretrained weights that is nowhere, or is not this backbone's."""


def build_pretrained(backbone: Backbone, weights: str) -> keras.Model:
    """Build the backbone with these weights: a package's name for them, a path, or "none".

    Raises:
        MissingWeights: names the file, the places looked at and the ways to get it.
        ForeignFile: the file is more than weights.
    """
    if weights == "none":
        return backbone.build(None)
    names = WEIGHTS_FILES[backbone.name]
    if weights in names:
        path = find_weights(names[weights])
        if path is None:
            return _download(backbone, weights, names[weights])
    else:
        path = Path(weights)
        if not path.is_file():
            choices = ", ".join([*names, "none"])
            raise MissingWeights(
                f"weights of {backbone.name}: expected {choices} or the path of an .h5 file, "
                f"came {weights!r}, which is no file"
            )
    check_weights(path)
    network = backbone.build(None)
    try:
        network.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        raise MissingWeights(f"{path} does not hold weights of {backbone.name}: {error}") from error
    return network


def _download(backbone: Backbone, weights: str, file_name: str) -> keras.Model:
    """Let the package fetch its file (into ~/.keras/models, where it is found from then on)."""
    print(f"{file_name} is not on this machine; downloading it", flush=True)
    try:
        return backbone.build(weights)
    except Exception as error:  # get_file raises a bare Exception when it cannot connect
        where = ", ".join(str(place) for place in paths.pretrained())
        raise MissingWeights(
            f"{file_name} is in none of {where}, and downloading it failed ({error}). Either run "
            f"the same command once with the internet on, or copy the file into "
            f"weights/pretrained/ (on Kaggle: attach a dataset that has it)"
        ) from error
