"""Runs that are blended are joined by id; those that do not belong together are refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from podium.predictions.blend_members import read_pool
from podium.predictions.combine import assemble
from podium.runs.fold_folder import RunError
from podium.runs.run_folder import RunFolder
from small_runs import CLASSES, TEST, TRAIN, files, set_digests, write_run

pytestmark = pytest.mark.usefixtures("project")


def run(name: str) -> RunFolder:
    return RunFolder(Path("weights", name).resolve())


def change(name: str, file: str, edit: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Change a CSV of a run, all of it as text."""
    path = run(name).path / file
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    edit(table).to_csv(path, index=False)


def retrain(name: str, **changes: object) -> None:
    """Put another run in the place of one."""
    shutil.rmtree(run(name).path, ignore_errors=True)
    assemble(write_run(run(name).path, **changes))


def refuse(*runs: str, common: bool = False) -> str:
    """The message of the refusal; nothing is written."""
    before = files(Path())
    with pytest.raises(RunError) as caught:
        read_pool(runs, common)
    assert files(Path()) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_runs_are_joined_by_id_in_whatever_order_their_rows_are() -> None:
    before = read_pool(["a", "b", "weights/c"])
    change("b", "test.csv", lambda table: table.iloc[::-1])
    change("b", "out_of_fold.csv", lambda table: table.sample(frac=1, random_state=0))
    pool = read_pool(["a", "b", "c"])
    np.testing.assert_array_equal(pool.out_of_fold, before.out_of_fold)
    np.testing.assert_array_equal(pool.test, before.test)
    assert pool.labels.index.tolist() == sorted(TRAIN) and pool.test_ids.tolist() == TEST
    wanted = run("b").read_probabilities("out_of_fold").loc[sorted(TRAIN)]
    np.testing.assert_array_equal(pool.out_of_fold[1], wanted)


def test_other_images_out_of_fold_need_common() -> None:
    retrain("b", folds=[1], seed=1)
    message = refuse("a", "b")
    assert message.startswith(
        "a (folds 0, 1) and b (folds 1) have other images out of fold: 8 only in a ("
    )
    assert message.endswith(
        ", …). Train the missing folds, or judge on what all have with --common"
    )
    pool = read_pool(["a", "b"], common=True)
    assert sorted(pool.labels.index) == sorted(run("b").read_probabilities("out_of_fold").index)
    retrain("d", folds=[0], seed=1)
    message = refuse("a", "b", "d", common=True)
    assert message.startswith("no image is out of fold in all of a, b, d")


def test_a_fold_that_is_not_combined_yet_is_combined_first(project: Path) -> None:
    """It came by a merge, or the run was killed before the combination."""
    retrain("b", folds=[1], seed=1)
    complete = write_run(project / "elsewhere" / "b", seed=1)
    shutil.copytree(complete.fold(0).path, run("b").fold(0).path)
    write_run(run("new").path, seed=5)
    pool = read_pool(["a", "b", "new"])
    assert len(pool.labels) == 16
    assert [member.folds for member in pool.members] == [[0, 1]] * 3


def test_a_run_twice_is_refused() -> None:
    assert refuse("a", "b", "weights/../weights/a") == "the run a is named twice"


def test_a_run_that_is_missing_or_unfinished_is_refused() -> None:
    assert "no run 'd'" in refuse("a", "d")
    unfinished = write_run(run("d").path, folds=[])
    assert refuse("a", "d") == (
        f"{unfinished.path} has no trained fold yet: train it to its end first"
    )


def test_runs_of_other_competitions_are_refused() -> None:
    other = run("b").read_run()
    other["recipe"]["competition"] = "dogs-vs-cats"
    (run("b").path / "run.json").write_text(json.dumps(other))
    for file in ("test.csv", "out_of_fold.csv"):
        change("b", file, lambda table: table.set_axis(["id", "cat", "dog"], axis=1))
    assert refuse("a", "b") == (
        "the runs are of different competitions: a of clocks-or-crocs, b of dogs-vs-cats"
    )


def test_other_test_images_are_refused() -> None:
    ids = {"NA": "7", "10": "8", "2": "9"}
    change("b", "test.csv", lambda table: table.assign(id=table["id"].replace(ids)))
    assert refuse("a", "b") == (
        "a and b predict other test images: 3 only in a (10, 2, NA), 3 only in b (7, 8, 9)"
    )


def test_other_files_of_the_same_test_images_are_refused() -> None:
    set_digests(run("a"), "before")
    read_pool(["a", "b"])  # an older run has none
    set_digests(run("b"), "now")
    assert refuse("a", "b").startswith(
        "a and b predicted other files of 3 test images: podium predict both"
    )


def test_other_labels_are_refused() -> None:
    retrain("b", seed=1, labels={"clock/0": 1, "clock/2": 1, "clock/4": 1, "clock/6": 1})
    assert refuse("a", "b") == (
        "a and b have other labels for 4 images (clock/0, clock/2, clock/4, …)"
    )


def test_images_that_a_run_was_trained_on_are_refused() -> None:
    """The split was made anew after the predictions."""
    seen = run("b").read_probabilities("out_of_fold").index[[3, 9]]
    change(
        "b",
        "pictures.csv",
        lambda table: table.assign(fold=table["fold"].where(~table["id"].isin(seen), "-1")),
    )
    message = refuse("a", "b")
    assert message.startswith("b was trained on images of its out_of_fold.csv")
    assert all(name in message for name in seen)


def test_a_leaky_run_is_refused() -> None:
    leak = {"stages": [{"stage": 0, "knows_the_fold": "x has another split"}]}
    run("b").fold(1).write_pseudo(leak)
    message = refuse("a", "b")
    assert message.startswith("b is leaky: its pseudo-labels of fold 1 reveal labels")
    assert "(x has another split)" in message


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda table: table.assign(clock="0.9", crocodile="0.9"), "are no probabilities"),
        (lambda table: table.assign(clock="nan"), "are no probabilities"),
        (
            lambda table: table[["id", *CLASSES[::-1]]],
            "other classes than clocks-or-crocs: crocodile, clock",
        ),
    ],
    ids=["sum", "nan", "order"],
)
def test_values_that_are_no_probabilities_are_refused(
    edit: Callable[[pd.DataFrame], pd.DataFrame], expected: str
) -> None:
    change("b", "test.csv", edit)
    message = refuse("a", "b")
    assert expected in message and str(run("b").path / "test.csv") in message
