"""Pseudo-labels: which networks label a fold, which images join it, and what is refused."""

import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from podium.competitions import get_competition
from podium.data.table import prepare_run
from podium.predictions.blend import blend
from podium.recipes.entries import get_entry
from podium.recipes.recipe import Recipe
from podium.recipes.recipe_file import parse_recipe
from podium.runs.run import Run
from podium.runs.run_folder import RunFolder
from podium.runs.table import stored_table
from podium.training.fold_runner import FoldRunner
from podium.training.pseudo_labels import NoPseudoLabels, check_pseudo, pseudo_labels, read_labeler
from podium.training.train import train
from small_competitions import RECIPE, draw_image, enter_copy, make_project, write_entry
from small_runs import CLASSES, TEST, VIEWS, Command, set_digests, write_run

# --- Made-up runs: who gives the labels

COMPETITION = get_competition("clocks-or-crocs")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project with the names of the made-up runs' test images."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kernels").mkdir()
    data = tmp_path / "input" / COMPETITION.slug
    for name in [f"test/{name}.png" for name in TEST] + ["train/clock/0.png"]:
        draw_image(data / name, 0)
    return tmp_path


def made_up(
    project: Path, name: str, crocodile: Iterable[Iterable[float]], seed: int = 0, **changes
) -> RunFolder:
    """A run whose folds' networks say this of the test images, in both views on the average."""
    folder = write_run(project / "weights" / name, seed=seed, **changes)
    for fold, values in enumerate(crocodile):
        say(folder, fold, values)
    return folder


def say(folder: RunFolder, fold: int, crocodile: Iterable[float]) -> None:
    tables = []
    for view, shift in zip(VIEWS, (-0.005, 0.005), strict=True):
        values = np.asarray(list(crocodile)) + shift
        index = pd.MultiIndex.from_product([TEST, [view]], names=["id", "view"])
        tables.append(pd.DataFrame(np.stack([1 - values, values], axis=1), index, CLASSES))
    folder.fold(fold).write_predictions("test", pd.concat(tables))


def labels_from(project: Path, name: str, fold: int, seed: int = 0) -> list[float]:
    """Crocodiles, as a run labels a fold of a run with the split of this seed."""
    mine = Run.open(write_run(project / "mine", folds=[], seed=seed))
    probabilities = read_labeler(name, mine, fold)
    assert probabilities.index.tolist() == TEST
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    return probabilities["crocodile"].round(4).tolist()


def test_with_the_same_split_only_the_network_of_the_fold_labels(here: Path) -> None:
    made_up(here, "a", [[0.9, 0.1, 0.5], [0.2, 0.8, 0.6]])
    assert labels_from(here, "a", 0) == pytest.approx([0.9, 0.1, 0.5])
    assert labels_from(here, "a", 1) == pytest.approx([0.2, 0.8, 0.6])


def leak(name: str, fold: int) -> str:
    """Why a run may not label the fold."""
    mine = Run.open(write_run(Path("mine"), folds=[]))
    with pytest.raises(NoPseudoLabels, match=f"from {name} would leak labels of fold") as caught:
        read_labeler(name, mine, fold)
    assert "same folds, seed and limit" in str(caught.value)
    return str(caught.value)


def test_with_another_split_it_may_not_label(here: Path) -> None:
    made_up(here, "a", [[0.9, 0.1, 0.5], [0.2, 0.8, 0.6]], seed=1)
    said = leak("a", 0)
    folds = [stored_table(RunFolder(here / name)).train["fold"] for name in ("mine", "weights/a")]
    seen = int(((folds[0] == 0) & (folds[1] != 0)).sum())
    assert seen > 0 and f"(a has another split: {seen} of the 8 images" in said


def test_a_fold_that_is_not_trained_is_not_labeled_by_the_others(here: Path) -> None:
    made_up(here, "a", [[0.9, 0.1, 0.5]], folds=[0])
    assert labels_from(here, "a", 0) == pytest.approx([0.9, 0.1, 0.5])
    assert "(a has no finished fold 1)" in leak("a", 1)


def blended(project: Path, name: str, runs: list[str], weights: list[float] | None = None):
    """A blend with these weights, all alike unless given."""
    folder = blend(runs, to=project / f"{name}.csv").folder
    score = folder.read_score()
    for row, weight in zip(score["runs"], weights or [1 / len(runs)] * len(runs), strict=True):
        row["weight"] = weight
    folder.write_score(score)
    return folder


def test_of_a_blend_the_members_networks_of_the_fold_label(here: Path) -> None:
    made_up(here, "a", [[0.9, 0.1, 0.5], [0.2, 0.8, 0.6]])
    made_up(here, "b", [[0.7, 0.3, 0.5], [0.1, 0.1, 0.1]], views=2)
    made_up(here, "c", [[0.1, 0.1, 0.1], [0.3, 0.3, 0.3]])
    blended(here, "ab", ["a", "b"])
    assert labels_from(here, "ab", 0) == pytest.approx([0.8, 0.2, 0.5])
    blended(here, "abc", ["ab", "c"])
    assert labels_from(here, "abc", 0) == pytest.approx([0.45, 0.15, 0.3])
    assert labels_from(here, "abc", 1) == pytest.approx([0.225, 0.375, 0.325])


def test_weights_of_a_blend_count_and_a_run_without_may_be_missing(here: Path) -> None:
    made_up(here, "a", [[0.9, 0.1, 0.5], [0.2, 0.8, 0.6]])
    made_up(here, "b", [[0.7, 0.3, 0.5], [0.1, 0.1, 0.1]])
    made_up(here, "bad", [[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]], seed=1)
    blended(here, "abb", ["a", "b", "bad"], [0.75, 0.25, 0.0])
    assert labels_from(here, "abb", 0) == pytest.approx([0.85, 0.15, 0.5])
    shutil.rmtree(here / "weights" / "bad")
    assert labels_from(here, "abb", 0) == pytest.approx([0.85, 0.15, 0.5])


def test_a_blend_without_its_members_may_not_label(here: Path) -> None:
    made_up(here, "a", [[0.9, 0.1, 0.5], [0.2, 0.8, 0.6]])
    made_up(here, "b", [[0.7, 0.3, 0.5], [0.1, 0.1, 0.1]])
    blended(here, "ab", ["a", "b"])
    shutil.rmtree(here / "weights" / "b")
    assert "(b, a part of ab, is not here)" in leak("ab", 0)


def test_a_blend_with_another_split_may_not_label(here: Path) -> None:
    made_up(here, "a", [[0.9, 0.1, 0.5], [0.2, 0.8, 0.6]])
    made_up(here, "b", [[0.7, 0.3, 0.5], [0.1, 0.1, 0.1]], seed=1)
    blended(here, "ab", ["a", "b"])
    said = leak("ab", 0)
    assert "b has another split" in said and "a has" not in said


# --- What joins, and what is kept of it


def recipe(*pseudo: dict | None, **changes) -> Recipe:
    stage = {"unfreeze": "all", "epochs": 1, "learning_rate": 0.1}
    stages = [{**stage, **({"pseudo": one} if one else {})} for one in pseudo]
    about = {"competition": "clocks-or-crocs", "backbone": "resnet-small", "weights": "none"}
    return parse_recipe({**about, "folds": 2, "stages": stages, **changes}, "here")


def no_copies(tests: pd.Index) -> np.ndarray:
    return np.zeros(len(tests), bool)


def labels_of(
    project: Path, recipe: Recipe, fold: int = 0, copies: Callable = no_copies
) -> dict[int, dict[str, int]]:
    mine = write_run(project / "mine", folds=[])
    found = pseudo_labels(Run(mine, recipe, COMPETITION, stored_table(mine)), fold, copies)
    return {stage: labels.to_dict() for stage, labels in found.items()}


def test_the_sure_ones_join_and_each_stage_has_its_own_bound(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made_up(here, "a", [[0.985, 0.05, 0.6], [0.2, 0.8, 0.6]])
    asked = recipe(None, {"from": "a"}, {"from": "a", "above": 0.95}, {"from": "a", "above": 0.55})
    assert labels_of(here, asked) == {
        1: {"NA": 1},
        2: {"NA": 1, "10": 0},
        3: {"NA": 1, "10": 0, "2": 1},
    }
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "pseudo-labels of stage 2: 1 of 3 test images, of which a is sure (0.98 or more): "
        "crocodile 1",
        "pseudo-labels of stage 3: 2 of 3 test images, of which a is sure (0.95 or more): "
        "crocodile 1, clock 1",
        "pseudo-labels of stage 4: 3 of 3 test images, of which a is sure (0.55 or more): "
        "crocodile 2, clock 1",
    ]


def test_the_bound_itself_is_sure_enough(here: Path) -> None:
    made_up(here, "a", [[0.75, 0.7499, 0.25], [0.2, 0.8, 0.6]])
    assert labels_of(here, recipe({"from": "a", "above": 0.75}))[0] == {"NA": 1, "2": 0}


def test_nobody_sure_is_said_and_nothing_joins(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made_up(here, "a", [[0.9, 0.1, 0.6], [0.2, 0.8, 0.6]])
    assert labels_of(here, recipe({"from": "a"})) == {0: {}}
    assert "0 of 3 test images" in (said := capsys.readouterr().out)
    assert "the highest is 0.900. The stage trains without" in said


def test_near_copies_of_what_the_fold_scores_are_left_out(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made_up(here, "a", [[0.99, 0.01, 0.6], [0.2, 0.8, 0.6]])
    asked = {}

    def copies(tests: pd.Index) -> np.ndarray:
        asked.update(tests=tests.tolist())
        return tests == "10"

    assert labels_of(here, recipe({"from": "a"}), copies=copies) == {0: {"NA": 1}}
    assert asked["tests"] == ["NA", "10"], "only those that would join"
    assert "1 more are left out, near-copies of images" in capsys.readouterr().out


def test_what_was_chosen_is_kept_and_stays(here: Path) -> None:
    made_up(here, "a", [[0.2, 0.8, 0.6], [0.99, 0.01, 0.6]])
    first = labels_of(here, recipe({"from": "a", "above": 0.56}), fold=1)
    kept = json.loads((here / "mine" / "fold-1" / "pseudo.json").read_text())
    (row,) = kept["stages"]
    assert (row["stage"], row["from"], row["above"], row["near_copies"]) == (0, "a", 0.56, 0)
    assert {name: CLASSES.index(label) for name, label in row["labels"].items()} == first[0]
    assert RunFolder(here / "mine").leaky_folds() == {}

    shutil.rmtree(here / "weights" / "a")
    assert labels_of(here, recipe({"from": "a", "above": 0.56}), fold=1) == first
    with pytest.raises(ValueError, match="no run 'a'"):
        labels_of(here, recipe({"from": "a"}), fold=0)


def test_unreadable_test_images_do_not_join(here: Path) -> None:
    made_up(here, "a", [[0.99, 0.01, 0.99], [0.2, 0.8, 0.6]])
    mine = write_run(here / "mine", folds=[])
    table = stored_table(mine)
    table.test.loc["10", "problem"] = "broken"
    run = Run(mine, recipe({"from": "a"}), COMPETITION, table)
    found = pseudo_labels(run, 0, no_copies)
    assert found[0].to_dict() == {"NA": 1, "2": 1}


# --- Refusals


def test_labels_of_other_files_by_the_same_ids_are_refused(here: Path) -> None:
    made_up(here, "a", [[0.99, 0.01, 0.99], [0.2, 0.8, 0.6]])
    mine = write_run(here / "mine", folds=[])
    labeler = RunFolder(here / "weights" / "a")
    run = Run(mine, recipe({"from": "a"}), COMPETITION, stored_table(mine))
    set_digests(mine, "now")
    set_digests(labeler, "before")
    with pytest.raises(ValueError, match=r"3 of the test images have other files .* predict a$"):
        pseudo_labels(run, 0, no_copies)
    set_digests(labeler, "")  # an older run has none
    assert len(pseudo_labels(run, 0, no_copies)[0]) == 3


def refusal(recipe: Recipe, into: RunFolder | None = None) -> str:
    with pytest.raises(ValueError) as caught:
        check_pseudo(recipe, into)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_run_that_fits_is_taken(here: Path) -> None:
    made_up(here, "a", [[0.9, 0.1, 0.5], [0.2, 0.8, 0.6]])
    made_up(here, "b", [[0.9, 0.1, 0.5], [0.2, 0.8, 0.6]])
    blended(here, "ab", ["a", "b"])
    check_pseudo(recipe({"from": "a"}, {"from": "ab"}), RunFolder(here / "weights" / "new"))
    check_pseudo(recipe(None))


def test_a_missing_run_is_named(here: Path) -> None:
    made_up(here, "a", [])
    assert "no run 'b'; " in (said := refusal(recipe({"from": "b"}))) and said.endswith(": a")


def test_an_unfinished_run_is_refused(here: Path) -> None:
    made_up(here, "a", [], folds=[])
    assert "no fold of it has predicted the test images" in refusal(recipe({"from": "a"}))


def test_other_test_images_are_refused(here: Path) -> None:
    made_up(here, "a", [], test=["NA", "10", "3", "4"])
    said = refusal(recipe({"from": "a"}))
    assert "it has other test images, 2 only there and 1 only here" in said


def test_another_competition_is_refused(here: Path) -> None:
    made_up(here, "a", [], competition="intel")
    assert "it is a run of intel, not of clocks-or-crocs" in refusal(recipe({"from": "a"}))


def test_the_run_itself_is_refused_alone_and_in_a_blend(here: Path) -> None:
    into = made_up(here, "a", [])
    made_up(here, "b", [])
    blended(here, "ab", ["a", "b"])
    for name in ("a", "ab"):
        said = refusal(recipe({"from": name}), into)
        assert f"from {name}: it has the labels of this run itself, a, which would be" in said
    check_pseudo(recipe({"from": "b"}), into)


# --- Really trained

# Heads on cached features: next to nothing to compile.
HEAD = '{{ unfreeze = "head", epochs = 1, learning_rate = 0.001 }}'
TINY = RECIPE.replace('{{ unfreeze = "all", epochs = 1, learning_rate = 0.001 }}', HEAD)
PSEUDO = HEAD.replace(" }}", ', pseudo = {{ from = "tiny", above = 0.9 }} }}')
LEARNS = TINY.replace(HEAD, f"{HEAD}, {PSEUDO}").format(competition="dogs-vs-cats")
PLAIN = LEARNS.replace(', pseudo = { from = "tiny", above = 0.9 }', "")
SURE = {0: {"1": 1, "4": 0, "10": 1}, 1: {"2": 0, "3": 1, "4": 1, "7": 0}}  # by fold
JOINS = {0: {"1": 1, "10": 1}, 1: SURE[1]}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dogs and cats, test image 4 a copy of a training image of fold 0; `tiny` is trained.

    Its networks are sure of what `SURE` has, and they disagree.
    """
    project = tmp_path_factory.mktemp("first")
    data = make_project(project, "dogs-vs-cats", TINY)
    write_entry(project, "learns", LEARNS)
    write_entry(project, "plain", PLAIN)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        recipe, run = get_entry("tiny").recipe(), RunFolder(project / "weights" / "tiny")
        fold = prepare_run(run, recipe).table.train["fold"]
        shutil.copy(data / "train" / f"{fold.index[fold == 0][0]}.jpg", data / "test" / "4.jpg")
        train("tiny")
        for number, sure in SURE.items():
            predicted = run.fold(number).read_predictions("test")
            predicted[:] = 0.5
            for name, label in sure.items():
                predicted.loc[name] = [0.95, 0.05] if label == 0 else [0.05, 0.95]
            run.fold(number).write_predictions("test", predicted)
    return project


@pytest.fixture
def project(first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, the current folder."""
    return enter_copy(first, tmp_path, monkeypatch)


def kept(run: str, fold: int) -> dict:
    """What a fold keeps of its stage with pseudo-labels."""
    (row,) = RunFolder(Path("weights", run)).fold(fold).read_pseudo()["stages"]
    return row


def runner_of(entry: str, run: str) -> FoldRunner:
    found = get_entry(entry).recipe([])
    folder = RunFolder(Path("weights", run).resolve())
    folder.begin(found, {"entry": entry}, fresh=False)
    return FoldRunner(prepare_run(folder, found))


def test_a_second_run_learns_from_the_first(project: Path, command: Command) -> None:
    code, said, errors = command("train", "learns")
    assert code == 0, errors[-3000:]
    assert "warning" not in said, "the same split: nothing leaks"
    # Test image 4 is a copy of what fold 0 scores; in fold 1 that is trained on anyway.
    assert "pseudo-labels of stage 2: 2 of 11 test images, of which tiny is sure (0.9 or" in said
    assert "dog 2; 1 more are left out, near-copies" in said
    assert "learning rate 0.001, 16 px, 2 test images join" in said
    assert "learning rate 0.001, 16 px, 4 test images join" in said
    assert said.count("test images join") == 2, "in stage 2 of each fold, and no other"
    names = get_competition("dogs-vs-cats").classes
    folder = RunFolder(project / "weights" / "learns")
    assert folder.leaky_folds() == {}
    for fold, joins in JOINS.items():
        row = kept("learns", fold)
        assert row["labels"] == {name: names[label] for name, label in joins.items()}
        assert row["near_copies"] == (1 if fold == 0 else 0)
    training = folder.read_images().query("part == 'train'").index
    assert set(folder.read_probabilities("out_of_fold").index) == set(training), "and no test one"
    assert len(pd.read_csv(project / "submissions" / "learns.csv")) == 11


def test_positions_are_those_of_the_test_images(project: Path) -> None:
    """Each image that joins is in the cache where the training looks for it."""
    run = runner_of("learns", "learns")
    for fold, joins in JOINS.items():
        images = run._images(fold)
        positions, labels = images.pseudo[1]
        names = [run._paths.iloc[position].stem for position in positions]
        assert dict(zip(names, labels.argmax(axis=1).tolist(), strict=True)) == joins
        assert all(run._paths.iloc[position].parent.name == "test" for position in positions)
        assert positions.min() >= len(run.table.train)


@pytest.mark.slow
def test_what_joins_changes_the_second_stage_only(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = train("plain", folds=[0]).folder.fold(0)
    learns = train("learns", folds=[0]).folder.fold(0)
    capsys.readouterr()
    none = train("learns", ["stages.1.pseudo.above=0.99"], folds=[0]).folder.fold(0)
    assert "the highest is 0.950. The stage trains without" in capsys.readouterr().out
    first, second = plain.read_history()["loss"]
    assert learns.read_history()["loss"][0] == pytest.approx(first, rel=1e-5)
    assert abs(learns.read_history()["loss"][1] / second - 1) > 1e-4
    np.testing.assert_allclose(none.read_history()["loss"], [first, second], rtol=1e-5)
    np.testing.assert_allclose(
        none.read_predictions("test"), plain.read_predictions("test"), atol=1e-5
    )


def test_a_run_that_goes_on_keeps_its_labels(project: Path) -> None:
    """It was stopped before it trained; by then the first run predicts something else."""
    run = runner_of("learns", "stopped")
    labels = {stage: found[0] for stage, found in run._images(0).pseudo.items()}
    labeler = RunFolder(project / "weights" / "tiny").fold(0)
    table = labeler.read_predictions("test")
    table[:] = [0.0, 1.0]
    labeler.write_predictions("test", table)
    again = runner_of("learns", "stopped")._images(0).pseudo
    for stage, positions in labels.items():
        np.testing.assert_array_equal(again[stage][0], positions)
    shutil.rmtree(project / "weights" / "tiny")
    train("learns", folds=[0], run="stopped")
    train("learns", folds=[0], run="stopped")  # a finished one needs nothing


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--set", "stages.1.pseudo.from=none"], "no run 'none'; "),
        (["--run", "tiny", "--fresh"], "from tiny: it has the labels of this run itself"),
        (["--set", "stages.1.pseudo.above=0.3"], "stages.1.pseudo.above: came 0.3, should be"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(
    project: Path, command: Command, arguments: list[str], expected: str
) -> None:
    before = sorted(project.rglob("*"))
    code, _, errors = command("train", "learns", *arguments)
    assert code == 1 and expected in errors and len(errors.strip().splitlines()) == 1
    assert sorted(project.rglob("*")) == before
