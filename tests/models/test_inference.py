"""What predicts in Keras' place says what Keras does, on any number of threads."""

import gc
import weakref
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers, ops

from podium.data.batches import Batches, view_batches
from podium.models import inference
from podium.models.backend import compile_network, engine, feed
from podium.models.network import Network, build_network
from podium.predictions.tta import VIEWS
from podium.recipes.recipe_file import parse_recipe

pytest.importorskip("openvino")
pytestmark = pytest.mark.skipif(engine() is None, reason="a GPU, or JAX, predicts itself")

KINDS = {
    "plain": {},
    "efficientnet": {"backbone": "efficientnet-b0"},
    "efficientnet v2": {"backbone": "efficientnetv2-b0"},
    "convnext": {"backbone": "convnext-tiny"},
    "half-trained": {"backbone": "resnet-patches", "head": {"pooling": "both"}},
    "box": {"competition": "pets", "head": {"width": 4}, "box": {"taps": ["block2b", "block3b"]}},
    "kernels": {
        "backbone": "patches",
        "cached_views": 1,
        "head": {"width": 0, "centers": 20},
        "stages": [{"solver": "kernel", "unfreeze": "head"}],
    },
}


def network(**changes: object) -> Network:
    """With weights as far from one another as trained ones."""
    keras.utils.set_random_seed(0)
    data = {"competition": "sample", "backbone": "resnet-small", "weights": "none"}
    made = build_network(parse_recipe({**data, **changes}, "test"), classes=3)
    for layer in made.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.moving_mean.assign(keras.random.normal(layer.moving_mean.shape, stddev=0.1))
            layer.moving_variance.assign(keras.random.uniform(layer.moving_mean.shape, 0.5, 1.5))
    return made


def batches(images: int, batch_size: int = 8) -> Batches:
    drawn = np.random.default_rng(0).integers(0, 256, (images, 32, 32, 3), np.uint8)
    indices = np.arange(images)
    return view_batches(drawn, indices, size=32, batch_size=batch_size, view=VIEWS[0])


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=pytest.mark.slow) if kind == "efficientnet v2" else kind
        for kind in KINDS
    ],
)
def test_it_predicts_what_keras_does(kind: str) -> None:
    model = network(**KINDS[kind]).model
    found = inference.predict(model, batches(21))
    expected = model.predict(feed(batches(21)), verbose=0)
    expected = expected if isinstance(expected, list) else [expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours.shape, ours.dtype) == (theirs.shape, np.float32)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
        assert len({row.tobytes() for row in ours}) == 21 or kind == "kernels"  # as yet unsolved


def test_it_is_compiled_again_for_new_weights_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []

    def compile_network(model: keras.Model, row: np.dtype) -> object:
        compiled.append(row)
        return real(model, row)

    real = inference.compile_network
    monkeypatch.setattr(inference, "compile_network", compile_network)
    made = network()
    (first,) = inference.predict(made.model, batches(3))
    (again,) = inference.predict(made.model, batches(5))
    np.testing.assert_array_equal(first, again[:3])
    assert len(compiled) == 1
    made.head.get_layer("logits").bias.assign([9.0, 0.0, 0.0])
    (new,) = inference.predict(made.model, batches(3))
    assert (new[:, 0] > 0.9).all()
    assert len(compiled) == 2


def test_the_last_bits_do_not_depend_on_threads_or_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for threads, batch_size in ((1, 8), (2, 8), (3, 7)):
        monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", str(threads))
        found += inference.predict(network().model, batches(40, batch_size))
    assert found[0].tobytes() == found[1].tobytes()
    np.testing.assert_allclose(found[0], found[2], rtol=0, atol=1e-6)


def test_a_batch_that_cannot_be_made_leaves_nothing_behind() -> None:
    model = network().model
    (expected,) = inference.predict(model, batches(24))
    good = batches(24)

    def make(part: slice) -> np.ndarray:
        if part.start == 16:
            raise ValueError("no image")
        return 255 - good.make(part)

    with pytest.raises(ValueError, match="no image"):
        inference.predict(model, replace(good, make=make))
    (again,) = inference.predict(model, batches(24))
    np.testing.assert_array_equal(again, expected)


def test_few_images_that_are_served_are_the_same() -> None:
    model = network().model
    (images,) = batches(8)
    served = compile_network(model, batches(8).row, serves=True)
    (together,) = served(images)
    (alone,) = served(images[:1])
    (expected,) = inference.predict(model, batches(8))
    np.testing.assert_allclose(together, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(alone, expected[:1], rtol=0, atol=1e-6)


def test_keras_predicts_what_it_cannot_take(capsys: pytest.CaptureFixture[str]) -> None:
    class Unknown(layers.Layer):
        def call(self, images):
            return ops.erfinv(ops.mean(ops.cast(images, "float32"), axis=(1, 2)) / 256)

    images = keras.Input((32, 32, 3), dtype="uint8")
    model = keras.Model(images, Unknown()(images), name="unknown")
    (found,) = inference.predict(model, batches(3))
    inference.predict(model, batches(3))
    said = capsys.readouterr().out
    assert found.shape == (3, 3)
    assert said.count("cannot take unknown, Keras predicts: ") == 1
    assert "Erfinv" in said


def test_nobody_is_told_that_it_was_imported() -> None:
    from openvino.tools.ovc import telemetry_utils

    assert telemetry_utils.tm.__name__.endswith("telemetry_stub")


def test_what_is_done_with_goes_with_its_threads() -> None:
    """A head stage compiles a network each time."""
    some = batches(3)
    compiled = compile_network(network().model, some.row)
    compiled.predict(some, progress=lambda begun: None)
    left = weakref.ref(compiled)
    del compiled
    gc.collect()
    assert left() is None
