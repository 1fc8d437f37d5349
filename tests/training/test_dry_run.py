"""A dry run: every stage timed on a few images, and nothing left behind."""

from pathlib import Path

import pytest

from podium.training.dry_run import DryRun, StageTime, dry_run
from podium.training.time_plan import StageWork
from podium.training.train import train
from small_competitions import make_project

STAGES = '[{unfreeze="head", epochs=7, learning_rate=0.001}, {epochs=30, learning_rate=0.001}]'


def test_each_stage_is_timed_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_project(tmp_path, "dogs-vs-cats")
    before = sorted(tmp_path.rglob("*"))
    found = dry_run("tiny", [f"stages={STAGES}", "batch_size=4"], minutes=600)
    assert sorted(tmp_path.rglob("*")) == before
    assert [stage.work.epochs for stage in found.stages] == [7, 30]
    assert found.stages[1].work.all_steps == 30 * 3, "12 of 24 images, 4 at a time"
    assert all(stage.seconds_a_step > 0 for stage in found.stages)
    assert all(stage.peak_memory_gb > 0.1 for stage in found.stages)
    assert found.seconds == pytest.approx(found.reading + 2 * found.fold_seconds)
    text = str(found)
    assert "1 head at 16 px" in text and "2 all at 16 px" in text and "it fits" in text


@pytest.mark.slow
def test_what_it_says_is_about_what_a_fold_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a factor of three here, where the machine is busy and a fold takes seconds."""
    monkeypatch.chdir(tmp_path)
    make_project(tmp_path, "dogs-vs-cats")
    changes = ["stages=[{epochs=150, learning_rate=0.001}]", "batch_size=4", "image_size=32"]
    found = dry_run("tiny", changes, folds=[0])
    outcome = train("tiny", changes, folds=[0])
    seconds = outcome.folder.fold(0).read_cost()["seconds"]
    assert 1 / 3 < found.fold_seconds / seconds < 3


def test_a_budget_that_is_too_short_is_said() -> None:
    stage = StageTime("all at 32 px", StageWork(epochs=10, steps=5), 2.0, 100.0, 1.0)
    text = str(DryRun([stage], reading=50.0, predicting=20.0, folds=5, minutes=5.0))
    assert "a fold      2 min" in text and "the run     11 min" in text
    assert "too short; the epochs would be scaled to about 42%" in text
