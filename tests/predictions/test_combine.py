"""From folds to a run: views are kept only where they gain, and every test image gets its row."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from podium.competitions import get_competition
from podium.predictions.combine import combine, read_validation, score_folds, write_test
from podium.runs.fold_folder import RunError
from podium.runs.run_folder import RunFolder
from podium.runs.table import HELD_OUT, TRAIN_ONLY, Table

DOGS_OR_CATS = get_competition("dogs-vs-cats-original")  # scored by accuracy
CLASSES = list(DOGS_OR_CATS.classes)
TEST = ["NA", "10", "2"]  # in the order of the submission


def predictions(view: str, dogs: dict[str, float]) -> pd.DataFrame:
    """Probabilities of one view, from each image's probability of a dog."""
    index = pd.MultiIndex.from_product([dogs, [view]], names=["id", "view"])
    dog = np.array(list(dogs.values()), np.float32)
    return pd.DataFrame(np.stack([1 - dog, dog], axis=1), index, CLASSES)


def table(labels: dict[str, int], folds: list[int], unreadable: tuple[str, ...] = ()) -> Table:
    ids = pd.Index(list(labels), name="id")
    train = pd.DataFrame(
        {
            "path": [Path(f"{name}.jpg") for name in labels],
            "label": list(labels.values()),
            "group": range(len(labels)),
            "fold": folds,
        },
        ids,
    )
    problems = ["the file is empty" if name in unreadable else "" for name in TEST]
    test_ids = pd.Index(TEST, dtype=str, name="id")
    paths = [Path(f"{name}.jpg") for name in TEST]
    return Table(train, pd.DataFrame({"path": paths, "problem": problems}, test_ids))


def write_fold(
    folder: RunFolder, number: int, validation: list[pd.DataFrame], test: list[pd.DataFrame]
) -> None:
    fold = folder.fold(number)
    fold.write_predictions("validation", pd.concat(validation))
    fold.write_cost({"seconds": 60 + number})
    fold.write_predictions("test", pd.concat(test))


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


ALIKE = 5  # images of each kind, because a choice is judged on others than it is made on
KINDS = {"a": 1, "b": 0, "c": 1, "d": 0}


def each(values: dict[str, Any]) -> dict[str, Any]:
    """The value of a kind for each of its images: a0, a1, …"""
    return {f"{kind}{number}": value for kind, value in values.items() for number in range(ALIKE)}


TWO_FOLDS = table(each(KINDS), list(each({"a": 0, "b": 0, "c": 1, "d": 1}).values()))


def write_two_folds(folder: RunFolder, mirrored: dict[str, float]) -> None:
    """The plain view is right on a, b and c and wrong on d; test images differ by fold."""
    plain = {"a": 0.9, "b": 0.2, "c": 0.8, "d": 0.6}
    test = [{"2": 0.0, "10": 0.25, "NA": 1.0}, {"10": 0.75, "NA": 1.0, "2": 0.5}]
    for number, ids in enumerate(("ba", "dc")):
        write_fold(
            folder,
            number,
            [
                predictions("plain", each({kind: plain[kind] for kind in ids})),
                predictions("mirrored", each({kind: mirrored[kind] for kind in reversed(ids)})),
            ],
            [
                predictions("plain", test[number]),
                predictions("mirrored", {one: 1 - dog for one, dog in test[number].items()}),
            ],
        )


def test_views_that_gain_are_kept(folder: RunFolder) -> None:
    # Each view alone is wrong on one kind, their mean on none.
    write_two_folds(folder, mirrored={"a": 0.9, "b": 0.6, "c": 0.8, "d": 0.1})
    combined = combine(folder, DOGS_OR_CATS, TWO_FOLDS)
    assert combined.folds == [0, 1]
    assert (combined.plain.value, combined.averaged.value) == (0.75, 1.0)
    assert combined.views.keys() == {"plain", "mirrored"}
    assert combined.score.value == 1.0
    out_of_fold = folder.read_probabilities("out_of_fold")
    assert sorted(out_of_fold.index) == sorted(each(KINDS))
    weight = combined.views["plain"]
    assert out_of_fold.loc["d0", "dog"] == pytest.approx(0.6 * weight + 0.1 * (1 - weight))
    # Test images have p and 1 - p: by id, averaged over the folds.
    plain = np.array([1, 0.5, 0.25])
    test = folder.read_probabilities("test")
    np.testing.assert_allclose(test["dog"], weight * plain + (1 - weight) * (1 - plain), atol=1e-6)


def test_a_view_alone_may_be_the_best(folder: RunFolder) -> None:
    write_two_folds(folder, mirrored={"a": 0.99, "b": 0.01, "c": 0.99, "d": 0.01})
    assert combine(folder, DOGS_OR_CATS, TWO_FOLDS).views == {"mirrored": 1.0}


@pytest.mark.parametrize("d", [0.6, 0.9], ids=["as good", "worse"])
def test_views_that_do_not_gain_are_dropped(folder: RunFolder, d: float) -> None:
    write_two_folds(folder, mirrored={"a": 0.9, "b": 0.8 if d == 0.9 else 0.2, "c": 0.8, "d": d})
    combined = combine(folder, DOGS_OR_CATS, TWO_FOLDS)
    assert combined.averaged.value <= combined.plain.value == 0.75
    assert combined.views == {"plain": 1.0}
    assert combined.score.value == combined.plain.value
    out_of_fold = folder.read_probabilities("out_of_fold")
    found = out_of_fold.loc[["a0", "b1", "c2", "d3"], "dog"]
    np.testing.assert_allclose(found, [0.9, 0.2, 0.8, 0.6])
    # By id, averaged over the folds, in the order of the submission.
    test = folder.read_probabilities("test")
    assert test.index.tolist() == TEST
    np.testing.assert_allclose(test["dog"], [1, 0.5, 0.25])


def test_log_loss_keeps_views_where_it_falls(folder: RunFolder) -> None:
    write_two_folds(folder, mirrored={"a": 0.99, "b": 0.01, "c": 0.99, "d": 0.55})
    combined = combine(folder, get_competition("dogs-vs-cats"), TWO_FOLDS)
    assert combined.averaged.value < combined.plain.value
    assert "mirrored" in combined.views
    assert combined.score.metric == "log loss"
    assert combined.score.value < combined.plain.value


def test_what_was_found_is_written(folder: RunFolder) -> None:
    write_two_folds(folder, mirrored={"a": 0.9, "b": 0.6, "c": 0.8, "d": 0.1})
    combined = combine(folder, DOGS_OR_CATS, TWO_FOLDS)
    written = folder.read_score()
    assert written["score"] == combined.score.as_dict()
    assert written["scored"] == "out-of-fold"
    assert written["folds"] == [0, 1]
    assert written["views"] == combined.views
    assert (written["plain"]["value"], written["averaged_views"]["value"]) == (0.75, 1.0)
    alone = [{"value": 0.75, "views": {view: 1.0}} for view in ("plain", "mirrored")]
    assert written["tried_views"][:2] == alone
    assert written["tried_views"][2] == {"value": 1.0, "views": combined.views}
    assert written["costs"] == {"0": {"seconds": 60}, "1": {"seconds": 61}}
    folder_line = f"views       {combined.views_used}"
    assert folder_line.startswith("views       plain 0.")
    assert folder_line.endswith("(plain alone 0.7500, all alike 1.0000)")


def test_without_a_finished_fold_there_is_nothing_to_combine(folder: RunFolder) -> None:
    with pytest.raises(RunError, match="no trained fold yet: train it to its end first"):
        combine(folder, DOGS_OR_CATS, TWO_FOLDS)


def test_a_fold_without_test_predictions_is_scored_and_not_combined(folder: RunFolder) -> None:
    write_two_folds(folder, mirrored={"a": 0.9, "b": 0.2, "c": 0.8, "d": 0.1})
    files = set(folder.path.rglob("*"))
    (folder.fold(0).path / "test.csv").unlink()
    validation = read_validation(folder, [0])
    scored = score_folds(validation, [0], DOGS_OR_CATS, TWO_FOLDS)
    assert (scored.plain.value, scored.averaged.value, scored.score.images) == (1.0, 1.0, 10)
    assert str(scored).endswith("; 1 of 2 folds are trained")
    assert set(folder.path.rglob("*")) < files, "a look at the score writes nothing"
    assert folder.scored_folds() == [0, 1]
    (folder.fold(1).path / "test.csv").unlink()
    with pytest.raises(RunError, match=r"fold 0, 1 is trained .*: podium predict run"):
        combine(folder, DOGS_OR_CATS, TWO_FOLDS)


def test_folds_that_are_not_trained_yet_are_said(folder: RunFolder) -> None:
    write_two_folds(folder, mirrored={"a": 0.9, "b": 0.2, "c": 0.8, "d": 0.1})
    (folder.fold(0).path / "test.csv").unlink()
    combined = combine(folder, DOGS_OR_CATS, TWO_FOLDS)
    assert combined.folds == [1]
    assert combined.score.images == 10
    assert str(combined).endswith("; 1 of 2 folds are trained")
    found = folder.read_probabilities("out_of_fold").index
    assert sorted(found) == sorted(each({"c": 1, "d": 0}))


HELD_OUT_LABELS = each({"a": 1, "b": 0, "c": 1, "d": 0, "e": 1})
HELD_OUT_FOLDS = each({"a": TRAIN_ONLY, "b": 0, "c": 0, "d": HELD_OUT, "e": HELD_OUT})


@pytest.mark.parametrize(
    ("mirrored", "view", "score"),
    [
        # The views gain on the validation share and lose on the held-out one, or the reverse.
        ({"b": 0.1, "c": 0.8, "d": 0.9, "e": 0.8}, "mirrored", 0.5),
        ({"b": 0.9, "c": 0.8, "d": 0.1, "e": 0.8}, "plain", 1.0),
    ],
)
def test_the_held_out_share_is_scored_and_chooses_nothing(
    folder: RunFolder, mirrored: dict[str, float], view: str, score: float
) -> None:
    plain = {"b": 0.6, "c": 0.8, "d": 0.3, "e": 0.9}
    test = [predictions("plain", dict.fromkeys(TEST, 0.5))]
    test.append(predictions("mirrored", dict.fromkeys(TEST, 0.5)))
    validation = [predictions("plain", each(plain)), predictions("mirrored", each(mirrored))]
    write_fold(folder, 0, validation, test)
    folds = list(HELD_OUT_FOLDS.values())
    combined = combine(folder, DOGS_OR_CATS, table(HELD_OUT_LABELS, folds))
    assert combined.plain.value == 0.5  # of b and c
    assert max(combined.views, key=lambda name: combined.views[name]) == view
    assert combined.score.value == score  # of d and e
    assert combined.score.images == 10
    assert combined.scored == folder.read_score()["scored"] == "held-out"
    assert str(combined) == f"held-out {combined.score}"  # one fold is all there is
    assert len(folder.read_probabilities("out_of_fold")) == 20


def test_test_images_that_nobody_can_read_get_the_class_prior(folder: RunFolder) -> None:
    labels = {"a": 1, "b": 0, "c": 1, "d": 1}
    unreadable = ("10", "NA")
    write_fold(
        folder,
        0,
        [predictions("plain", {"a": 0.9, "b": 0.2, "c": 0.8, "d": 0.6})],
        [predictions("plain", {"2": 0.125})],
    )
    readable = table(labels, [0] * 4, unreadable)
    assert readable.readable_test.index.tolist() == ["2"]
    combine(folder, DOGS_OR_CATS, readable)
    test = folder.read_probabilities("test")
    assert test.index.tolist() == TEST
    np.testing.assert_allclose(test["dog"], [0.75, 0.75, 0.125])
    submission = DOGS_OR_CATS.validated_submission(test, readable.test.index)
    assert submission["id"].tolist() == TEST
    assert submission["label"].tolist() == [1, 1, 0]


def test_the_test_images_are_written_again_from_the_chosen_folds(folder: RunFolder) -> None:
    write_two_folds(folder, mirrored={"a": 0.9, "b": 0.2, "c": 0.8, "d": 0.1})
    write_test(folder, DOGS_OR_CATS, TWO_FOLDS, folds=[1], views={"plain": 1.0})
    np.testing.assert_allclose(folder.read_probabilities("test")["dog"], [1, 0.75, 0.5])
