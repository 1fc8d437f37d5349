"""What a task makes of labels and of a network's outputs."""

import numpy as np
import pandas as pd
import pytest

from podium.competitions.base import WrongSubmission
from podium.competitions.submission import check_submission_file
from podium.competitions.tasks import CLASSES, GRADES, LABELS, TASKS, joined
from small_tasks import Shapes, Stripes

NAMES = ("no", "mild", "severe")
GRADED = pd.Series([0, 2, 1])
SEVERAL = pd.Series(["0 2", "", "1"])


def test_the_tasks_are_found_by_the_names_that_a_competition_file_has() -> None:
    assert TASKS == {"classes": CLASSES, "labels": LABELS, "grades": GRADES}
    assert [task.activation for task in TASKS.values()] == ["softmax", "sigmoid", "sigmoid"]


def test_what_the_network_is_to_say() -> None:
    assert CLASSES.targets(GRADED, 3).tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]
    assert LABELS.targets(SEVERAL, 3).tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert GRADES.targets(GRADED, 3).tolist() == [[0, 0], [1, 1], [1, 0]]
    for task, labels in ((CLASSES, GRADED), (LABELS, SEVERAL), (GRADES, GRADED)):
        targets = task.targets(labels, 3)
        assert targets.dtype == np.float32
        assert targets.shape[1] == len(task.outputs(NAMES))
        np.testing.assert_array_equal(task.decide(targets), task.truth(labels, 3))
    assert GRADES.outputs(NAMES) == ["at least mild", "at least severe"]
    assert GRADES.targets(GRADED, 3).sum(axis=1).tolist() == GRADED.tolist()  # expected grades


def test_the_truth_is_what_metrics_take() -> None:
    assert CLASSES.truth(GRADED, 3).tolist() == GRADES.truth(GRADED, 3).tolist() == [0, 2, 1]
    truth = LABELS.truth(SEVERAL, 3)
    assert truth.dtype == np.uint8 and truth.tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    by_id = Shapes().truth(pd.Series(["2", ""], index=["a", "b"]))
    assert list(by_id.columns) == list(Shapes.classes) and by_id.loc["a"].tolist() == [0, 0, 1]
    assert LABELS.truth(pd.Series([1, 0]), 2).tolist() == [[0, 1], [1, 0]]  # as a CSV has them


def test_answers_follow_thresholds_and_cut_points() -> None:
    predicted = np.array([[0.9, 0.4], [0.6, 0.2], [0.3, 0.1]])
    assert LABELS.decide(predicted).tolist() == [[1, 0], [1, 0], [0, 0]]
    assert LABELS.decide(predicted, np.array([0.7, 0.15])).tolist() == [[1, 1], [0, 1], [0, 0]]
    assert GRADES.decide(predicted).tolist() == [1, 1, 0]  # of 1.3, 0.8 and 0.4 expected
    assert GRADES.decide(predicted, np.array([0.3, 1.2])).tolist() == [2, 1, 1]
    assert CLASSES.decide(predicted).tolist() == [0, 0, 0]
    assert LABELS.names(LABELS.decide(predicted), ["a b", "c"], ", ") == ["a b", "a b", ""]


def test_grades_have_probabilities_which_sum_to_one() -> None:
    values = GRADES.by_class(np.array([[0.9, 0.4], [0.2, 0.6]], np.float32))
    np.testing.assert_allclose(values[0], [0.1, 0.5, 0.4], atol=1e-6)
    np.testing.assert_allclose(values[1], [0.8, 0.0, 0.2], atol=1e-6)  # 0.6 after 0.2 is none


def test_what_is_said_of_an_image() -> None:
    predicted = np.array([[0.6, 0.9, 0.1], [0.1, 0.2, 0.3]])
    assert LABELS.said(predicted, NAMES) == [[("mild", 0.9), ("no", 0.6)], []]
    assert CLASSES.said(predicted, NAMES) == [[("mild", 0.9)], [("severe", 0.3)]]
    ((grade, value),) = GRADES.said(np.array([[0.9, 0.4]]), NAMES)[0:1][0]
    assert grade == "mild" and value == pytest.approx(0.5)


def test_what_cannot_be_read_gets_the_shares_of_the_training_images() -> None:
    assert CLASSES.prior(pd.Series([0, 0, 1, 2]), 3).tolist() == [0.5, 0.25, 0.25]
    assert LABELS.prior(SEVERAL, 3).tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3])
    assert GRADES.prior(pd.Series([0, 0, 1, 2]), 3).tolist() == [0.5, 0.25]


def test_labels_of_an_image_are_stored_in_order_and_once() -> None:
    assert joined([3, 0, 3]) == "0 3" and joined([]) == ""


def test_a_submission_of_labels_joins_those_above_their_thresholds(tmp_path) -> None:
    values = np.array([[0.9, 0.2, 0.7], [0.1, 0.4, 0.2]], np.float32)
    probabilities = pd.DataFrame(values, ["x", "y"], Shapes().outputs)
    written = Shapes().validated_submission(probabilities, probabilities.index)
    assert written["label"].tolist() == ["disk frame", ""]
    thresholds = np.array([0.5, 0.3, 0.8])
    lower = Shapes().validated_submission(probabilities, pd.Index(["y", "x"]), None, thresholds)
    assert lower.to_dict("list") == {"id": ["y", "x"], "label": ["bar", "disk"]}
    path = tmp_path / "one.csv"
    written.to_csv(path, index=False)
    assert check_submission_file(Shapes(), path, probabilities.index) == 2
    path.write_text("id,label\nx,disk square\ny,\n")
    with pytest.raises(WrongSubmission, match=r"some of disk, bar, frame; 1 rows .*disk square"):
        check_submission_file(Shapes(), path, probabilities.index)


def test_a_submission_of_grades_is_of_numbers(tmp_path) -> None:
    values = np.array([[0.9, 0.8, 0.1], [0.1, 0.1, 0.0]], np.float32)
    probabilities = pd.DataFrame(values, ["x", "y"], Stripes().outputs)
    written = Stripes().validated_submission(probabilities, probabilities.index)
    assert written["label"].tolist() == [2, 0]
    path = tmp_path / "one.csv"
    path.write_text("id,label\nx,3\ny,4\n")
    with pytest.raises(WrongSubmission, match="one of 0, 1, 2, 3; 1 rows"):
        check_submission_file(Stripes(), path, probabilities.index)


@pytest.mark.parametrize("value", [1.2, -0.1, np.nan])
def test_probabilities_that_need_not_sum_to_one_are_still_0_to_1(value: float) -> None:
    probabilities = pd.DataFrame([[0.9, 0.9, value]], ["x"], Shapes().outputs, np.float32)
    with pytest.raises(WrongSubmission, match=r"must be 0 to 1$"):
        Shapes().validated_submission(probabilities, probabilities.index)
