"""Each image is decoded once for all views, and each row is that of its id and view."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from podium.competitions.boxes import BOX_COLUMNS
from podium.files.image_io import read_image
from podium.predictions.predict import predict_views
from podium.predictions.tta import VIEWS

SIZE = 16
CLASSES = ["left", "middle", "right"]


class Decoding(Sequence):
    """The images of files, decoded each time; counts how often."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths, self.decoded = paths, Counter[int]()

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> np.ndarray:
        self.decoded[index] += 1
        return read_image(self.paths[index])


@pytest.fixture
def images(tmp_path: Path) -> Decoding:
    random = np.random.default_rng(0)
    paths = [tmp_path / f"{number}.png" for number in range(7)]
    for path in paths:
        few = Image.fromarray(random.integers(0, 256, (3, 4, 3), dtype=np.uint8))
        few.resize((32, 24), Image.Resampling.BICUBIC).save(path)
    return Decoding(paths)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """A network whose answer depends on where it is bright, so that it differs by view."""
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3), dtype="uint8"),
            keras.layers.Rescaling(1 / 64),
            keras.layers.AveragePooling2D(4),
            keras.layers.Flatten(),
            keras.layers.Dense(len(CLASSES), activation="softmax"),
        ]
    )


@pytest.mark.parametrize(("count", "batch_size"), [(1, 2), (4, 3), (10, 32)])
def test_rows_are_of_their_id_and_view(
    model: keras.Model, images: Decoding, count: int, batch_size: int
) -> None:
    indices, ids = np.array([4, 0, 6, 2, 1]), pd.Index(["e", "a", "g", "c", "b"])
    views = VIEWS[:count]
    table = predict_views(model, images, indices, ids, CLASSES, views, SIZE, batch_size)
    assert images.decoded == dict.fromkeys(indices.tolist(), 1)
    assert table.index.names == ["id", "view"]
    assert table.columns.tolist() == CLASSES
    assert (table.dtypes == np.float32).all()
    assert table.index.tolist() == [(name, view.name) for view in views for name in ids]
    for index, name in zip(indices, ids, strict=True):
        seen = np.stack([view(read_image(images.paths[index]), SIZE) for view in views])
        np.testing.assert_allclose(table.loc[name], model.predict(seen, verbose=0), atol=1e-6)
    assert len(table.round(5).drop_duplicates()) == len(table)  # so that no mix-up goes unseen


def test_no_images_are_an_empty_table(model: keras.Model, images: Decoding) -> None:
    none = np.array([], dtype=int)
    table = predict_views(model, images, none, pd.Index([]), CLASSES, VIEWS[:2], SIZE, 4)
    assert table.empty
    assert table.columns.tolist() == CLASSES
    assert table.index.names == ["id", "view"]


def test_boxes_are_of_the_image_in_whatever_view(images: Decoding) -> None:
    """The network finds the same box in whatever it sees."""
    inputs = keras.Input((SIZE, SIZE, 3), dtype="uint8")
    mean = keras.layers.GlobalAveragePooling2D()(keras.ops.cast(inputs, "float32"))
    box = keras.layers.Dense(
        4, kernel_initializer="zeros", bias_initializer=lambda shape, dtype: [0.1, 0.2, 0.4, 0.5]
    )
    model = keras.Model(inputs, [keras.layers.Softmax()(mean), box(mean)])
    ids = pd.Index(["c", "a"])
    sides = pd.DataFrame({"width": [32, 320], "height": [24, 240]}, ids)
    views = VIEWS[:3]
    found = predict_views(model, images, np.array([2, 0]), ids, CLASSES, views, SIZE, 4, sides)
    assert found.columns.tolist() == [*CLASSES, *BOX_COLUMNS]
    boxes = found[list(BOX_COLUMNS)]
    for name in ids:
        np.testing.assert_allclose(boxes.loc[(name, "plain")], [0.1, 0.2, 0.4, 0.5], atol=1e-6)
        np.testing.assert_allclose(boxes.loc[(name, "mirrored")], [0.6, 0.2, 0.9, 0.5], atol=1e-6)
        # The middle of the image, 7/8 of its sides: 28 of 32 pixels and 21 of 24.
        inner = np.array([0.1, 0.2, 0.4, 0.5]) * 0.875 + 0.0625
        np.testing.assert_allclose(boxes.loc[(name, "center")], inner, atol=0.05)
    np.testing.assert_allclose(found[CLASSES].sum(axis=1), 1, atol=1e-6)
    assert predict_views(model, images, np.array([], int), ids[:0], CLASSES, views, 16, 4).empty
