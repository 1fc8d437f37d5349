"""The boxes of folds become the run's: views that gain, honest scores, and test boxes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from podium.competitions.boxes import BOX_COLUMNS, NO_BOX, has_box, iou
from podium.predictions.combine_boxes import combine_boxes, combine_test_boxes
from podium.runs.run_folder import RunFolder
from podium.runs.table import HELD_OUT, Table

COLUMNS = list(BOX_COLUMNS)
IDS = [f"pet_{number}" for number in range(20)]


def right_boxes() -> pd.DataFrame:
    random = np.random.default_rng(0)
    corner, side = random.uniform(0, 0.5, (len(IDS), 2)), random.uniform(0.2, 0.5, (len(IDS), 2))
    boxes = np.concatenate([corner, corner + side], axis=1).astype(np.float32)
    boxes[4] = NO_BOX  # nobody drew one
    return pd.DataFrame(boxes, pd.Index(IDS, name="id"), COLUMNS)


def table(fold: list[int]) -> Table:
    train = right_boxes().assign(label=0, group=range(len(IDS)), fold=fold)
    return Table(train, pd.DataFrame({"problem": ""}, pd.Index(["t", "u"], name="id")))


def predicted(ids: list[str], views: dict[str, float]) -> pd.DataFrame:
    """The right boxes, moved by so much in each view; of what has none, the middle."""
    truth = right_boxes().loc[ids].fillna(0.4)
    moved = {view: truth + np.float32(shift) for view, shift in views.items()}
    joined = pd.concat(moved, names=["view", "id"]).swaplevel()
    return joined.assign(cat=1.0, dog=0.0)[["cat", "dog", *COLUMNS]]


def run(folder: Path, views: dict[str, float]) -> RunFolder:
    made = RunFolder(folder)
    for fold in (0, 1):
        made.fold(fold).write_predictions("validation", predicted(IDS[fold::2], views))
    return made


FOLDS = [number % 2 for number in range(len(IDS))]


def test_views_that_err_to_either_side_are_averaged(tmp_path: Path) -> None:
    folder = run(tmp_path, {"plain": 0.04, "mirrored": -0.04, "center": 0.3})
    found = combine_boxes(folder, [0, 1], table(FOLDS))
    assert found.views == {"plain": 0.5, "mirrored": 0.5}
    assert [one.metric for one in found.scores] == ["mean IoU", "IoU over 0.5", "IoU over 0.75"]
    assert found.scores[0].value == pytest.approx(1, abs=1e-4) and found.plain < 0.9
    assert found.scores[0].images == 19, "one has no box to judge by"
    assert sorted(found.out_of_fold.index) == sorted(IDS), "and is predicted all the same"


def test_the_plain_view_stays_where_others_do_harm(tmp_path: Path) -> None:
    folder = run(tmp_path, {"plain": 0.0, "mirrored": 0.05})
    assert combine_boxes(folder, [0, 1], table(FOLDS)).views == {"plain": 1.0}


def test_held_out_images_are_the_score(tmp_path: Path) -> None:
    """They are predicted well here, the validation images are not."""
    held_out = IDS[::4]
    fold = [HELD_OUT if name in held_out else 0 for name in IDS]
    folder = RunFolder(tmp_path)
    good = predicted(held_out, {"plain": 0.0})
    bad = predicted([name for name in IDS if name not in held_out], {"plain": 0.1})
    folder.fold(0).write_predictions("validation", pd.concat([good, bad]))
    found = combine_boxes(folder, [0], table(fold))
    with_box = sum(has_box(right_boxes().loc[held_out]))
    assert found.scores[0].value == pytest.approx(1, abs=1e-4)
    assert found.scores[0].images == with_box
    assert found.plain < 0.8, "views are chosen on the others"
    truth = right_boxes().loc[held_out[:1]]
    assert iou(truth, found.out_of_fold.loc[held_out[:1]]) == pytest.approx(1, abs=1e-4)


def test_no_box_to_judge_by_is_said(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.fold(0).write_predictions("validation", predicted(["pet_4"], {"plain": 0.0}))
    with pytest.raises(ValueError, match="no image that its folds score has a box"):
        combine_boxes(folder, [0], table([0] * len(IDS)))


def test_test_boxes_are_the_mean_of_folds_and_views(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    for fold, shift in enumerate((0.1, 0.2)):
        box = np.float32([0.1, 0.1, 0.5, 0.5]) + shift
        index = pd.MultiIndex.from_tuples([("t", "plain"), ("t", "mirrored")], names=["id", "view"])
        boxes = pd.DataFrame([box, box + 0.1], index, COLUMNS).assign(cat=1.0, dog=0.0)
        folder.fold(fold).write_predictions("test", boxes[["cat", "dog", *COLUMNS]])
    ids = pd.Index(["t", "u"], name="id")
    found = combine_test_boxes(folder, [0, 1], ids, {"plain": 1.0})
    np.testing.assert_allclose(found.loc["t"], [0.25, 0.25, 0.65, 0.65], atol=1e-6)
    assert found.loc["u"].isna().all(), "could not be read"
    weighted = combine_test_boxes(folder, [0, 1], ids, {"plain": 0.25, "mirrored": 0.75})
    np.testing.assert_allclose(weighted.loc["t"], found.loc["t"] + 0.075, atol=1e-6)
