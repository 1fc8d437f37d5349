"""Scores: scikit-learn's values with intervals, stratified parts, and the time of predicting."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

from podium.competitions.boxes import BOX_METRICS, NO_BOX, box_table, iou
from podium.competitions.metrics import Accuracy, LogLoss
from podium.predictions.score import (
    BATCHES,
    PARTS,
    SINGLES,
    Score,
    image_scores,
    interval,
    k_fold_parts,
    score,
    score_files,
    speeds,
    time_predictions,
    widening,
)


def drawn(images: int, classes: int = 3) -> tuple[pd.Series, pd.DataFrame]:
    """Labels, and probabilities that are right more often than not, in another order."""
    rng = np.random.default_rng(images)
    ids = [f"{number}.jpg" for number in range(images)]
    labels = pd.Series(rng.integers(classes, size=images), ids)
    values = rng.dirichlet(np.ones(classes), images) + np.eye(classes)[labels] * 0.4
    values /= values.sum(axis=1, keepdims=True)
    return labels, pd.DataFrame(values.astype(np.float32), ids).sample(frac=1, random_state=0)


def test_scores_are_those_of_sklearn_joined_by_id() -> None:
    labels, probabilities = drawn(300)
    in_order = probabilities.loc[labels.index].to_numpy(np.float64)
    in_order = in_order / in_order.sum(axis=1, keepdims=True)
    accuracy = score(Accuracy(), labels, probabilities)
    assert accuracy.value == accuracy_score(labels, in_order.argmax(axis=1))
    loss = score(LogLoss(clip=1e-7), labels, probabilities)
    assert loss.value == pytest.approx(log_loss(labels, in_order), rel=1e-5)
    assert (accuracy.metric, loss.metric) == ("accuracy", "log loss")
    assert accuracy.images == loss.images == 300


def test_labels_without_a_prediction_do_not_count() -> None:
    labels, probabilities = drawn(100)
    half = probabilities[:50]
    assert score(Accuracy(), labels, half) == score(Accuracy(), labels.loc[half.index], half)


@pytest.mark.parametrize("metric", [Accuracy(), LogLoss()], ids=lambda metric: metric.name)
def test_the_interval_holds_the_value_and_shrinks_with_more_images(
    metric: Accuracy | LogLoss,
) -> None:
    scores = [score(metric, *drawn(images)) for images in (50, 200, 800)]
    assert all(one.low < one.value < one.high for one in scores)
    widths = [one.high - one.low for one in scores]
    # Four times the images: half the width, as the standard error has it.
    assert 0.3 < widths[1] / widths[0] < 0.75
    assert 0.3 < widths[2] / widths[1] < 0.75
    assert score(metric, *drawn(50)) == scores[0], "the same each time"


def test_the_interval_is_that_of_the_standard_error() -> None:
    accuracy = score(Accuracy(), *drawn(400))
    error = np.sqrt(accuracy.value * (1 - accuracy.value) / 400)
    assert accuracy.low == pytest.approx(accuracy.value - 1.96 * error, abs=error / 4)
    assert accuracy.high == pytest.approx(accuracy.value + 1.96 * error, abs=error / 4)


def test_near_copies_count_once() -> None:
    """Four copies of each image say no more than one: the interval stays as wide."""
    labels, probabilities = drawn(100)
    once = score(LogLoss(), labels, probabilities)
    copies = pd.concat([probabilities.add_prefix(f"{number}-", axis=0) for number in range(4)])
    of_copies = pd.concat([labels.add_prefix(f"{number}-") for number in range(4)])
    groups = pd.Series(pd.factorize(of_copies.index.str.split("-").str[1])[0], of_copies.index)
    together = score(LogLoss(), of_copies, copies, groups)
    alone = score(LogLoss(), of_copies, copies)
    assert together.value == pytest.approx(once.value)
    assert together.high - together.low == pytest.approx(once.high - once.low, rel=0.1)
    assert alone.high - alone.low == pytest.approx((once.high - once.low) / 2, rel=0.15)
    two = pd.DataFrame({"x": 0.9, "y": 0.1}, ["a", "b"])
    right = score(Accuracy(), pd.Series(0, two.index), two, pd.Series(7, two.index))
    assert right.low == pytest.approx(0.025), "one group is right in one"


def test_an_interval_of_what_is_no_mean_over_images() -> None:
    labels, probabilities = drawn(300, classes=2)
    labels, values = labels.to_numpy(), probabilities.loc[labels.index].to_numpy()[:, 1]

    def area(times: np.ndarray) -> float:
        return roc_auc_score(labels, values, sample_weight=times)

    low, high = interval(area, np.arange(300))
    one = area(np.ones(300))
    error = roc_auc_error(one, (labels == 1).sum(), (labels == 0).sum())
    assert low == pytest.approx(one - 1.96 * error, abs=error / 2)
    assert high == pytest.approx(one + 1.96 * error, abs=error / 2)


def roc_auc_error(area: float, positive: int, negative: int) -> float:
    """Its standard error by Hanley and McNeil (1982)."""
    one, both = area / (2 - area), 2 * area**2 / (1 + area)
    more = (positive - 1) * (one - area**2) + (negative - 1) * (both - area**2)
    return float(np.sqrt((area * (1 - area) + more) / (positive * negative)))


def test_an_out_of_fold_interval_is_wider_for_networks_that_share_their_training_images() -> None:
    """Nadeau and Bengio: with all of five folds the variance is 9 / 4 times as large."""
    assert widening(5, 5) == pytest.approx(1.5)
    assert widening(2, 5) == pytest.approx(np.sqrt(1.5))
    assert widening(1, 5) == widening(1, 1) == 1, "one network, on images that it has not seen"
    one = Score("accuracy", 0.9, 0.86, 0.94, 100).widened(1.5)
    assert (one.low, one.high) == (pytest.approx(0.84), pytest.approx(0.96))
    near = Score("accuracy", 0.99, 0.97, 1.0, 100).widened(1.5)
    assert near.high == 1.0
    loss = Score("log loss", 0.02, 0.005, 1.2, 100).widened(2.0)
    assert loss.low == 0.0 and loss.high == pytest.approx(2.38)


@pytest.mark.parametrize(("images", "low"), [(1, 0.025), (20, 0.8316)])
def test_the_interval_is_exact_where_all_images_are_right(images: int, low: float) -> None:
    """Of n hits in n the exact interval begins at the n-th root of 0.025."""
    labels = pd.Series(0, [str(number) for number in range(images)])
    probabilities = pd.DataFrame({"a": 0.75, "b": 0.25}, labels.index).astype(np.float32)
    right = score(Accuracy(), labels, probabilities)
    assert (right.value, right.high, right.images) == (1, 1, images)
    assert right.low == pytest.approx(low, abs=1e-4)
    wrong = score(Accuracy(), labels + 1, probabilities)
    assert (wrong.low, wrong.value) == (0, 0) and wrong.high == pytest.approx(1 - low, abs=1e-4)
    loss = score(LogLoss(), labels, probabilities)
    assert loss.low == loss.high == pytest.approx(-np.log(0.75))


def test_a_score_is_printed_and_comes_back_from_json() -> None:
    one = Score("accuracy", 0.98765, 0.98, 0.99333, 1200)
    assert str(one) == "accuracy 0.9877 (95 % interval 0.9800 to 0.9933, 1200 images)"
    row = one.as_dict()
    assert Score.from_dict(row) == one
    row["pictures"] = row.pop("images")  # of an older Podium
    assert Score.from_dict(row) == one


def test_the_log_loss_decides_between_equal_accuracies() -> None:
    labels, sure = np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]])
    unsure, wrong = np.array([[0.6, 0.4], [0.4, 0.6]]), np.array([[0.9, 0.1], [0.8, 0.2]])
    values = [image_scores(Accuracy(), labels, one).mean() for one in (sure, unsure, wrong)]
    assert values[0] > values[1] > values[2]
    losses = [image_scores(LogLoss(), labels, one).mean() for one in (sure, unsure, wrong)]
    assert 0 > losses[0] > losses[1] > losses[2], "higher is better"


@pytest.mark.parametrize("images", [3, 16, 601])
def test_parts_are_stratified(images: int) -> None:
    labels = np.random.default_rng(1).integers(4, size=images)
    part = k_fold_parts(labels)
    sizes = np.bincount(part, minlength=PARTS)
    assert sizes.max() - sizes.min() <= 1
    np.testing.assert_array_equal(part, k_fold_parts(labels))
    assert images < 100 or (part != k_fold_parts(labels, seed=1)).mean() > 0.5
    for label in range(4):
        counts = np.bincount(part[labels == label], minlength=PARTS)
        assert counts.max() - counts.min() <= 1


# --- Boxes


def drawn_boxes(images: int = 200) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Boxes, every fifth of them missing, and predictions near them in another order."""
    random = np.random.default_rng(0)
    corners = random.uniform(0, 0.5, (images, 2))
    truth = np.concatenate([corners, corners + 0.4], axis=1)
    predicted = truth + random.normal(0, 0.03, truth.shape)
    truth[::5] = NO_BOX
    ids = [f"{number}.jpg" for number in range(images)]
    return box_table(ids, truth), box_table(ids, predicted).sample(frac=1, random_state=0)


def test_boxes_are_scored_by_id_where_there_is_one() -> None:
    truth, predicted = drawn_boxes()
    scores = [score(metric, truth, predicted) for metric in BOX_METRICS]
    values = iou(truth.to_numpy(), predicted.loc[truth.index].to_numpy())
    values = values[~np.isnan(values)]
    assert [one.images for one in scores] == [160] * 3
    assert [one.metric for one in scores] == ["mean IoU", "IoU over 0.5", "IoU over 0.75"]
    wanted = [values.mean(), (values > 0.5).mean(), (values > 0.75).mean()]
    assert [one.value for one in scores] == pytest.approx(wanted)
    assert 0.1 < scores[2].value < 0.95
    assert scores[0].low < scores[0].value < scores[0].high < scores[0].low + 0.05


def test_images_without_any_box_are_refused() -> None:
    truth, predicted = drawn_boxes()
    with pytest.raises(ValueError, match="none of the 40 images has a box"):
        score(BOX_METRICS[0], truth[::5], predicted.loc[truth.index[::5]])


# --- Speed


def test_single_images_and_full_batches_are_timed() -> None:
    seen = []
    images = [np.full((4, 4, 3), number, np.uint8) for number in range(3)]
    times = time_predictions(lambda batch: seen.append(batch.shape), images, batch_size=5)
    single, batch = (1, 4, 4, 3), (5, 4, 4, 3)
    assert seen == [*[single] * (1 + SINGLES), *[batch] * (1 + BATCHES)], "first to trace"
    assert len(times["single"]) == SINGLES and len(times["batch"]) == BATCHES
    assert min(times["single"]) >= 0


def test_the_times_of_all_folds_count() -> None:
    folds = [{"single": [10.0, 12.0], "batch": [4.0]}, {"single": [14.0], "batch": [6.0]}]
    found = speeds(folds)
    assert found["single"].value == pytest.approx(12) and found["single"].images == 3
    assert found["single"].low < 12 < found["single"].high
    assert found["batch"].value == pytest.approx(5)
    assert speeds([]) == {}


# --- score_files


def csv(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    return csv(tmp_path / "truth.csv", "Id,Category\n1.jpg,0\n2.jpg,1\n3.jpg,2\nNA,3\n")


def test_a_submission_is_scored_by_id(tmp_path: Path, truth: Path) -> None:
    mine = csv(tmp_path / "a.csv", "Id,Category\nNA,3\n3.jpg,2\n2.jpg,0\n1.jpg,0\n")
    scored = score_files(mine, truth)
    assert (scored.metric, scored.value, scored.images) == ("accuracy", 0.75, 4)
    assert score_files(truth, truth).value == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id,label\n1.jpg,0\n", "expected the columns 'id,label', came 'Id,Category'"),
        ("Id,Category\n1.jpg,0\n2.jpg,1\n3.jpg,2\n", r"other ids: 1 only in .*truth\.csv \(NA\);"),
        (
            "Id,Category\n1.jpg,0\n2.jpg,1\n3.jpg,2\nNA,3\n5.jpg,0\n",
            r"1 only in .*a\.csv \(5\.jpg\);",
        ),
        ("Id,Category\n1.jpg,0\n2.jpg,1\n3.jpg,2\nNA,\n", "1 rows have empty cells"),
        ("Id,Category\n1.jpg,0\n1.jpg,0\n3.jpg,2\nNA,3\n", "1 ids are there twice"),
        ("Id,Category\n", "has no rows"),
        ("", r"a\.csv: expected two columns, id and answer, came ''"),
        ("Id,Category,note\n1,0,x\n", r"expected two columns, .*'Id,Category,note'"),
        (None, r"a\.csv"),
    ],
)
def test_files_that_cannot_be_compared_are_refused(
    tmp_path: Path, truth: Path, text: str | None, expected: str
) -> None:
    path = tmp_path / "a.csv"
    if text is not None:
        csv(path, text)
    with pytest.raises((ValueError, OSError), match=expected):
        score_files(path, truth)
