"""A stage with pseudo-labels: what joins is trained on in that stage, and seen nowhere else."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_training import (
    assert_ended_alike,
    draw,
    gone_on_after,
    make_training,
    recipe,
    stage,
    weights,
)

from podium.files.image_io import resize
from podium.recipes.tables import Stage
from podium.training.datasets import FoldDataset, of_images

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
        for x, y in batches
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


@pytest.mark.parametrize("centers", [30, 20, 12])
def test_kernels_are_around_them_where_there_is_place(
    tmp_path: Path, images: FoldDataset, capsys: pytest.CaptureFixture[str], centers: int
) -> None:
    kernels = recipe(
        stages=[{"solver": "kernel"}],
        cached_views=1,
        head={"width": 0, "centers": centers},
    )
    taught = replace(images, pseudo={0: images.pseudo[1]})
    training = make_training(kernels, taught, tmp_path)
    training.run()
    used = min(centers, 24)
    assert f"kernel regression on {used} of 24 images" in capsys.readouterr().out
    dual = training.network.head.get_layer("logits").dual.numpy()
    assert (np.abs(dual).max(axis=1) > 0).sum() == used


@pytest.mark.parametrize("epochs", [pytest.param(2, marks=pytest.mark.slow), 3])
def test_killed_before_or_within_their_stage_it_goes_on_with_them(
    tmp_path: Path, images: FoldDataset, epochs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = recipe(
        stages=[stage("head", 2, 0.01), stage("head", 3, 0.01)], augmentation={"crop": 0.7}
    )
    whole = make_training(two, images, tmp_path / "whole")
    whole.run()
    other = gone_on_after(make_training(two, images, tmp_path / "other"), epochs, monkeypatch)
    assert_ended_alike(other, whole, weights(whole.network.model))
