"""The box head: what its cells propose, what it makes of maps, and where it stands in a network."""

import numpy as np
import pytest

from podium.models.box_head import SideCells, build_box_head
from podium.models.network import build_network
from podium.recipes.recipe_file import parse_recipe
from podium.recipes.tables import BoxHead


def cells(height: int, width: int, **sides: tuple[int, int, float]) -> np.ndarray:
    """Where each side is looked for, (row, column), and how far from there, in shares."""
    made = np.zeros((1, height, width, 8), np.float32)
    for number, name in enumerate(("left", "top", "right", "bottom")):
        row, column, offset = sides[name]
        made[0, row, column, number] = 50.0  # of a softmax: nothing else counts
        made[0, row, column, 4 + number] = offset / SideCells.REACH
    return made


def test_each_side_is_where_its_cells_say() -> None:
    """4 by 8 cells: a column is 1/8 of the width, a row 1/4 of the height."""
    made = cells(4, 8, left=(0, 1, 0.0), top=(1, 7, -0.025), right=(3, 6, 0.05), bottom=(2, 0, 0.1))
    box = SideCells()(made).numpy()[0]
    np.testing.assert_allclose(box, [1.5 / 8, 1.5 / 4 - 0.025, 6.5 / 8 + 0.05, 2.5 / 4 + 0.1], 1e-5)


def test_a_moved_map_moves_the_box() -> None:
    made = cells(6, 6, left=(1, 1, 0.02), top=(1, 1, 0), right=(3, 3, 0), bottom=(3, 3, 0.04))
    moved = np.roll(made, (2, 1), axis=(1, 2))
    boxes = [SideCells()(one).numpy()[0] for one in (made, moved)]
    np.testing.assert_allclose(boxes[1] - boxes[0], [1 / 6, 2 / 6, 1 / 6, 2 / 6], atol=1e-5)


def test_an_untrained_head_looks_everywhere_and_says_the_middle() -> None:
    head = build_box_head(BoxHead(width=8), [5])
    maps = np.random.default_rng(0).normal(size=(6, 4, 4, 5)).astype(np.float32)
    boxes = head.predict(maps, verbose=0)
    assert boxes.shape == (6, 4)
    np.testing.assert_allclose(boxes, 0.5, atol=0.05)


@pytest.mark.parametrize("size", [(8, 8), (10, 6)])
def test_maps_of_different_sizes_are_joined(size: tuple[int, int]) -> None:
    """A fine and a coarse map; no size of image is built in."""
    height, width = size
    head = build_box_head(BoxHead(width=8, depth=2), [3, 7])
    fine, coarse = np.ones((2, height, width, 3)), np.ones((2, height // 2, width // 2, 7))
    assert head.predict([fine, coarse], verbose=0).shape == (2, 4)


def test_the_network_of_a_recipe_has_both_heads() -> None:
    data = {
        "competition": "pets",
        "backbone": "resnet-small",
        "weights": "none",
        "image_size": 32,
        "head": {"width": 0},
        "box": {"taps": ["block2b", "block3b"], "width": 8},
    }
    network = build_network(parse_recipe(data, "test"), classes=2)
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    probabilities, boxes = network.model.predict(images, verbose=0)
    np.testing.assert_allclose(network.classifier.predict(images, verbose=0), probabilities)
    seen = network.trunk.predict(images, verbose=0)
    assert [one.shape[1:3] for one in seen] == [(64,), (16, 16), (8, 8)], "pooled, fine, coarse"
    again = network.heads.predict(seen, verbose=0)
    np.testing.assert_allclose(again[0], probabilities, atol=1e-5)
    np.testing.assert_allclose(again[1], boxes, atol=1e-5)

    network.unfreeze("head", train_batchnorm=False)
    trained = {variable.path.split("/")[0] for variable in network.model.trainable_variables}
    assert {name.split("_")[0] for name in trained} == {"logits", "box"}


def test_a_block_that_is_not_there_is_named() -> None:
    data = {"competition": "pets", "backbone": "resnet-small", "weights": "none"}
    recipe = parse_recipe({**data, "box": {"taps": ["block9z"]}}, "test")
    with pytest.raises(ValueError, match=r"box\.taps: resnet-small has no block 'block9z'"):
        build_network(recipe, classes=2)
