"""Folds become a run: views are kept only where they gain, and every test image gets its row."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from podium.competitions import get_competition
from podium.competitions.boxes import BOX_COLUMNS, NO_BOX, has_box, iou
from podium.predictions.combine import assemble, combine, score_folds, write_test
from podium.predictions.score import score
from podium.predictions.tta import average_tta
from podium.runs.fold_folder import RunError
from podium.runs.run import Run
from podium.runs.run_folder import RunFolder
from podium.runs.table import HELD_OUT, TRAIN_ONLY, Table
from small_runs import write_run

CLASSES = ["cat", "dog"]
COLUMNS = list(BOX_COLUMNS)
TEST = ["NA", "10", "2"]  # in the order of the submission
ALIKE = 5  # images of each kind, because a choice is judged on others than it is made on
KINDS = {"a": 1, "b": 0, "c": 1, "d": 0}


def predictions(view: str, dogs: dict[str, float]) -> pd.DataFrame:
    """Probabilities of one view, from each image's probability of a dog."""
    index = pd.MultiIndex.from_product([dogs, [view]], names=["id", "view"])
    dog = np.array(list(dogs.values()), np.float32)
    return pd.DataFrame(np.stack([1 - dog, dog], axis=1), index, CLASSES)


def each(values: dict[str, Any]) -> dict[str, Any]:
    """The value of a kind for each of its images: a0, a1, …"""
    return {f"{kind}{number}": value for kind, value in values.items() for number in range(ALIKE)}


def open_run(
    path: Path, labels: dict[str, int], folds: list[int], by_log_loss: bool = False
) -> Run:
    """A run with a table in memory; the accuracy of dogs and cats is the score."""
    train = pd.DataFrame(
        {"label": list(labels.values()), "group": range(len(labels)), "fold": folds},
        pd.Index(list(labels), name="id"),
    )
    test = pd.DataFrame({"problem": ""}, pd.Index(TEST, dtype=str, name="id"))
    competition = get_competition("dogs-vs-cats" if by_log_loss else "dogs-vs-cats-original")
    return Run(RunFolder(path / "run"), None, competition, Table(train, test))


def write_fold(
    folder: RunFolder, number: int, validation: list[pd.DataFrame], test: list[pd.DataFrame]
) -> None:
    fold = folder.fold(number)
    fold.write_predictions("validation", pd.concat(validation))
    fold.write_cost({"seconds": 60 + number})
    fold.write_predictions("test", pd.concat(test))


def two_folds(path: Path, mirrored: dict[str, float], by_log_loss: bool = False) -> Run:
    """The plain view is right on a, b and c and wrong on d; test images differ by fold."""
    folds = list(each({"a": 0, "b": 0, "c": 1, "d": 1}).values())
    run = open_run(path, each(KINDS), folds, by_log_loss)
    plain = {"a": 0.9, "b": 0.2, "c": 0.8, "d": 0.6}
    test = [{"2": 0.0, "10": 0.25, "NA": 1.0}, {"10": 0.75, "NA": 1.0, "2": 0.5}]
    for number, ids in enumerate(("ba", "dc")):
        write_fold(
            run.folder,
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
    return run


# --- Probabilities


def test_views_that_gain_are_kept_and_written(tmp_path: Path) -> None:
    # Each view alone is wrong on one kind, their mean on none.
    run = two_folds(tmp_path, mirrored={"a": 0.9, "b": 0.6, "c": 0.8, "d": 0.1})
    combined = combine(run)
    assert combined.folds == [0, 1]
    assert (combined.plain.value, combined.averaged.value, combined.score.value) == (0.75, 1, 1)
    assert combined.views.keys() == {"plain", "mirrored"}
    assert combined.views_used.startswith("plain 0.")
    assert combined.views_used.endswith("(plain alone 0.7500, equal weights 1.0000)")
    out_of_fold = run.folder.read_probabilities("out_of_fold")
    assert sorted(out_of_fold.index) == sorted(each(KINDS))
    weight = combined.views["plain"]
    assert out_of_fold.loc["d0", "dog"] == pytest.approx(0.6 * weight + 0.1 * (1 - weight))
    # Test images have p and 1 - p: by id, averaged over the folds.
    plain = np.array([1, 0.5, 0.25])
    test = run.folder.read_probabilities("test")
    np.testing.assert_allclose(test["dog"], weight * plain + (1 - weight) * (1 - plain), atol=1e-6)
    written = run.folder.read_score()
    assert written["score"] == combined.score.as_dict()
    assert (written["scored"], written["folds"]) == ("out-of-fold", [0, 1])
    assert written["views"] == combined.views
    assert (written["plain"]["value"], written["averaged_views"]["value"]) == (0.75, 1.0)
    alone = [{"value": 0.75, "views": {view: 1.0}} for view in ("plain", "mirrored")]
    assert written["tried_views"][:3] == [*alone, {"value": 1.0, "views": combined.views}]
    assert written["costs"] == {"0": {"seconds": 60}, "1": {"seconds": 61}}


def test_test_images_without_a_view_that_is_averaged_are_no_unreadable_ones(tmp_path: Path) -> None:
    """As after `podium predict RUN --views 1`: each would silently get the class prior."""
    run = two_folds(tmp_path, mirrored={"a": 0.9, "b": 0.1, "c": 0.9, "d": 0.1})
    assert "mirrored" in combine(run).views
    fold = run.folder.fold(1)
    plain = fold.read_predictions("test").xs("plain", level="view", drop_level=False)
    fold.write_predictions("test", plain)
    before = run.folder.read_probabilities("test")
    with pytest.raises(RunError, match=r"fold 1 of run .* 'mirrored', .*: podium predict run"):
        combine(run)
    pd.testing.assert_frame_equal(run.folder.read_probabilities("test"), before)


def test_a_view_alone_may_be_the_best(tmp_path: Path) -> None:
    run = two_folds(tmp_path, mirrored={"a": 0.99, "b": 0.01, "c": 0.99, "d": 0.01})
    assert combine(run).views == {"mirrored": 1.0}


@pytest.mark.parametrize("d", [0.6, 0.9], ids=["as good", "worse"])
def test_views_that_do_not_gain_are_dropped(tmp_path: Path, d: float) -> None:
    mirrored = {"a": 0.9, "b": 0.8 if d == 0.9 else 0.2, "c": 0.8, "d": d}
    run = two_folds(tmp_path, mirrored)
    combined = combine(run)
    assert combined.averaged.value <= combined.plain.value == combined.score.value == 0.75
    assert combined.views == {"plain": 1.0}
    found = run.folder.read_probabilities("out_of_fold").loc[["a0", "b1", "c2", "d3"], "dog"]
    np.testing.assert_allclose(found, [0.9, 0.2, 0.8, 0.6])
    # By id, averaged over the folds, in the order of the submission.
    test = run.folder.read_probabilities("test")
    assert test.index.tolist() == TEST
    np.testing.assert_allclose(test["dog"], [1, 0.5, 0.25])
    write_test(run, folds=[1], views={"plain": 1.0})
    np.testing.assert_allclose(run.folder.read_probabilities("test")["dog"], [1, 0.75, 0.5])


def test_log_loss_keeps_views_where_it_falls(tmp_path: Path) -> None:
    mirrored = {"a": 0.99, "b": 0.01, "c": 0.99, "d": 0.55}
    combined = combine(two_folds(tmp_path, mirrored, by_log_loss=True))
    assert "mirrored" in combined.views
    assert combined.score.metric == "log loss"
    assert combined.score.value < combined.plain.value > combined.averaged.value


def overconfident(path: Path, powers: tuple[float, float], images: int = 400) -> Run:
    """Two folds of dogs and cats whose logarithms of the odds are so many times too large."""
    random = np.random.default_rng(0)
    odds = random.normal(0, 1.5, images)
    labels = (random.random(images) < 1 / (1 + np.exp(-odds))).astype(int)
    names = [f"i{number}" for number in range(images)]
    folds = np.arange(images) % 2
    run = open_run(path, dict(zip(names, labels, strict=True)), list(folds), by_log_loss=True)
    for fold, power in enumerate(powers):
        said = 1 / (1 + np.exp(-power * odds))
        own = {name: said[number] for number, name in enumerate(names) if folds[number] == fold}
        tests = dict.fromkeys(TEST, float(1 / (1 + np.exp(-power))))
        write_fold(run.folder, fold, [predictions("plain", own)], [predictions("plain", tests)])
    return run


def test_each_folds_network_is_calibrated_by_its_own_temperature(tmp_path: Path) -> None:
    run = overconfident(tmp_path, powers=(4.0, 2.0))
    combined = combine(run)
    temperatures = [combined.calibrations[fold].temperature for fold in (0, 1)]
    assert temperatures == [pytest.approx(4, rel=0.3), pytest.approx(2, rel=0.3)]
    assert combined.score.value < combined.uncalibrated.value - 0.1
    # Both networks say the same of the test images once they are calibrated: the true odds.
    dog = run.folder.read_probabilities("test")["dog"]
    np.testing.assert_allclose(dog, 1 / (1 + np.exp(-1.0)), atol=0.05)
    written = run.folder.read_score()
    assert written["score"]["value"] == pytest.approx(combined.score.value)
    assert written["uncalibrated"]["value"] == pytest.approx(combined.uncalibrated.value)
    assert written["calibration"]["1"]["temperature"] == pytest.approx(temperatures[1])


def test_the_interval_of_all_folds_is_wider_than_that_of_their_images(tmp_path: Path) -> None:
    run = overconfident(tmp_path, powers=(1.0, 1.0))
    both = combine(run)
    truth, predicted = run.table.train["label"], both.out_of_fold
    plain = score(run.competition.metric, truth, predicted, run.table.train["group"])
    assert run.folder.read_score()["widening"] == both.widening == pytest.approx(np.sqrt(3))
    assert both.score == plain.widened(both.widening)
    assert score_folds(run, [0]).widening == 1


def test_networks_that_are_calibrated_are_left_as_they_are(tmp_path: Path) -> None:
    combined = combine(overconfident(tmp_path, powers=(1.0, 1.0)))
    assert combined.calibrations == {} and combined.score == combined.uncalibrated


def test_only_what_kaggle_takes_is_offered_to_submit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clocks and crocs are no competition of Kaggle's; cats and dogs are: see test_train."""
    monkeypatch.chdir(tmp_path)
    said = str(assemble(write_run(tmp_path / "weights" / "mine"))).splitlines()
    assert said[-1] == "next        podium serve mine"
    assert not any("podium submit" in line for line in said)


def test_a_fold_without_test_predictions_is_scored_and_not_combined(tmp_path: Path) -> None:
    run = two_folds(tmp_path, mirrored={"a": 0.9, "b": 0.2, "c": 0.8, "d": 0.1})
    folder, files = run.folder, set(run.folder.path.rglob("*"))
    (folder.fold(0).path / "test.csv").unlink()
    scored = score_folds(run, [0])
    assert (scored.plain.value, scored.averaged.value, scored.score.images) == (1.0, 1.0, 10)
    assert str(scored).endswith("; 1 of 2 folds are trained")
    assert set(folder.path.rglob("*")) < files, "nothing is written"
    combined = combine(run)
    assert (combined.folds, combined.score.images) == ([1], 10)
    assert sorted(folder.read_probabilities("out_of_fold").index) == sorted(each({"c": 1, "d": 0}))
    (folder.fold(1).path / "test.csv").unlink()
    with pytest.raises(RunError, match=r"fold 0, 1 is trained .*: podium predict run"):
        combine(run)


def test_without_a_trained_fold_nothing_is_combined(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no trained fold yet: train it to its end first"):
        combine(open_run(tmp_path, {"a": 0}, [0]))


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
    tmp_path: Path, mirrored: dict[str, float], view: str, score: float
) -> None:
    plain = {"b": 0.6, "c": 0.8, "d": 0.3, "e": 0.9}
    test = [predictions(name, dict.fromkeys(TEST, 0.5)) for name in ("plain", "mirrored")]
    validation = [predictions("plain", each(plain)), predictions("mirrored", each(mirrored))]
    run = open_run(tmp_path, HELD_OUT_LABELS, list(HELD_OUT_FOLDS.values()))
    write_fold(run.folder, 0, validation, test)
    combined = combine(run)
    assert combined.plain.value == 0.5  # of b and c
    assert max(combined.views, key=lambda name: combined.views[name]) == view
    assert combined.score.value == score  # of d and e
    assert combined.score.images == 10
    assert combined.scored == run.folder.read_score()["scored"] == "held-out"
    assert str(combined) == f"held-out {combined.score}"  # one fold is all there is
    assert len(run.folder.read_probabilities("out_of_fold")) == 20


def test_the_only_validation_share_is_not_called_out_of_fold(tmp_path: Path) -> None:
    folds = each({"a": TRAIN_ONLY, "b": 0, "c": 0})
    run = open_run(tmp_path, each({"a": 1, "b": 0, "c": 1}), list(folds.values()))
    validation = predictions("plain", each({"b": 0.1, "c": 0.8}))
    write_fold(run.folder, 0, [validation], [predictions("plain", dict.fromkeys(TEST, 0.5))])
    assert combine(run).scored == "validation"


def test_unreadable_test_images_get_the_class_prior(tmp_path: Path) -> None:
    run = open_run(tmp_path, {"a": 1, "b": 0, "c": 1, "d": 1}, [0] * 4)
    validation = [predictions("plain", {"a": 0.9, "b": 0.2, "c": 0.8, "d": 0.6})]
    write_fold(run.folder, 0, validation, [predictions("plain", {"2": 0.125})])
    with pytest.raises(RunError, match="has not predicted 2 test images in the view 'plain'"):
        combine(run)
    run.table.test.loc[["NA", "10"], "problem"] = "cut off"
    combine(run)
    test = run.folder.read_probabilities("test")
    assert test.index.tolist() == TEST
    np.testing.assert_allclose(test["dog"], [0.75, 0.75, 0.125])


# --- Boxes

IDS = [f"pet_{number}" for number in range(20)]
FOLDS = [number % 2 for number in range(len(IDS))]


def right_boxes() -> pd.DataFrame:
    random = np.random.default_rng(0)
    corner, side = random.uniform(0, 0.5, (len(IDS), 2)), random.uniform(0.2, 0.5, (len(IDS), 2))
    boxes = np.concatenate([corner, corner + side], axis=1).astype(np.float32)
    boxes[4] = NO_BOX  # nobody drew one
    return pd.DataFrame(boxes, pd.Index(IDS, name="id"), COLUMNS)


def boxes_in_views(ids: list[str], views: dict[str, float]) -> pd.DataFrame:
    """The right boxes, moved by so much in each view; of an image without one, the middle."""
    truth = right_boxes().loc[ids].fillna(0.4)
    moved = {view: truth + np.float32(shift) for view, shift in views.items()}
    joined = pd.concat(moved, names=["view", "id"]).swaplevel()
    return joined.assign(cat=1.0, dog=0.0)[["cat", "dog", *COLUMNS]]


def box_run(path: Path, fold: list[int], *validation: pd.DataFrame) -> Run:
    """A run whose folds predicted these images."""
    folder = RunFolder(path)
    for number, table in enumerate(validation):
        folder.fold(number).write_predictions("validation", table)
        folder.fold(number).write_cost({})
    train = right_boxes().assign(label=0, group=range(len(IDS)), fold=fold)
    test = pd.DataFrame({"problem": ""}, pd.Index(["t", "u"], name="id"))
    return Run(folder, None, get_competition("pets"), Table(train, test))


def both(path: Path, views: dict[str, float]) -> Run:
    return box_run(path, FOLDS, *(boxes_in_views(IDS[fold::2], views) for fold in (0, 1)))


def test_views_whose_boxes_err_to_either_side_are_averaged(tmp_path: Path) -> None:
    run = both(tmp_path, {"plain": 0.04, "mirrored": -0.04, "center": 0.3})
    found = score_folds(run, [0, 1]).boxes
    assert found.views == {"plain": 0.5, "mirrored": 0.5}
    assert [one.metric for one in found.scores] == ["mean IoU", "IoU over 0.5", "IoU over 0.75"]
    assert found.score.value == pytest.approx(1, abs=1e-4) and found.plain.value < 0.9
    assert found.score.images == 19, "one has no box to judge by"
    assert sorted(found.out_of_fold.index) == sorted(IDS), "and is predicted all the same"


def test_the_plain_view_stays_where_the_boxes_of_others_are_worse(tmp_path: Path) -> None:
    run = both(tmp_path, {"plain": 0.0, "mirrored": 0.05})
    assert score_folds(run, [0, 1]).boxes.views == {"plain": 1.0}


def test_the_boxes_of_held_out_images_are_scored(tmp_path: Path) -> None:
    """They are predicted well here, the validation images are not."""
    held_out = IDS[::4]
    good = boxes_in_views(held_out, {"plain": 0.0})
    bad = boxes_in_views([name for name in IDS if name not in held_out], {"plain": 0.1})
    fold = [HELD_OUT if name in held_out else 0 for name in IDS]
    found = score_folds(box_run(tmp_path, fold, pd.concat([good, bad])), [0]).boxes
    assert found.score.value == pytest.approx(1, abs=1e-4)
    assert found.score.images == sum(has_box(right_boxes().loc[held_out]))
    assert found.plain.value < 0.8, "views are chosen on the others"
    truth = right_boxes().loc[held_out[:1]]
    assert iou(truth, found.out_of_fold.loc[held_out[:1]]) == pytest.approx(1, abs=1e-4)


def test_images_without_any_box_are_refused(tmp_path: Path) -> None:
    run = box_run(tmp_path, [0] * len(IDS), boxes_in_views(["pet_4"], {"plain": 0.0}))
    with pytest.raises(ValueError, match="none of the scored images has a box"):
        score_folds(run, [0])


def test_test_boxes_are_the_mean_of_folds_and_views(tmp_path: Path) -> None:
    run = box_run(tmp_path, FOLDS)
    run.table.test.loc["u", "problem"] = "cut off"
    for fold, shift in enumerate((0.1, 0.2)):
        box = np.float32([0.1, 0.1, 0.5, 0.5]) + shift
        index = pd.MultiIndex.from_tuples([("t", "plain"), ("t", "mirrored")], names=["id", "view"])
        boxes = pd.DataFrame([box, box + 0.1], index, COLUMNS).assign(cat=1.0, dog=0.0)
        run.folder.fold(fold).write_predictions("test", boxes[["cat", "dog", *COLUMNS]])
    write_test(run, [0, 1], None, {"plain": 1.0})
    found = run.folder.read_boxes("test")
    np.testing.assert_allclose(found.loc["t"], [0.25, 0.25, 0.65, 0.65], atol=1e-6)
    assert found.loc["u"].isna().all(), "could not be read"
    write_test(run, [0, 1], None, {"plain": 0.25, "mirrored": 0.75})
    weighted = run.folder.read_boxes("test")
    np.testing.assert_allclose(weighted.loc["t"], found.loc["t"] + 0.075, atol=1e-6)


# --- average_tta


@pytest.fixture
def two_views() -> pd.DataFrame:
    """The second view has the images in another order."""
    plain, mirrored = {"a": 1.0, "b": 0.0, "c": 0.5}, {"c": 1.0, "a": 0.5, "b": 1.0}
    return pd.concat([predictions("plain", plain), predictions("mirrored", mirrored)])


@pytest.mark.parametrize(
    ("weights", "dog"),
    [
        (None, {"a": 0.75, "b": 0.5, "c": 0.75}),
        ({"plain": 0.5, "mirrored": 0.5}, {"a": 0.75, "b": 0.5, "c": 0.75}),
        ({"plain": 0.75, "mirrored": 0.25}, {"a": 0.875, "b": 0.25, "c": 0.625}),
        ({"mirrored": 2.0}, {"a": 0.5, "b": 1.0, "c": 1.0}),
    ],
)
def test_views_are_averaged_by_id_and_weight(
    two_views: pd.DataFrame, weights: dict[str, float] | None, dog: dict[str, float]
) -> None:
    mean = average_tta(two_views, weights)
    assert mean.index.name == "id" and mean["dog"].to_dict() == dog
    for seed in range(3):
        shuffled = average_tta(two_views.sample(frac=1, random_state=seed), weights)
        pd.testing.assert_frame_equal(shuffled.loc[mean.index], mean)


def test_folds_are_averaged(two_views: pd.DataFrame) -> None:
    other = predictions("plain", {"a": 0.0})
    mean = average_tta(pd.concat([two_views, other]), {"plain": 1.0})
    assert mean["dog"].to_dict() == {"a": 0.5, "b": 0.0, "c": 0.5}


def test_rows_are_float32_that_sum_to_one() -> None:
    values = np.random.default_rng(0).dirichlet([0.1] * 3, 300).astype(np.float16)
    index = pd.MultiIndex.from_product([range(300), ["plain"]], names=["id", "view"])
    mean = average_tta(pd.DataFrame(values, index))  # as mixed precision leaves them
    assert set(mean.dtypes) == {np.dtype(np.float32)}
    np.testing.assert_allclose(mean.sum(axis=1), 1, atol=3e-7)
