"""example.py of an export: how a program without Podium opens the model and classifies images."""

OPENS = {
    "keras": """\
import keras

model = keras.saving.load_model(HERE / LABELS["file"])


def predict(images):
    return {name: np.asarray(values) for name, values in model(images, training=False).items()}
""",
    "saved_model": """\
import tensorflow as tf

model = tf.saved_model.load(str(HERE / LABELS["file"]))


def predict(images):
    outputs = model.signatures["serving_default"](images=tf.constant(images))
    return {name: values.numpy() for name, values in outputs.items()}
""",
    "onnx": """\
import onnxruntime

model = onnxruntime.InferenceSession(HERE / LABELS["file"], providers=["CPUExecutionProvider"])


def predict(images):
    names = [output.name for output in model.get_outputs()]
    return dict(zip(names, model.run(names, {"images": images})))
""",
    "litert": """\
from ai_edge_litert.interpreter import Interpreter

model = Interpreter(str(HERE / LABELS["file"])).get_signature_runner("serving_default")


def predict(images):
    return model(images=images)
""",
}

EXAMPLE = '''\
"""Classify images: python example.py IMAGE...  (pip install {packages} numpy pillow)"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

HERE = Path(__file__).resolve().parent
LABELS = json.loads((HERE / "labels.json").read_text(encoding="utf-8"))
SIZE = LABELS["image_size"]  # pixels

{opens}

def read_image(path):
    """uint8 (SIZE, SIZE, 3) RGB, upright and stretched to a square; the model does the rest."""
    with Image.open(path) as image:
        image = ImageOps.exif_transpose(image).convert("RGB")
        return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR))


def answer(probabilities):
    """The class, the labels or the grade of an image, by its probabilities."""
    classes, thresholds = LABELS["classes"], LABELS["thresholds"]
    if LABELS["task"] == "classes":
        return classes[probabilities.argmax()]
    if LABELS["task"] == "labels":
        reached = zip(classes, probabilities, thresholds)
        return [name for name, probability, least in reached if probability >= least]
    return classes[np.searchsorted(thresholds, probabilities.sum(), side="right")]


if __name__ == "__main__":
    for path in sys.argv[1:]:
        outputs = predict(read_image(path)[np.newaxis])
        values = outputs["probabilities"][0]
        found = dict(zip(LABELS["outputs"], (round(float(value), 4) for value in values)))
        if "boxes" in outputs:  # x_min, y_min, x_max, y_max, in shares of the image
            found["box"] = [round(float(edge), 4) for edge in outputs["boxes"][0]]
        print(path, answer(values), found)
'''


def example(name: str, packages: str) -> str:
    """Write it for a format of that name.

    Args:
        packages: that open the format.
    """
    return EXAMPLE.replace("{packages}", packages).replace("{opens}", OPENS[name])
