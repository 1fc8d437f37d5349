"""Which runs may be made a soup of; what is in them is made up."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from podium.runs.fold_folder import RunError
from podium.runs.run_folder import RunFolder
from podium.runs.table import stored_table
from podium.training.soup_members import CannotSoup, ingredients_of, read_runs
from small_runs import TRAIN, write_run

Make = Callable[..., RunFolder]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A run in weights/, with checkpoints of these epochs in each of its folds."""
    monkeypatch.chdir(tmp_path)

    def make(name: str, epochs: tuple[int, ...] = (), **arguments: Any) -> RunFolder:
        folder = write_run(tmp_path / "weights" / name, **arguments)
        for fold in folder.scored_folds():
            for epoch in epochs:
                path = folder.fold(fold).checkpoint(epoch)
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(b"weights")
        return folder

    return make


def test_the_best_weights_and_all_checkpoints_of_each_run(make: Make) -> None:
    make("a", epochs=(9, 10))
    make("b", folds=[1])
    members = read_runs(["a", "b"])
    assert [str(one) for one in ingredients_of(members, 0)] == ["best", "epoch 9", "epoch 10"]
    of_second = [(one.run, one.epoch) for one in ingredients_of(members, 1)]
    assert of_second == [("a", None), ("a", 9), ("a", 10), ("b", None)]


def test_nothing_to_average_is_told(make: Make) -> None:
    make("a")
    with pytest.raises(CannotSoup, match=r"fold 0 of a has one set of weights.*checkpoints=5"):
        read_runs(["a"])
    with pytest.raises(CannotSoup, match="name a run"):
        read_runs([])
    make("b", folds=[0])
    with pytest.raises(CannotSoup, match="fold 1 of a has one set"):
        read_runs(["a", "b"])


def test_weights_that_were_deleted_are_no_ingredients(make: Make) -> None:
    folder = make("a", epochs=(3,))
    folder.fold(0).delete_weights()
    assert read_runs(["a"])[0].folds == [1]
    folder.fold(1).delete_weights()
    with pytest.raises(CannotSoup, match="no trained fold with its weights"):
        read_runs(["a"])


def test_another_split_is_refused_by_name_with_counts(make: Make) -> None:
    first, other = make("a"), make("other", seed=1)
    mine, theirs = (stored_table(run).train for run in (first, other))
    scored = mine.index[mine["fold"] == 0]
    seen = scored[theirs.loc[scored, "fold"] != 0]
    assert 0 < len(seen) < len(scored)
    with pytest.raises(CannotSoup) as caught:
        read_runs(["a", "other"])
    assert (
        f"other has another split than a: its fold 0 was trained on {len(seen)} of the "
        f"{len(scored)} images that fold 0 of a is scored on ({seen[0]}"
    ) in str(caught.value)


def test_only_folds_that_both_have_must_agree(make: Make) -> None:
    make("a", folds=[0], epochs=(1,))
    make("other", seed=1, folds=[1])
    assert read_runs(["a", "other"])[0].folds == [0]


def test_a_near_copy_of_a_scored_image_counts_as_seen(make: Make) -> None:
    first, other = make("a", epochs=(1,)), make("b")
    images, train = first.read_images(), stored_table(first).train
    scored = train.index[train["fold"] == 0]
    # In the first run an image has a copy in its fold; the other run trained on the copy alone.
    copied, copy = scored[:2]
    images.loc[copy, "group"] = images.loc[copied, "group"]
    first.write_images(images.reset_index().set_index(["part", "id"]))
    read_runs(["a", "b"])
    theirs = other.read_images().drop(index=copied)
    theirs.loc[copy, "fold"] = "1"
    other.write_images(theirs.reset_index().set_index(["part", "id"]))
    with pytest.raises(CannotSoup, match=f"trained on 2 of the {len(scored)} images"):
        read_runs(["a", "b"])


def test_images_that_only_one_run_has_do_not_matter(make: Make) -> None:
    make("a")
    fewer = make("fewer")
    images = fewer.read_images().drop(index=TRAIN[3:7])
    fewer.write_images(images.reset_index().set_index(["part", "id"]))
    assert len(read_runs(["a", "fewer"])) == 2
    assert len(read_runs(["fewer", "a"])) == 2


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"backbone": "resnet-patches"}, "backbone is 'resnet-patches', not 'resnet-small'"),
        ({"head": {"width": 8}}, "head.width is 8, not 256"),
        ({"head": {"pooling": "both"}}, "head.pooling is 'both', not 'average'"),
    ],
)
def test_another_network_is_refused(make: Make, changes: dict[str, Any], told: str) -> None:
    make("a")
    make("other", **changes)
    with pytest.raises(CannotSoup) as caught:
        read_runs(["a", "other"])
    assert f"other is another network than a: {told}" in str(caught.value)


def test_what_does_not_change_the_layers_may_differ(make: Make) -> None:
    make("a")
    make("b", head={"dropout": 0.5}, label_smoothing=0.1, image_size=24)
    assert len(read_runs(["a", "b"])) == 2


def test_a_run_twice_or_two_of_one_name_are_refused(make: Make, tmp_path: Path) -> None:
    make("a", epochs=(1,))
    with pytest.raises(CannotSoup, match="the run a is named twice"):
        read_runs(["a", "weights/a"])
    write_run(tmp_path / "elsewhere" / "a")
    with pytest.raises(CannotSoup, match="two runs are called a"):
        read_runs(["a", "elsewhere/a"])


def test_blends_soups_and_kernels_are_refused(make: Make, tmp_path: Path) -> None:
    make("a", epochs=(1,))
    soup = make("a-soup")
    soup.write_run({**soup.read_run(), "soup": {"runs": [{"run": "a"}], "folds": []}})
    with pytest.raises(CannotSoup, match=r"a-soup is a soup of a, .*: name these runs"):
        read_runs(["a", "a-soup"])
    RunFolder(tmp_path / "weights" / "blend").write_run({"runs": ["a", "b"]})
    with pytest.raises(RunError, match="is a blend of a, b"):
        read_runs(["a", "blend"])
    make(
        "kernels",
        backbone="patches",
        head={"width": 0, "centers": 8},
        cached_views=1,
        stages=[{"unfreeze": "head", "solver": "kernel"}],
    )
    with pytest.raises(CannotSoup, match="head of kernels"):
        read_runs(["kernels"])
