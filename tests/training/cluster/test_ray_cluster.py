"""The whole way on a real Ray cluster of two nodes, one of which is killed; without a network."""

import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from whole_way import NOT_STARTED

from kaggle_stand_in.runner import namespaces
from podium.competitions.sample_drawing import draw_sample
from podium.runs.run_folder import RunFolder
from small_competitions import RECIPE, write_entry

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
SANDBOX = HERE.parents[1] / "kaggle_stand_in" / "sandbox.py"
PODIUM = Path(sys.executable).with_name("podium")
FOLDS = range(5)
RECIPE_OF_FIVE = RECIPE.replace("folds = 2", "folds = 5").replace(
    "image_size = 16", "image_size = 32"
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose commands have run here and on the cluster."""
    pytest.importorskip("ray")
    project = tmp_path_factory.mktemp("cluster")
    recipe = RECIPE_OF_FIVE.format(competition="sample").replace("epochs = 1", "epochs = 8")
    write_entry(project, "tiny", recipe)
    draw_sample(project / "input" / "podium-sample", train=120, test=30, size=(48, 36))
    for name in ("kernels", "input"):
        shutil.copytree(project / name, project / "alone" / name)
    options = namespaces()
    sandbox = ["unshare", *options, "--net", sys.executable, "-I", "-S", str(SANDBOX), "off", ""]
    script = [sys.executable, str(HERE / "whole_way.py")]
    command = [*(sandbox if options else []), *script]
    log = project / "whole-way.log"
    with subprocess.Popen(
        command,
        cwd=project,
        stdin=subprocess.PIPE,  # the sandbox ends with it
        stdout=log.open("w"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as whole:
        code = whole.wait()
    if code == NOT_STARTED:
        pytest.skip("Ray did not start within two minutes: the machine is too busy")
    assert code == 0, log.read_text()
    tries = ["--try", "head.width=8,16", "--fold", "0"]
    for words in (["train", "tiny", "--run", "here"], ["compare", "tiny", *tries]):
        subprocess.run([PODIUM, *words], cwd=project / "alone", check=True)
    return project


def printed(project: Path, name: str) -> str:
    return (project / f"{name}.log").read_text()


def results(project: Path, run: str) -> dict[str, bytes]:
    folder = RunFolder(project / "weights" / run)
    names = [f"fold-{fold}/{file}" for fold in FOLDS for file in ("best.weights.h5", "test.csv")]
    names += [f"fold-{fold}/validation.csv" for fold in FOLDS]
    names += ["out_of_fold.csv", "test.csv", "pictures.csv", "checked.json"]
    found = {name: (folder.path / name).read_bytes() for name in names}
    return found | {"submission": (project / "submissions" / f"{run}.csv").read_bytes()}


def test_a_run_that_lost_a_node_has_the_bytes_of_one_trained_here(project: Path) -> None:
    assert results(project, "killed") == results(project / "alone", "here")
    log = printed(project, "killed")
    assert "tried again, 1 of 3 times" in log
    assert "127.0.0.1" in log and "127.0.0.2" in log


@pytest.mark.parametrize("logs", [["killed"], ["stopped", "went-on"]], ids=["killed", "stopped"])
def test_no_finished_fold_is_trained_again(project: Path, logs: list[str]) -> None:
    lines = [line for name in logs for line in printed(project, name).splitlines()]
    for fold in FOLDS:
        about = [line for line in lines if line.startswith(f"fold {fold} of ")]
        ends = [number for number, line in enumerate(about) if " is finished, by " in line]
        assert ends == [len(about) - 1]


def test_a_command_that_was_stopped_goes_on_to_the_same_run(project: Path) -> None:
    assert "interrupted; the same command goes on from here" in printed(project, "stopped")
    assert results(project, "stopped") == results(project / "alone", "here")


def test_a_comparison_finds_the_same_scores(project: Path) -> None:
    columns = ["entry", "change", "folds", "images", "score", "low", "high", "plain", "averaged"]
    here, there = (
        pd.read_csv(place / "weights" / "experiments.csv", dtype=str)[columns]
        for place in (project / "alone", project)
    )
    assert len(here) == 2 and here.equals(there)
    for run in ("tiny", "tiny-head.width-16"):
        files = (
            place / "weights" / run / "fold-0" / name
            for name in ("best.weights.h5", "validation.csv")
            for place in (project / "alone", project)
        )
        for one in files:
            assert one.read_bytes() == next(files).read_bytes()


def test_predictions_have_the_bytes_of_those_made_here(project: Path) -> None:
    assert "is finished, by " in printed(project, "predicted")
    assert results(project, "killed") == results(project / "alone", "here")


def test_a_search_has_as_many_trials_as_it_was_asked_for(project: Path) -> None:
    assert "best of 3: " in printed(project, "tuned")
