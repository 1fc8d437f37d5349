"""The backbone of pooled patches: responses, means of cells, mirror images, saving, any size."""

from pathlib import Path

import keras
import numpy as np
import pytest

from podium.models.network import build_network
from podium.models.patches import CONTRAST, FILTERS, PATCH, POWER, PooledPatches, _shares, patches
from podium.recipes.recipe_file import parse_recipe

DATA = {
    "competition": "sample",
    "backbone": "patches",
    "weights": "none",
    "cached_views": 1,
    "head": {"width": 0, "centers": 5},
    "stages": [{"solver": "kernel"}],
}
CHANNELS = 2 * FILTERS


def textures(count: int = 12, size: int = 16) -> np.ndarray:
    """uint8 images whose neighboring pixels are alike, as those of photographs are."""
    noise = np.random.default_rng(0).normal(0, 60, (count, size, size, 3))
    smooth = sum(np.roll(noise, shift, (1, 2)) for shift in ((0, 0), (0, 1), (1, 0), (1, 1)))
    return (128 + smooth / 2).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def fitted() -> PooledPatches:
    layer = PooledPatches()
    layer.build((None, None, None, 3))
    layer.fit(textures().astype(np.float32) / 60)
    return layer


def encode(layer: keras.Layer, images: np.ndarray) -> list[np.ndarray]:
    """Per grid (images, cells, cells, channels)."""
    flat = keras.ops.convert_to_numpy(layer(images.astype(np.float32)))
    assert flat.shape[1:3] == (1, 1)
    parts = np.split(flat.reshape(len(images), -1), np.cumsum([1, 4])[:2] * CHANNELS, axis=1)
    return [
        part.reshape(-1, grid, grid, CHANNELS) for grid, part in zip((1, 2, 4), parts, strict=True)
    ]


@pytest.mark.jax
def test_it_is_what_each_patch_gives_one_after_another(fitted: PooledPatches) -> None:
    """Against a plain loop over the patches of an image and of its mirror image."""
    image = textures(1, 11)[0].astype(np.float32) / 60  # 8 places a side, 2 a cell
    matrix = fitted.kernel.numpy().reshape(-1, FILTERS)
    bias, threshold = fitted.bias.numpy(), fitted.threshold.numpy()

    def cells(image: np.ndarray) -> np.ndarray:
        sums = np.zeros((4, 4, CHANNELS))
        for y in range(8):
            for x in range(8):
                patch = image[y : y + PATCH, x : x + PATCH].ravel()
                patch = (patch - patch.mean()) / np.sqrt(patch.var() + CONTRAST)
                response = patch @ matrix + bias
                both = np.concatenate([response - threshold, -response - threshold])
                sums[y // 2, x // 2] += np.maximum(both, 0) / 4
        return sums

    finest = (cells(image) + cells(image[:, ::-1])) / 2
    coarser = finest.reshape(2, 2, 2, 2, CHANNELS).mean(axis=(1, 3))
    whole, halves, quarters = encode(fitted, image[None])
    np.testing.assert_allclose(quarters[0], finest**POWER, atol=2e-3)
    np.testing.assert_allclose(halves[0], coarser**POWER, atol=2e-3)
    np.testing.assert_allclose(whole[0, 0, 0], finest.mean(axis=(0, 1)) ** POWER, atol=2e-3)
    assert finest.std() > 0.01


def test_a_cell_is_where_its_part_of_the_image_is(fitted: PooledPatches) -> None:
    """An image that is flat but for its lower half responds there only."""
    image = np.zeros((1, 19, 19, 3), np.float32)
    image[0, 12:] = textures(1, 19)[0, 12:] / 60
    fitted_bias = fitted.bias.numpy()
    flat = np.concatenate([fitted_bias, -fitted_bias]) - np.tile(fitted.threshold.numpy(), 2)
    _, halves, quarters = encode(fitted, image)
    expected = np.broadcast_to(np.maximum(flat, 0) ** POWER, (2, CHANNELS))
    np.testing.assert_allclose(halves[0, 0], expected, atol=1e-3)
    assert np.abs(halves[0, 1] - halves[0, 0]).max() > 0.1
    assert np.abs(quarters[0, 3] - quarters[0, 0]).max() > 0.1


@pytest.mark.parametrize("places", [8, 29, 30])
def test_cells_are_of_one_size_and_mirrored(places: int) -> None:
    shares = keras.ops.convert_to_numpy(_shares(places))
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(shares.sum(axis=0), 4 / places, atol=1e-5)
    np.testing.assert_allclose(shares[::-1, ::-1], shares, atol=1e-5)
    assert (shares > 0).sum(axis=1).max() <= places / 4 + 2


def test_a_mirrored_image_has_the_same_features(fitted: PooledPatches) -> None:
    images = textures(3, 32) / 60
    for plain, mirrored in zip(
        encode(fitted, images), encode(fitted, images[:, :, ::-1]), strict=True
    ):
        np.testing.assert_allclose(plain, mirrored, atol=2e-3)
    upside_down = encode(fitted, images[:, ::-1])[0]
    assert np.abs(upside_down - encode(fitted, images)[0]).max() > 0.02


def test_light_does_not_matter_and_half_of_the_responses_count(fitted: PooledPatches) -> None:
    images = textures() / 60
    for plain, brighter in zip(encode(fitted, images), encode(fitted, images + 1.5), strict=True):
        np.testing.assert_allclose(plain, brighter, atol=0.02)
    kernel = fitted.kernel.numpy().reshape(-1, FILTERS)
    np.testing.assert_allclose(kernel.mean(axis=0), 0, atol=1e-6)
    patches = np.lib.stride_tricks.sliding_window_view(images, (PATCH, PATCH), (1, 2))
    patches = patches.transpose(0, 1, 2, 4, 5, 3).reshape(-1, PATCH * PATCH * 3)
    patches = patches - patches.mean(axis=1, keepdims=True)
    patches /= np.sqrt(patches.var(axis=1, keepdims=True) + CONTRAST)
    responses = np.abs(patches @ kernel + fitted.bias.numpy())
    assert (responses > fitted.threshold.numpy()).mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (20, 33)])
def test_images_of_any_size_have_as_many_features(height: int, width: int) -> None:
    network = patches()
    found = network(np.zeros((2, height, width, 3), np.float32))
    assert found.shape == (2, 1, 1, 21 * CHANNELS) == (2, *network.output_shape[1:])


def test_it_is_fitted_from_images_saved_and_never_trained(tmp_path: Path) -> None:
    network = build_network(parse_recipe(DATA, "test"), 3)
    assert network.is_fitted_first
    network.fit_first(textures())
    network.unfreeze("all", train_batchnorm=True)
    assert network.model.trainable_variables == []
    random = np.random.default_rng(0)
    before = network.features.predict(textures(), verbose=0)
    assert before.shape == (12, 21 * CHANNELS) and before.std() > 0.05
    layer = network.head.get_layer("logits")
    layer.set(
        before.mean(0), np.full(before.shape[1], 0.01), before[:4] * 0.01, random.random((4, 3))
    )

    path = tmp_path / "one.weights.h5"
    network.model.save_weights(path)
    other = build_network(parse_recipe(DATA, "test"), 3)
    other.model.load_weights(path)
    expected = network.model.predict(textures(), verbose=0)
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(other.model.predict(textures(), verbose=0), expected, atol=1e-6)
