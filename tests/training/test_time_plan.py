"""A training that fits its epochs to the time that it has."""

import time
from pathlib import Path

import numpy as np
import pytest
from small_training import (
    make_training,
    raw_validation,
    recipe,
    stage,
    stopped_after,
    weights,
)

from podium.recipes.tables import Stage
from podium.training import time_plan
from podium.training.callbacks import TimeKeeper
from podium.training.datasets import FoldDataset, calm_epochs
from podium.training.one_cycle import one_cycle
from podium.training.resume import ResumeState
from podium.training.time_plan import Speeds, StageWork, TimePlan
from podium.training.trainer import Trainer


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock to set, and an idle machine."""
    clock = [0.0]
    monkeypatch.setattr(time_plan.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(time_plan, "cpu_load", lambda: 1.0)
    return clock


# --- The arithmetic


def test_the_plan_reserves_what_prediction_takes(
    now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = TimePlan([StageWork(validation=400)], predictions=10_000)
    assert plan.reserve() == time_plan.WRITING, "nothing is measured yet"
    plan.speeds.predicted(seconds=2.0, pixels=1000)
    expected = 10_400 * 0.002 * time_plan.MARGIN + time_plan.WRITING
    assert plan.reserve() == pytest.approx(expected)
    monkeypatch.setattr(time_plan, "cpu_load", lambda: 4.0)  # a machine with much to do
    assert plan.reserve() == pytest.approx(expected + 4 * time_plan.ENDING - time_plan.WRITING)


def test_all_that_is_left_shares_the_time_in_one_proportion(now: list[float]) -> None:
    works = [StageWork(epochs=4, steps=10), StageWork(epochs=2, steps=10, pixels=100, cost=3.0)]
    speeds = Speeds(pixel=0.001, steps={0: 0.5}, starts={0: 5.0, 1: 3.0}, checks={0: 1.0})
    plan = TimePlan(works, deadline=time_plan.WRITING + 5 + 3 + 15, speeds=speeds)
    # 4 × (10 × 0.5 + 1) s, and 2 × 10 steps of 100 pixels at three times 0.001 s.
    assert plan.training() == pytest.approx(24 + 6)
    assert plan.share() == pytest.approx(0.5)
    plan.stepping = True
    now[0] = 5.0
    assert plan.share() == pytest.approx(0.5), "the start was planned for"
    plan.advance()
    assert (plan.position, plan.trained) == (pytest.approx(2.0), 1)
    assert TimePlan(works, speeds=speeds).share() == 1
    assert TimePlan(works, deadline=1e6, speeds=speeds).share() == 1, "never more than the recipe"
    assert TimePlan(works, deadline=100.0).share() == 1, "nothing is timed yet"


@pytest.mark.parametrize("seconds_a_step", [lambda step: 1.0, lambda step: 1.0 + (step > 40)])
@pytest.mark.parametrize("part", [0.25, 0.5, 0.8])
def test_the_cycle_comes_to_its_end_when_the_time_does(
    now: list[float], part: float, seconds_a_step
) -> None:
    """On a steady machine, and on one that takes twice as long from some moment on."""
    plan = TimePlan([StageWork(epochs=20, steps=10)], deadline=200 * part + time_plan.WRITING)
    plan.speeds.starts[0] = 0.0
    plan.stepping = True
    rates = []
    while not plan.stage_is_done:
        rates.append(one_cycle(plan.position, 200, 1.0, recipe().one_cycle)[0])
        took = seconds_a_step(plan.trained)
        now[0] += took
        plan.speeds.steps[0] = took
        plan.advance()
    assert now[0] == pytest.approx(200 * part, abs=3)
    plan.progress()
    (row,) = plan.rows
    assert row["trained"] == pytest.approx(plan.trained / 10)
    assert row["planned"] == pytest.approx(20 * part, rel=0.05), "as it seemed at the first step"
    assert rates[-1] < 0.01 < 0.9 < max(rates)


def test_without_time_a_stage_still_has_a_few_steps(now: list[float]) -> None:
    plan = TimePlan([StageWork(epochs=20, steps=10)], deadline=-100.0, speeds=Speeds(steps={0: 1}))
    plan.stepping = True
    while not plan.stage_is_done:
        plan.advance()
    assert plan.trained == time_plan.FEWEST


def test_a_plan_that_goes_on_does_no_more_than_it_had_planned(now: list[float]) -> None:
    works = [StageWork(epochs=10, steps=10)]
    first = TimePlan(works, deadline=time_plan.WRITING + 50, speeds=Speeds(steps={0: 1.0}))
    first.stepping = True
    for _ in range(10):
        now[0] += 1
        first.advance()
    for deadline in (None, 1e6):
        again = TimePlan(works, deadline=deadline, speeds=Speeds(steps={0: 1.0}))
        again.resume(0, 1, first.progress())
        assert (again.position, again.trained) == (first.position, 10)
        assert again.share() == pytest.approx(0.5, abs=0.01)
    older = TimePlan(works)
    older.resume(0, 3, {})
    assert (older.position, older.share()) == (30, 1)


# --- In real trainings


def steps_last(seconds: float, now: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step of any training takes so long by the clock, and no time is reserved for files."""
    monkeypatch.setattr(time_plan, "WRITING", 0.0)
    monkeypatch.setattr(time_plan, "ENDING", 0.0)
    ended = TimeKeeper.on_train_batch_end

    def timed(self: TimeKeeper, batch: int, logs: object = None) -> None:
        now[0] += seconds
        ended(self, batch, logs)

    monkeypatch.setattr(TimeKeeper, "on_train_batch_end", timed)


def test_epochs_are_scaled_to_the_time(
    tmp_path: Path, images: FoldDataset, now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps_last(1.0, now, monkeypatch)
    stages = [stage(epochs=20), stage(epochs=10)]  # 90 steps
    training = make_training(recipe(stages=stages), images, tmp_path, deadline=60.0)
    training.run()
    assert now[0] == pytest.approx(60, abs=4)
    history = training.folder.read_history()
    assert history["stage"].max() == 1, "both stages have their part"
    assert history.groupby("stage")["learning_rate"].last().max() < 0.0001, "at the low end"
    first, second = training.plan.rows
    assert (first["epochs"], second["epochs"]) == (20, 10)
    for row in (first, second):
        assert row["trained"] / row["epochs"] == pytest.approx(60 / 90, abs=0.1)
        assert row["planned"] / row["epochs"] == pytest.approx(60 / 90, abs=0.1)


def test_a_budget_that_lasts_changes_nothing(tmp_path: Path, images: FoldDataset) -> None:
    calm = [{**stage(epochs=3), "calm_epochs": 1}]
    plain = make_training(recipe(stages=calm), images, tmp_path / "plain")
    plain.run()
    limited = make_training(
        recipe(stages=calm), images, tmp_path / "limited", deadline=time.monotonic() + 3600
    )
    limited.run()
    assert not plain.plan.rows
    assert limited.plan.rows == [{"stage": 1, "epochs": 3, "planned": 3.0, "trained": 3.0}]
    assert limited.plan.speeds.pixel > 0, "it has measured the validation"
    for one, other in zip(
        weights(plain.network.model), weights(limited.network.model), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_calm_epochs_come_at_the_same_part_of_a_shorter_stage(now: list[float]) -> None:
    plan = TimePlan([StageWork(epochs=8, steps=10)], deadline=time_plan.WRITING + 40)
    plan.speeds.steps[0] = 1.0
    plan.stepping = True
    is_calm = calm_epochs(Stage(epochs=8, calm_epochs=4, learning_rate=0.1), plan)
    taken = []
    for epoch in range(4):  # half of the time: four epochs in place of eight
        taken.append(is_calm(epoch))
        for _ in range(10):
            now[0] += 1
            plan.advance()
    assert taken == [False, False, True, True]


def test_time_that_is_over_still_leaves_weights(tmp_path: Path, images: FoldDataset) -> None:
    many = recipe(stages=[stage("head", epochs=1000), stage("all", epochs=1000)])
    training = make_training(many, images, tmp_path, deadline=time.monotonic() + 1)
    began = time.monotonic()
    training.run()
    assert time.monotonic() - began < 60
    history = training.folder.read_history()
    assert 1 <= len(history) <= 2 and history["stage"].max() == 0, "no further stage is begun"
    assert np.isfinite(training.network.model.predict(raw_validation(images), verbose=0)).all()
    assert ResumeState.read(training.folder).out_of_time


def test_a_killed_training_goes_on_with_its_plan(
    tmp_path: Path, images: FoldDataset, now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps_last(1.0, now, monkeypatch)
    many = recipe(stages=[stage(epochs=20)])

    def made() -> Trainer:
        return make_training(many, images, tmp_path)

    killed = made()
    killed.plan.deadline = 36.0  # of 60 seconds
    stopped_after(killed, 4, monkeypatch)
    kept = ResumeState.read(killed.folder).plan
    assert kept["share"] == pytest.approx(0.6, abs=0.1)
    assert kept["trained"] == 12 < kept["position"]
    again = made()
    again.run()  # with all the time that it wants
    (row,) = again.plan.rows
    expected = 4 + kept["share"] * (20 - kept["position"] / 3)
    assert row["trained"] == pytest.approx(expected, abs=1)


def test_a_short_time_leaves_fewer_views_of_cached_features(
    tmp_path: Path, images: FoldDataset, capsys: pytest.CaptureFixture[str]
) -> None:
    many = recipe(stages=[stage("head", epochs=1)], cached_views=8, batch_size=2)
    training = make_training(many, images, tmp_path, deadline=time.monotonic() + 1)
    training.run()
    assert "the time budget leaves room for 1 of 8 views" in capsys.readouterr().out
    assert len(training.folder.read_history()) == 1


def test_no_stage_begins_once_the_time_is_over(tmp_path: Path, images: FoldDataset) -> None:
    two = recipe(stages=[stage("all", epochs=1), stage("all", epochs=1)])
    training = make_training(two, images, tmp_path)
    state = ResumeState()
    state.history.append({"stage": 0, "epoch": 0, "val_loss": 1.0, "seconds": 1.0})
    state.stage_finished = True
    training.folder.write_weights(training.network.model, stage=0)
    state.write(training.folder, training.network.model, None)
    again = make_training(two, images, tmp_path, deadline=time.monotonic())
    again.run()
    kept = ResumeState.read(again.folder)
    assert kept.out_of_time and kept.stage == 0 and len(kept.history) == 1
