"""A fold's training: the cached head stage, going on after a stop, options, devices."""

import gc
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from small_training import (
    CLASSES,
    assert_ended_alike,
    gone_on_after,
    make_training,
    raw_validation,
    recipe,
    run_on_two_cpus,
    stage,
    stopped_after,
    weights,
)

from podium.data.batches import Batches
from podium.models.backend import free_stage
from podium.models.network import build_network
from podium.recipes.tables import Stage
from podium.runs.fold_folder import load_weights
from podium.training import cached_features, head_stage
from podium.training.cached_features import Features, of_features
from podium.training.datasets import FoldDataset, stage_seed
from podium.training.optimizers import SharedLossScale
from podium.training.trainer import Trainer, TrainingDiverged


def features_of(
    training: Trainer, views: int = 2, gigabytes: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    found = cached_features.cache_features(
        training.network.features,
        training.images,
        training.recipe.model_copy(update={"cached_views": views, "cached_gb": gigabytes}),
        Stage(epochs=1, learning_rate=1.0, image_size=16, batch_size=8),
        folder=training.folder.path,
        plan=training.plan,
    )
    return found.train[0], found.validation[0]


# --- The head stage on cached features


def test_cached_features_of_plain_images_through_the_head_are_the_whole_network(
    tmp_path: Path, images: FoldDataset
) -> None:
    training = make_training(recipe(), images, tmp_path)
    train, validation = features_of(training)
    assert train.shape == (2, 24, 64) and validation.shape == (8, 64)
    through_head = training.network.head.predict(validation, verbose=0)
    whole = training.network.model.predict(raw_validation(images), verbose=0)
    np.testing.assert_allclose(through_head, whole, atol=1e-5)
    assert np.ptp(whole, axis=0).max() > 1e-3, "other images, other predictions"


def test_cached_views_differ_and_are_the_same_after_a_restart(
    tmp_path: Path, images: FoldDataset
) -> None:
    training = make_training(recipe(augmentation={"crop": 0.5, "rotate": 20.0}), images, tmp_path)
    first, _ = features_of(training)
    again, _ = features_of(training)
    np.testing.assert_allclose(first, again, atol=1e-5)
    assert np.abs(first[0] - first[1]).max(axis=1).min() > 1e-4, "each image, two views"


def test_features_lie_on_the_disk_where_memory_is_short(
    tmp_path: Path,
    images: FoldDataset,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cached_features, "free_memory", lambda: 1000)
    features_of(make_training(recipe(), images, tmp_path))
    assert "GB on the disk" in capsys.readouterr().out


def test_features_beyond_the_limit_lie_on_the_disk_and_leave_nothing_there(
    tmp_path: Path, images: FoldDataset, capsys: pytest.CaptureFixture[str]
) -> None:
    training = make_training(recipe(), images, tmp_path)
    in_memory, _ = features_of(training, gigabytes=2 * 24 * 64 * 4 / 1e9)
    assert "GB in memory" in capsys.readouterr().out
    on_disk, _ = features_of(training, gigabytes=2 * 24 * 64 * 4 / 1e9 * 0.99)
    assert "GB in memory" not in capsys.readouterr().out
    assert isinstance(on_disk, np.memmap) and not isinstance(in_memory, np.memmap)
    np.testing.assert_allclose(on_disk, in_memory, atol=1e-5)
    assert not list(tmp_path.rglob("*")), "the file has no name, and goes with the process"


def test_features_are_the_same_in_parts(
    tmp_path: Path, images: FoldDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = make_training(recipe(), images, tmp_path)
    whole, plain = features_of(training)
    monkeypatch.setattr(cached_features, "PART", 10)  # 24 images: the last part is smaller
    in_parts, plain_in_parts = features_of(training)
    np.testing.assert_allclose(in_parts, whole, atol=1e-5)
    np.testing.assert_allclose(plain_in_parts, plain, atol=1e-5)


def test_the_floor_is_printed_and_kept(
    tmp_path: Path, images: FoldDataset, capsys: pytest.CaptureFixture[str]
) -> None:
    training = make_training(recipe(stages=[stage("head", epochs=1)]), images, tmp_path)
    training.run()
    floor = json.loads((tmp_path / "floor.json").read_text())
    assert floor["rows"] == 4 * 24
    said = capsys.readouterr().out
    assert f"validation accuracy {floor['accuracy']:.4f}, log loss {floor['log_loss']:.4f}" in said


def test_only_the_probe_of_a_trained_head_leaves_features_out_and_says_so(
    tmp_path: Path,
    images: FoldDataset,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    channels = 64
    monkeypatch.setattr(head_stage, "LARGEST", 24 * channels)
    solved = {"stages": [{"unfreeze": "head", "solver": "logistic"}], "head": {"width": 0}}
    for changes, rows in (({"stages": [stage("head", epochs=1)]}, 24), (solved, 4 * 24)):
        make_training(recipe(**changes), images, tmp_path / str(rows)).run()
        floor = json.loads((tmp_path / str(rows) / "floor.json").read_text())
        assert floor["rows"] == rows
        assert f"on {rows} of 96 views" in capsys.readouterr().out


@pytest.mark.jax_slow
def test_a_solved_head_is_the_logistic_regression(tmp_path: Path, images: FoldDataset) -> None:
    solved = recipe(
        stages=[{"unfreeze": "head", "solver": "logistic"}, stage(1, epochs=1, learning_rate=1e-9)],
        head={"width": 0},
    )
    training = make_training(solved, images, tmp_path)
    training.run()
    history = training.folder.read_history()
    assert history["stage"].tolist() == [0, 1]
    floor = json.loads((tmp_path / "floor.json").read_text())
    assert history["val_loss"][0] == pytest.approx(floor["log_loss"])
    # The next stage starts from there, and hardly moves.
    assert history["val_loss"][1] == pytest.approx(floor["log_loss"], abs=1e-3)
    predicted = training.network.model.predict(raw_validation(images), verbose=0)
    loss = -np.log(predicted[images.validation_labels == 1]).mean()
    assert loss == pytest.approx(floor["log_loss"], abs=1e-3)


def test_epochs_with_smoothed_labels_have_a_plain_log_loss_besides(
    tmp_path: Path, images: FoldDataset
) -> None:
    """By which a solved head and what hardly moves it are level."""
    stages = [{"unfreeze": "head", "solver": "logistic"}, stage(1, epochs=1, learning_rate=1e-9)]
    training = make_training(
        recipe(stages=stages, head={"width": 0}, label_smoothing=0.4), images, tmp_path
    )
    training.run()
    history = training.folder.read_history()
    assert history["val_loss"][1] > history["val_loss"][0] + 0.1, "the loss it learns from"
    assert history["val_log_loss"][1] == pytest.approx(history["val_loss"][0], abs=1e-3)
    assert training.folder.weights_stage == 1


def test_a_solved_head_is_not_solved_again(
    tmp_path: Path, images: FoldDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    solved = recipe(
        stages=[{"unfreeze": "head", "solver": "logistic"}, stage(1, epochs=1)], head={"width": 0}
    )
    stopped_after(make_training(solved, images, tmp_path), 1, monkeypatch)
    began = (tmp_path / "floor.json").stat().st_mtime_ns
    again = make_training(solved, images, tmp_path, seed=99)
    again.run()
    assert again.folder.read_history()["stage"].tolist() == [0, 1]
    assert (tmp_path / "floor.json").stat().st_mtime_ns == began


def test_averaged_weights_validate_and_are_kept(tmp_path: Path, images: FoldDataset) -> None:
    """With a momentum near 1 the average stays where the first step went."""

    def train(name: str, ema: float | None) -> Trainer:
        jumpy = recipe(
            stages=[stage("head", 3, 0.5)],
            head={"width": 0},
            optimizer="sgd",
            keep="last",
            ema=ema,
        )
        training = make_training(jumpy, images, tmp_path / name)
        training.run()
        return training

    plain, averaged = train("plain", None), train("averaged", 0.9999)
    losses = averaged.folder.read_history()["val_loss"]
    assert np.ptp(losses) < 0.1 * np.ptp(plain.folder.read_history()["val_loss"])
    predicted = averaged.network.model.predict(raw_validation(images), verbose=0)
    loss = -np.log(predicted[images.validation_labels == 1]).mean()
    assert loss == pytest.approx(losses.iloc[-1], rel=1e-3), "what was validated is what predicts"


def test_the_head_stage_changes_the_head_only_and_learns(
    tmp_path: Path, images: FoldDataset
) -> None:
    many = recipe(stages=[stage("head", epochs=12, learning_rate=0.03)])
    training = make_training(many, images, tmp_path)
    backbone, head = weights(training.network.backbone), weights(training.network.head)
    training.run()
    for before, after in zip(backbone, weights(training.network.backbone), strict=True):
        np.testing.assert_array_equal(before, after)
    assert any(
        not np.array_equal(before, after)
        for before, after in zip(head, weights(training.network.head), strict=True)
    )
    history = training.folder.read_history()
    assert len(history) == 12
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    predicted = training.network.model.predict(raw_validation(images), verbose=0)
    loss = -np.log(predicted[images.validation_labels == 1]).mean()
    assert loss == pytest.approx(history["val_loss"].min(), rel=1e-3), "whole network, same weights"


def test_without_a_cache_the_head_stage_also_changes_the_head_only(
    tmp_path: Path, images: FoldDataset
) -> None:
    plain = recipe(stages=[stage("head", epochs=1)], cached_views=0)
    training = make_training(plain, images, tmp_path)
    before = weights(training.network.backbone)
    training.run()
    for old, new in zip(before, weights(training.network.backbone), strict=True):
        np.testing.assert_array_equal(old, new)


def batches_of(
    features: np.ndarray, labels: np.ndarray, epochs: int, first_epoch: int = 0, batch_size: int = 4
) -> Batches:
    """Batches to train on of features (views, images, channels) of such labels."""
    numbers = np.arange(len(labels))
    fold = FoldDataset(None, numbers, labels, numbers, labels)
    head = Stage(unfreeze="head", epochs=epochs, learning_rate=1.0, batch_size=batch_size)
    found = Features([features], [features[0]])
    return of_features(found, fold, recipe(), head, seed=0, first_epoch=first_epoch)[0]


def test_batches_of_features_keep_label_and_image_together() -> None:
    """The feature of image n in view v is n + v / 10; its label is n, one-hot."""
    numbered = (np.arange(10)[None, :] + np.arange(3)[:, None] / 10)[..., None].astype(np.float32)
    labels = np.eye(10, dtype=np.float32)
    seen = list(batches_of(numbered, labels, epochs=3))
    assert len(seen) == 6, "two full batches in each of three epochs"
    for x, y in seen:
        np.testing.assert_array_equal(np.floor(x[:, 0]).astype(int), y.argmax(axis=1))
    shown = np.concatenate([x[:, 0] for x, _ in seen])
    assert {round(float(value % 1), 1) for value in shown} == {0.0, 0.1, 0.2}, "all views"
    order = [x[:, 0].astype(int).tolist() for x, _ in seen]
    assert order[:2] != order[2:4], "each epoch in an order of its own"
    assert len(set(order[0] + order[1])) == 8, "no image twice in an epoch"

    resumed = [x for x, _ in batches_of(numbered, labels, epochs=3, first_epoch=2)]
    np.testing.assert_array_equal(resumed, [x for x, _ in seen[4:]])


def test_fewer_images_than_a_batch_are_one_batch() -> None:
    three = np.zeros((1, 3, 5), np.float32)
    batches = batches_of(three, np.eye(3, dtype="f4"), epochs=2, batch_size=8)
    assert [tuple(x.shape) for x, _ in batches] == [(3, 5)] * 2


def test_no_two_stages_see_the_same_order() -> None:
    assert (
        len({stage_seed(recipe(seed=seed), number) for seed in (0, 1) for number in range(4)}) == 8
    )


# --- Going on


@pytest.mark.parametrize(
    "epochs",
    [
        1,
        pytest.param(2, marks=pytest.mark.slow),
        pytest.param(3, marks=pytest.mark.jax),
        pytest.param(4, marks=pytest.mark.slow),
    ],
)
def test_a_stopped_training_ends_as_if_it_had_never_stopped(
    tmp_path: Path,
    images: FoldDataset,
    undisturbed: tuple[Trainer, list[np.ndarray]],
    epochs: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    training, expected = undisturbed
    second = gone_on_after(make_training(training.recipe, images, tmp_path), epochs, monkeypatch)
    history = second.folder.read_history()
    assert history[["stage", "epoch"]].to_numpy().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert_ended_alike(second, training, expected)
    for mine, theirs in zip(*map(checkpoints, (second, training)), strict=True):
        for one, other in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-4)


def uneven(images: FoldDataset) -> FoldDataset:
    """4 training images of the first class and 12 of the second."""
    chosen = np.r_[0:8:2, 1:24:2]
    return replace(images, train=images.train[chosen], train_labels=images.train_labels[chosen])


@pytest.mark.jax
@pytest.mark.parametrize(
    ("unfreeze", "how"),
    [("all", {"class_weight": "balanced"}), ("head", {"sampling": "balanced"})],
)
def test_what_uneven_classes_need_goes_together_and_goes_on(
    tmp_path: Path,
    images: FoldDataset,
    unfreeze: str,
    how: dict,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = uneven(images)
    changes = {
        "loss": "focal", "accumulate": 3, "ema": 0.5, "label_smoothing": 0.1,
        "augmentation": {"mixup": 1.0, "cutmix": 1.0},
        "stages": [stage(unfreeze, epochs=4)], **how,
    }  # fmt: skip
    whole = make_training(recipe(**changes), few, tmp_path / "whole")
    whole.run()
    stopped = make_training(recipe(**changes), few, tmp_path / "stopped")
    again = gone_on_after(stopped, 2, monkeypatch)  # in the middle of the second step
    assert_ended_alike(again, whole, weights(whole.network.model))
    row = whole.folder.read_history().iloc[-1]
    predicted = whole.network.model.predict(raw_validation(few), verbose=0)
    plain = -np.log(predicted[few.validation_labels == 1]).mean()
    assert row["val_log_loss"] == pytest.approx(plain, rel=1e-3), "unweighted, and the plain one"


@pytest.mark.parametrize(
    ("how", "expected"),
    [({}, 0.25), ({"class_weight": "balanced"}, 0.5), ({"sampling": "balanced"}, 0.5)],
)
def test_of_images_that_say_nothing_a_rare_class_is_as_likely_as_a_common_one(
    tmp_path: Path, images: FoldDataset, how: dict, expected: float
) -> None:
    gray = replace(uneven(images), cache=np.full((32, 18, 20, 3), 128, np.uint8))
    training = make_training(
        recipe(
            stages=[stage("head", epochs=25, learning_rate=0.02)],
            head={"width": 0, "dropout": 0.0},
            augmentation={"crop": 1.0, "rotate": 0.0, "light": 0.0, "color": 0.0},
            **how,
        ),
        gray,
        tmp_path,
    )
    training.run()
    predicted = training.network.model.predict(raw_validation(gray), verbose=0)
    np.testing.assert_allclose(predicted[:, 0], expected, atol=0.08)


def test_weights_change_training_and_no_validation(tmp_path: Path, images: FoldDataset) -> None:
    few = uneven(images)
    training = make_training(recipe(class_weight="balanced"), few, tmp_path)
    training.run()
    row = training.folder.read_history().iloc[-1]
    predicted = training.network.model.predict(raw_validation(few), verbose=0)
    plain = -np.log(predicted[few.validation_labels == 1]).mean()
    assert row["val_loss"] == pytest.approx(plain, rel=1e-3)
    right = predicted.argmax(1) == few.validation_labels.argmax(1)
    assert row["val_accuracy"] == pytest.approx(right.mean())


def test_a_stage_too_short_for_a_step_is_refused(tmp_path: Path, images: FoldDataset) -> None:
    with pytest.raises(ValueError, match="accumulate = 7: stage 1 has 6 batches"):
        make_training(recipe(accumulate=7), images, tmp_path).run()


def checkpoints(training: Trainer) -> list[list[np.ndarray]]:
    """The weights of each checkpoint, in the order of the epochs."""
    model = build_network(training.recipe, CLASSES).model
    found = []
    for epoch in training.folder.checkpoints():
        load_weights(model, training.folder.checkpoint(epoch))
        found.append(weights(model))
    return found


def test_checkpoints_are_the_averaged_weights_of_the_last_stage(
    images: FoldDataset, undisturbed: tuple[Trainer, list[np.ndarray]]
) -> None:
    """With an average of the weights, what validated is what is kept."""
    training, last = undisturbed
    assert training.folder.checkpoints() == [1, 2], "none of the head stage"
    assert (training.folder.path / "checkpoints" / "2.weights.h5").is_file()
    for one, other in zip(checkpoints(training)[-1], last, strict=True):
        np.testing.assert_array_equal(one, other)
    losses = training.folder.read_history().query("stage == 1")["val_loss"]
    model = build_network(training.recipe, CLASSES).model
    for epoch, loss in enumerate(losses, start=1):
        load_weights(model, training.folder.checkpoint(epoch))
        predicted = model.predict(raw_validation(images), verbose=0)
        found = -np.log(predicted[images.validation_labels == 1]).mean()
        assert found == pytest.approx(loss, rel=1e-3)


def test_checkpoints_of_an_earlier_training_go(tmp_path: Path, images: FoldDataset) -> None:
    long = recipe(stages=[stage("head", epochs=3)], checkpoints=3)
    training = make_training(long, images, tmp_path)
    training.run()
    assert training.folder.checkpoints() == [1, 2, 3]
    training.folder.delete_state()  # it is scored, and then trained again
    short = recipe(stages=[stage("head", epochs=1)], checkpoints=3)
    make_training(short, images, tmp_path).run()
    assert training.folder.checkpoints() == [1]
    training.folder.delete_state()
    make_training(recipe(stages=[stage("head", epochs=1)]), images, tmp_path).run()
    assert not (tmp_path / "checkpoints").exists()


def test_a_solved_head_leaves_no_checkpoints(tmp_path: Path, images: FoldDataset) -> None:
    solved = recipe(
        stages=[{"unfreeze": "head", "solver": "logistic"}], head={"width": 0}, checkpoints=2
    )
    training = make_training(solved, images, tmp_path)
    training.run()
    assert training.folder.checkpoints() == []


@pytest.fixture(scope="module")
def undisturbed(
    images: FoldDataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Trainer, list[np.ndarray]]:
    """A head stage on cached features, then one of the whole network, with all that is random."""
    two = recipe(
        stages=[stage("head", learning_rate=0.01), {**stage("all"), "calm_epochs": 1}],
        augmentation={"crop": 0.7, "mixup": 0.5, "cutmix": 0.5},
        train_batchnorm=True,
        layer_decay=0.8,
        weight_decay=0.1,
        ema=0.7,
        keep="last",
        checkpoints=2,
    )
    training = make_training(two, images, tmp_path_factory.mktemp("undisturbed"))
    training.run()
    return training, weights(training.network.model)


def test_a_finished_training_is_not_trained_again(
    images: FoldDataset, undisturbed: tuple[Trainer, list[np.ndarray]]
) -> None:
    training, expected = undisturbed
    state = training.folder.path / "state.npz"
    written = state.stat().st_mtime_ns
    again = make_training(training.recipe, images, training.folder.path, seed=99)
    again.run()
    for mine, theirs in zip(weights(again.network.model), expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert state.stat().st_mtime_ns == written


def test_the_weights_file_loads_without_warnings(
    undisturbed: tuple[Trainer, list[np.ndarray]], recwarn: pytest.WarningsRecorder
) -> None:
    """The network was compiled for a later stage than the one whose weights are best."""
    training, _ = undisturbed
    training.folder.read_weights(training.network.model)
    assert not [warning for warning in recwarn if "optimizer" in str(warning.message)]


# --- Options


def test_the_weights_file_holds_no_optimizer(tmp_path: Path, images: FoldDataset) -> None:
    """A head that was trained on cached features had left its own there."""
    stages = [stage("head", epochs=1), stage("all", epochs=1)]
    training = make_training(recipe(stages=stages, keep="last"), images, tmp_path)
    training.run()
    names: list[str] = []
    with h5py.File(training.folder.weights) as file:
        file.visit(names.append)
    assert names and not [name for name in names if "optimizer" in name]


@pytest.mark.slow
def test_a_stage_leaves_nothing_behind(
    tmp_path: Path, images: FoldDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorFlow would keep graphs traced in vain, and the features that a dataset is made of."""
    graphs, cached = [], []

    def predict() -> None:
        free_stage()
        kinds = [type(one).__name__ for one in gc.get_objects()]
        graphs.append(kinds.count("FuncGraph"))
        cached.append(kinds.count("Features"))

    monkeypatch.setattr("podium.training.trainer.free_stage", predict)
    stages = [stage("head", epochs=1), stage(2, epochs=1)] * 3
    make_training(recipe(stages=stages), images, tmp_path).run()
    assert graphs[2:4] == graphs[4:] and graphs[-1] > 0
    assert set(cached) == {0}


def test_each_step_is_traced_once(
    tmp_path: Path, images: FoldDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a large network it takes a minute."""
    traced: list[str] = []
    for name in ("train_step", "test_step"):
        step = getattr(keras.Model, name)

        def counted(self, data, name=name, step=step):
            traced.append(name)
            return step(self, data)

        monkeypatch.setattr(keras.Model, name, counted)
    make_training(recipe(), images, tmp_path).run()
    assert sorted(traced) == ["test_step", "train_step"]


def test_label_smoothing_is_in_the_loss(tmp_path: Path, images: FoldDataset) -> None:
    """At a learning rate of next to nothing, the losses are those of the network at its start."""
    stages = [stage("head", epochs=1, learning_rate=1e-9)]
    smooth = recipe(stages=stages, label_smoothing=0.2, cached_views=0)
    training = make_training(smooth, images, tmp_path)
    # Confident logits, for which smoothing makes a difference.
    logits = training.network.head.get_layer("logits")
    logits.bias.assign([3.0, 0.0])
    logits.kernel.assign(np.zeros(logits.kernel.shape))
    training.run()
    log_p = np.log(np.exp([3.0, 0.0]) / np.exp([3.0, 0.0]).sum())
    targets = np.array([[0.9, 0.1], [0.1, 0.9]])  # half of the images are of each class
    expected = -(targets @ log_p).mean()
    plain = -log_p.mean()
    assert abs(expected - plain) < 1e-6, "with balanced classes the means agree"
    of_first = -(targets[0] @ log_p)
    assert of_first != pytest.approx(-log_p[0])
    loss = training.network.model.loss
    assert float(loss(np.array([[1.0, 0.0]]), np.exp(log_p)[None])) == pytest.approx(
        of_first, rel=1e-4
    )
    assert training.folder.read_history()["val_loss"].iloc[0] == pytest.approx(expected, rel=1e-3)


@pytest.mark.jax
def test_clipped_gradients_hardly_move_sgd(tmp_path: Path, images: FoldDataset) -> None:
    def distance(name: str, **changes: float) -> float:
        settings = recipe(stages=[stage("head", 1, 0.1)], optimizer="sgd", keep="last", **changes)
        training = make_training(settings, images, tmp_path / name)
        kernel = training.network.head.get_layer("logits").kernel
        before = kernel.numpy()
        training.run()
        return float(np.abs(kernel.numpy() - before).max())

    assert distance("clipped", clip_value=1e-8) < 1e-6
    assert distance("plain") > 1e-4


def test_each_stage_trains_on_its_own_size_and_batch(
    tmp_path: Path, images: FoldDataset, capsys: pytest.CaptureFixture[str]
) -> None:
    later = {**stage(1, epochs=1), "image_size": 24, "batch_size": 12}
    training = make_training(recipe(stages=[stage("head", epochs=1), later]), images, tmp_path)
    training.run()
    said = capsys.readouterr().out
    assert "stage 1 of 2: the head, 1 epochs, learning rate 0.001, 16 px" in said
    assert "stage 2 of 2: the last 1 blocks, 1 epochs, learning rate 0.001, 24 px" in said
    assert training.network.model.optimizer.iterations.numpy() == 2, "24 images in batches of 12"


# --- Precision and devices


@pytest.fixture
def half_precision() -> Iterator[None]:
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_float16")
    yield
    keras.mixed_precision.set_global_policy(before)


@pytest.mark.jax
def test_half_precision_trains_and_goes_on(
    tmp_path: Path,
    images: FoldDataset,
    half_precision: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    two = recipe(stages=[stage("head", epochs=2), stage(2, epochs=2)], optimizer="sgd")
    training = make_training(two, images, tmp_path)
    stopped_after(training, 3, monkeypatch)
    assert isinstance(training.network.model.optimizer, SharedLossScale)
    inner = training.network.model.optimizer.inner_optimizer
    assert 0.85 <= float(inner.cycled_momentum) <= 0.95
    steps = inner.iterations.numpy()  # those that overflowed, and so lowered the scale, not counted
    scale = float(training.network.model.optimizer.dynamic_scale)
    again = make_training(two, images, tmp_path, seed=99)
    again.run()
    history = again.folder.read_history()
    assert history["stage"].tolist() == [0, 0, 1, 1]
    assert np.isfinite(history[["loss", "val_loss"]].to_numpy()).all()
    assert again.network.model.optimizer.inner_optimizer.iterations.numpy() == steps + 3
    assert float(again.network.model.optimizer.dynamic_scale) == scale
    assert again.network.features.outputs[0].dtype == "float16"


@pytest.mark.jax_slow
def test_gradients_that_overflow_skip_a_step_and_end_nothing(
    tmp_path: Path,
    images: FoldDataset,
    half_precision: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(SharedLossScale, "scale_loss", lambda self, loss: loss * 1e38)
    training = make_training(recipe(), images, tmp_path)
    training.run()
    history = training.folder.read_history()
    assert len(history) == 2 and np.isfinite(history[["loss", "val_loss"]].to_numpy()).all()
    assert training.network.model.optimizer.iterations.numpy() == 0


def test_activations_that_float16_cannot_hold_are_named_as_a_cause(
    tmp_path: Path, images: FoldDataset, half_precision: None
) -> None:
    training = make_training(recipe(), images, tmp_path)
    kernel = training.network.backbone.get_layer("stem_conv").kernel
    kernel.assign(kernel * 1e5)
    with pytest.raises(TrainingDiverged, match=r"or mixed_precision = false: activations above"):
        training.run()


@pytest.mark.jax
@pytest.mark.parametrize("which", ["head", "all"])
def test_an_epoch_is_validated_on_all_images_alike(
    tmp_path: Path, images: FoldDataset, which: str
) -> None:
    assert len(images.validation) % 5, "the last batch is smaller"
    training = make_training(recipe(batch_size=5, stages=[stage(which)]), images, tmp_path)
    training.run()
    predicted = training.network.model.predict(raw_validation(images), verbose=0)
    right = (predicted * images.validation_labels).sum(axis=1)
    row = training.folder.read_history().iloc[-1]
    assert row["val_accuracy"] == pytest.approx((right > 0.5).mean())
    assert row["val_loss"] == pytest.approx(-np.log(right).mean(), rel=1e-3)


TRAINED_ON_TWO = """
from pathlib import Path

import numpy as np
from small_training import draw, make_training, raw_validation, recipe, stage
from podium.models.backend import Devices

images = draw(Path(sys.argv[2]))
for optimizer in ("adam", "sgd"):
    folder = Path(sys.argv[2], optimizer)
    two = recipe(
        stages=[stage("head", 1, 0.01), stage(2, 2)],
        optimizer=optimizer,
        ema=0.9,
        layer_decay=0.7,
        weight_decay=0.01,
    )
    training = make_training(two, images, folder, Devices(["CPU:0", "CPU:1"]))
    assert training.devices.count == 2
    training.run()
    history = training.folder.read_history()
    assert history["stage"].tolist() == [0, 1, 1], history
    assert np.isfinite(history[["loss", "val_loss"]].to_numpy()).all(), history
    predicted = training.network.model.predict(raw_validation(images), verbose=0)
    np.save(folder / "predicted.npy", predicted)
"""


@pytest.mark.slow
@pytest.mark.jax_slow
def test_two_devices_train_and_predict(tmp_path: Path) -> None:
    run_on_two_cpus(TRAINED_ON_TWO, tmp_path)
    for optimizer in ("adam", "sgd"):
        predicted = np.load(tmp_path / optimizer / "predicted.npy")
        assert predicted.shape == (8, 2)
        assert np.isfinite(predicted).all()
        np.testing.assert_allclose(predicted.sum(axis=1), 1, atol=1e-5)
