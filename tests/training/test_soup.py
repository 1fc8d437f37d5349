"""Soups: the choice of a mixture, which runs may be averaged, and soups of trained networks."""

import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
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
from podium.predictions.result import RunResult
from podium.reports.report import report
from podium.runs.fold_folder import RunError
from podium.runs.merge import merge_run
from podium.runs.run import Run
from podium.runs.run_folder import RunFolder
from podium.runs.table import stored_table
from podium.training.fold_runner import FoldRunner
from podium.training.soup import CannotSoup, FoldSoup, Mixture, check_members, choose, soup
from podium.training.train import predict, train
from small_competitions import enter_copy, make_project
from small_runs import files, write_run

# --- The choice of a mixture, by made-up qualities


def quality_of(**qualities: float) -> Callable[[Mixture], float]:
    """The quality of each mixture, its names joined; 0 if it is not given."""
    return lambda mixture: qualities.get("".join(sorted(mixture)), 0.0)


def test_weights_that_help_join_and_others_are_left_out() -> None:
    quality = quality_of(a=0.5, b=0.7, c=0.6, bc=0.8, abc=0.1)
    assert choose("abc", quality) == {"b", "c"}
    assert choose("abc", quality_of(a=0.5, b=0.5, ab=0.5)) == {"a", "b"}, "does no harm"
    assert choose("ab", quality_of(a=0.5, b=0.7, ab=0.6)) == {"b"}
    assert choose("ab", quality_of(a=-np.inf, b=-1.0, ab=-np.inf)) == {"b"}


def test_a_mean_is_taken_only_where_it_is_better_than_the_greedy_soup() -> None:
    quality = quality_of(a=0.5, bc=0.9)
    assert choose("abc", quality) == {"a"}
    assert choose("abc", quality, [Mixture("bc")]) == {"b", "c"}
    assert choose("abc", quality_of(a=0.9, bc=0.9), [Mixture("bc")]) == {"a"}


# --- Which runs may be averaged; what is in them is made up

Make = Callable[..., RunFolder]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes a run in weights/, with checkpoints of these epochs in each of its folds."""
    monkeypatch.chdir(tmp_path)

    def make(name: str, epochs: tuple[int, ...] = (), **arguments: Any) -> RunFolder:
        folder = write_run(tmp_path / "weights" / name, **arguments)
        for fold in folder.scored_folds():
            for epoch in epochs:
                path = folder.fold(fold).checkpoint(epoch)
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(f"weights of epoch {epoch}".encode())
        return folder

    return make


def refusal(*runs: RunFolder) -> str:
    """Why the weights of these runs may not be averaged; "" if they may."""
    try:
        check_members([Run.open(run) for run in runs])
    except CannotSoup as error:
        return str(error)
    return ""


def test_runs_of_one_network_and_split_fit(make: Make) -> None:
    first = make("a", epochs=(9, 10))
    assert not refusal(first)
    assert not refusal(first, make("b", head={"dropout": 0.5}, label_smoothing=0.1, image_size=24))
    others = make("c", folds=[0], epochs=(1,)), make("d", seed=1, folds=[1])
    assert not refusal(*others), "no fold in common"


def test_less_than_two_sets_of_weights_are_refused(make: Make) -> None:
    first = make("a")
    said = refusal(first)
    assert "fold 0 of a has fewer than two sets" in said and "checkpoints=5" in said
    assert "fold 1 of a has fewer" in refusal(first, make("b", folds=[0]))
    for fold in (0, 1):
        first.fold(fold).delete_weights()
    assert "fold 0 of a has fewer" in refusal(first)
    last = make("c", epochs=(1,))
    last.fold(0).checkpoint(1).write_bytes(last.fold(0).weights.read_bytes())
    assert "fold 0 of c has fewer" in refusal(last), "the epoch is the best one"


def test_another_split_is_refused(make: Make) -> None:
    said = refusal(make("a"), make("other", seed=1))
    assert "other has another split: " in said and " of the 8 images" in said


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"backbone": "resnet-patches"}, "backbone is 'resnet-patches', not 'resnet-small'"),
        ({"head": {"width": 8}}, "head is "),
        ({"box": {"width": 8}}, "box is "),
    ],
)
def test_another_network_is_refused(make: Make, changes: dict[str, Any], told: str) -> None:
    said = refusal(make("a"), make("other", **changes))
    assert f"other is another network than a: {told}" in said


def test_blends_and_soups_are_refused(make: Make, tmp_path: Path) -> None:
    first, made = make("a", epochs=(1,)), make("a-soup")
    made.write_run({**made.read_run(), "soup": {"runs": [{"run": "a"}], "folds": []}})
    assert "a-soup is a soup: name its runs, a" in refusal(first, made)
    RunFolder(tmp_path / "weights" / "blend").write_run({"runs": ["a", "b"]})
    with pytest.raises(RunError, match="is a blend of a, b"):
        soup(["a", "blend"])


# --- Of networks that were really trained

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


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with four runs: two folds, the first of them, a held-out share, another rate."""
    project = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        make_project(project, "clocks-or-crocs", RECIPE)
        train("tiny")
        shutil.copytree(Path("weights", "tiny"), Path("weights", "one"))
        shutil.rmtree(Path("weights", "one", "fold-1"))
        train("tiny", ["shares=[0.4,0.3,0.3]", "stages.0.epochs=3"], run="held-out")
        train("tiny", ["stages.0.learning_rate=0.001"], folds=[0], run="slow")
        yield project


@pytest.fixture(scope="module")
def made(trained: Path) -> RunResult:
    return soup(["tiny"])


@pytest.fixture
def project(
    trained: Path, made: RunResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A copy with the soup, the current folder."""
    return enter_copy(trained, tmp_path, monkeypatch)


def qualities(folder: RunFolder, fold: int) -> dict[str, tuple[float, float]]:
    """Accuracy and minus the log loss of what was tried, by the beginning of its name."""
    (row,) = (row for row in folder.read_run()["soup"]["folds"] if row["fold"] == fold)
    return {
        each["weights"].split(" of ")[0].split(",")[0]: (each["accuracy"], -each["log loss"])
        for each in row["tried"]
    }


def test_a_soup_is_a_run_of_the_same_split(made: RunResult, trained: Path) -> None:
    folder, first = made.folder, RunFolder(trained / "weights" / "tiny")
    assert folder.path == trained / "weights" / "tiny-soup"
    assert folder.finished_folds() == [0, 1]
    assert folder.read_recipe() == first.read_recipe()
    assert folder.read_run()["entry"] == "tiny" and folder.read_souped() == ["tiny"]
    assert (folder.path / "pictures.csv").read_bytes() == (first.path / "pictures.csv").read_bytes()
    for fold in (0, 1):
        here, there = folder.fold(fold), first.fold(fold)
        for name in ("validation", "test"):
            found, wanted = (one.read_predictions(name) for one in (here, there))
            assert sorted(found.index) == sorted(wanted.index)
            np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
        assert here.read_cost()["seconds"] >= there.read_cost()["seconds"]
        assert here.checkpoints() == []
    assert pd.read_csv(trained / "submissions" / "tiny-soup.csv").shape == (6, 2)


def test_a_soup_is_no_worse_than_the_best_checkpoint(made: RunResult) -> None:
    for fold in (0, 1):
        table = qualities(made.folder, fold)
        assert {"SWA", "uniform soup", "greedy soup", "chosen"} < set(table)
        alone = [value for name, value in table.items() if name.startswith("epoch")]
        assert len(alone) == 3, "the best one is the last"
        assert table["greedy soup"] >= max(alone)
        assert table["chosen"] >= max(table["greedy soup"], table["SWA"])


def test_weights_on_disk_predict_the_test_images(project: Path, made: RunResult) -> None:
    predict("tiny-soup")
    for fold in (0, 1):
        before = made.folder.fold(fold).read_predictions("test")
        after = RunFolder(project / "weights" / "tiny-soup").fold(fold).read_predictions("test")
        np.testing.assert_allclose(after.loc[before.index], before, atol=1e-5)


def test_predictions_of_a_half_do_not_depend_on_its_own_labels(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the labels of a half turned round, only predictions of the other one change."""
    before = soup(["one"]).folder.fold(0).read_predictions("validation")
    images = stored_table(RunFolder(project / "weights" / "one")).train.query("fold == 0")
    half = split_halves(images["label"], images["group"], seed=0).to_numpy()
    init = FoldSoup.__init__

    def turn(self: FoldSoup, *arguments: Any) -> None:
        init(self, *arguments)
        self._labels = np.where(half == 0, 1 - self._labels, self._labels)

    monkeypatch.setattr(FoldSoup, "__init__", turn)
    after = soup(["one"], fresh=True).folder.fold(0).read_predictions("validation")
    same = np.isclose(after.loc[before.index], before, atol=1e-5).all(axis=1)
    turned = before.index.get_level_values("id").isin(images.index[half == 0])
    assert same[turned].all() and not same[~turned].all()


def test_the_held_out_share_is_predicted_by_the_choice_of_all_others(project: Path) -> None:
    result = soup(["held-out"])
    assert result.combined.scored == "held-out"
    folds = stored_table(result.folder).train["fold"]
    predicted = result.folder.fold(0).read_predictions("validation")
    assert set(predicted.index.unique("id")) == set(folds.index[folds != -1])
    held_out = folds.index[folds == -2]
    wanted = predicted.groupby(level="id").mean().loc[held_out]
    paths = get_competition("clocks-or-crocs").read_training()["path"]
    found = classify(result.folder, list(paths.loc[held_out]), views=2).table()
    np.testing.assert_allclose(found.filter(like="p_"), wanted, atol=1e-5)


def test_a_bad_checkpoint_is_left_out(project: Path) -> None:
    run = RunFolder(project / "weights" / "one")
    network = build_network(run.read_recipe(), 2)
    random = np.random.default_rng(0)
    shapes = [array.shape for array in network.model.get_weights()]
    network.model.set_weights([random.normal(0, 1, shape) ** 2 for shape in shapes])
    run.fold(0).write_checkpoint(network.model, 6, stage=0)
    folder = soup(["one"]).folder
    (row,) = folder.read_run()["soup"]["folds"]
    for chosen in (row["ingredients"], *row["halves"]):
        assert chosen and "epoch 6" not in chosen
    table = qualities(folder, 0)
    assert table["epoch 6"] < table["best"] and table["uniform soup"] < table["chosen"]


def test_a_soup_of_runs_tries_the_weights_of_each(project: Path) -> None:
    folder = soup(["tiny", "slow"], name="both").folder
    assert {"tiny: epoch 6", "slow: epoch 6", "slow: SWA"} < set(qualities(folder, 0))
    assert not any("slow" in name for name in qualities(folder, 1))


def test_the_same_command_again_changes_nothing(project: Path, made: RunResult) -> None:
    before = files(project)
    assert soup(["tiny"]).combined == made.combined
    assert files(project) == before


def test_a_killed_soup_goes_on_fold_by_fold(
    project: Path, made: RunResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    predict_test = FoldRunner.predict_test

    def kill(self: FoldRunner, fold: int, views: int) -> None:
        if fold == 1:
            raise Killed
        predict_test(self, fold, views)

    with monkeypatch.context() as patch:
        patch.setattr(FoldRunner, "predict_test", kill)
        with pytest.raises(Killed):
            soup(["tiny"], name="killed")
    folder = RunFolder(project / "weights" / "killed")
    assert folder.finished_folds() == [0]
    before = files(folder.fold(0).path)
    again = soup(["tiny"], name="killed").folder
    assert files(folder.fold(0).path) == before
    assert [row["fold"] for row in again.read_run()["soup"]["folds"]] == [0, 1]
    found, wanted = (one.read_probabilities("out_of_fold") for one in (again, made.folder))
    np.testing.assert_allclose(found.loc[wanted.index], wanted, atol=1e-4)


def test_other_folders_are_not_overwritten(project: Path) -> None:
    before = files(project)
    refused = partial(pytest.raises, CannotSoup, match="is no soup of these runs as they are now")
    for runs, name, fresh in ((["tiny", "slow"], "tiny-soup", False), (["one"], "slow", True)):
        with refused():
            soup(runs, name, fresh)
    run = RunFolder(project / "weights" / "tiny")
    about = run.read_run()
    run.write_run({**about, "started": "later"})
    with refused():
        soup(["tiny"])
    run.write_run(about)
    assert files(project) == before
    assert soup(["one", "slow"], "tiny-soup", fresh=True).folder.read_souped() == ["one", "slow"]


def test_a_soup_is_classified_reported_merged_and_blended(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(project / "weights" / "tiny-soup")
    images = sorted((project / "input" / "clocks-or-crocs" / "test").iterdir())
    views = pd.concat([folder.fold(fold).read_predictions("test") for fold in (0, 1)])
    found = classify(folder, images).table().filter(like="p_")
    np.testing.assert_allclose(found, views.groupby(level="id").mean(), atol=1e-5)
    page = report([str(folder.path)]).path.read_text()
    assert "The weights are a mean of those of tiny." in page

    into = RunFolder(project / "elsewhere" / "tiny-soup")
    assert merge_run(folder, into) == [0, 1]
    assert into.read_souped() == ["tiny"]

    monkeypatch.setattr(sys, "argv", ["podium"])
    app(["blend", "tiny", "tiny-soup", "--to", "both.csv"], standalone_mode=False)
    assert len(pd.read_csv("both.csv")) == 6
