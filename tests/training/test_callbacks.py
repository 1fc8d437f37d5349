"""What watches a training: which weights are kept, patience, divergence."""

from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from small_training import (
    CLASSES,
    make_training,
    raw_validation,
    recipe,
    stage,
)

from podium.files.untrusted import ForeignFile
from podium.models.network import build_network
from podium.runs.fold_folder import FoldFolder, load_weights, validation_loss
from podium.training.callbacks import CheckpointCallback
from podium.training.datasets import FoldDataset
from podium.training.optimizers import make_optimizer
from podium.training.resume import ResumeState
from podium.training.trainer import TrainingDiverged

# --- KeepState, with a network of one weight, whose validation losses are told


def keeper(
    folder: Path,
    keep: str = "best",
    patience: int | None = None,
    epochs: int = 10,
    pause: float = 0.0,
    checkpoints: int = 0,
) -> CheckpointCallback:
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Dense(1, use_bias=False)(inputs))
    model.compile(make_optimizer(recipe(), 0.1), "mse")
    model.optimizer.build(model.trainable_variables)
    made = CheckpointCallback(
        ResumeState(),
        model,
        FoldFolder(folder),
        recipe(keep=keep, checkpoints=checkpoints, **({"patience": patience} if patience else {})),
        pause,
    )
    made.set_model(model)
    made.set_params({"epochs": epochs})
    model.stop_training = False
    return made


def tell(keeper: CheckpointCallback, losses: list[float], loss: float = 0.5) -> int:
    """End an epoch with each of these; the weight is the number of the epoch. Returns how many."""
    for epoch, val_loss in enumerate(losses):
        keeper.model.set_weights([np.full((1, 1), epoch, np.float32)])
        keeper.on_epoch_begin(epoch)
        keeper.on_epoch_end(epoch, {"loss": loss, "val_loss": val_loss})
        if keeper.model.stop_training:
            break
    if keeper.state.stage_finished:
        keeper.on_train_end()
    return epoch + 1


def kept(keeper: CheckpointCallback) -> float:
    """The weight in the file."""
    keeper.folder.read_weights(keeper.model)
    return float(keeper.model.get_weights()[0][0, 0])


def checkpoints(keeper: CheckpointCallback) -> dict[int, float]:
    """The weight in each checkpoint, by its epoch."""
    found = {}
    for epoch in keeper.folder.checkpoints():
        load_weights(keeper.model, keeper.folder.checkpoint(epoch))
        found[epoch] = float(keeper.model.get_weights()[0][0, 0])
    return found


@pytest.mark.parametrize(
    ("losses", "best"), [([3, 1, 2, 1.5], 1), ([1, 2, 3], 0), ([3, 2, 1], 2), ([2, 1, 1], 1)]
)
def test_the_kept_weights_are_of_the_lowest_validation_loss(
    tmp_path: Path, losses: list[float], best: int
) -> None:
    made = keeper(tmp_path)
    tell(made, losses)
    assert kept(made) == best


def test_smoothed_epochs_are_judged_by_the_plain_log_loss(tmp_path: Path) -> None:
    """A solved head's loss is plain: smoothing alone would make every later epoch look worse."""
    made = keeper(tmp_path)
    tell(made, [0.40])
    made.on_epoch_begin(1)
    smoothed = {"loss": 0.7, "val_loss": 0.75, "log_loss": 0.2, "val_log_loss": 0.25}
    made.model.set_weights([np.full((1, 1), 1, np.float32)])
    made.on_epoch_end(1, smoothed)
    made.on_train_end()
    assert kept(made) == 1
    assert made.state.best["val_log_loss"] == 0.25
    with_boxes = {"val_loss": 1.75, "val_head_loss": 0.75, "val_log_loss": 0.25}
    assert validation_loss(with_boxes) == pytest.approx(1.25)


def test_the_last_weights_are_kept_where_the_recipe_says_so(tmp_path: Path) -> None:
    made = keeper(tmp_path, keep="last")
    tell(made, [3, 1, 2])
    assert kept(made) == 2


def test_what_was_best_before_a_restart_stays_best(tmp_path: Path) -> None:
    tell(keeper(tmp_path), [3, 1])
    again = keeper(tmp_path)
    again.state = ResumeState.read(again.folder)
    assert again.state.epoch == 2
    tell(again, [2, 1.5])
    assert kept(again) == 1
    tell(again, [0.5])
    assert kept(again) == 0


@pytest.mark.parametrize(
    ("losses", "epochs"), [([3, 2, 2.5, 2.6, 1], 4), ([3, 2, 2.5, 1, 2], 5), ([1, 1, 1, 0.1], 3)]
)
def test_patience_ends_the_stage(tmp_path: Path, losses: list[float], epochs: int) -> None:
    made = keeper(tmp_path, patience=2)
    assert tell(made, losses) == epochs
    finished = ResumeState.read(made.folder).stage_finished
    assert finished == (epochs < len(losses)), (
        "written with the epoch, so that a kill loses nothing"
    )


@pytest.mark.parametrize(("keep", "expected"), [("best", 1), ("last", 3)])
def test_short_epochs_are_written_together(tmp_path: Path, keep: str, expected: int) -> None:
    made = keeper(tmp_path, keep=keep, epochs=4, pause=1000.0)
    tell(made, [3, 1, 2])
    assert not any(path.is_file() for path in tmp_path.rglob("*"))
    made.model.set_weights([np.full((1, 1), 3, np.float32)])
    made.on_epoch_begin(3)
    made.on_epoch_end(3, {"loss": 1.0, "val_loss": 2.5})
    made.on_train_end()
    assert made.model.get_weights()[0] == 3, "training goes on with its own weights"
    assert len(made.folder.read_history()) == 4
    assert made.folder.read_arrays()[0] == 3
    assert kept(made) == expected


@pytest.mark.parametrize(("count", "pause"), [(1, 0.0), (2, 0.0), (3, 0.0), (9, 0.0), (2, 1000.0)])
def test_the_last_epochs_leave_checkpoints(tmp_path: Path, count: int, pause: float) -> None:
    made = keeper(tmp_path, epochs=4, checkpoints=count, pause=pause)
    tell(made, [2, 1, 3, 4])
    assert made.model.get_weights()[0] == 3, "training goes on with its own weights"
    assert made.folder.read_arrays()[0] == 3
    assert checkpoints(made) == {epoch: epoch - 1 for epoch in range(max(5 - count, 1), 5)}
    assert kept(made) == 1


def test_no_checkpoints_unless_they_are_wanted(tmp_path: Path) -> None:
    made = keeper(tmp_path, epochs=2)
    tell(made, [2, 1])
    assert made.folder.checkpoints() == []
    assert not (tmp_path / "checkpoints").exists()


def test_checkpoints_end_where_patience_ends_the_stage(tmp_path: Path) -> None:
    made = keeper(tmp_path, patience=2, checkpoints=2)
    assert tell(made, [3, 2, 2.5, 2.6, 1]) == 4
    assert checkpoints(made) == {3: 2, 4: 3}


@pytest.mark.parametrize("killed_after", [1, 2, 3])
def test_a_restart_goes_on_with_the_checkpoints(tmp_path: Path, killed_after: int) -> None:
    losses = [4.0, 3.0, 2.0, 1.0]
    tell(keeper(tmp_path, epochs=4, checkpoints=2), losses[:killed_after])
    again = keeper(tmp_path, epochs=4, checkpoints=2)
    again.state = ResumeState.read(again.folder)
    for epoch in range(killed_after, 4):
        again.model.set_weights([np.full((1, 1), epoch, np.float32)])
        again.on_epoch_begin(epoch)
        again.on_epoch_end(epoch, {"loss": 0.5, "val_loss": losses[epoch]})
    again.on_train_end()
    assert checkpoints(again) == {3: 2, 4: 3}


def test_an_epoch_without_a_number_leaves_no_checkpoint(tmp_path: Path) -> None:
    made = keeper(tmp_path, checkpoints=2)
    tell(made, [2, 1, float("nan")])
    assert checkpoints(made) == {1: 0, 2: 1}


def test_patience_counts_within_the_stage(tmp_path: Path) -> None:
    made = keeper(tmp_path, patience=2)
    tell(made, [1, 1.5])
    made.state.stage = 1
    assert tell(made, [3, 2.5, 2.6, 2.4]) == 4, "the second stage is worse, but gets better"
    assert kept(made) == 0


def test_the_last_epoch_finishes_the_stage(tmp_path: Path) -> None:
    made = keeper(tmp_path, epochs=2)
    tell(made, [2])
    assert not ResumeState.read(made.folder).stage_finished
    made.on_epoch_begin(1)
    made.on_epoch_end(1, {"loss": 1.0, "val_loss": 1.0})
    made.on_train_end()
    assert ResumeState.read(made.folder).stage_finished


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("which", ["loss", "val_loss"])
def test_a_loss_that_is_no_number_keeps_the_last_good_epoch(
    tmp_path: Path, bad: float, which: str
) -> None:
    made = keeper(tmp_path)
    tell(made, [2, 1])
    made.model.set_weights([np.full((1, 1), bad, np.float32)])
    made.on_epoch_begin(2)
    made.on_epoch_end(2, {"loss": 0.5, "val_loss": 0.5, which: bad})
    assert made.diverged and made.model.stop_training
    assert kept(made) == 1
    assert len(made.folder.read_history()) == 2
    assert ResumeState.read(made.folder).epoch == 2


def test_the_history_has_a_row_an_epoch(tmp_path: Path) -> None:
    made = keeper(tmp_path)
    tell(made, [3, 1])
    history = made.folder.read_history()
    assert history["epoch"].tolist() == [0, 1]
    assert history["val_loss"].tolist() == [3, 1]
    assert history["learning_rate"].tolist() == pytest.approx([0.1, 0.1])
    pd.testing.assert_series_equal(
        history["loss"], pd.Series([0.5, 0.5], name="loss"), check_dtype=False
    )


# --- In real trainings


def test_the_best_weights_predict_after_a_training(tmp_path: Path, images: FoldDataset) -> None:
    """The kept weights give again the lowest validation loss of the history."""
    # So fast that it goes up and down, and the last epoch is not the best.
    training = make_training(
        recipe(
            stages=[stage(epochs=4, learning_rate=0.03)],
            one_cycle={"warmup": 1.0},
            optimizer="sgd",
            keep="best",
        ),
        images,
        tmp_path,
    )
    training.run()
    history = training.folder.read_history()
    fresh = build_network(training.recipe, CLASSES)
    fresh.model.load_weights(training.folder.weights)
    only_weights = sum(weight.numpy().nbytes for weight in fresh.model.weights)
    assert training.folder.weights.stat().st_size < 2 * only_weights + 500_000, "no optimizer"
    for model in (training.network.model, fresh.model):
        predicted = model.predict(raw_validation(images), verbose=0)
        loss = -np.log(predicted[images.validation_labels == 1]).mean()
        assert loss == pytest.approx(history["val_loss"].min(), rel=1e-3)
    assert len(history) == 4
    assert history["val_loss"].nunique() == 4


def test_divergence_names_the_stage_and_what_to_do(tmp_path: Path, images: FoldDataset) -> None:
    two = recipe(stages=[stage("head", epochs=1), stage("all", epochs=3)], optimizer="sgd")
    # Far above what a recipe may say, to be sure that it is too much.
    wild = two.stages[1].model_copy(update={"learning_rate": 1e30})
    training = make_training(
        two.model_copy(update={"stages": [two.stages[0], wild]}), images, tmp_path
    )
    with pytest.raises(TrainingDiverged) as error:
        training.run()
    assert str(error.value) == (
        "the loss is no longer a number in stage 2, epoch 1: lower its learning_rate (1e+30) "
        "or set clip_norm = 1.0"
    )
    assert training.folder.read_history()["stage"].tolist() == [0], "what was good is still there"
    training.folder.read_weights(training.network.model)
    assert np.isfinite(training.network.model.predict(raw_validation(images), verbose=0)).all()


def test_a_state_with_other_keys_is_told(tmp_path: Path) -> None:
    folder = FoldFolder(tmp_path)
    folder.write_state({"stage": 0, "evil": 1}, [])
    with pytest.raises(ForeignFile, match="has other keys: delete it, and the same command"):
        ResumeState.read(folder)
