"""A comparison trains each combination once, whatever happens, and records what it measured."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from podium.experiments.compare import Comparison, compare, pareto_front, record, trade_off
from podium.experiments.grid import Combination, get_combination
from podium.experiments.trial import TrialResult, measure, run_of
from podium.predictions.result import FoldScores
from podium.predictions.score import Score
from podium.recipes.recipe_file import parse_recipe
from podium.runs.run_folder import RunFolder
from small_competitions import make_project
from small_runs import Command, write_run

COMMAND = "import sys; from podium.cli import main; sys.argv = ['podium', *sys.argv[1:]]; main()"
PATIENCE = 240.0  # seconds until something that a test waits for must have happened
GRID = ["head.width=8,4", "stages.0.learning_rate=0.001,1e-3"]


class Compared:
    """A project whose grid of four, two of which are repetitions, was compared."""

    def __init__(self, project: Path) -> None:
        self.project = project
        make_project(project, "sample")
        self.comparison = compare("tiny", GRID, folds=[0])

    def run(self, name: str) -> RunFolder:
        return RunFolder(self.project / "weights" / name)

    def times(self) -> dict[str, int]:
        """When each file of the runs was last written."""
        weights = self.project / "weights"
        found = (path for path in weights.rglob("*") if ".locks" not in path.parts)
        return {str(path): path.stat().st_mtime_ns for path in found}

    def rows(self) -> pd.DataFrame:
        return rows(self.project)


def rows(project: Path) -> pd.DataFrame:
    return pd.read_csv(project / "weights" / "experiments.csv").set_index("change")


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Compared:
    with pytest.MonkeyPatch.context() as patch:
        project = tmp_path_factory.mktemp("project")
        patch.chdir(project)
        return Compared(project)


@pytest.fixture
def project(compared: Compared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that project, to change."""
    copy = tmp_path / "project"
    shutil.copytree(compared.project, copy)
    monkeypatch.chdir(copy)
    return copy


# --- What it does


def test_each_recipe_was_trained_once_and_no_test_image_predicted(compared: Compared) -> None:
    changes = {one.combination.change for one in compared.comparison.measured}
    assert changes == {"as it is", "head.width=4"} and not compared.comparison.failed
    names = sorted(path.parent.name for path in (compared.project / "weights").glob("*/run.json"))
    assert names == ["tiny", "tiny-head.width-4"]
    for name in names:
        run = compared.run(name)
        assert run.scored_folds() == [0] and run.finished_folds() == []
        fold = {path.name for path in run.fold(0).path.iterdir()}
        assert {"best.weights.h5", "validation.csv", "cost.json"} <= fold
        assert not {"test.csv", "state.npz"} & fold
    assert compared.run("tiny-head.width-4").read_recipe().head.width == 4


def test_the_second_run_took_the_table_of_the_first(compared: Compared) -> None:
    first, second = (
        compared.run(name).path / "pictures.csv" for name in ("tiny", "tiny-head.width-4")
    )
    assert first.read_bytes() == second.read_bytes()


def test_a_result_is_a_row_of_the_record(compared: Compared) -> None:
    rows = compared.rows()
    assert set(rows.index) == {"as it is", "head.width=4"}
    for one in compared.comparison.measured:
        row = rows.loc[one.combination.change]
        score = one.combined.score
        measured = [score.value, score.low, score.high]
        assert row[["score", "low", "high"]].tolist() == pytest.approx(measured, abs=1e-4)
        assert (row["images"], row["folds"], row["entry"]) == (24, 0, "tiny")
        cost = one.run.fold(0).read_cost()
        assert row["seconds"] == cost["seconds"] == one.seconds
        assert row["peak_memory_gb"] == cost["peak_memory_gb"]


def test_the_figure_is_named_after_the_question(compared: Compared) -> None:
    figure = compared.comparison.figure
    assert figure is not None
    name = "tiny--head.width-stages.0.learning_rate.png"
    assert figure == compared.project / "weights" / "experiments" / name
    assert Image.open(figure).size[0] > 500


def test_the_table_is_best_first_and_marks_the_trade_offs(compared: Compared) -> None:
    lines = str(compared.comparison).splitlines()
    values = [one.combined.score.value for one in compared.comparison.measured]
    assert values == sorted(values, reverse=True)
    assert lines[0].split()[:4] == ["tried", "score", "low", "high"]
    assert lines[1].startswith("*"), "nothing beats the first one"
    assert any(line.startswith("record ") for line in lines)


# --- Again


def by_change(comparison: Comparison) -> dict[str, FoldScores]:
    return {one.combination.change: one.combined for one in comparison.measured}


def test_a_second_call_trains_nothing(
    compared: Compared, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(compared.project)
    before, rows = compared.times(), compared.rows()
    # In another order, and spelled in another way; the record and the figure are written anew.
    again = compare("tiny", ["head.width=4,8", "head.dropout=0.250"], folds=[0, 0])
    after = compared.times()
    assert {path for path in before if before[path] != after[path]} <= {
        str(compared.project / "weights"),
        str(compared.project / "weights" / "experiments"),
        str(compared.project / "weights" / "experiments.csv"),
    }
    assert by_change(again) == by_change(compared.comparison)
    assert "2 are here already" in capsys.readouterr().out
    pd.testing.assert_frame_equal(compared.rows(), rows)


def test_a_changed_entry_has_runs_of_its_own(project: Path) -> None:
    """What was trained with the recipe of before is neither taken for it nor replaced."""
    recipe = project / "kernels" / "tiny" / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("views = 2", "views = 3"))
    combination = get_combination("tiny", ["head.width=4"])
    assert run_of(combination).name.startswith("tiny-head.width-4-")
    assert not run_of(combination).exists
    recipe.write_text(recipe.read_text().replace("views = 3", "views = 2"))
    assert run_of(get_combination("tiny", ["head.width=4"])).name == "tiny-head.width-4"


def start(project: Path, *arguments: str) -> subprocess.Popen[bytes]:
    with (project / "log.txt").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-u", "-c", COMMAND, *arguments],
            cwd=project, stdout=log, stderr=log, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
        )  # fmt: skip


@pytest.mark.slow
def test_a_killed_comparison_goes_on_where_it_was(project: Path) -> None:
    words = ["--try", "stages.0.epochs=1,60", "--fold", "0"]
    process = start(project, "compare", "tiny", *words)
    run = RunFolder(project / "weights" / "tiny-stages.0.epochs-60")
    history = run.fold(0).path / "history.csv"
    until = time.monotonic() + PATIENCE
    while not (history.is_file() and len(run.fold(0).read_history()) >= 3):
        assert process.poll() is None and time.monotonic() < until, log(project)
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    wait_for_end_of_writing(history)
    reached = len(run.fold(0).read_history())
    assert reached < 60 and not run.fold(0).scored, "it ended with the process that was killed"

    again = start(project, "compare", "tiny", *words)
    assert again.wait(PATIENCE) == 0, log(project)
    said = log(project)
    # The state is written after the history, and it may have been killed between them.
    assert any(f"going on after {n} finished epochs" in said for n in (reached, reached - 1))
    assert run.fold(0).read_history()["epoch"].tolist() == list(range(60))
    seconds = run.fold(0).read_history()["seconds"]
    assert rows(project).loc["stages.0.epochs=60", "seconds"] >= seconds.sum() - 1, "of both starts"


def wait_for_end_of_writing(path: Path) -> None:
    """Until the file stays as it is: the process that wrote it has ended."""
    until = time.monotonic() + PATIENCE
    last, since = -1, time.monotonic()
    while time.monotonic() - since < 2:
        assert time.monotonic() < until, "it is still being written"
        if path.stat().st_mtime_ns != last:
            last, since = path.stat().st_mtime_ns, time.monotonic()
        time.sleep(0.05)


def log(project: Path) -> str:
    return (project / "log.txt").read_text()


# --- What goes wrong


def test_a_failed_combination_is_named_and_stops_no_other(project: Path, command: Command) -> None:
    with h5py.File(project / "other.h5", "w") as weights:  # of another network
        weights["kernel"] = np.zeros(3, np.float32)
    words = ["--try", "weights=other.h5,none", "--fold", "0"]
    code, output, _ = command("compare", "tiny", *words)
    assert code == 1, output
    (line,) = [line for line in output.splitlines() if line.startswith("failed      ")]
    assert line.startswith("failed      weights=other.h5: ") and len(line) > 40
    assert "accuracy" in output.split("2 of 2: weights=none")[1]
    assert "weights=other.h5" not in rows(project).index


def test_a_mistake_is_said_before_anything_is_trained(project: Path) -> None:
    before = sorted((project / "weights").iterdir())
    for tries, folds, message in (
        (["head.width=16,-1"], [0], "head.width: came -1"),
        (["head.widht=16"], [0], "did you mean head.width"),
        (["head.width=16"], [2], "fold 2: this recipe has the folds 0 to 1"),
        (["competition=cars"], [0], "podium download cars"),
    ):
        with pytest.raises(ValueError, match=message):
            compare("tiny", tries, folds)
    assert sorted((project / "weights").iterdir()) == before


# --- Parts


def test_the_table_says_what_was_tried_changed_or_not(compared: Compared) -> None:
    lines = str(compared.comparison).splitlines()
    said = {line[3:].split("  ")[0] for line in lines[1:3]}
    rate = "stages.0.learning_rate=0.001"
    assert said == {f"head.width=4, {rate}", f"head.width=8, {rate}"}


def test_an_entry_is_measured_alone(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alone = compare("tiny", [], [0], ["head.width=4"])
    assert [one.combination.change for one in alone.measured] == ["head.width=4"]
    assert alone.figure is None and "all with    head.width=4" in capsys.readouterr().out


# --- Without training


def result(
    name: str, value: float, seconds: int, competition: str = "cars", metric: str = "accuracy"
) -> TrialResult:
    recipe = parse_recipe({"competition": competition, "backbone": "vgg16"}, "here")
    score = Score(metric, value, value - 0.02, value + 0.01, 100)
    combined = SimpleNamespace(score=score, plain=score, averaged=score, folds=[0], boxes=None)
    return TrialResult(Combination(name, (name,), recipe), None, combined, seconds, 1.0)


RESULTS = [
    result("fast", 0.80, 10),
    result("slower and worse", 0.79, 20),
    result("good", 0.90, 60),
    result("as good and slower", 0.90, 61),
    result("as fast and worse", 0.85, 60),
    result("slow", 0.91, 600),
]


def front(results: list[TrialResult]) -> list[str]:
    marks = pareto_front(results)
    return [one.combination.entry for one, mark in zip(results, marks, strict=True) if mark]


def test_nothing_on_the_front_is_beaten_in_score_and_time() -> None:
    assert front(RESULTS) == ["fast", "good", "slow"]
    twins = [result("one", 0.9, 10), result("other", 0.9, 10)]
    assert front(twins) == ["one", "other"]


def test_the_lower_log_loss_is_the_better_one() -> None:
    losses = [
        result(name, loss, 10, "dogs-vs-cats", "log loss")
        for name, loss in (("worse", 0.3), ("better", 0.2))
    ]
    assert front(losses) == ["better"]
    (axis,) = trade_off(losses, "dogs").axes
    assert axis.yaxis_inverted() and axis.get_ylabel() == "log loss"


def test_the_figure_names_the_front_and_no_other() -> None:
    figure = trade_off(RESULTS, "cars, fold 0")
    (axis,) = figure.axes
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.texts] == ["fast", "good", "slow"]
    drawn = [(bar[0].get_xdata()[0], bar[0].get_ydata()[0]) for bar in axis.containers]
    assert sorted(drawn) == sorted((one.seconds, one.combined.score.value) for one in RESULTS)
    (interval,) = axis.containers[-1][2]
    assert interval.get_segments()[0][:, 1].tolist() == pytest.approx([0.89, 0.92])


def trained(change: str, seed: int = 0, seconds: int = 60) -> TrialResult:
    """A made-up run of clocks-or-crocs in weights/."""
    run = write_run(Path("weights") / f"clocks-{change}-{seed}", seed=seed)
    run.write_run({**run.read_run(), "started": "2026-11-21T08:00"})
    for fold in (0, 1):
        run.fold(fold).write_cost({"seconds": seconds, "peak_memory_gb": 1.0})
    return measure(Combination("clocks", (change,), run.read_recipe()), run, [0])


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "kernels").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_trial_that_is_measured_again_has_one_row(empty: Path) -> None:
    for one in (trained("a"), trained("b"), trained("a", seconds=7)):
        record(one)
    assert rows(empty)["seconds"].to_dict() == {"a": 7, "b": 60}


def test_a_spreadsheet_runs_no_cell_of_the_record(empty: Path) -> None:
    for seconds in (60, 7):
        record(trained("=1+1", seconds=seconds))
    assert rows(empty)["seconds"].to_dict() == {"'=1+1": 7}


def write_many(number: int) -> None:
    for change in range(3):
        record(trained(f"limit={number}{change}", seed=number))


@pytest.mark.slow
def test_two_processes_lose_no_row(empty: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=write_many, args=(number,)) for number in (1, 2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert len(rows(empty)) == 6
