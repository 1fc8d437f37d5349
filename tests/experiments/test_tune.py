"""A search: its trials are runs, counted over all processes, and none is lost or trained twice."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from podium.experiments.compare import compare
from podium.experiments.grid import get_combination
from podium.experiments.studies import ask, completed, open_study
from podium.experiments.tune import STUDIES, TuneResult, recipe_lines, tune
from podium.predictions.score import Score
from podium.runs.run_folder import RunFolder
from small_competitions import RECIPE, make_project, write_entry

COMMAND = "import sys; from podium.cli import main; sys.argv = ['podium', *sys.argv[1:]]; main()"
PATIENCE = 400.0  # seconds that a search may take on a busy machine
SEARCH = ["head.dropout=0:0.6", "stages.0.learning_rate=1e-4:1e-2:log"]


class Searched:
    """A project whose entry was scored by a comparison, and then tuned with three trials."""

    def __init__(self, project: Path) -> None:
        self.project = project
        make_project(project, "sample")
        compare("tiny", [], folds=[0])
        self.of_the_comparison = self.weights("tiny").stat().st_mtime_ns
        self.tuned = tune("tiny", 3, searches=SEARCH)

    @property
    def url(self) -> str:
        return f"sqlite:///{self.project / 'weights' / STUDIES}"

    def trials(self) -> list[optuna.trial.FrozenTrial]:
        (study,) = optuna.get_all_study_summaries(self.url)
        return optuna.load_study(study_name=study.study_name, storage=self.url).trials

    def weights(self, run: str) -> Path:
        return RunFolder(self.project / "weights" / run).fold(0).weights


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Searched:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("PODIUM_INPUT", "PODIUM_PRETRAINED", "PODIUM_DEBUG"):
            patch.delenv(name, raising=False)
        project = tmp_path_factory.mktemp("project")
        patch.chdir(project)
        return Searched(project)


def test_a_search_is_so_many_trials_the_first_of_which_is_the_entry(searched: Searched) -> None:
    trials = searched.trials()
    assert [trial.state.name for trial in trials[:3]] == ["COMPLETE"] * 3
    first, *others = trials[:3]
    assert first.user_attrs["run"] == "tiny", "trained by the comparison, and not again"
    assert searched.weights("tiny").stat().st_mtime_ns == searched.of_the_comparison
    for trial in others:
        run = RunFolder(searched.project / "weights" / trial.user_attrs["run"])
        recipe = run.read_recipe()
        assert recipe.head.dropout == pytest.approx(trial.params["head.dropout"], rel=5e-3)
        rate = trial.params["stages.0.learning_rate"]
        assert recipe.stages[0].learning_rate == pytest.approx(rate, rel=5e-3)
        assert trial.value == pytest.approx(trial.user_attrs["score"]["value"])
        assert run.finished_folds() == []


def test_the_best_is_that_of_the_highest_accuracy(searched: Searched) -> None:
    best = max(trial.value for trial in searched.trials()[:3])
    assert searched.tuned.score.value == best and searched.tuned.trials == 3


def test_weights_are_kept_of_the_best_and_of_what_is_no_trial_alone(searched: Searched) -> None:
    runs = {trial.user_attrs["run"] for trial in searched.trials()[:3]}
    kept = {run for run in runs if searched.weights(run).is_file()}
    best = searched.tuned.best.overrides
    of_best = next(
        trial.user_attrs["run"]
        for trial in searched.trials()
        if trial.user_attrs["overrides"] == list(best)
    )
    assert kept == {"tiny", of_best}
    for run in runs:
        assert (searched.weights(run).parent / "validation.csv").is_file()


def test_two_processes_go_on_with_a_study(
    searched: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.stat().st_mtime_ns for path in searched.project.rglob("history.csv")}
    searches = [word for one in SEARCH for word in ("--search", one)]
    with (searched.project / "log.txt").open("wb") as log:
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", COMMAND, "tune", "tiny", "--trials", "5", *searches],
                cwd=searched.project, stdout=log, stderr=log,
            )
            for _ in range(2)
        ]  # fmt: skip
    for process in processes:
        assert process.wait(PATIENCE) == 0, (searched.project / "log.txt").read_text()
    trials = searched.trials()
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 5, "as many as asked for"
    params = [tuple(trial.params.values()) for trial in trials]
    assert len(set(params)) == 5, "the same seed, and other values"
    assert {path: path.stat().st_mtime_ns for path in before} == before
    monkeypatch.chdir(searched.project)
    assert tune("tiny", 5, searches=SEARCH).trials == 5, "nothing is left to do"
    assert len(searched.trials()) == 5


def test_no_trial_begins_that_would_not_end_in_time(
    searched: Searched, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(searched.project)
    count = len(searched.trials())
    tune("tiny", 50, hours=0.0001, searches=SEARCH)
    assert len(searched.trials()) == count
    assert "the longest trial took" in capsys.readouterr().out


# --- Without training


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "weights").mkdir()
    write_entry(tmp_path, "tiny", RECIPE.format(competition="sample"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def new_study(project: Path, first: dict[str, float] | None = None) -> optuna.Study:
    return open_study(f"sqlite:///{project / 'weights' / 'a.db'}", "a", True, first)


def test_a_killed_trial_is_tried_again_with_its_values(project: Path) -> None:
    study = new_study(project)
    killed = ask(study, trials=3)
    assert killed is not None
    value = killed.suggest_float("x", 0, 1)
    killed.set_user_attr("made", True)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    machine = killed.user_attrs["process"][0]
    killed.set_user_attr("process", [machine, ended.pid])

    again = ask(new_study(project), trials=3)
    assert again is not None and again.number == 1
    assert again.suggest_float("x", 0, 1) == value
    assert again.user_attrs["made"] is True
    states = [trial.state.name for trial in study.get_trials()]
    assert states == ["FAIL", "RUNNING"], "and is not counted twice"


def test_a_trial_of_another_process_or_machine_is_left_alone(project: Path) -> None:
    study = new_study(project)
    for process in (["another:/weights", 1], None):
        trial = ask(study, trials=9)
        assert trial is not None
        other = [trial.user_attrs["process"][0], os.getppid()]
        trial.set_user_attr("process", process or other)
    assert ask(study, trials=2) is None, "both are under way"
    third = ask(study, trials=3)
    assert third is not None and third.number == 2


def test_values_differ_from_trial_to_trial_and_are_the_same_again(project: Path) -> None:
    def search(name: str) -> list[float]:
        values = []
        for number in range(4):
            # Opened anew each time, as after a restart.
            study = open_study(f"sqlite:///{project / 'weights' / name}", "a", True, None)
            trial = ask(study, trials=9)
            assert trial is not None
            values.append(trial.suggest_float("x", 0, 1))
            study.tell(trial, values[-1])
            assert len(completed(study)) == number + 1
        return values

    first = search("one.db")
    assert len(set(first)) == 4 and search("two.db") == first


@pytest.mark.parametrize("url", ["weights/a.db", "nosuch://here", "sqlite:////dev/null/a.db"])
def test_a_storage_that_cannot_be_opened_is_said(project: Path, url: str) -> None:
    with pytest.raises((ValueError, OSError)) as error:
        open_study(url, "a", True, None)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("searches", "overrides", "message"),
    [
        (["head.droput=0:1"], [], "did you mean head.dropout"),
        (["head.dropout=0:1"], [], "head.dropout: came 1.0, should be less than 1"),
        (["head.dropout=0:0.5"], ["head.dropout=0.1"], "with --search and with --set"),
    ],
)
def test_a_range_that_the_recipe_refuses_is_said_at_once(
    project: Path, searches: list[str], overrides: list[str], message: str
) -> None:
    make_project(project / "other", "sample")
    (project / "other" / "input").rename(project / "input")
    with pytest.raises(ValueError, match=message):
        tune("tiny", 2, searches=searches, overrides=overrides)
    assert not (project / "weights" / STUDIES).exists()


def test_the_best_is_written_as_the_recipe_has_it(project: Path) -> None:
    words = ["stages.0.learning_rate=0.002", "head.dropout=0.5", "weight_decay=0.01"]
    combination = get_combination("tiny", [*words, "optimizer=adamw"])
    assert recipe_lines(combination) == [
        'optimizer = "adamw"',
        'stages = [{ unfreeze = "all", epochs = 1, learning_rate = 0.002 }]',
        "weight_decay = 0.01",
        "",
        "[head]",
        "dropout = 0.5",
    ]


def test_the_end_says_what_to_do_with_the_best(project: Path) -> None:
    base, best = get_combination("tiny", []), get_combination("tiny", ["head.dropout=0.5"])
    score = Score("accuracy", 0.9, 0.8, 0.95, 24)
    text = str(TuneResult(base, [0], 40, best, score, replace(score, value=0.85)))
    assert "best of 40: accuracy 0.9000 (95 % interval 0.8000 to 0.9500" in text
    assert "before      accuracy 0.8500 (" in text
    assert "podium train tiny --set head.dropout=0.5" in text
    assert "podium compare tiny --fold 1 --set head.dropout=0.5\n" in text
    assert text.endswith("podium compare tiny --fold 1")
    all_folds = str(TuneResult(base, [0, 1], 40, best, score, None))
    assert "--fold 0 --fold 1 --set head.dropout=0.5 --set seed=1\n" in all_folds
    assert "nothing is to be changed" in str(TuneResult(base, [0], 40, base, score, score))
