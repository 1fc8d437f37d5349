"""The network with a solved first layer: what it computes, that it stays, that it is saved."""

from pathlib import Path

import keras
import numpy as np
import pytest

from podium.models.network import build_network
from podium.models.small_resnets import (
    EPSILON,
    FLATTEN,
    LocalContrast,
    WhitenedPatches,
    resnet_patches,
)
from podium.recipes.recipe_file import parse_recipe

CLASSES = 3


def textures(count: int = 40) -> np.ndarray:
    """uint8 images whose neighboring pixels are alike, as those of photographs are."""
    random = np.random.default_rng(0)
    noise = random.normal(0, 60, (count, 16, 16, 3))
    smooth = sum(np.roll(noise, shift, (1, 2)) for shift in ((0, 0), (0, 1), (1, 0), (1, 1)))
    return (128 + smooth / 2).clip(0, 255).astype(np.uint8)


def test_contrast_has_no_mean_and_a_deviation_of_one_nearby() -> None:
    flat, busy = np.full((1, 8, 8, 3), 2.0), np.random.default_rng(0).normal(3, 5, (1, 64, 64, 3))
    assert np.abs(LocalContrast()(flat)).max() < 1e-5
    found = keras.ops.convert_to_numpy(LocalContrast()(busy))
    assert abs(found.mean()) < 0.05 and found.std() == pytest.approx(1, abs=0.1)
    again = keras.ops.convert_to_numpy(LocalContrast()(2 * busy + 1))
    np.testing.assert_allclose(again, found, atol=0.05)  # light and contrast do not matter


def test_the_filters_whiten_patches() -> None:
    layer = WhitenedPatches()
    images = textures().astype(np.float32) / 60
    layer.build(images.shape)
    layer.fit(images)
    both = keras.ops.convert_to_numpy(layer(images))  # (40, 16, 16, 96)
    assert both.shape[-1] == 96 and both.min() == 0
    responses = (both[..., :48] - both[..., 48:])[:, 2:-2, 2:-2].reshape(-1, 48)
    covariance = np.cov(responses.T)
    variances = np.diag(covariance)
    # λ / (λ + flatten): near 1 for strong components, below for weak ones, and none correlated.
    assert variances[0] > 0.9 and variances.min() < 0.9 * variances[0]
    np.testing.assert_allclose(covariance, np.diag(variances), atol=0.08)
    assert 0 < FLATTEN < 1 and 0 < EPSILON < 1


def test_the_first_layer_is_fitted_once_and_never_trained(tmp_path: Path) -> None:
    data = {
        "competition": "sample",
        "backbone": "resnet-patches",
        "weights": "none",
        "head": {"width": 0},
    }
    network = build_network(parse_recipe(data, "test"), CLASSES)
    assert network.is_fitted_first
    network.fit_first(textures())
    kernel = network.backbone.get_layer("stem_patches").kernel
    fitted = kernel.numpy()
    assert np.abs(fitted).max() > 0

    network.unfreeze("all", train_batchnorm=True)
    assert kernel.path not in {variable.path for variable in network.model.trainable_variables}
    network.model.compile("sgd", "categorical_crossentropy")
    labels = np.eye(CLASSES, dtype=np.float32)[np.arange(40) % CLASSES]
    network.model.fit(textures(), labels, epochs=1, verbose=0)
    np.testing.assert_array_equal(kernel.numpy(), fitted)

    path = tmp_path / "one.weights.h5"
    network.model.save_weights(path)
    other = build_network(parse_recipe(data, "test"), CLASSES)
    other.model.load_weights(path)
    np.testing.assert_allclose(
        other.model.predict(textures(), verbose=0),
        network.model.predict(textures(), verbose=0),
        atol=1e-6,
    )


def test_images_become_an_eighth_and_blocks_are_whole() -> None:
    network = resnet_patches()
    assert network(np.zeros((2, 32, 40, 3), np.float32)).shape == (2, 4, 5, 128)
    kinds = {type(layer).__name__ for layer in network.layers}
    assert {"LocalContrast", "WhitenedPatches", "Conv2D", "BatchNormalization"} <= kinds
