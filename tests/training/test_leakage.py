"""Leakage: what a fold's network may have been trained on, told from made-up runs."""

from pathlib import Path

import pytest

from podium.runs.run_folder import RunFolder
from podium.runs.table import stored_table
from podium.training.leakage import leak_reason, scored_by, split_leak
from podium.training.warm_start import InitialWeights
from small_runs import write_run

PSEUDO = {"unfreeze": "all", "epochs": 1, "learning_rate": 0.1, "pseudo": {"from": "c"}}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, the current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def leak(run: RunFolder, fold: int = 0, seed: int = 0, competition: str = "clocks-or-crocs") -> str:
    """Why a run leaks into this fold of a run with the split of this seed."""
    scored = scored_by(stored_table(write_run(Path(f"mine-{seed}"), folds=[], seed=seed)), fold)
    return leak_reason(run, fold, scored, competition)


def change(run: RunFolder, to_fold: int | None) -> None:
    """Put an image of fold 0 into another fold, or leave it out."""
    images = run.read_images()
    first = images.index[(images["part"] == "train") & (images["fold"] == "0")][0]
    if to_fold is None:
        images = images.drop(first)
    else:
        images.loc[first, "fold"] = str(to_fold)
    run.write_images(images.reset_index().set_index(["part", "id"]))


def test_the_same_fold_of_the_same_split_has_no_leak(here: Path) -> None:
    run = write_run(here / "weights" / "a")
    assert leak(run, 0) == leak(run, 1) == ""
    assert leak(write_run(here / "weights" / "b", seed=1), seed=1) == ""


def test_another_split_leaks(here: Path) -> None:
    run = write_run(here / "weights" / "a", seed=1)
    assert "a has another split: " in leak(run) and "of the 8 images" in leak(run)


@pytest.mark.parametrize("to_fold", [1, None])
def test_one_image_that_is_trained_on_or_missing_is_enough(here: Path, to_fold: int | None) -> None:
    """Of one that is missing there, a copy may have been trained on."""
    run = write_run(here / "weights" / "a")
    change(run, to_fold)
    assert "a has another split: 1 of the 8 images" in leak(run, 0)
    assert leak(run, 1) == ""


@pytest.mark.parametrize("kept", ["c has another split", "", None])
def test_leaky_pseudo_labels_leak_on(here: Path, kept: str | None) -> None:
    run = write_run(here / "weights" / "a", stages=[PSEUDO])
    if kept is not None:
        run.fold(0).write_pseudo({"stages": [{"stage": 0, "knows_the_fold": kept}]})
    expected = "" if kept == "" else "a was itself trained on leaky pseudo-labels"
    assert leak(run) == expected
    assert split_leak(run, 0, scored_by(stored_table(run), 0)) == ""


def test_a_network_of_other_images_has_no_leak(here: Path) -> None:
    assert leak(write_run(here / "weights" / "a", competition="intel", seed=1)) == ""


def test_two_competitions_may_have_the_same_images(here: Path) -> None:
    run = write_run(here / "weights" / "a", competition="dogs-vs-cats", seed=1)
    assert "a has another split" in leak(run, competition="dogs-vs-cats-original")
    assert leak(run, seed=1, competition="dogs-vs-cats-original") == ""


def test_a_leak_through_a_run_of_another_competition_is_found(here: Path) -> None:
    """Crocs, then intel, then crocs again."""
    first = write_run(here / "weights" / "first")
    between = write_run(here / "weights" / "a", competition="intel", weights="run:first")
    assert leak(between) == "a does not say what its fold 0 was started from"
    between.fold(0).write_start(InitialWeights("first", first, 0).lineage)
    assert leak(between) == "a was started from first, which knows these images"
    assert leak(between, competition="cars") == ""
