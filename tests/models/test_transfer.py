"""A backbone's weights given to another network: each layer's own, whatever the heads tap."""

from typing import Any

import keras
import numpy as np
import pytest

from podium.models.network import Network, build_network
from podium.models.transfer import backbone_weights, give_backbone
from podium.recipes.recipe_file import parse_recipe

TAPS = ["block1b", "block3b"]


def build(
    taps: list[str], backbone: str = "resnet-small", classes: int = 3, **changes: Any
) -> Network:
    """As the first network of a process is built."""
    keras.backend.clear_session()
    head = {"taps": taps, "width": 0}
    data = {"competition": "pets", "backbone": backbone, "weights": "none", "head": head}
    return build_network(parse_recipe({**data, **changes}, "test"), classes)


def spoil(network: Network) -> None:
    """Other weights than any new network has, BatchNorm statistics included."""
    random = np.random.default_rng(0)
    for weight in network.backbone.weights:
        weight.assign(random.normal(size=weight.shape))


def assert_same(network: Network, weights: dict[str, list[np.ndarray]]) -> int:
    """See that each layer of the backbone has the weights of its name; returns how many do."""
    mine = backbone_weights(network)
    for name, arrays in mine.items():
        for one, other in zip(arrays, weights[name], strict=True):
            np.testing.assert_array_equal(one, other)
    return len(mine)


def test_other_taps_take_what_they_need_and_the_head_is_left() -> None:
    source = build([])
    spoil(source)
    weights = backbone_weights(source)
    network = build(TAPS, classes=5)
    head = network.head.get_weights()
    give_backbone(network, weights, "run a")
    assert assert_same(network, weights) == len(weights), "TAPS end with the backbone"
    for one, other in zip(network.head.get_weights(), head, strict=True):
        np.testing.assert_array_equal(one, other)
    shorter = build(["block1b"])
    give_backbone(shorter, weights, "run a")
    assert 0 < assert_same(shorter, weights) < len(weights)


def test_a_network_that_finds_boxes_starts_from_one_that_does_not_and_back() -> None:
    box = {"taps": ["block2b", "block3b"], "width": 8}
    for mine, theirs in ({"box": box}, {}), ({}, {"box": box}):
        source = build([], **theirs)
        spoil(source)
        weights = backbone_weights(source)
        network = build([], **mine)
        give_backbone(network, weights, "run a")
        assert assert_same(network, weights) == len(weights)


def test_a_layer_that_the_source_has_cut_off_is_named_and_nothing_is_changed() -> None:
    source = build(["block1b"])
    spoil(source)
    network = build([])
    before = backbone_weights(network)
    with pytest.raises(ValueError, match=r"backbone of run a has no layer 'block2a_.*head\.taps"):
        give_backbone(network, backbone_weights(source), "run a")
    assert_same(network, before)


def test_other_shapes_are_refused() -> None:
    weights = backbone_weights(build([]))
    name = next(iter(weights))
    weights[name] = [np.zeros((1, 2)) for _ in weights[name]]
    with pytest.raises(ValueError, match=rf"layer '{name}' of run a has other shapes than here"):
        give_backbone(build([]), weights, "run a")


def test_layers_that_keras_numbers_find_each_other() -> None:
    """InceptionV3 leaves most of its names to Keras, which counts on through a process."""
    source = build([], "inceptionv3")
    spoil(source)
    weights = backbone_weights(source)
    network = build(["mixed7"], "inceptionv3")
    give_backbone(network, weights, "run a")
    assert 100 < assert_same(network, weights) < len(weights)
