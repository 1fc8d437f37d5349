"""A stage with pseudo-labels: what joins is trained on in that stage, and seen nowhere else."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_training import (
    assert_ended_alike,
    draw,
    make_training,
    recipe,
    stage,
    stopped_after,
    weights,
)

from podium.files.image_io import resize
from podium.recipes.tables import Stage
from podium.training.datasets import FoldDataset, of_images
from podium.training.trainer import Trainer

JOINING = np.arange(16, 24)
# Each shows what it is, so that images in a batch can be told: nothing is done to them.
AS_THEY_ARE = {"mirror": False, "crop": 1.0, "rotate": 0.0, "light": 0.0, "color": 0.0}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> FoldDataset:
    """Of 24 training images the last 8 join the second stage, with the wrong labels."""
    drawn = draw(tmp_path_factory.mktemp("images"))
    return replace(
        drawn,
        train=drawn.train[:16],
        train_labels=drawn.train_labels[:16],
        pseudo={1: (JOINING, drawn.train_labels[16:, ::-1].copy())},
    )


def shown(images: FoldDataset, epochs: int) -> list[tuple[int, int]]:
    """Position and label of each image in the batches of some epochs."""
    plain = recipe(augmentation=AS_THEY_ARE)
    batches, _ = of_images(images, plain, Stage(epochs=epochs, learning_rate=1.0), 0, 0)
    known = {resize(images.cache[i], 16, 16).tobytes(): i for i in range(32)}
    return [
        (known[image.tobytes()], int(label.argmax()))
        for x, y in batches.as_numpy_iterator()
        for image, label in zip(x, y, strict=True)
    ]


def test_they_are_in_the_batches_of_their_stage_with_their_labels(images: FoldDataset) -> None:
    labels = {position: position % 2 for position in range(16)}
    assert sorted(shown(images.of_stage(0), 2)) == sorted([*labels.items()] * 2)
    labels |= {int(position): 1 - int(position) % 2 for position in JOINING}
    assert sorted(shown(images.of_stage(1), 2)) == sorted([*labels.items()] * 2)
    assert sorted(shown(images.of_stage(2), 2)) == sorted([*labels.items()][:16] * 2)


def test_they_are_not_validated(images: FoldDataset) -> None:
    stage = images.of_stage(1)
    np.testing.assert_array_equal(stage.validation, np.arange(24, 32))
    np.testing.assert_array_equal(stage.validation_labels, images.validation_labels)
    assert (stage.labeled, stage.pseudo_labeled) == (16, 8)
    assert (images.of_stage(0).labeled, images.of_stage(0).pseudo_labeled) == (16, 0)


def test_there_are_more_steps_and_the_title_says_why(
    tmp_path: Path, images: FoldDataset, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of whole images, and the rate ends where a cycle over all of those steps ends."""
    two = recipe(stages=[stage(1, epochs=1), stage(1, epochs=2)])
    training = make_training(two, images, tmp_path)
    training.run()
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("stage ")]
    assert said[0].endswith("16 px") and said[1].endswith("16 px, 8 test images join")
    assert training.network.model.optimizer.iterations.numpy() == 2 * 3
    assert training.folder.read_history()["learning_rate"].iloc[-1] == pytest.approx(1e-7, rel=1e-3)


def test_a_head_learns_from_their_features_as_well(tmp_path: Path, images: FoldDataset) -> None:
    def rows(name: str, number: int) -> int:
        stages = [stage("head", epochs=1) for _ in range(number + 1)]
        make_training(recipe(stages=stages), images, tmp_path / name).run()
        return json.loads((tmp_path / name / "floor.json").read_text())["rows"]

    assert rows("first", 0) == 4 * 16
    assert rows("second", 1) == 4 * 24


def test_a_head_is_solved_with_them(tmp_path: Path, images: FoldDataset) -> None:
    """Only from images that join does it learn a class: all others show one."""
    one = np.tile(np.float32([1, 0]), (16, 1))
    joining = np.tile(np.float32([0, 1]), (8, 1))
    taught = replace(images, train_labels=one, pseudo={0: (JOINING, joining)})
    solved = recipe(stages=[{"solver": "logistic"}], head={"width": 0})
    for name, of_fold in (("taught", taught), ("alone", replace(taught, pseudo={}))):
        training = make_training(solved, of_fold, tmp_path / name)
        training.run()
        kernel = training.network.head.get_layer("logits").kernel.numpy()
        assert (np.abs(kernel).max() > 0) == (name == "taught")


@pytest.mark.parametrize(
    ("centers", "said"),
    [
        (30, "kernel regression on 24 images, 8 of them pseudo-labeled: "),
        (20, "on 20 images, 4 of them pseudo-labeled (4 more with a larger head.centers): "),
        (12, "on 12 images, 0 of them pseudo-labeled (8 more with a larger head.centers): "),
    ],
)
def test_kernels_are_around_them_where_there_is_place(
    tmp_path: Path,
    images: FoldDataset,
    capsys: pytest.CaptureFixture[str],
    centers: int,
    said: str,
) -> None:
    kernels = recipe(
        stages=[{"solver": "kernel"}],
        cached_views=1,
        head={"width": 0, "centers": centers},
    )
    taught = replace(images, pseudo={0: images.pseudo[1]})
    training = make_training(kernels, taught, tmp_path)
    training.run()
    assert said in capsys.readouterr().out
    dual = training.network.head.get_layer("logits").dual.numpy()
    assert (np.abs(dual).max(axis=1) > 0).sum() == min(centers, 24)


@pytest.fixture(scope="module")
def undisturbed(
    images: FoldDataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Trainer, list[np.ndarray]]:
    two = recipe(
        stages=[stage("head", 2, 0.01), stage("head", 3, 0.01)],
        augmentation={"crop": 0.7},
        keep="last",
    )
    training = make_training(two, images, tmp_path_factory.mktemp("undisturbed"))
    training.run()
    return training, weights(training.network.model)


@pytest.mark.parametrize("epochs", [2, 3])
def test_a_stopped_training_ends_as_if_it_had_never_stopped(
    tmp_path: Path,
    images: FoldDataset,
    undisturbed: tuple[Trainer, list[np.ndarray]],
    epochs: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Stopped before the stage that they join, and within it."""
    training, expected = undisturbed
    first = make_training(training.recipe, images, tmp_path)
    stopped_after(first, epochs, monkeypatch)
    second = make_training(training.recipe, images, tmp_path, seed=99)
    second.run()
    assert_ended_alike(second, training, expected)
