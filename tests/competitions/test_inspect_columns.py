"""Columns told by what they hold: labels of each task, and what a sample submission asks for."""

from pathlib import Path

import pandas as pd
import pytest

from podium.competitions.inspect_columns import Csv, Labels, in_order, read_answer, read_labels
from podium.competitions.inspection import Choices, Inspection


def csv_of(**columns: list[str]) -> Csv:
    rows = pd.DataFrame(columns, dtype=str)
    return Csv("train.csv", rows, rows.columns[0])


def labels_of(*cells: str, choices: Choices | None = None) -> Labels:
    csv = csv_of(id=[str(number) for number in range(len(cells))], label=list(cells))
    return read_labels(csv, None, choices or Choices(), Inspection())


def answer_of(known: Labels, **columns: list[str]) -> tuple[list[str], str, str]:
    sample = csv_of(id=["1", "2"], **columns)
    classes, metric, form = read_answer(sample, known, True, Choices(), Inspection())
    return classes, metric, form["answer"]


TWO = Labels("classes", ["cat", "dog"], {}, {})
THREE = Labels("classes", ["a", "b", "c"], {}, {})
SEVERAL = Labels("labels", ["rust", "scab"], {}, {})


def test_classes_are_in_the_order_of_numbers_or_letters() -> None:
    assert in_order(["10", "9", "1"]) == ["1", "9", "10"]
    assert in_order(["b", "10", "9"]) == ["10", "9", "b"]


def test_names_with_spaces_are_one_class() -> None:
    cells = ["Lada Priora", "Ford Focus", "Lada 2114", "Lada Priora", "BMW", "BMW", "Ford Focus"]
    labels = labels_of(*cells * 2)
    assert labels.task == "classes"
    assert labels.counts["Ford Focus"] == 4


@pytest.mark.parametrize("separator", [" ", ",", "|"])
def test_several_labels_in_a_column_are_told_by_their_separator(separator: str) -> None:
    cells = ["rust", "scab", "", f"rust{separator}scab", f"scab{separator}spot", "spot"]
    labels = labels_of(*cells)
    assert (labels.task, labels.classes) == ("labels", ["rust", "scab", "spot"])
    assert labels.train["separator"] == separator
    assert labels.counts == {"rust": 2, "scab": 3, "spot": 2}


def test_the_users_task_wins() -> None:
    cells = ["red", "dark red", "blue", "dark blue", "green", "dark green"] * 2
    assert labels_of(*cells).task == "labels"
    assert len(labels_of(*cells, choices=Choices(task="classes")).classes) == 6
    grades = labels_of("2", "0", "1", "10", "0", "1", "2", "0", choices=Choices(task="grades"))
    assert (grades.task, grades.classes) == ("grades", ["0", "1", "2", "10"])


def test_numbered_classes_might_be_grades() -> None:
    seen = Inspection()
    csv = csv_of(id=[str(number) for number in range(9)], level=["0", "1", "2"] * 3)
    assert read_labels(csv, None, Choices(), seen).task == "classes"
    assert "--task grades" in str(seen)


@pytest.mark.parametrize(
    ("healthy", "task"), [(["1", "0", "0"], "classes"), (["1", "1", "0"], "labels")]
)
def test_one_hot_columns(healthy: list[str], task: str) -> None:
    csv = csv_of(id=["1", "2", "3"], healthy=healthy, rust=["0", "1", "1"])
    labels = read_labels(csv, None, Choices(), Inspection())
    assert (labels.task, labels.classes) == (task, ["healthy", "rust"])
    assert labels.train["label"] == ["healthy", "rust"]
    assert labels.counts["rust"] == 2


def test_folds_given_by_a_column_are_found() -> None:
    csv = csv_of(id=["1", "2", "3", "4"], kind=["a", "a", "b", "b"], fold=["0", "1", "0", "1"])
    seen = Inspection()
    assert read_labels(csv, None, Choices(), seen).train["fold"] == "fold"
    assert "fold, 2 of them" in str(seen)


@pytest.mark.parametrize(
    ("labels", "columns", "expected"),
    [
        (TWO, {"label": ["0.5", "0.5"]}, (["cat", "dog"], "log-loss", "probability")),
        (TWO, {"cat": ["0.5", "0.5"]}, (["dog", "cat"], "log-loss", "probability")),
        (TWO, {"label": ["0", "0"]}, (["cat", "dog"], "accuracy", "number")),
        (THREE, {"label": ["a", "a"]}, (["a", "b", "c"], "accuracy", "class")),
        (THREE, {"label": ["?", "?"]}, (["a", "b", "c"], "accuracy", "class")),
        (
            THREE,
            {"c": ["0.3", "0.3"], "A": ["0.3", "0.3"], "b": ["0.4", "0.4"]},
            (["c", "a", "b"], "log-loss", "probabilities"),
        ),
        (
            THREE,
            {"p_b": ["0", "0"], "p_a": ["0", "0"], "p_c": ["1", "1"]},
            (["b", "a", "c"], "log-loss", "probabilities"),
        ),
        (SEVERAL, {"labels": ["rust", "scab"]}, (["rust", "scab"], "macro-f1", "labels")),
        (
            SEVERAL,
            {"scab": ["0", "0"], "rust": ["0", "0"]},
            (["scab", "rust"], "roc-auc", "probabilities"),
        ),
        (
            Labels("grades", ["0", "1", "2"], {}, {}),
            {"level": ["0", "0"]},
            (["0", "1", "2"], "kappa", "class"),
        ),
    ],
)
def test_the_samples_columns_tell_the_answer_and_the_metric(
    labels: Labels, columns: dict[str, list[str]], expected: tuple[list[str], str, str]
) -> None:
    assert answer_of(labels, **columns) == expected


def test_a_sample_of_other_classes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"its 2 columns \(x, y\) are not the 3 classes"):
        answer_of(THREE, x=["0", "0"], y=["1", "1"])


def test_without_a_sample_the_name_of_a_class_is_submitted() -> None:
    classes, metric, form = read_answer(None, TWO, False, Choices(), Inspection())
    assert (classes, metric) == (["cat", "dog"], "accuracy")
    assert form["columns"] == ["label"]
    assert read_answer(None, TWO, False, Choices(metric="kappa"), Inspection())[1] == "kappa"


def test_the_column_of_ids_is_that_which_names_images(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("kind,file\na,1.png\nb,2.png\n")
    images = [Path("x/1.png"), Path("x/2.png")]
    assert Csv.read(path, "t.csv", images).id == "file"
    with pytest.raises(ValueError, match=r"no column names the images.*by --id"):
        Csv.read(path, "t.csv", [Path("3.png")])
