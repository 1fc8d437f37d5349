"""Runs are told to real trackers: each once, with recipe, epochs, scores and files."""

import sys
from pathlib import Path

import pytest

from podium.reports.run_data import read_run_data
from podium.reports.track import TrackedRun, tracked_run
from podium.runs.run_folder import RunFolder


@pytest.fixture
def folder(trained_copy: Path) -> RunFolder:
    (trained_copy / "weights" / "tiny" / "report.html").write_text("<p>A report</p>")
    return RunFolder(trained_copy / "weights" / "tiny")


@pytest.fixture
def told(folder: RunFolder) -> TrackedRun:
    return tracked_run(read_run_data(folder))


def test_what_is_told_is_the_recipe_the_epochs_and_the_score(
    told: TrackedRun, folder: RunFolder
) -> None:
    assert told.parameters["backbone"] == "resnet-8" and told.parameters["head.width"] == 8
    assert told.parameters["stages.0.learning_rate"] == 0.001
    assert [number for number, _, _ in told.steps] == [1, 1]
    history = folder.fold(1).read_history()
    _, time, values = told.steps[1]
    assert values["fold_1/val_loss"] == history["val_loss"][0]
    assert time == pytest.approx(told.started + history["seconds"][0])
    score = folder.read_score()
    assert told.metrics["accuracy"] == score["score"]["value"]
    assert told.metrics["accuracy/low"] == score["score"]["low"]
    assert told.metrics["accuracy/plain"] == score["plain"]["value"]
    assert [path.name for path in told.files] == ["report.html", "tiny.csv"]


def test_mlflow_has_a_run_once_and_updates_it(
    folder: RunFolder, told: TrackedRun, command, monkeypatch
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="pip install 'podium[mlflow]'")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for _ in range(2):
        code, printed, errors = command("track", "tiny", "--to", "mlflow")
        assert code == 0, errors
    client = mlflow.tracking.MlflowClient(f"sqlite:///{folder.path.parents[1] / 'mlflow.db'}")
    assert "mlflow ui" in printed
    experiment = client.get_experiment_by_name("sample").experiment_id
    (run,) = client.search_runs([experiment])
    assert run.data.params["stages.0.epochs"] == "1"
    assert run.data.metrics["accuracy"] == told.metrics["accuracy"]
    (epoch,) = client.get_metric_history(run.info.run_id, "fold_0/val_loss")
    assert epoch.step == 1 and epoch.value == told.steps[0][2]["fold_0/val_loss"]
    names = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert names == {"report.html", "tiny.csv"}


def test_tensorboard_has_its_epochs_once(folder: RunFolder, told: TrackedRun, command) -> None:
    pytest.importorskip("tensorboard", reason="pip install 'podium[tensorboard]'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for _ in range(2):
        code, _, errors = command("track", "tiny", "--to", "tensorboard")
        assert code == 0, errors
    place = folder.path.parents[1] / "tensorboard" / "sample" / "tiny"
    assert len(list(place.iterdir())) == 1
    events = EventAccumulator(str(place)).Reload()
    (epoch,) = events.Tensors("fold_0/val_loss")
    assert epoch.step == 1
    assert epoch.tensor_proto.float_val[0] == pytest.approx(told.steps[0][2]["fold_0/val_loss"])


def test_wandb_has_it_once_and_offline(folder: RunFolder, command, monkeypatch) -> None:
    pytest.importorskip("wandb", reason="pip install 'podium[wandb]'")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    for _ in range(2):
        code, printed, errors = command("track", "tiny", "--to", "wandb")
        assert code == 0, errors
    assert "wandb sync sends it" in printed
    (run,) = (folder.path.parents[1] / "wandb").glob("offline-run-*")
    assert list(run.glob("*.wandb"))


def test_mistakes_are_a_line(folder: RunFolder, command, monkeypatch) -> None:
    code, _, errors = command("track", "tiny", "--to", "neptune")
    assert code == 1 and "--to neptune: expected one of mlflow, wandb, tensorboard" in errors
    monkeypatch.setitem(sys.modules, "wandb", None)
    code, _, errors = command("track", "tiny", "--to", "wandb")
    assert code == 1 and "wandb missing: pip install 'podium[wandb]'" in errors
