"""What `podium new` sees in a folder: layouts, classes, test images, and what it must ask for."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest

from podium.competitions.csv_files import MissingData
from podium.competitions.inspect_data import inspect
from podium.competitions.inspection import Choices

PIXELS = cv2.imencode(".png", np.zeros((24, 32, 3), np.uint8))[1].tobytes()


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(PIXELS)


def put_csv(path: Path, header: str, rows: Iterable[str]) -> None:
    path.write_text("\n".join([header, *rows]) + "\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def labeled(folder: Path) -> Path:
    """Eight images of four patients and a CSV; two images to predict."""
    put(folder, *[f"train/{number}.png" for number in range(8)], "test/8.png", "test/9.png")
    rows = [f"{number},p{number // 2},{'cat' if number % 2 else 'dog'}" for number in range(8)]
    put_csv(folder / "train.csv", "image,patient,kind", rows)
    return folder


def test_class_folders_with_a_test_folder(folder: Path) -> None:
    put(folder, "train/cat/1.png", "train/dog/2.png", "train/dog/2019/3.png", "test/4.png")
    seen = inspect(folder, Choices())
    assert seen.declaration == {
        "task": "classes",
        "classes": ["cat", "dog"],
        "metric": "accuracy",
        "train": {"images": "train"},
        "test": {"images": "test"},
        "submission": {
            "id": "id",
            "with_ending": False,
            "answer": "class",
            "columns": ["label"],
        },
    }
    assert (seen.images, seen.rarest, seen.shorter_side) == (3, 1, 24)
    told = str(seen)
    assert "2: cat 1, dog 2" in told
    assert "3 with a class, 1 to predict; .png 4" in told
    assert "32×24 (3)" in told
    assert "to change it: --test FOLDER" in told


@pytest.mark.parametrize(
    ("prefix", "images"), [("", "."), ("archive/", "archive"), ("a/train/train/", "a/train/train")]
)
def test_one_folder_of_class_folders_has_no_test_set(
    folder: Path, prefix: str, images: str
) -> None:
    put(folder, f"{prefix}10/1.png", f"{prefix}9/2.png")
    declared = inspect(folder, Choices()).declaration
    assert declared["classes"] == ["9", "10"]  # by number
    assert declared["train"] == {"images": images}
    assert "test" not in declared
    assert "submission" not in declared


def test_files_that_are_called_after_their_class(folder: Path) -> None:
    put(folder, *[f"train/{kind}.{number}.png" for kind in ("cat", "dog") for number in range(4)])
    put(folder, "test/1.png")
    put_csv(folder / "sample_submission.csv", "id,label", ["1,0.5"])
    declared = inspect(folder, Choices()).declaration
    assert declared["classes"] == ["cat", "dog"]
    assert declared["submission"]["answer"] == "probability"
    pattern = re.compile(declared["train"]["pattern"])
    assert pattern.search("cat.12.jpg")[1] == "cat"
    assert pattern.search("great_dane_7.jpg")[1] == "great_dane"


def test_a_validation_set_beside_is_told_and_not_used(folder: Path) -> None:
    put(folder, "train/a/1.png", "train/b/2.png", "val/a/3.png", "val/b/4.png")
    seen = inspect(folder, Choices())
    assert seen.declaration["classes"] == ["a", "b"]
    assert "val/: the folds are made of train/" in str(seen)


def test_a_csv_and_a_group_column(labeled: Path) -> None:
    seen = inspect(labeled, Choices())
    assert seen.declaration["train"] == {
        "images": "train",
        "csv": "train.csv",
        "id": "image",
        "group": "patient",
        "label": "kind",
    }
    assert seen.declaration["test"] == {"images": "test"}
    assert "patient, 4 of them" in str(seen)
    assert "--group COLUMN" in str(seen)


def test_what_is_told_is_not_guessed(labeled: Path) -> None:
    (labeled / "train.csv").rename(labeled / "notes.csv")
    choices = Choices(csv="notes.csv", id="image", label="kind", group="patient", test="test")
    seen = inspect(labeled, choices)
    assert seen.declaration["train"]["csv"] == "notes.csv"
    assert [what.strip() for what, *_ in seen.guesses] == ["metric"]


def test_the_samples_ids_say_where_the_images_to_predict_are(folder: Path) -> None:
    put(folder, "images/1.png", "images/2.png", "images/3.png", "odd/4.png")
    put_csv(folder / "labels.csv", "id,breed", ["1,pug", "2,boxer", "3,pug"])
    put_csv(folder / "sample_submission.csv", "id,boxer,pug", ["4,0.5,0.5"])
    declared = inspect(folder, Choices()).declaration
    assert declared["train"]["images"] == "images"
    assert declared["test"] == {"images": "odd"}
    assert declared["submission"] == {
        "sample": "sample_submission.csv",
        "id": "id",
        "with_ending": False,
        "answer": "probabilities",
        "columns": ["boxer", "pug"],
    }
    assert declared["metric"] == "log-loss"


def test_the_same_names_in_train_and_test_are_told_apart(folder: Path) -> None:
    put(
        folder,
        *[f"{part}/{number}.png" for part in ("images", "train", "test") for number in "123"],
    )
    put_csv(folder / "train.csv", "id,kind", ["1,a", "2,b", "3,a"])
    put_csv(folder / "sample_submission.csv", "id,kind", ["1,a", "2,a", "3,a"])
    declared = inspect(folder, Choices()).declaration
    assert declared["train"]["images"] == "train"
    assert declared["test"]["images"] == "test"


def test_ids_without_an_image_are_counted(labeled: Path) -> None:
    (labeled / "train" / "3.png").unlink()
    assert "1 of 8 in train.csv (3)" in str(inspect(labeled, Choices()))


def test_an_empty_folder_and_one_that_is_not_there(folder: Path) -> None:
    with pytest.raises(MissingData, match="no images in it or below"):
        inspect(folder, Choices())
    with pytest.raises(MissingData, match="is no folder"):
        inspect(folder / "other", Choices())


@pytest.mark.parametrize(
    ("choices", "asked"),
    [
        (Choices(csv="other.csv"), "--csv other.csv: there is no such thing"),
        (Choices(test="other"), "--test other: there is no such thing"),
        (Choices(id="name"), "--id name: train.csv has no such column; it has image, patient"),
        (Choices(label="kin"), "did you mean kind"),
        (Choices(group="serie"), "--group serie"),
        (Choices(fold="fold"), "--fold fold"),
        (Choices(task="boxes"), "--task boxes: expected one of classes, labels, grades"),
    ],
)
def test_an_option_that_names_nothing_is_refused(
    labeled: Path, choices: Choices, asked: str
) -> None:
    with pytest.raises(ValueError, match=asked.replace("(", r"\(")) as caught:
        inspect(labeled, choices)
    assert "\n" not in str(caught.value)


def drop_csv(folder: Path) -> None:
    (folder / "train.csv").unlink()


def second_csv(folder: Path) -> None:
    for name in ("one.csv", "two.csv"):
        (folder / name).write_text((folder / "train.csv").read_text())
    drop_csv(folder)


def two_labels(folder: Path) -> None:
    put_csv(folder / "train.csv", "image,first,second", [f"{n},a{n % 2},b" for n in range(8)])


def decimals(folder: Path) -> None:
    put_csv(folder / "train.csv", "image,level", [f"{n},{n / 4}" for n in range(8)])


def empty_cell(folder: Path) -> None:
    rows = [f"{n},{'' if n == 5 else n % 2}" for n in range(8)]
    put_csv(folder / "train.csv", "image,level", rows)


@pytest.mark.parametrize(
    ("change", "asked"),
    [
        (drop_csv, "no CSV of labels: give one by --csv"),
        (second_csv, r"several CSVs name images \(one.csv, two.csv\): say which one by --csv"),
        (two_labels, "which column holds the labels. Say it by --label"),
        (decimals, "no classes: name another column by --label"),
        (empty_cell, r"level is empty in 1 lines \(7\).*--task labels"),
    ],
)
def test_what_cannot_be_guessed_is_asked_for_by_its_option(
    labeled: Path, change: Callable[[Path], None], asked: str
) -> None:
    change(labeled)
    with pytest.raises(ValueError, match=asked) as caught:
        inspect(labeled, Choices())
    assert "\n" not in str(caught.value)
