"""The score: scikit-learn's value, and an interval that tells how sure it is."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, log_loss

from podium.competitions.boxes import NO_BOX, box_table, iou
from podium.competitions.metrics import Accuracy, LogLoss
from podium.predictions.score import Score, is_better, score, score_boxes, score_files


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


def test_labels_of_images_without_a_prediction_do_not_count() -> None:
    labels, probabilities = drawn(100)
    half = probabilities[:50]
    assert score(Accuracy(), labels, half) == score(Accuracy(), labels.loc[half.index], half)


def test_a_prediction_without_a_label_is_refused() -> None:
    labels, probabilities = drawn(10)
    with pytest.raises(ValueError, match="2 predictions have no label"):
        score(Accuracy(), labels.drop(probabilities.index[:2]), probabilities)


@pytest.mark.parametrize("metric", [Accuracy(), LogLoss()], ids=lambda metric: metric.name)
def test_the_interval_holds_the_value_and_shrinks_as_images_grow(
    metric: Accuracy | LogLoss,
) -> None:
    scores = [score(metric, *drawn(images)) for images in (50, 200, 800)]
    assert all(one.low < one.value < one.high for one in scores)
    widths = [one.high - one.low for one in scores]
    # Four times the images: half the width, as the standard error has it.
    assert 0.3 < widths[1] / widths[0] < 0.75
    assert 0.3 < widths[2] / widths[1] < 0.75


def test_the_interval_is_that_of_the_standard_error() -> None:
    labels, probabilities = drawn(400)
    accuracy = score(Accuracy(), labels, probabilities)
    error = np.sqrt(accuracy.value * (1 - accuracy.value) / 400)
    assert accuracy.low == pytest.approx(accuracy.value - 1.96 * error, abs=error / 4)
    assert accuracy.high == pytest.approx(accuracy.value + 1.96 * error, abs=error / 4)


def test_the_interval_is_the_same_each_time() -> None:
    assert score(Accuracy(), *drawn(100)) == score(Accuracy(), *drawn(100))


@pytest.mark.parametrize(("images", "low"), [(1, 0.025), (20, 0.8316)])
def test_where_all_images_are_right_some_doubt_remains(images: int, low: float) -> None:
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


def test_a_score_says_what_it_is() -> None:
    one = Score("accuracy", 0.98765, 0.98, 0.99333, 1200)
    assert str(one) == "accuracy 0.9877 (95 % interval 0.9800 to 0.9933, 1200 images)"
    assert one.as_dict()["images"] == 1200


@pytest.mark.parametrize(("metric", "good", "bad"), [(Accuracy(), 0.9, 0.8), (LogLoss(), 0.1, 0.2)])
def test_better_is_strictly_better(metric: Accuracy | LogLoss, good: float, bad: float) -> None:
    first, second = (Score(metric.name, value, 0, 1, 10) for value in (good, bad))
    assert is_better(metric, first, second)
    assert not is_better(metric, second, first)
    assert not is_better(metric, first, first)


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
        (
            "id,label\n1.jpg,0\n",
            "expected the columns of .*, 'id,label', came 'Id,Category'; give both the same",
        ),
        ("Id,Category\n1.jpg,0\n2.jpg,1\n3.jpg,2\n", "have other ids"),
        ("Id,Category\n1.jpg,0\n2.jpg,1\n3.jpg,2\nNA,3\n5.jpg,0\n", "have other ids"),
        ("Id,Category\n1.jpg,0\n2.jpg,1\n3.jpg,2\nNA,\n", "1 rows have empty cells"),
        ("Id,Category\n1.jpg,0\n1.jpg,0\n3.jpg,2\nNA,3\n", "1 ids are there twice"),
        ("Id,Category\n", "has no rows"),
        ("", r"a\.csv: expected two columns, id and answer, came ''"),
    ],
)
def test_files_that_cannot_be_compared_are_refused(
    tmp_path: Path, truth: Path, text: str, expected: str
) -> None:
    with pytest.raises(ValueError, match=expected):
        score_files(csv(tmp_path / "a.csv", text), truth)


def test_files_of_more_than_two_columns_are_refused(tmp_path: Path) -> None:
    wide = csv(tmp_path / "a.csv", "Id,Category,note\n1,0,x\n")
    with pytest.raises(ValueError, match=r"expected two columns, .*'Id,Category,note'"):
        score_files(wide, wide)


def test_a_missing_file_is_named(tmp_path: Path, truth: Path) -> None:
    with pytest.raises((ValueError, OSError), match=r"b\.csv"):
        score_files(tmp_path / "b.csv", truth)


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
    mean, half, three_quarters = score_boxes(truth, predicted)
    values = iou(truth.to_numpy(), predicted.loc[truth.index].to_numpy())
    values = values[~np.isnan(values)]
    assert [each.images for each in (mean, half, three_quarters)] == [160] * 3
    assert mean.value == pytest.approx(values.mean())
    assert half.value == pytest.approx((values > 0.5).mean())
    assert three_quarters.value == pytest.approx((values > 0.75).mean())
    assert 0.1 < three_quarters.value < 0.95
    assert mean.low < mean.value < mean.high
    assert mean.high - mean.low < 0.05
    assert str(mean).startswith("mean IoU 0.")
    assert "interval" in str(three_quarters)
    assert three_quarters.metric == "IoU over 0.75"


def test_only_predicted_images_are_scored() -> None:
    truth, predicted = drawn_boxes()
    part = predicted[:50]
    assert score_boxes(truth, part) == score_boxes(truth.loc[part.index], part)


def test_boxes_that_cannot_be_scored_are_named() -> None:
    truth, predicted = drawn_boxes()
    with pytest.raises(ValueError, match=r"^200 predicted boxes .* without a truth"):
        score_boxes(truth[:0], predicted)
    with pytest.raises(ValueError, match="none of the 40 images has a box"):
        score_boxes(truth[::5], predicted.loc[truth.index[::5]])
    predicted.loc["1.jpg"] = NO_BOX
    with pytest.raises(ValueError, match=r"^1 images have no predicted box, such as 1\.jpg$"):
        score_boxes(truth, predicted)
