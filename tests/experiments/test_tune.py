"""A search: its trials are runs, counted over all processes, and none is lost or trained twice."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest

from podium.experiments import tune as tuning
from podium.experiments.grid import Combination, get_combination
from podium.experiments.trial import TrialDiverged, TrialFailed, run_of
from podium.experiments.tune import TuneResult, open_study, tune
from podium.predictions.score import Score
from podium.runs.run_folder import RunFolder
from small_competitions import RECIPE, make_project, write_entry

COMMAND = "import sys; from podium.cli import main; sys.argv = ['podium', *sys.argv[1:]]; main()"
PATIENCE = 400.0  # seconds that a search may take on a busy machine
SEARCH = ["head.dropout=0:0.6", "stages.0.learning_rate=1e-4:1e-2:log"]


def trials(project: Path) -> list[optuna.trial.FrozenTrial]:
    url = f"sqlite:///{project / 'weights' / 'studies.db'}"
    (study,) = optuna.get_all_study_summaries(url)
    return optuna.load_study(study_name=study.study_name, storage=url).trials


# --- With training


class Searched:
    """A project whose entry was tuned with two trials."""

    def __init__(self, project: Path) -> None:
        self.project = project
        make_project(project, "sample")
        self.tuned = tune("tiny", 2, searches=SEARCH)

    def run(self, trial: optuna.trial.FrozenTrial) -> RunFolder:
        return RunFolder(self.project / "weights" / trial.user_attrs["run"])


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Searched:
    with pytest.MonkeyPatch.context() as patch:
        project = tmp_path_factory.mktemp("project")
        patch.chdir(project)
        return Searched(project)


@pytest.mark.slow
def test_trials_are_runs_to_their_score_the_first_with_the_recipe_as_it_is(
    searched: Searched,
) -> None:
    first, second = trials(searched.project)
    assert first.user_attrs["run"] == "tiny"
    recipe = searched.run(second).read_recipe()
    assert recipe.head.dropout == pytest.approx(second.params["head.dropout"], rel=5e-3)
    rate = second.params["stages.0.learning_rate"]
    assert recipe.stages[0].learning_rate == pytest.approx(rate, rel=5e-3)
    for trial in (first, second):
        assert trial.value == trial.user_attrs["score"]["value"]
        assert searched.run(trial).scored_folds() == [0]
        assert searched.run(trial).finished_folds() == []
    best = max(first.value, second.value)
    assert searched.tuned.score.value == best and searched.tuned.trials == 2


@pytest.mark.slow
def test_two_processes_go_on_with_a_study(searched: Searched) -> None:
    before = {path: path.stat().st_mtime_ns for path in searched.project.rglob("history.csv")}
    searches = [word for one in SEARCH for word in ("--search", one)]
    with (searched.project / "log.txt").open("wb") as log:
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", COMMAND, "tune", "tiny", "--trials", "4", *searches],
                cwd=searched.project, stdout=log, stderr=log,
            )
            for _ in range(2)
        ]  # fmt: skip
    for process in processes:
        assert process.wait(PATIENCE) == 0, (searched.project / "log.txt").read_text()
    ended = trials(searched.project)
    assert {trial.state.name for trial in ended} == {"COMPLETE"}
    assert len(ended) in (4, 5), "as many as asked for, and what was under way beside the last"
    assert len({tuple(trial.params.values()) for trial in ended}) == len(ended)
    assert {path: path.stat().st_mtime_ns for path in before} == before


# --- Without


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose data no trial reads."""
    write_entry(tmp_path, "tiny", RECIPE.format(competition="sample"))
    monkeypatch.setattr("podium.competitions.sample.Sample.folder", lambda self: tmp_path)
    monkeypatch.setattr(tuning, "STALE_AFTER", 2)
    monkeypatch.setattr(tuning, "HEARTBEAT", 1)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def trained(project: Path, monkeypatch: pytest.MonkeyPatch) -> list[Combination]:
    """The combinations that trials were asked to train, none of which is."""
    asked: list[Combination] = []

    def run_trial(combination: Combination, folds: list[int], earlier: object) -> object:
        asked.append(combination)
        weights = run_of(combination).fold(0).weights
        weights.parent.mkdir(parents=True)
        weights.touch()
        score = Score("accuracy", 1 - combination.recipe.head.dropout, 0.0, 1.0, 24)
        return SimpleNamespace(combined=SimpleNamespace(score=score))

    monkeypatch.setattr(tuning, "run_trial", run_trial)
    return asked


def failing(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_trial(combination: Combination, folds: list[int], earlier: object) -> object:
        raise error

    monkeypatch.setattr(tuning, "run_trial", run_trial)


def states(project: Path) -> list[str]:
    return [trial.state.name for trial in trials(project)]


def test_a_second_call_goes_on_up_to_its_number_of_trials(
    project: Path, trained: list[Combination]
) -> None:
    assert tune("tiny", 2, searches=SEARCH).trials == 2
    assert tune("tiny", 3, searches=SEARCH).trials == 3
    assert len({combination.overrides for combination in trained}) == 3
    assert tune("tiny", 3, searches=SEARCH).trials == 3
    assert len(trained) == 3


def test_only_the_best_keeps_its_weights(project: Path, trained: list[Combination]) -> None:
    best = tune("tiny", 3, searches=SEARCH).best
    assert best.recipe.head.dropout == min(one.recipe.head.dropout for one in trained)
    kept = [one for one in trained if run_of(one).fold(0).weights.is_file()]
    assert len(trained) == 3 and kept == [best]


def test_an_interrupted_trial_is_tried_again_with_its_values(
    project: Path, trained: list[Combination]
) -> None:
    tune("tiny", 1, searches=SEARCH)
    with pytest.MonkeyPatch.context() as patch:
        failing(KeyboardInterrupt(), patch)
        with pytest.raises(KeyboardInterrupt):
            tune("tiny", 2, searches=SEARCH)
    tune("tiny", 2, searches=SEARCH)
    _, interrupted, again = trials(project)
    assert states(project) == ["COMPLETE", "FAIL", "COMPLETE"]
    assert again.params == interrupted.params


def test_a_killed_trial_is_tried_again_with_its_values(
    project: Path, trained: list[Combination]
) -> None:
    study = open_study(f"sqlite:///{project / 'weights' / 'a.db'}", "a", True)
    with pytest.warns(UserWarning, match="Heartbeat"):
        killed = study.ask()  # and it was to be killed
    value = killed.suggest_float("x", 0, 1)
    study._storage.record_heartbeat(killed._trial_id)
    time.sleep(tuning.STALE_AFTER + 1)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    assert [trial.state.name for trial in study.trials] == ["FAIL", "COMPLETE"]
    assert study.trials[1].params == {"x": value}


def test_a_diverged_trial_counts_and_stops_no_other(
    project: Path, trained: list[Combination], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        failing(TrialDiverged("the loss became nan"), patch)
        with pytest.raises(ValueError, match="no trial has a score"):
            tune("tiny", 1, searches=SEARCH)
    assert tune("tiny", 2, searches=SEARCH).trials == 1
    assert states(project) == ["PRUNED", "COMPLETE"]


def test_another_failure_ends_the_search(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(TrialFailed("the disk is full"), monkeypatch)
    with pytest.raises(TrialFailed, match="the disk is full"):
        tune("tiny", 2, searches=SEARCH)
    assert states(project) == ["FAIL"]


def test_no_trial_begins_after_the_hours(project: Path, trained: list[Combination]) -> None:
    tune("tiny", 1, searches=SEARCH)
    assert tune("tiny", 9, hours=0.0, searches=SEARCH).trials == 1
    assert len(trained) == 1


@pytest.mark.parametrize("url", ["weights/a.db", "nosuch://here", "sqlite:////dev/null/a.db"])
def test_a_storage_that_cannot_be_opened_is_named(project: Path, url: str) -> None:
    with pytest.raises((ValueError, OSError)) as error:
        open_study(url, "a", True)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ("head.droput=0:1", "did you mean head.dropout"),
        ("head.dropout=0:1", "head.dropout: came 1.0, should be less than 1"),
        ("stages.0.epochs=1.5:3", "epochs: came 1.5"),
        ("optimizer=1:2", "optimizer: came 1"),
    ],
)
def test_a_range_that_the_recipe_refuses_is_named_at_once(
    project: Path, search: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        tune("tiny", 2, searches=[search])
    assert not (project / "weights").exists()


def test_a_key_on_another_scale_is_told_before_a_trial(
    project: Path, trained: list[Combination]
) -> None:
    tune("tiny", 1, searches=["head.dropout=0.1:0.2"])
    with pytest.raises(ValueError, match="different log configuration to the same parameter"):
        tune("tiny", 2, searches=["head.dropout=0.1:0.2:log"])
    assert len(trained) == 1


def test_the_end_says_what_to_do_with_the_best(project: Path) -> None:
    base, best = get_combination("tiny", []), get_combination("tiny", ["head.dropout=0.5"])
    score = Score("accuracy", 0.9, 0.8, 0.95, 24)
    text = str(TuneResult(base, [0], 40, best, score, replace(score, value=0.85)))
    assert "best of 40: accuracy 0.9000 (95 % interval 0.8000 to 0.9500" in text
    assert "before      accuracy 0.8500 (" in text
    assert (
        "change      head.dropout=0.5\ntrain       podium train tiny --set head.dropout=0.5" in text
    )
    assert "podium compare tiny --fold 1 --set head.dropout=0.5\n" in text
    assert text.endswith("podium compare tiny --fold 1")
    assert "change nothing" in str(TuneResult(base, [0], 40, base, score, score))
