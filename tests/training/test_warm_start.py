"""Warm starts: which backbone a fold starts with, and what is refused."""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from small_training import killed_after

from podium.competitions import get_competition
from podium.data.table import prepare_run
from podium.experiments.grid import get_combination
from podium.experiments.trial import run_of
from podium.models.network import LayerWeights, backbone_weights, build_network
from podium.recipes.entries import get_entry
from podium.recipes.recipe import Recipe
from podium.recipes.recipe_file import parse_recipe
from podium.runs.find_run import find_run
from podium.runs.run import Run
from podium.runs.run_folder import RunFolder
from podium.runs.table import stored_table
from podium.training.fold_runner import FoldRunner
from podium.training.preflight import check_recipe
from podium.training.soup import soup
from podium.training.train import predict, train
from podium.training.warm_start import InitialWeights, find_initial_weights, resolve_backbone
from small_competitions import DRAW, RECIPE, enter_copy, make_project, write_entry
from small_runs import Command, write_run

# --- Made-up runs: which network a fold starts from


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kernels").mkdir()
    return tmp_path


def recipe(**changes) -> Recipe:
    about = {"competition": "clocks-or-crocs", "backbone": "run:a", "folds": 2}
    return parse_recipe({**about, **changes}, "here")


def start_of(project: Path, fold: int = 0, seed: int = 0, **changes) -> InitialWeights | None:
    """The network that a fold of a new run, with the split of this seed, starts from."""
    mine = write_run(project / "mine", folds=[], seed=seed, **changes)
    return find_initial_weights(run_with(mine, **changes), fold)


def run_with(folder: RunFolder, **changes) -> Run:
    """A run in this folder that starts from the run a."""
    found = resolve_backbone(recipe(**changes))
    return Run(folder, found, get_competition(found.competition), stored_table(folder))


def refusal(project: Path, fold: int = 0, seed: int = 0, **changes) -> str:
    with pytest.raises(ValueError) as caught:
        start_of(project, fold, seed, **changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_with_the_same_split_a_fold_starts_from_its_own_network(here: Path) -> None:
    run = write_run(here / "weights" / "a")
    for fold in (0, 1):
        assert start_of(here, fold) == InitialWeights("a", run, fold)


def test_another_split_is_refused_and_a_copy_of_the_run_is_not(here: Path) -> None:
    write_run(here / "weights" / "a", seed=1)
    said = refusal(here)
    assert "fold 0 cannot start from run 'a', which would leak into its score: a has ano" in said
    assert "same split (folds = 2, seed = 0, no limit)" in said
    assert start_of(here / "again", seed=1).fold == 0


def test_a_fold_that_is_missing_there_has_no_other_to_start_from(here: Path) -> None:
    write_run(here / "weights" / "a", folds=[1])
    assert start_of(here, 1).fold == 1
    assert "a has another split: 8 of the 8 images" in refusal(here, 0)


def test_of_other_images_any_network_will_do(here: Path) -> None:
    run = write_run(here / "weights" / "a", folds=[1, 3], competition="intel", seed=1)
    assert start_of(here, 0) == InitialWeights("a", run, 1)
    run.fold(1).delete_weights()
    assert start_of(here, 0) == InitialWeights("a", run, 3)
    assert start_of(here / "other", 3).fold == 3


def test_a_fold_that_goes_on_needs_no_other_run(here: Path) -> None:
    write_run(here / "weights" / "a", seed=1)
    mine = write_run(here / "mine", folds=[])
    mine.fold(0).write_state({"history": [{"stage": 0, "epoch": 0, "seconds": 1.0}]}, [])
    run = run_with(mine)
    shutil.rmtree(here / "weights" / "a")
    assert find_initial_weights(run, 0) is None
    with pytest.raises(ValueError, match="no run 'a'"):
        find_initial_weights(run, 1)


def test_a_backbone_that_nothing_has_trained_is_told(here: Path) -> None:
    head = {"unfreeze": "head", "epochs": 2, "learning_rate": 0.1}
    line = "the backbone starts as that of run a, fold 0"
    for weights, unfreeze, told in (("imagenet", "head", True), ("imagenet", 1, False),
                                    ("none", "head", False)):  # fmt: skip
        stages = [head, {**head, "unfreeze": unfreeze}]
        run = write_run(here / weights / str(unfreeze), weights=weights, stages=stages)
        warning = f"warning: {line}, which is just imagenet: no stage there has changed it"
        assert str(InitialWeights("a", run, 0)) == (warning if told else line)


# --- The recipe


def test_a_recipe_gets_the_network_of_the_run(here: Path) -> None:
    write_run(here / "weights" / "a", backbone="efficientnet-b0")
    for name in ("a", "weights/a", "./weights/a/"):
        found = resolve_backbone(recipe(backbone=f"run:{name}", weights="noisy-student"))
        assert (found.backbone, found.weights) == ("efficientnet-b0", "run:a")
    assert resolve_backbone(recipe(backbone="efficientnet-b0", weights="run:weights/a")) == found
    plain = recipe(backbone="efficientnet-b0")
    assert resolve_backbone(plain) is plain
    elsewhere = write_run(here / "elsewhere" / "b").path
    found = resolve_backbone(recipe(backbone=f"run:{elsewhere}"))
    assert (found.backbone, found.weights) == ("resnet-small", f"run:{elsewhere}")


def test_a_run_that_goes_on_has_its_network_without_the_other(here: Path) -> None:
    into = write_run(here / "weights" / "mine", folds=[], weights="run:a")
    assert resolve_backbone(recipe(), into).backbone == "resnet-small"
    for fresh, of in ((True, into), (False, RunFolder(here / "weights" / "none"))):
        with pytest.raises(ValueError, match="no run 'a'"):
            resolve_backbone(recipe(), of, fresh)


def test_a_run_that_is_attached_to_a_kernel_is_found(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = here / "kaggle"
    (root / "working").mkdir(parents=True)
    run = write_run(root / "input" / "podium-a" / "weights" / "a", competition="intel")
    monkeypatch.setenv("PODIUM_KAGGLE_ROOT", str(root))
    assert resolve_backbone(recipe(backbone="run:weights/a")).backbone == "resnet-small"
    assert start_of(here) == InitialWeights("a", run, 0)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"backbone": "run:b"}, "no run 'b'; in "),
        ({"backbone": "efficientnet-b0", "weights": "run:a"}, 'write backbone = "run:a"'),
        ({"backbone": "run:empty"}, "no fold of it is trained and has kept its weights"),
        ({"backbone": "run:both"}, "is a blend of a, other, not a training run"),
        ({"backbone": "run:mine"}, "it is this run itself; train under another name"),
        ({"backbone": "run:../weights/mine"}, "it is this run itself; train under another name"),
    ],
)
def test_what_cannot_start_a_run_is_refused_in_a_line(
    here: Path, changes: dict[str, str], expected: str
) -> None:
    for name in ("a", "other", "mine"):
        write_run(here / "weights" / name)
    write_run(here / "weights" / "empty").fold(1).delete_weights()
    RunFolder(here / "weights" / "empty").fold(0).forget_cost()
    RunFolder(here / "weights" / "both").write_run({"runs": ["a", "other"]})
    into = RunFolder(here / "weights" / "mine")
    with pytest.raises(ValueError) as caught:
        check_recipe(resolve_backbone(recipe(**changes), into, fresh=True), into, fresh=True)
    assert expected in str(caught.value) and "\n" not in str(caught.value)
    check_recipe(resolve_backbone(recipe(), into, fresh=True), into, fresh=True)


def test_a_combination_names_the_run_and_not_its_network(here: Path) -> None:
    """Its overrides are all that its process gets."""
    write_run(here / "weights" / "a")
    write_entry(here, "tiny", RECIPE.format(competition="clocks-or-crocs"))
    one = get_combination("tiny", ["backbone=run:weights/a"])
    assert one.overrides == ("backbone=run:a",)
    run = run_of(one)
    run.begin(resolve_backbone(one.recipe), {}, fresh=False)
    assert run_of(one).path == run.path, "is the same recipe"


# --- Really trained

HEAD = '{{ unfreeze = "head", epochs = 1, learning_rate = 0.001 }}'  # next to nothing to compile
ALL = '{{ unfreeze = "all", epochs = 1, learning_rate = 0.001 }}'
FROM = RECIPE.replace('"resnet-8"', '"run:weights/tiny"').replace('weights = "none"\n', "")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tiny` is trained on dogs and cats; `crocs` starts from it, and so does `dogs`."""
    project = tmp_path_factory.mktemp("first")
    make_project(project, "dogs-vs-cats")
    crocs = get_competition("clocks-or-crocs")
    DRAW[crocs.name](project / "input" / crocs.slug)
    write_entry(project, "crocs", FROM.replace(ALL, HEAD).format(competition=crocs.name))
    write_entry(project, "dogs", FROM.format(competition="dogs-vs-cats"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        train("tiny")
    return project


@pytest.fixture
def project(first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, the current folder."""
    return enter_copy(first, tmp_path, monkeypatch)


def backbone_of(run: str, fold: int) -> LayerWeights:
    """The backbone's weights of a trained fold."""
    folder = find_run(run)
    found = folder.read_recipe()
    keras.backend.clear_session()
    network = build_network(
        found, len(get_competition(found.competition).classes), pretrained=False
    )
    folder.fold(fold).read_weights(network.model)
    return backbone_weights(network)


def begun(entry: str, fold: int, *overrides: str) -> LayerWeights:
    """The backbone's weights of a fold before its first step."""
    folder = RunFolder(Path("weights", "begun").resolve())
    found = resolve_backbone(get_entry(entry).recipe(overrides))
    folder.begin(found, {"entry": entry}, fresh=True)
    run = FoldRunner(prepare_run(folder, found))
    return backbone_weights(run._training(fold, None).network)


def same(one: LayerWeights, other: LayerWeights) -> bool:
    """Whether the layers of the first have the same weights in the other, bit for bit."""
    return bool(one) and all(
        np.array_equal(*pair)
        for name, arrays in one.items()
        for pair in zip(arrays, other[name], strict=True)
    )


def test_a_frozen_backbone_stays_that_of_the_run(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the run predicts without the one that it started from."""
    outcome = train("crocs")
    said = capsys.readouterr().out
    sources = [backbone_of("tiny", fold) for fold in (0, 1)]
    assert not same(*sources)
    for fold in (0, 1):
        assert f"the backbone starts as that of run tiny, fold {fold}" in said
        assert same(backbone_of("crocs", fold), sources[fold])
        (row,) = outcome.folder.fold(fold).read_start()
        digest = find_run("tiny").fold(fold).digest()
        about = {"run": "tiny", "fold": fold, "competition": "dogs-vs-cats", "weights": digest}
        assert row == about
    kept = json.loads((outcome.folder.path / "run.json").read_text())["recipe"]
    assert (kept["backbone"], kept["weights"]) == ("resnet-8", "run:tiny")

    shutil.rmtree(project / "weights" / "tiny")
    before = outcome.folder.fold(0).read_predictions("test")
    predict("crocs")
    again = outcome.folder.fold(0).read_predictions("test")
    pd.testing.assert_frame_equal(again, before, rtol=1e-4)
    train("crocs")  # a finished one needs nothing
    shutil.rmtree(outcome.folder.fold(1).path)
    with pytest.raises(ValueError, match="no run 'tiny'"):
        train("crocs")


def test_other_taps_and_more_folds_start_alike(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = [backbone_of("tiny", fold) for fold in (0, 1)]
    whole = begun("crocs", 1)
    assert same(whole, sources[1]) and len(whole) == len(sources[1])
    cut = begun("crocs", 2, "folds=3", 'head.taps=["block1a"]')
    assert same(cut, sources[0]) and 0 < len(cut) < len(whole)
    assert "that of run tiny, fold 0" in capsys.readouterr().out


def test_a_chain_of_runs_back_to_its_images_is_refused(project: Path) -> None:
    """Dogs, then crocs, then dogs again."""
    train("crocs", run="between")
    rows = RunFolder(Path("weights", "between")).fold(1).read_start()
    assert [(row["run"], row["fold"]) for row in rows] == [("tiny", 1)]
    with pytest.raises(ValueError, match="between was started from tiny, which knows these"):
        train("dogs", ["backbone=run:between"])


def test_a_leak_is_refused_before_anything_trains(project: Path, command: Command) -> None:
    code, _, errors = command("train", "dogs", "--set", "seed=1")
    assert code == 1 and len(errors.strip().splitlines()) == 1, errors
    assert (
        "fold 0 cannot start from run 'tiny', which would leak into its score: tiny has " in errors
    )
    assert not list((project / "weights" / "dogs-seed-1").glob("fold-*"))


def test_a_killed_training_goes_on_without_the_other_run(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = ["stages.0.epochs=2"]
    whole = train("dogs", overrides, folds=[0], run="whole").folder.fold(0)
    with killed_after(1, monkeypatch):
        train("dogs", overrides, folds=[0], run="killed")
    shutil.rmtree(project / "weights" / "tiny")
    killed = train("dogs", overrides, folds=[0], run="killed").folder.fold(0)
    assert killed.read_start() == whole.read_start() != []
    for column in ("loss", "val_loss"):
        np.testing.assert_allclose(
            killed.read_history()[column], whole.read_history()[column], rtol=1e-4
        )
    np.testing.assert_allclose(
        killed.read_predictions("test"), whole.read_predictions("test"), atol=1e-4
    )


def test_a_first_layer_that_is_fitted_is_not_fitted_again(project: Path) -> None:
    train("tiny", ["backbone=resnet-patches"], folds=[0], run="fitted")
    source = backbone_of("fitted", 0)
    assert np.abs(source["stem_patches"][0]).max() > 0
    assert same(begun("crocs", 0, "backbone=run:fitted"), source)


@pytest.mark.slow
def test_a_soup_needs_no_other_run_and_keeps_the_lineage(project: Path) -> None:
    folder = train("dogs", ["checkpoints=2", "stages.0.epochs=2"], folds=[0]).folder
    shutil.rmtree(project / "weights" / "tiny")
    made = soup([folder.name]).folder
    assert made.fold(0).read_start() == folder.fold(0).read_start() != []
    assert same(begun("crocs", 0, f"backbone=run:{made.name}"), backbone_of(made.name, 0))
