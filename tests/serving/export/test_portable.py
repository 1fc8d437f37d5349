"""Models of Keras' own layers compute what the networks of a recipe do."""

import json
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from podium.competitions.boxes import tidy
from podium.models.network import Network, build_network
from podium.recipes.recipe_file import parse_recipe
from podium.serving.export.portable import portable_model

SIZE = 96  # InceptionV3 takes none below 75


def network_of(backbone: str, seed: int = 0, **changes) -> Network:
    """A network whose biases and statistics are those of no initializer: each of them matters."""
    keras.utils.set_random_seed(seed)
    recipe = {"competition": "sample", "backbone": backbone, "head": {"width": 8}, **changes}
    network = build_network(parse_recipe(recipe, "here"), 3, pretrained=False)
    random = np.random.default_rng(seed)
    for layer in network.layers:
        changed = [
            array + abs(random.normal(0, 0.05, array.shape)) * (array.ndim == 1)
            for array in layer.get_weights()
        ]
        layer.set_weights(changed)
    return network


def images(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (3, SIZE, SIZE, 3), np.uint8)


SLOW = [
    pytest.param(backbone, marks=pytest.mark.slow)
    for backbone in (
        "efficientnet-b0",
        "efficientnetv2-s",
        "convnext-tiny",
        "inceptionv3",
        "resnet50",
    )
]


@pytest.mark.parametrize("backbone", ["resnet-8", "resnet-patches", "vgg16", *SLOW])
def test_each_backbone_is_said_in_layers_of_keras(backbone: str, tmp_path: Path) -> None:
    network = network_of(backbone)
    model = portable_model([network], SIZE)
    expected = np.asarray(network.model(images(), training=False))
    found = np.asarray(model(images(), training=False)["probabilities"])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    model.save(tmp_path / "model.keras")
    config = json.loads(zipfile.ZipFile(tmp_path / "model.keras").read("config.json"))
    assert all(name.split(".")[0] in ("keras", "builtins") for name in modules_in(config))
    opened = keras.saving.load_model(tmp_path / "model.keras")
    found = np.asarray(opened(images(), training=False)["probabilities"])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def modules_in(config: object) -> set[str]:
    """Where a stored model's layers and functions are imported from."""
    if isinstance(config, dict):
        own = {config["module"]} if isinstance(config.get("module"), str) else set()
        return own.union(*map(modules_in, config.values()))
    return set().union(*map(modules_in, config)) if isinstance(config, list) else set()


@pytest.mark.parametrize("taps", [[], ["block2a", "block3a"]])
def test_boxes_come_in_order_from_maps_of_several_blocks(taps: list[str]) -> None:
    network = network_of("resnet-8", box={"width": 8, "taps": taps})
    model = portable_model([network, network], SIZE)
    expected = network.model(images(), training=False)
    found = model(images())
    np.testing.assert_allclose(found["probabilities"], expected[0], atol=1e-6)
    np.testing.assert_allclose(found["boxes"], tidy(np.asarray(expected[1])), atol=1e-5)


def test_several_networks_are_their_mean() -> None:
    first, second = network_of("resnet-8"), network_of("resnet-8", seed=1)
    found = portable_model([first, second], SIZE)(images())["probabilities"]
    each = [np.asarray(one.model(images(), training=False)) for one in (first, second)]
    assert np.abs(each[0] - each[1]).max() > 1e-3
    np.testing.assert_allclose(found, np.mean(each, axis=0), atol=1e-6)


def test_layers_without_an_equal_are_refused_by_name() -> None:
    network = network_of("patches")
    with pytest.raises(ValueError, match=r"does not take the layer 'patches' \(PooledPatches\)"):
        portable_model([network], SIZE)
