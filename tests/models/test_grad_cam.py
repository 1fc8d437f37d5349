"""Heat lies where the network looks, for every kind of head that pools maps."""

import keras
import numpy as np
import pytest

from podium.models.backend import compiled
from podium.models.grad_cam import GradCam, NoHeatMap
from podium.models.network import Network, build_network
from podium.recipes.recipe_file import parse_recipe


def network(**changes: object) -> Network:
    keras.utils.set_random_seed(0)
    data = {"competition": "sample", "backbone": "resnet-small", "weights": "none"}
    return build_network(parse_recipe({**data, **changes}, "test"), classes=3)


def lit(*places: tuple[int, int]) -> np.ndarray:
    """Images of 32 px without any signal, but for a bright spot with this top and left."""
    images = np.empty((len(places), 32, 32, 3), np.uint8)
    images[:] = (124, 116, 104)  # ImageNet's mean color, which preprocessing makes nearly 0
    for image, (top, left) in zip(images, places, strict=True):
        image[top : top + 8, left : left + 8] = 255
    return images


def see_anything(of: Network) -> None:
    """Make class 1 what has any signal; nothing speaks for the others."""
    logits = of.head.get_layer("logits")
    weights = np.zeros(logits.kernel.shape, np.float32)
    weights[:, 1] = 1
    logits.set_weights([weights, np.zeros(3, np.float32)])


def middle(heat: np.ndarray) -> tuple[float, float]:
    """The center of a map (rows, columns), in shares of its sides from the top and the left."""
    shares = [(np.arange(side) + 0.5) / side for side in heat.shape]
    total = heat.sum()
    return (heat.sum(axis=1) @ shares[0]) / total, (heat.sum(axis=0) @ shares[1]) / total


@pytest.mark.parametrize(
    "head",
    [
        {"width": 0},
        {"width": 0, "taps": ["block2b", "block3b"]},
        {"width": 0, "pooling": "both"},
    ],
    ids=["top", "taps", "both poolings"],
)
def test_heat_is_in_the_corner_that_decides(head: dict[str, object]) -> None:
    looks = network(head=head)
    see_anything(looks)
    heat = GradCam(looks)(lit((2, 22), (22, 2)), np.array([[1], [1]]))[:, 0]
    assert heat.dtype == np.float32
    assert heat.min() >= 0
    np.testing.assert_allclose(heat.max(axis=(1, 2)), 1, rtol=1e-5)
    (top, left), (other_top, other_left) = middle(heat[0]), middle(heat[1])
    assert top < 0.4 < 0.6 < left
    assert other_left < 0.4 < 0.6 < other_top


@pytest.mark.jax
def test_heat_of_several_maps_is_part_of_a_compiled_graph() -> None:
    """As `podium serve` computes it; the maps are of two sizes."""
    looks = network(head={"width": 0, "taps": ["block2b", "block3b"]})
    cam, classes = GradCam(looks), np.array([[1]])
    in_graph = compiled(
        lambda images: cam.heat(cam.maps(images, training=False), classes),
        looks.model.variables,
        image=(32, 32, 3),
    )
    found = np.asarray(in_graph(lit((2, 22))))
    np.testing.assert_allclose(found, cam(lit((2, 22)), classes), atol=1e-4)


@pytest.mark.jax
def test_it_is_the_paper_s_formula_for_one_map() -> None:
    """With mean pooling and a linear head: the map weighted by the class's own weights."""
    looks = network(head={"width": 0})
    cam = GradCam(looks)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    maps = cam.maps.predict(images, verbose=0)
    maps = maps[0] if isinstance(maps, list) else maps
    logits = looks.head.get_layer("logits")
    logits.kernel.assign(weights := np.abs(logits.kernel.numpy()))
    expected = np.maximum(maps @ weights, 0)  # (2, 8, 8, 3)
    expected /= expected.max(axis=(1, 2), keepdims=True)
    found = cam(images, np.array([[0, 2], [0, 2]]))
    np.testing.assert_allclose(found[:, 0], expected[..., 0], atol=1e-4)
    np.testing.assert_allclose(found[:, 1], expected[..., 2], atol=1e-4)


def test_what_nothing_speaks_for_is_dark() -> None:
    looks = network(head={"width": 0})
    see_anything(looks)
    heat = GradCam(looks)(lit((2, 2)), np.array([[0]]))
    assert not heat.any()


def test_many_images_come_in_their_order() -> None:
    looks = network(head={"width": 0})
    see_anything(looks)
    corners = [(2, 2), (22, 22), (2, 22)] * 15
    heat = GradCam(looks)(lit(*corners), np.ones((45, 1), int))[:, 0]
    np.testing.assert_allclose(heat[3:6], heat[42:], atol=1e-4)
    assert middle(heat[43])[0] > 0.6


@pytest.mark.jax
def test_a_network_with_boxes_has_heat_of_its_classes() -> None:
    looks = network(competition="pets", head={"width": 4}, box={"taps": ["block2b", "block3b"]})
    assert GradCam(looks)(lit((2, 2)), np.array([[1]])).shape == (1, 1, 8, 8)


def test_kernels_have_none() -> None:
    kernels = network(
        backbone="patches",
        cached_views=1,
        head={"width": 0, "centers": 20},
        stages=[{"solver": "kernel", "unfreeze": "head"}],
    )
    with pytest.raises(NoHeatMap, match="kernels"):
        GradCam(kernels)


@pytest.mark.parametrize("backbone", ["efficientnetv2-b0", "convnext-tiny"])
def test_newer_backbones_have_heat(backbone: str) -> None:
    looks = network(backbone=backbone, head={"width": 0})
    noise = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    heat = GradCam(looks)(noise, np.array([[0, 1], [1, 2]]))
    assert heat.shape == (2, 2, 2, 2) and np.isfinite(heat).all() and heat.max() > 0
