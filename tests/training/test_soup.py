"""`podium soup` on small networks that were really trained: a run like any other comes of it."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from podium.cli import app
from podium.competitions import get_competition
from podium.data.splits import split_halves
from podium.models.network import build_network
from podium.predictions.classify import classify
from podium.reports.report import report
from podium.runs.merge import merge_run
from podium.runs.run_folder import RunFolder
from podium.runs.table import stored_table
from podium.training import fold_soup
from podium.training.fold_runner import FoldRunner
from podium.training.soup import SoupResult, soup
from podium.training.soup_members import CannotSoup
from podium.training.soup_selection import Trials
from podium.training.train import predict, train
from small_competitions import make_project
from small_runs import files

RECIPE = """
competition = "{competition}"
backbone = "resnet-8"
weights = "none"
train_batchnorm = true
image_size = 16
batch_size = 8
folds = 2
views = 2
checkpoints = 3
batchnorm_momentum = 0.5
head = {{ width = 8 }}
stages = [{{ unfreeze = "all", epochs = 6, learning_rate = 0.003 }}]
"""
SHARES = "shares=[0.4,0.3,0.3]"
Tried = dict[str, tuple[float, float]]  # accuracy and minus the log loss, by row


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with four runs: two folds, the first of them, a held-out share, another rate."""
    project = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PODIUM_INPUT", raising=False)
        patch.chdir(project)
        make_project(project, "clocks-or-crocs", RECIPE)
        train("tiny")
        one_fold = Path("weights", "one")
        shutil.copytree(Path("weights", "tiny"), one_fold)
        shutil.rmtree(one_fold / "fold-1")
        train("tiny", [SHARES], run="held-out")
        train("tiny", ["stages.0.learning_rate=0.001"], folds=[0], run="slow")
        yield project


@pytest.fixture(scope="module")
def souped(trained: Path) -> SoupResult:
    return soup(["tiny"])


@pytest.fixture
def project(
    trained: Path, souped: SoupResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A copy with the soup, to do with as the test likes; the current folder."""
    shutil.copytree(trained, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def tried(folder: RunFolder, fold: int) -> Tried:
    rows = next(row for row in folder.read_run()["soup"]["folds"] if row["fold"] == fold)["tried"]
    return {
        row["weights"]: (row["accuracy"], -np.inf if row["log loss"] is None else -row["log loss"])
        for row in rows
    }


def one(table: Tried, beginning: str) -> tuple[float, float]:
    (found,) = (value for name, value in table.items() if name.startswith(beginning))
    return found


# --- What a soup leaves


def test_the_soup_is_a_run_of_the_same_split(souped: SoupResult, trained: Path) -> None:
    folder, first = souped.folder, RunFolder(trained / "weights" / "tiny")
    assert folder.path == trained / "weights" / "tiny-soup"
    assert folder.finished_folds() == [0, 1]
    assert folder.read_recipe() == first.read_recipe()
    run = folder.read_run()
    assert run["entry"] == "tiny" and folder.read_souped() == ["tiny"]
    assert (folder.path / "pictures.csv").read_bytes() == (first.path / "pictures.csv").read_bytes()
    for name in ("out_of_fold", "test"):
        mine, theirs = folder.read_probabilities(name), first.read_probabilities(name)
        assert set(mine.index) == set(theirs.index)
        np.testing.assert_allclose(mine.sum(axis=1), 1, atol=1e-5)
    for number in (0, 1):
        mine, theirs = folder.fold(number), first.fold(number)
        for name in ("validation", "test"):
            found, wanted = mine.read_predictions(name).index, theirs.read_predictions(name).index
            assert set(found) == set(wanted) and len(found) == len(wanted)
        assert mine.read_cost()["seconds"] >= theirs.read_cost()["seconds"]
        assert mine.checkpoints() == []
    assert pd.read_csv(trained / "submissions" / "tiny-soup.csv").shape == (6, 2)
    said = str(souped)
    assert "tiny-soup" in said and "the soup gains" in said and "run         " in said


def test_what_was_tried_is_in_the_table(souped: SoupResult) -> None:
    for row in souped.folder.read_run()["soup"]["folds"]:
        names = [each["weights"] for each in row["tried"]]
        alone = [name for name in names if name.startswith(("best", "epoch"))]
        assert {part for name in alone for part in name.split(" = ")} >= {
            "best",
            "epoch 4",
            "epoch 5",
            "epoch 6",
        }
        assert [name.split(" of ")[0] for name in names[len(alone) :]][1:3] == [
            "uniform soup",
            "greedy soup",
        ]
        assert set(row["ingredients"]) <= set(alone)


@pytest.mark.parametrize("fold", [0, 1])
def test_it_is_no_worse_than_the_best_checkpoint(souped: SoupResult, fold: int) -> None:
    table = tried(souped.folder, fold)
    alone = [value for name, value in table.items() if name.startswith(("best", "epoch"))]
    assert one(table, "greedy") >= max(alone)
    assert one(table, "chosen") >= one(table, "greedy")


def test_the_weights_predict_what_is_written(project: Path, souped: SoupResult) -> None:
    """Test predictions are those of best.weights.h5, read anew."""
    predict("tiny-soup")
    for fold in (0, 1):
        before = souped.folder.fold(fold).read_predictions("test")
        after = RunFolder(project / "weights" / "tiny-soup").fold(fold).read_predictions("test")
        np.testing.assert_allclose(after.loc[before.index], before, atol=1e-5)


def test_the_score_is_of_images_that_did_not_choose(souped: SoupResult, trained: Path) -> None:
    """Each half of a fold as the table's cross-fitted row has it, in the plain view."""
    table = stored_table(souped.folder).train
    for fold in (0, 1):
        predicted = (
            souped.folder.fold(fold).read_predictions("validation").xs("plain", level="view")
        )
        right = predicted.to_numpy()[
            np.arange(len(predicted)), table.loc[predicted.index, "label"].to_numpy()
        ]
        accuracy, goodness = one(tried(souped.folder, fold), "each half")
        assert (right > 0.5).mean() == pytest.approx(accuracy)
        assert np.log(right.clip(1e-4, 1 - 1e-4)).mean() == pytest.approx(goodness, rel=1e-3)


def test_predictions_of_a_half_do_not_depend_on_its_own_labels(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the labels of a half turned round, only what is predicted of the other one changes."""
    before = soup(["one"]).folder.fold(0).read_predictions("validation")
    images = stored_table(RunFolder(project / "weights" / "one")).train.query("fold == 0")
    half = split_halves(images["label"], images["group"], seed=0).to_numpy()
    known = Trials.__init__

    def turn(self: Trials, predict: Any, labels: np.ndarray, metric: Any) -> None:
        known(self, predict, np.where(half == 0, 1 - labels, labels), metric)

    monkeypatch.setattr(Trials, "__init__", turn)
    after = soup(["one"], fresh=True).folder.fold(0).read_predictions("validation")
    same = np.isclose(after.loc[before.index], before, atol=1e-5).all(axis=1)
    turned = before.index.get_level_values("id").isin(images.index[half == 0])
    assert same[turned].all() and not same[~turned].all()


def test_the_held_out_share_is_predicted_by_what_all_others_chose(project: Path) -> None:
    outcome = soup(["held-out"]).outcome
    assert outcome.combined.scored == "held-out"
    folds = stored_table(outcome.folder).train["fold"]
    predicted = outcome.folder.fold(0).read_predictions("validation")
    assert set(predicted.index.unique("id")) == set(folds.index[folds != -1])
    held_out = folds.index[folds == -2]
    expected = predicted.loc[predicted.index.get_level_values("id").isin(held_out)]
    paths = get_competition("clocks-or-crocs").read_training()["path"]
    found = classify(outcome.folder, list(paths.loc[held_out]), views=2).table().filter(like="p_")
    wanted = expected.groupby(level="id").mean().loc[held_out]
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_weights_that_memory_has_no_room_for_are_read_again(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = soup(["one"]).folder
    monkeypatch.setattr(fold_soup, "KEPT", 0.0)
    read = soup(["one"], name="read").folder
    assert (
        read.read_run()["soup"]["folds"][0]["halves"]
        == (kept.read_run()["soup"]["folds"][0]["halves"])
    )
    for name in ("validation", "test"):
        found, wanted = (folder.fold(0).read_predictions(name) for folder in (read, kept))
        np.testing.assert_allclose(found, wanted, atol=1e-5)


# --- A bad checkpoint, several runs


def test_a_bad_checkpoint_is_left_out(project: Path) -> None:
    run = RunFolder(project / "weights" / "one")
    network = build_network(run.read_recipe(), 2)
    random = np.random.default_rng(0)
    spoilt = [random.normal(0, 1, array.shape) ** 2 for array in network.model.get_weights()]
    network.model.set_weights(spoilt)
    run.fold(0).write_checkpoint(network.model, 6)
    folder = soup(["one"]).folder
    (row,) = folder.read_run()["soup"]["folds"]
    for chosen in (row["ingredients"], *row["halves"]):
        assert chosen and not any("epoch 6" in name for name in chosen)
    table = tried(folder, 0)
    assert one(table, "epoch 6") < one(table, "best")
    assert one(table, "uniform") < one(table, "chosen")


def test_a_soup_over_runs(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = soup(["tiny", "slow"], name="both")
    names = {part for name in tried(found.folder, 0) for part in name.split(" = ")}
    assert {"tiny: best", "slow: best", "slow: SWA, the last 3"} <= names
    assert not any("slow" in name for name in tried(found.folder, 1))
    assert "slow has not trained fold 1" in capsys.readouterr().out
    assert set(found.scores) == {"tiny", "slow", "both"}
    assert found.scores["both"].images == 10, "those of fold 0, which all of them predict"


# --- Again, killed, refused


def test_the_same_command_again_changes_nothing(project: Path, souped: SoupResult) -> None:
    before = files(project)
    again = soup(["tiny"])
    assert files(project) == before
    assert again.scores == souped.scores


def test_a_killed_soup_goes_on_fold_by_fold(
    project: Path, souped: SoupResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    known = FoldRunner.predict_test

    def killed(self: FoldRunner, fold: int, views: int) -> None:
        if fold == 1:
            raise Killed
        known(self, fold, views)

    with monkeypatch.context() as patch:
        patch.setattr(FoldRunner, "predict_test", killed)
        with pytest.raises(Killed):
            soup(["tiny"], name="killed")
    folder = RunFolder(project / "weights" / "killed")
    assert folder.finished_folds() == [0]
    times = {path: path.stat().st_mtime_ns for path in folder.fold(0).path.iterdir()}
    again = soup(["tiny"], name="killed")
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert [row["fold"] for row in again.folder.read_run()["soup"]["folds"]] == [0, 1]
    found, wanted = (one.folder.read_probabilities("out_of_fold") for one in (again, souped))
    np.testing.assert_allclose(found.loc[wanted.index], wanted, atol=1e-4)


def test_other_folders_are_not_overwritten(project: Path) -> None:
    soup(["one"])
    weights = project / "weights"
    before = files(weights)
    with pytest.raises(CannotSoup, match="one-soup is a soup of one: begin again with --fresh"):
        soup(["one", "slow"])
    with pytest.raises(CannotSoup, match="slow is not a soup"):
        soup(["one"], name="slow")
    with pytest.raises(CannotSoup, match="cannot be called one as one of its runs"):
        soup(["one"], name="one", fresh=True)
    run = json.loads(before["one/run.json"])
    (weights / "one" / "run.json").write_text(json.dumps({**run, "started": "later"}))
    with pytest.raises(CannotSoup, match="a soup of one, which were trained again since"):
        soup(["one"])
    (weights / "one" / "run.json").write_bytes(before["one/run.json"])
    assert files(weights) == before
    assert soup(["one", "slow"], fresh=True).folder.read_souped() == ["one", "slow"]


# --- A run like any other


def test_a_soup_is_classified_drawn_merged_and_blended(
    project: Path, souped: SoupResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(project / "weights" / souped.folder.name)
    images = sorted((project / "input" / "clocks-or-crocs" / "test").iterdir())
    found = classify(folder, images).table().filter(like="p_")
    views = [folder.fold(fold).read_predictions("test") for fold in (0, 1)]
    np.testing.assert_allclose(found, pd.concat(views).groupby(level="id").mean(), atol=1e-5)
    page = report([str(folder.path)]).path.read_text()
    assert "The weights are a mean of those of tiny." in page

    into = RunFolder(project / "elsewhere" / "tiny-soup")
    assert merge_run(folder, into) == [0, 1]
    assert into.read_souped() == ["tiny"]

    monkeypatch.setattr(sys, "argv", ["podium"])
    app(["blend", "tiny", "tiny-soup", "--to", "both.csv"], standalone_mode=False)
    assert len(pd.read_csv("both.csv")) == 6
