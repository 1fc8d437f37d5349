"""Real kernels, run by a clean interpreter offline: what they leave is what a run here leaves."""

import json
import shutil
import sys
import zipfile
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from trained_run import CARS, REF, leave, push, results

from kaggle_stand_in import StandIn
from podium.cli import main
from podium.kaggle.kernels import KernelFailed
from podium.predictions.blend import blend
from podium.runs.run_folder import RunFolder
from small_competitions import RECIPE, break_image, write_entry

REPOSITORY = Path(__file__).parents[2]


def podium(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Run a command of the command line; returns its exit code."""
    monkeypatch.setattr(sys, "argv", ["podium", *words])
    with pytest.raises(SystemExit) as exited:
        main()
    return exited.value.code or 0


def test_a_fold_trained_on_kaggle_is_that_trained_here(
    kaggle: StandIn, trained: Path, tmp_path: Path
) -> None:
    """Built, pushed, run and collected: the same bytes, though no Podium is installed there."""
    outcome = push("tiny", folds=[1])
    assert "1 of 2 folds are trained" in str(outcome)
    for name in ("validation.csv", "test.csv"):
        path = f"weights/tiny/fold-1/{name}"
        assert (tmp_path / path).read_bytes() == (trained / path).read_bytes()


@pytest.mark.slow
def test_a_kernel_for_a_tpu_trains_on_jax_without_what_its_image_lacks(
    kaggle: StandIn, trained: Path, tmp_path: Path
) -> None:
    """There is no TPU here, so that JAX takes the CPU; its packages are hidden that lack there."""
    outcome = push("tiny", folds=[1], on="tpu")
    assert "1 of 2 folds are trained" in str(outcome)
    assert "computing on CPU, by JAX" in kaggle.kernels[f"{REF}-fold-1"].last.log_text
    assert json.loads((tmp_path / "weights/tiny/run.json").read_text())["backend"] == "jax"
    here, there = (
        pd.read_csv(root / "weights/tiny/fold-1/test.csv") for root in (trained, tmp_path)
    )
    assert list(here["id"]) == list(there["id"])


@pytest.mark.slow
def test_a_script_does_on_kaggle_what_it_does_here(
    kaggle: StandIn, trained: Path, tmp_path: Path
) -> None:
    """The same run, though the images lie elsewhere."""
    kaggle.nested_input = True
    push("tiny")
    assert results(tmp_path) == results(trained)
    session = kaggle.kernels[REF].last
    sources = json.loads((tmp_path / "weights/tiny/run.json").read_text())["sources"]
    assert session.log_text.startswith("Podium of commit ")
    assert f"sources {sources}\n" in session.log_text
    fold = {"best.weights.h5", "history.csv", "validation.csv", "test.csv", "cost.json"}
    names = {
        "run.json",
        "pictures.csv",
        "checked.json",
        "out_of_fold.csv",
        "test.csv",
        "score.json",
    }
    names |= {f"fold-{number}/{name}" for number in (0, 1) for name in fold}
    figures = {"confusion", "reliability", "learning-rate"}
    names |= {"report.html", *(f"report/{name}.png" for name in figures)}
    assert set(session.outputs) == {"submission.csv", *(f"weights/tiny/{name}" for name in names)}


@pytest.mark.slow
def test_a_notebook_shows_what_came_of_it(kaggle: StandIn, tmp_path: Path) -> None:
    write_entry(
        tmp_path,
        "book",
        RECIPE.format(competition="cars"),
        competition_sources=[CARS],
        kernel_type="notebook",
    )
    outcome = push("book", folds=[1])
    assert "1 of 2 folds are trained" in str(outcome)
    executed = nbformat.read(kaggle.kernels["someone/podium-book-fold-1"].last.executed, 4)
    shown = [
        kind
        for cell in executed.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        for kind in output.get("data", {})
    ]
    assert shown.count("image/png") == 4  # rates, confusion, reliability, gallery
    assert "text/html" in shown  # the head of the submission


def test_an_error_in_a_step_fails_the_kernel(
    kaggle: StandIn, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile(tmp_path / "cars.zip") as packed:
        packed.extractall(tmp_path / "cars")
    broken = next((tmp_path / "cars").rglob("train/train/0/*.jpg"))
    break_image(broken)
    with zipfile.ZipFile(tmp_path / "cars.zip", "w") as packed:
        for path in sorted((tmp_path / "cars").rglob("*")):
            packed.write(path, path.relative_to(tmp_path / "cars"))
    with pytest.raises(KernelFailed, match=f"{REF} ended as ERROR"):
        push("tiny")
    assert "1 of 45 images cannot be read: " in capsys.readouterr().out
    assert not (tmp_path / "weights").exists()


@pytest.mark.slow
def test_an_ensemble_reads_the_outputs_of_its_kernels(
    kaggle: StandIn, trained: Path, tmp_path: Path
) -> None:
    """Of one run both folds are in one kernel's output, of the other in two kernels'."""
    recipe = RECIPE.format(competition="cars")
    write_entry(tmp_path, "twin", recipe, competition_sources=[CARS])
    kernels = ["podium-tiny", "podium-twin-fold-0", "podium-twin-fold-1"]
    write_entry(
        tmp_path,
        "both",
        'competition = "cars"\nruns = ["tiny", "twin"]\n',
        command="blend",
        kernel_sources=[f"OWNER/{name}" for name in kernels],
    )
    kaggle.run_instead = leave(kaggle, trained)
    push("tiny")
    push("twin", each_fold=True)
    shutil.rmtree(tmp_path / "weights")

    kaggle.run_instead = None
    outcome = push("both")
    assert str(tmp_path / "submissions" / "both.csv") in str(outcome)
    assert "out-of-fold accuracy" in str(outcome)
    # A run and its twin have the same probabilities, and their blend says the same classes.
    submission = (tmp_path / "submissions" / "both.csv").read_bytes()
    assert submission == (trained / "submissions" / "tiny.csv").read_bytes()
    assert (
        submission
        == (kaggle.kernels["someone/podium-both"].last.working / "submission.csv").read_bytes()
    )
    for run in ("tiny", "twin"):
        shutil.copytree(trained / "weights" / "tiny", tmp_path / "weights" / run)
    blend(["tiny", "twin"], to=tmp_path / "here.csv")
    pd.testing.assert_frame_equal(
        *(
            RunFolder(tmp_path / "weights" / run).read_probabilities("test")
            for run in ("both", "here")
        )
    )


@pytest.mark.slow
def test_the_sample_goes_the_whole_way(
    stand_in: StandIn,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Push and wait, collect, submit: as the README has it, with a smaller training."""
    project = data.parent
    shutil.copytree(REPOSITORY / "kernels" / "sample-b0", project / "kernels" / "sample-b0")
    monkeypatch.delenv("PODIUM_INPUT")
    assert podium(monkeypatch, "sample") == 0
    truth = project / "input" / "podium-sample" / "truth.csv"
    stand_in.add_competition("podium-sample", truth, truth)
    small = ["limit=48", "image_size=32", "views=1"]
    small.append('stages=[{unfreeze="all", epochs=1, learning_rate=0.001}]')
    changes = [word for change in small for word in ("--set", change)]
    words = ["sample-b0", *changes, "--poll", "0.5"]
    assert podium(monkeypatch, "push", *words, "--wait") == 0
    (submission,) = (project / "submissions").glob("*.csv")
    run = project / "weights" / submission.stem
    before = {path: path.read_bytes() for path in run.rglob("*.csv")}
    printed = capsys.readouterr().out
    assert f"submission  {submission}\n" in printed
    assert f"report      {run / 'report.html'}\n" in printed

    shutil.rmtree(run)
    assert podium(monkeypatch, "collect", *words) == 0
    assert {path: path.read_bytes() for path in run.rglob("*.csv")} == before

    capsys.readouterr()
    assert podium(monkeypatch, "submit", "sample", str(submission), "-m", "the demo") == 1
    assert "sample has no leaderboard" in capsys.readouterr().err
    assert podium(monkeypatch, "score", str(submission), str(truth)) == 0
    assert "score       accuracy" in capsys.readouterr().out
