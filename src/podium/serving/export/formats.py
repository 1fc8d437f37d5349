"""The formats of an export, and what writes each of them."""

import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

OPSET = 17  # of ONNX; onnxruntime 1.12 and whatever is newer reads it
# Of tf2onnx's optimizers those that leave no transposed maps behind. The others do what onnxruntime
# does when it opens a file: with them, 305 of 331 s went into optimizing two EfficientNetV2-S.
OPTIMIZERS = ("optimize_transpose", "fold_constants", "remove_identity", "remove_back_to_back")


@dataclass(frozen=True)
class Format:
    """A format by its name in the command.

    Args:
        file: of the model, or its folder.
        library: as the Hugging Face Hub calls what opens it.
        opened_with: packages that the example needs beside NumPy and Pillow.
        write: the model of `portable_model`, for images of so many pixels, to a path; LiteRT in
            8-bit integers, where it is given a sample of images, uint8 (images, …, 3), besides.
    """

    file: str
    library: str
    opened_with: str
    write: Callable[..., None]


def _write_keras(model: keras.Model, size: int, path: Path) -> None:
    model.save(path)


def _write_saved_model(model: keras.Model, size: int, path: Path) -> None:
    """Under the signature that TensorFlow Serving asks for, whatever sides the model takes."""
    _save(model, model.input.shape[1], path)


def _write_onnx(model: keras.Model, size: int, path: Path) -> None:
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    import onnx
    from tf2onnx import optimizer, tf_loader, tfonnx

    # As constants: freezing variables afterwards takes longer than tracing.
    weights = [(variable, variable.numpy()) for variable in model.variables]

    def outputs(images: tf.Tensor) -> dict[str, tf.Tensor]:
        with keras.StatelessScope([(one, tf.constant(value)) for one, value in weights]):
            return model(images, training=False)

    side = model.input.shape[1]
    signature = [tf.TensorSpec((None, side, side, 3), tf.uint8, name="images")]
    traced = tf.function(outputs, signature, autograph=False).get_concrete_function()
    names = {tensor.name: name for name, tensor in traced.structured_outputs.items()}
    with tf.Graph().as_default():
        graph_def = tf_loader.tf_optimize(["images:0"], [*names], traced.graph.as_graph_def())
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
        converted = tfonnx.process_tf_graph(
            graph,
            opset=OPSET,
            input_names=["images:0"],
            output_names=[*names],
            tensors_to_rename={"images:0": "images", **names},
        )
    known = optimizer._get_optimizers()
    chosen = {name: known[name] for name in OPTIMIZERS}
    converted = optimizer.optimize_graph(converted, catch_errors=False, optimizers=chosen)
    onnx.save(converted.make_model("Podium"), path)


def _write_litert(
    model: keras.Model, size: int, path: Path, sample: np.ndarray | None = None
) -> None:
    """For images of one size, in batches of any."""
    with tempfile.TemporaryDirectory() as folder:
        _save(model, size, Path(folder))
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if sample is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ([image[np.newaxis]] for image in sample)
        path.write_bytes(converter.convert())


def _save(model: keras.Model, side: int | None, path: Path) -> None:
    """A SavedModel for images of this side, or of any."""
    module = tf.Module()
    # Not the model itself: each of its layers would be traced once more.
    module.variables_held = [variable.value for variable in model.variables]
    signature = [tf.TensorSpec((None, side, side, 3), tf.uint8, name="images")]
    module.serve = tf.function(
        lambda images: model(images, training=False), signature, autograph=False
    )
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.serve})


FORMATS = {
    "keras": Format("model.keras", "keras", "keras tensorflow", _write_keras),
    "saved_model": Format("model", "tf-keras", "tensorflow", _write_saved_model),
    "onnx": Format("model.onnx", "onnx", "onnxruntime", _write_onnx),
    "litert": Format("model.tflite", "tflite", "ai-edge-litert", _write_litert),
}


def example(to: str) -> str:
    """example.py: how a program without Podium opens the model and classifies images."""
    parts = [
        (Path(__file__).parent / "static" / f"{name}.txt").read_text(encoding="utf-8")
        for name in ("example", f"open_{to}")
    ]
    return parts[0].replace("{packages}", FORMATS[to].opened_with).replace("{opens}", parts[1])
