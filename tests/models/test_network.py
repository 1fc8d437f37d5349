"""The network: uint8 in, probabilities out, and exactly the wanted layers learn."""

from collections.abc import Iterator

import keras
import numpy as np
import pytest

from podium.models.backbones import BACKBONES, Preprocessing, get_backbone
from podium.models.network import Network, backbone_weights, build_network, give_backbone
from podium.recipes.recipe import Recipe
from podium.recipes.recipe_file import parse_recipe
from podium.training.optimizers import make_optimizer

CLASSES = 3


def recipe(**changes: object) -> Recipe:
    data = {"competition": "sample", "backbone": "resnet-small", "weights": "none"}
    return parse_recipe({**data, **changes}, source="test")


def images(count: int = 2, height: int = 32, width: int = 32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)


def step(network: Network) -> None:
    """One training step; not traced, because tracing costs more than the step."""
    network.model.compile(keras.optimizers.SGD(0.1), "categorical_crossentropy", run_eagerly=True)
    network.model.train_on_batch(images(4), np.eye(CLASSES, dtype=np.float32)[[0, 1, 2, 0]])


def values(layers: list[keras.layers.Layer]) -> dict[str, np.ndarray]:
    return {weight.path: weight.numpy() for layer in layers for weight in layer.weights}


def changed(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> set[str]:
    return {path for path, value in before.items() if not np.array_equal(value, after[path])}


def batchnorms(network: Network) -> list[keras.layers.Layer]:
    return [x for x in network.backbone.layers if isinstance(x, keras.layers.BatchNormalization)]


def learning(network: Network) -> set[str]:
    """Names of the backbone's layers that have weights and learn."""
    return {layer.name for layer in network.backbone.layers if layer.trainable_weights}


@pytest.fixture(scope="module")
def b0() -> Network:
    keras.utils.set_random_seed(0)
    network = build_network(recipe(backbone="efficientnet-b0", batchnorm_momentum=0.0), CLASSES)
    # An untrained EfficientNet lets every signal fade away; statistics of real batches keep it.
    network.unfreeze("all", train_batchnorm=True)
    network.model(images(8), training=True)
    return network


@pytest.fixture
def small() -> Network:
    keras.utils.set_random_seed(0)
    return build_network(recipe(), CLASSES)


def test_uint8_images_become_probabilities(b0: Network) -> None:
    probabilities = b0.model.predict(images(5), verbose=0)
    assert b0.model.inputs[0].dtype == "uint8"
    assert probabilities.shape == (5, CLASSES)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert np.ptp(probabilities, axis=0).max() > 1e-4, "other images, other probabilities"


def test_labels_and_grades_have_a_sigmoid_each(small: Network) -> None:
    network = build_network(recipe(), CLASSES, "sigmoid")
    assert small.is_exclusive and not network.is_exclusive
    logits = keras.Model(network.head.input, network.head.get_layer("logits").output)
    pooled = np.random.default_rng(0).normal(size=(4, network.head.input.shape[1]))
    expected = 1 / (1 + np.exp(-logits.predict(pooled, verbose=0)))
    np.testing.assert_allclose(network.head.predict(pooled, verbose=0), expected, atol=1e-6)


def test_preprocessing_is_inside_and_done_once(b0: Network) -> None:
    """The backbone fed by hand with its own package's preprocessing gives what the model gives."""
    raw = images()
    import efficientnet.tfkeras  # which needs TensorFlow

    by_hand = efficientnet.tfkeras.preprocess_input(raw.astype(np.float32))
    pooled = b0.backbone(by_hand, training=False).numpy().mean(axis=(1, 2))
    np.testing.assert_allclose(b0.features(raw, training=False), pooled, rtol=1e-3, atol=1e-5)
    through_head = b0.head(pooled, training=False)
    np.testing.assert_allclose(b0.model(raw, training=False), through_head, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("mode", "package"),
    [
        ("torch", keras.applications.densenet),
        ("tf", keras.applications.inception_v3),
        ("tf", keras.applications.inception_resnet_v2),
        ("caffe", keras.applications.vgg16),
        ("caffe", keras.applications.resnet50),
    ],
)
def test_preprocessing_is_that_of_the_package(mode: str, package: object) -> None:
    expected = package.preprocess_input(images().astype(np.float32))
    np.testing.assert_allclose(Preprocessing(mode)(images()), expected, rtol=1e-5, atol=1e-4)


def test_preprocessing_of_efficientnet_is_the_imagenet_formula() -> None:
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = (images() / 255 - mean) / deviation
    np.testing.assert_allclose(Preprocessing("torch")(images()), expected, atol=1e-5)


def test_each_backbone_has_the_preprocessing_it_was_trained_with() -> None:
    modes = {name: backbone.preprocessing for name, backbone in BACKBONES.items()}
    others = ("eff", "convnext")
    assert {name: mode for name, mode in modes.items() if not name.startswith(others)} == {
        "vgg16": "caffe", "resnet50": "caffe", "inceptionv3": "tf", "inceptionresnetv2": "tf",
        "resnet-small": "torch", "resnet-8": "torch",
        "resnet-patches": "torch",
        "patches": "torch",
    }  # fmt: skip
    small = ("efficientnet-", "efficientnetv2-b", "convnext-")
    assert {mode for name, mode in modes.items() if name.startswith(small)} == {"torch"}
    assert [modes[f"efficientnetv2-{kind}"] for kind in "sml"] == ["128"] * 3
    assert sum(name.startswith("efficientnet-b") for name in modes) == 8


@pytest.mark.parametrize("name", ["EfficientNetV2B0", "EfficientNetV2S", "ConvNeXtTiny"])
def test_preprocessing_is_what_the_network_itself_would_do(name: str) -> None:
    own = getattr(keras.applications, name)(
        weights=None, include_top=False, input_shape=(32, 32, 3)
    )
    first = next(i for i, layer in enumerate(own.layers) if "stem" in layer.name and layer.weights)
    before = keras.Model(own.input, own.layers[first].input)
    names = {"EfficientNetV2B0": "efficientnetv2-b0", "EfficientNetV2S": "efficientnetv2-s"}
    mode = get_backbone(names.get(name, "convnext-tiny")).preprocessing
    raw = images()
    expected = before(raw.astype(np.float32))
    np.testing.assert_allclose(Preprocessing(mode)(raw), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["efficientnetv2-b0", "convnext-tiny"])
def test_newer_backbones_learn_block_by_block(name: str) -> None:
    network = build_network(recipe(backbone=name), CLASSES)
    network.unfreeze(2, train_batchnorm=False)
    top = {layer.name for block in network.kind.blocks(network.backbone)[-2:] for layer in block}
    before = values(network.backbone.layers)
    step(network)
    moved = changed(before, values(network.backbone.layers))
    owners = {
        layer.name for layer in network.backbone.layers for w in layer.weights if w.path in moved
    }
    assert owners and owners <= top
    network.unfreeze("all", train_batchnorm=False)
    scales = network.rate_scales(0.5)
    blocks = len(network.kind.blocks(network.backbone))
    assert {0.5**number for number in range(1, blocks + 1)} <= set(scales)
    assert sum(scale == 1.0 for scale in scales) == len(network.head.trainable_variables)


def test_scales_of_layers_are_not_decayed() -> None:
    network = build_network(recipe(backbone="convnext-tiny"), CLASSES)
    network.unfreeze("all", train_batchnorm=False)
    optimizer = make_optimizer(recipe(weight_decay=0.1), 0.1)
    optimizer.build(network.model.trainable_variables)
    pairs = zip(network.model.trainable_variables, optimizer._decayed, strict=True)
    decayed = {variable.path for variable, is_decayed in pairs if is_decayed}
    shapes = {v.path: len(v.shape) for v in network.model.trainable_variables}
    assert {path for path, axes in shapes.items() if axes > 1} == decayed


def test_preprocessing_survives_cloning(small: Network) -> None:
    copy = keras.models.clone_model(small.model)
    copy.set_weights(small.model.get_weights())
    np.testing.assert_allclose(
        copy(images(), training=False), small.model(images(), training=False), atol=1e-6
    )


B0_BLOCKS = (
    "stem block1a block2a block2b block3a block3b block4a block4b block4c "
    "block5a block5b block5c block6a block6b block6c block6d block7a top"
).split()
SMALL_BLOCKS = "stem block1a block1b block2a block2b block3a block3b".split()


@pytest.mark.parametrize(
    ("which", "b0_blocks", "small_blocks"),
    [("head", 0, 0), ("half", 9, 4), ("all", 18, 7), (1, 1, 1), (5, 5, 5), (99, 18, 7)],
)
@pytest.mark.parametrize("train_batchnorm", [False, True])
def test_unfreezing_sets_exactly_these_layers(
    b0: Network,
    small: Network,
    which: str | int,
    b0_blocks: int,
    small_blocks: int,
    train_batchnorm: bool,
) -> None:
    for network, names, count in ((b0, B0_BLOCKS, b0_blocks), (small, SMALL_BLOCKS, small_blocks)):
        network.unfreeze("all", True)  # what an earlier stage left must not matter
        network.unfreeze(which, train_batchnorm)
        open_blocks = tuple(f"{name}_" for name in names[len(names) - count :])
        expected = {
            layer.name
            for layer in network.backbone.layers
            if layer.weights
            and layer.name.startswith(open_blocks)
            and (train_batchnorm or not isinstance(layer, keras.layers.BatchNormalization))
        }
        assert learning(network) == expected
        assert len(network.head.trainable_weights) == 6, "the head always learns: dense, bn, logits"
        own = len(network.head.trainable_weights) + sum(
            len(layer.trainable_weights) for layer in network.backbone.layers
        )
        assert len(network.model.trainable_weights) == own, "the whole model sees the same layers"


def test_only_the_unfrozen_layers_change_in_a_step(small: Network) -> None:
    before = values(small.backbone.layers)
    small.unfreeze("head", train_batchnorm=True)
    head = values(small.head.layers)
    step(small)
    assert not changed(before, values(small.backbone.layers))
    assert changed(head, values(small.head.layers))

    small.unfreeze(1, train_batchnorm=False)
    step(small)
    moved = changed(before, values(small.backbone.layers))
    assert moved == {path for path in before if "block3b" in path and path.endswith("kernel")}


@pytest.mark.parametrize("name", ["small", "b0"])
def test_batchnorm_of_the_backbone_rests_unless_it_is_to_train(
    name: str, request: pytest.FixtureRequest
) -> None:
    network: Network = request.getfixturevalue(name)
    network.unfreeze("all", train_batchnorm=False)
    before = values(batchnorms(network))
    head = [x for x in network.head.layers if isinstance(x, keras.layers.BatchNormalization)]
    of_head = values(head)
    step(network)
    assert not changed(before, values(batchnorms(network)))
    assert {path.rsplit("/")[-1] for path in changed(of_head, values(head))} >= {
        "moving_mean", "moving_variance",
    }  # fmt: skip

    network.unfreeze("all", train_batchnorm=True)
    step(network)
    moved = changed(before, values(batchnorms(network)))
    assert {path for path in before if "moving" in path} <= moved


def test_batchnorm_momentum_is_that_of_the_recipe() -> None:
    network = build_network(recipe(batchnorm_momentum=0.5), CLASSES)
    assert {layer.momentum for layer in batchnorms(network)} == {0.5}
    assert {layer.momentum for layer in batchnorms(build_network(recipe(), CLASSES))} == {0.99}


@pytest.mark.parametrize(
    ("width", "depth", "pooling", "channels"),
    [(0, 1, "average", 64), (16, 1, "max", 64), (32, 2, "both", 128)],
)
def test_heads_of_several_widths_and_poolings(
    width: int, depth: int, pooling: str, channels: int
) -> None:
    hidden = [width] * depth if width else []
    head = {"width": width, "depth": depth, "pooling": pooling, "dropout": 0.5}
    network = build_network(recipe(head=head), CLASSES)
    dense = [layer for layer in network.head.layers if isinstance(layer, keras.layers.Dense)]
    assert [layer.units for layer in dense] == [*hidden, CLASSES]
    kinds = [type(layer).__name__ for layer in network.head.layers]
    assert kinds.count("BatchNormalization") == len(hidden)
    assert kinds.count("Dropout") == max(len(hidden), 1)
    assert {x.rate for x in network.head.layers if isinstance(x, keras.layers.Dropout)} == {0.5}

    maps = network.backbone(Preprocessing("torch")(images()), training=False).numpy()
    average, largest = maps.mean(axis=(1, 2)), maps.max(axis=(1, 2))
    both = np.concatenate([average, largest], axis=1)
    expected = {"average": average, "max": largest, "both": both}[pooling]
    pooled = network.features(images(), training=False)
    assert pooled.shape == (2, channels)
    np.testing.assert_allclose(pooled, expected, rtol=1e-4, atol=1e-5)


def test_any_size_of_image(small: Network) -> None:
    for height, width in ((16, 16), (33, 47), (64, 20)):
        probabilities = small.model(images(1, height, width), training=False)
        np.testing.assert_allclose(np.sum(probabilities), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "blocks", "first_layers", "last_layers"),
    [
        ("vgg16", 5, {"block1_conv1", "block1_conv2"}, {"block5_conv1", "block5_conv3"}),
        ("resnet50", 17, {"conv1_conv", "conv1_bn"}, {"conv5_block3_1_conv", "conv5_block3_3_bn"}),
        ("inceptionv3", 11, {"mixed0"}, {"mixed9_1", "mixed10"}),
        ("inceptionresnetv2", 43, {"mixed_5b"}, {"block8_10_conv", "conv_7b", "conv_7b_ac"}),
        ("efficientnetv2-b0", 23, {"stem_conv"}, {"top_conv", "top_bn"}),
        ("convnext-tiny", 22, {"convnext_tiny_stem"}, {"convnext_tiny_stage_3_block_2_gelu"}),
    ],
)
def test_other_backbones_build_and_come_in_blocks(
    name: str, blocks: int, first_layers: set[str], last_layers: set[str]
) -> None:
    kind = get_backbone(name)
    built = kind.build(None)
    parts = kind.blocks(built)
    assert [layer for part in parts for layer in part] == built.layers, "each layer once, in order"
    assert len(parts) == blocks
    assert all(any(layer.weights for layer in part) for part in parts)
    assert first_layers <= {layer.name for layer in parts[0]}
    assert last_layers <= {layer.name for layer in parts[-1]}
    assert built.output_shape[1:3] == (None, None), "any size of image"


def test_blocks_of_efficientnet_end_with_their_addition(b0: Network) -> None:
    for block in b0.kind.blocks(b0.backbone)[1:-1]:
        names = {layer.name.split("_")[0] for layer in block}
        assert len(names) == 1, "a block is not cut in two"


def test_an_unknown_backbone_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no backbone 'resnet51'; there are: .*efficientnet-b6"):
        get_backbone("resnet51")


@pytest.fixture
def half_precision() -> Iterator[None]:
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_float16")
    yield
    keras.mixed_precision.set_global_policy(before)


def test_half_precision_keeps_probabilities_in_float32(half_precision: None) -> None:
    network = build_network(recipe(), CLASSES)
    assert network.features.outputs[0].dtype == "float16"
    assert network.head.get_layer("logits").compute_dtype == "float16"
    probabilities = network.model.predict(images(), verbose=0)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert {weight.dtype for weight in network.model.trainable_weights} == {"float32"}


def test_b6_builds_and_learns() -> None:
    """Kaggle's network. The step is not traced: that takes over a minute, and the step seconds."""
    network = build_network(recipe(backbone="efficientnet-b6"), CLASSES)
    assert network.backbone.output_shape[-1] == 2304
    assert len(network.kind.blocks(network.backbone)) == 47
    network.unfreeze("half", train_batchnorm=False)
    before = values(network.backbone.layers)
    step(network)
    moved = changed(before, values(network.backbone.layers))
    assert moved and all(
        np.isfinite(value).all() for value in values(network.backbone.layers).values()
    )
    assert not any("stem" in path for path in moved)


@pytest.mark.parametrize(("pooling", "channels"), [("average", 32 + 64), ("both", 2 * (32 + 64))])
def test_a_head_may_see_the_outputs_of_several_blocks(pooling: str, channels: int) -> None:
    taps = ["block2b", "block3b"]
    network = build_network(recipe(head={"taps": taps, "pooling": pooling}), CLASSES)
    ends = [network.backbone.get_layer(f"{name}_output").output for name in taps]
    maps = keras.Model(network.backbone.input, ends)(
        Preprocessing("torch")(images()), training=False
    )
    pools = [np.mean, np.max] if pooling == "both" else [np.mean]
    expected = np.concatenate([pool(one, axis=(1, 2)) for one in maps for pool in pools], axis=1)
    found = network.features(images(), training=False)
    assert found.shape == (2, channels)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    network.unfreeze(1, train_batchnorm=False)
    assert {name.split("_")[0] for name in learning(network)} == {"block3b"}


def test_an_unknown_block_to_tap_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"has no block 'block9z'; its blocks are: .*block3b"):
        build_network(recipe(head={"taps": ["block9z"]}), CLASSES)


def drop_rates(network: Network) -> list[float]:
    """How often each residual branch is dropped in training, from the image up."""
    dropouts = [x for x in network.backbone.layers if isinstance(x, keras.layers.Dropout)]
    return [layer.rate for layer in dropouts]


def test_the_last_block_drops_its_branch_at_the_same_rate_whatever_the_depth(b0: Network) -> None:
    b4 = build_network(recipe(backbone="efficientnet-b4"), CLASSES)
    for network, dropouts in ((b0, 9), (b4, 25)):
        rates = drop_rates(network)
        assert len(rates) == dropouts
        assert rates[-1] == pytest.approx(0.2)
        assert rates == sorted(rates)


def test_drop_connect_scales_the_rates_and_is_refused_where_none_drops(b0: Network) -> None:
    changed = build_network(recipe(backbone="efficientnet-b0", drop_connect=0.1), CLASSES)
    np.testing.assert_allclose(drop_rates(changed), np.divide(drop_rates(b0), 2))
    with pytest.raises(ValueError, match="drops no branches"):
        build_network(recipe(drop_connect=0.1), CLASSES)


# --- A backbone's weights given to another network

TAPS = ["block1b", "block3b"]


def build(taps: list[str], classes: int = 3, **changes: object) -> Network:
    """Build a network as the first one of a process is built."""
    keras.backend.clear_session()
    head = {"taps": taps, "width": 0}
    return build_network(recipe(competition="pets", head=head, **changes), classes)


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


def test_layers_that_keras_numbers_find_each_other() -> None:
    """InceptionV3 leaves most of its names to Keras, which counts on through a process."""
    source = build([], backbone="inceptionv3")
    spoil(source)
    weights = backbone_weights(source)
    network = build(["mixed7"], backbone="inceptionv3")
    give_backbone(network, weights, "run a")
    assert 100 < assert_same(network, weights) < len(weights)
