"""Both heads trained together: they learn, boxes follow their images, a kill costs nothing."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_boxes import TRAIN, box_recipe, draw_boxed
from small_training import (
    assert_ended_alike,
    gone_on_after,
    make_training,
    run_on_two_cpus,
    stage,
    weights,
)

from podium.competitions.boxes import has_box, iou
from podium.data.batches import view_batches
from podium.files.image_io import resize
from podium.models.inference import predict
from podium.recipes.tables import Stage
from podium.training.cached_features import cache_features
from podium.training.datasets import FoldDataset, of_images
from podium.training.time_plan import StageWork, TimePlan

TWO_STAGES = box_recipe(stages=[stage("head", 2, 0.01), stage("all", 1, 0.003)], cached_views=2)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> FoldDataset:
    return draw_boxed(tmp_path_factory.mktemp("images"), without=4)


def marked(image: np.ndarray) -> np.ndarray:
    """The box around the colored square, as it is seen in the image, in shares."""
    lit = np.abs(image[..., 0].astype(int) - image[..., 2]) > 75
    rows, columns = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
    side = len(image)
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) / side


def test_both_heads_learn(tmp_path: Path, images: FoldDataset) -> None:
    stages = [stage("all", 16, 0.01)]
    training = make_training(box_recipe(stages=stages), images, tmp_path)
    training.run()
    history = training.folder.read_history()
    assert history["val_accuracy"].max() == 1.0
    assert history["val_box_mean_iou"].iloc[0] < 0.4 < 0.6 < history["val_box_mean_iou"].max()
    total = history["val_head_loss"] + history["val_box_loss"]
    np.testing.assert_allclose(history["val_loss"], total, rtol=0.02, err_msg="weighted alike")

    batches = view_batches(
        images.cache, images.validation, size=24, batch_size=8,
        view=lambda image, size: resize(image, size, size),
    )  # fmt: skip
    _, boxes = predict(training.network.model, batches)
    found = iou(images.validation_boxes, boxes).mean()
    assert found == pytest.approx(history["val_box_mean_iou"].max(), abs=0.1)


def test_the_weight_of_the_boxes_is_the_recipes(tmp_path: Path, images: FoldDataset) -> None:
    data = box_recipe().box.model_dump()
    recipe = box_recipe(box={**data, "loss_weight": 5.0}, stages=[stage("head", 1)])
    training = make_training(recipe, images, tmp_path)
    training.run()
    row = training.folder.read_history().iloc[0]
    assert row["loss"] == pytest.approx(row["head_loss"] + 5 * row["box_loss"], rel=1e-3)


@pytest.mark.slow
@pytest.mark.jax_slow
def test_killed_on_cached_maps_it_goes_on_with_the_same(
    tmp_path: Path, images: FoldDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The maps are computed again."""
    undisturbed = make_training(TWO_STAGES, images, tmp_path / "undisturbed")
    undisturbed.run()
    expected = weights(undisturbed.network.model)
    stopped = make_training(TWO_STAGES, images, tmp_path / "other")
    resumed = gone_on_after(stopped, 1, monkeypatch)
    assert_ended_alike(resumed, undisturbed, expected)


def test_boxes_of_a_stage_follow_their_images(images: FoldDataset) -> None:
    """Wherever crop and mirror put the square, its box is around it."""
    changed = box_recipe().augmentation.model_copy(update={"crop": 0.7})
    recipe = box_recipe().model_copy(update={"augmentation": changed})
    train, validation = of_images(images, recipe, recipe.stages[0], seed=1, first_epoch=0)
    seen = 0
    for shown, (labels, boxes) in train:
        assert labels.shape == (8, 2)
        for image, box in zip(shown, boxes, strict=True):
            if has_box(box):
                assert iou(marked(image), box) > 0.65
                seen += 1
    steps = len(train)
    assert steps * 8 * 0.75 < seen < steps * 8, "some have none, or are cut away"
    for _, (_, boxes) in validation:
        assert has_box(boxes).all()


def test_cached_maps_have_the_boxes_of_their_views(tmp_path: Path, images: FoldDataset) -> None:
    """The same views as the maps are of: a trunk that gives the images themselves shows them."""
    import keras

    recipe = box_recipe(cached_views=3)
    inputs = keras.Input((None, None, 3), dtype="uint8")
    shown = keras.ops.cast(inputs, "float32")
    trunk = keras.Model(inputs, [keras.layers.GlobalAveragePooling2D()(shown), shown])
    plan = TimePlan([StageWork()])
    stage = Stage(epochs=1, learning_rate=1.0, image_size=24, batch_size=8)
    features = cache_features(trunk, images, recipe, stage, tmp_path, plan)
    (pooled, maps), (_, plain) = features.train, features.validation
    assert maps.shape == (3, TRAIN, 24, 24, 3) and plain.shape[1:] == (24, 24, 3)
    assert not has_box(features.boxes[:, :4]).any(), "these have none"
    there = has_box(features.boxes)
    assert there.mean() > 0.8
    around = [iou(marked(m), b) for m, b in zip(maps[there], features.boxes[there], strict=True)]
    assert min(around) > 0.65
    means = maps.astype(np.float32).mean(axis=(2, 3))
    np.testing.assert_allclose(means, pooled, rtol=1e-2, err_msg="of one image")
    assert len({tuple(box) for box in features.boxes[:, 10]}) == 3, "each view is another"


def test_pseudo_labeled_images_have_a_class_and_no_box(images: FoldDataset) -> None:
    joining = images.validation[:3], images.validation_labels[:3]
    joined = replace(images, pseudo={1: joining}).of_stage(1)
    assert len(joined.train_boxes) == len(joined.train) == TRAIN + 3
    assert not has_box(joined.train_boxes[-3:]).any()
    np.testing.assert_array_equal(joined.train_boxes[:-3], images.train_boxes)


TRAINED_ON_TWO = """
import json
from pathlib import Path

import keras
import numpy as np
from small_boxes import box_recipe, draw_boxed
from small_training import make_training, stage

from podium.models.backend import Devices

keras.mixed_precision.set_global_policy("mixed_float16")
images = draw_boxed(Path(sys.argv[2]), without=2)
recipe = box_recipe(stages=[stage("head", 1, 0.01)], cached_views=1)
training = make_training(recipe, images, Path(sys.argv[2], "run"), Devices(["CPU:0", "CPU:1"]))
training.run()
history = training.folder.read_history()
plain = np.stack([images.cache[i] for i in images.validation])
probabilities, boxes = training.network.model.predict(plain, verbose=0)
found = {
    "losses": history[["loss", "val_loss", "val_box_mean_iou"]].to_numpy().tolist(),
    "dtypes": [str(probabilities.dtype), str(boxes.dtype)],
    "boxes": boxes.tolist(),
}
print(json.dumps(found))
"""


@pytest.mark.slow
def test_two_devices_in_half_precision(tmp_path: Path) -> None:
    """As two of Kaggle's GPUs train, in a process of its own: devices are divided first."""
    found = json.loads(run_on_two_cpus(TRAINED_ON_TWO, tmp_path))
    assert np.isfinite(found["losses"]).all() and np.isfinite(found["boxes"]).all()
    assert np.shape(found["boxes"]) == (16, 4) and found["dtypes"] == ["float32"] * 2
