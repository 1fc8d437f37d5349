"""A competition in a file: each layout that it can describe, and what it refuses."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from podium.competitions import COMPETITIONS, MissingData, get_competition
from podium.competitions.base import Competition
from podium.competitions.declared import DeclaredCompetition
from podium.competitions.submission import check_submission_file
from podium.kaggle.new_entry import to_toml

BOTH = {"classes": ["cat", "dog"]}


def draw(folder: Path, *names: str) -> None:
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (20 * number, 99, 0)).save(path)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kernels" / "mine").mkdir(parents=True)
    (tmp_path / "input" / "pets").mkdir(parents=True)
    return tmp_path / "input" / "pets"


def declare(data: Path, **keys: Any) -> Competition:
    whole = {"name": "mine", "folder": data.name, **BOTH, **keys}
    path = data.parents[1] / "kernels" / "mine" / "competition.toml"
    path.write_text(to_toml(whole), encoding="utf-8")
    return get_competition("mine")


def labels_of(competition: Competition) -> dict[str, Any]:
    return competition.read_training()["label"].to_dict()


def probabilities(ids: list[str], rows: list[list[float]], outputs: list[str]) -> pd.DataFrame:
    return pd.DataFrame(rows, pd.Index(ids, name="id"), outputs, dtype=np.float32)


def test_a_folder_for_each_class_with_folders_in_it(data: Path) -> None:
    draw(data, "train/cat/1.jpg", "train/cat/old/2.png", "train/dog/1.jpg", "test/x.jpg")
    mine = declare(data, train={"images": "train"}, test={"images": "test"})
    assert labels_of(mine) == {"cat/1.jpg": 0, "cat/old/2.png": 0, "dog/1.jpg": 1}
    assert list(mine.read_test().index) == ["x"]
    submission = mine.submission(probabilities(["x"], [[0.2, 0.8]], ["cat", "dog"]))
    assert submission.to_dict("list") == {"id": ["x"], "label": ["dog"]}


@pytest.mark.parametrize("ending", ["", ".jpg"])
@pytest.mark.parametrize("cells", [("cat", "dog"), ("0", "1")])
def test_a_csv_of_names_and_classes_or_their_numbers(
    data: Path, ending: str, cells: tuple[str, str]
) -> None:
    draw(data, "images/a/1.jpg", "images/b/2.jpg")
    rows = [f"{number}{ending},{cell}\n" for number, cell in enumerate(cells, start=1)]
    (data / "train.csv").write_text("image,kind\n" + "".join(rows))
    train = {"images": "images", "csv": "train.csv", "id": "image", "label": "kind"}
    mine = declare(data, train=train)
    assert labels_of(mine) == {f"1{ending}": 0, f"2{ending}": 1}
    assert mine.read_training()["path"].tolist() == [
        data / "images/a/1.jpg",
        data / "images/b/2.jpg",
    ]


def test_a_column_for_each_class(data: Path) -> None:
    draw(data, "1.jpg", "2.jpg")
    (data / "train.csv").write_text("id,dog,cat\n1,1,0\n2,0,1.0\n")
    train = {"csv": "train.csv", "label": ["dog", "cat"]}
    assert labels_of(declare(data, train=train)) == {"1": 1, "2": 0}
    (data / "train.csv").write_text("id,dog,cat\n1,1,0\n2,1,1\n")
    with pytest.raises(MissingData, match=r"and one 1 in each row; mend 3"):
        labels_of(declare(data, train=train))


def test_several_labels_an_image(data: Path) -> None:
    draw(data, "1.jpg", "2.jpg", "3.jpg", "test/4.jpg")
    (data / "train.csv").write_text("id,label\n1,cat|dog\n2,\n3,dog\n")
    mine = declare(
        data,
        task="labels",
        train={"csv": "train.csv", "separator": "|"},
        test={"images": "test"},
        submission={"answer": "labels"},
    )
    assert labels_of(mine) == {"1": "0 1", "2": "", "3": "1"}
    rows = [[0.9, 0.8], [0.1, 0.2]]
    submission = mine.submission(probabilities(["4", "5"], rows, ["cat", "dog"]))
    assert submission["label"].tolist() == ["cat|dog", ""]
    submission.to_csv(data / "mine.csv", index=False)
    assert check_submission_file(mine, data / "mine.csv", pd.Index(["4", "5"])) == 2
    (data / "train.csv").write_text("id,cat,dog\n1,1,1\n2,0,0\n3,0,1\n")
    columns = {"csv": "train.csv", "label": ["cat", "dog"]}
    assert labels_of(declare(data, task="labels", train=columns)) == {"1": "0 1", "2": "", "3": "1"}


def test_grades_in_their_order(data: Path) -> None:
    draw(data, "1.jpg", "2.jpg", "3.jpg")
    (data / "train.csv").write_text("id,label\n1,mild\n2,no\n3,severe\n")
    mine = declare(
        data,
        task="grades",
        classes=["no", "mild", "severe"],
        train={"csv": "train.csv"},
        submission={"answer": "number"},
    )
    assert labels_of(mine) == {"1": 1, "2": 0, "3": 2}
    outputs = ["at least mild", "at least severe"]
    submission = mine.submission(probabilities(["4"], [[0.9, 0.7]], outputs))
    assert submission["label"].tolist() == [2]


def test_groups_and_folds_come_from_columns(data: Path) -> None:
    draw(data, "1.jpg", "2.jpg", "3.jpg")
    (data / "train.csv").write_text("id,label,patient,part\n1,cat,p,10\n2,dog,q,9\n3,dog,p,10\n")
    train = {"csv": "train.csv", "group": "patient", "fold": "part"}
    mine = declare(data, train=train)
    table = mine.read_training()
    assert table["group"].tolist() == ["p", "q", "p"]
    assert table["fold"].tolist() == [1, 0, 1]
    assert mine.folds_given


def test_probabilities_are_clipped_where_the_log_loss_is_the_metric(data: Path) -> None:
    draw(data, "cat/1.jpg", "dog/2.jpg")
    form = {"answer": "probability", "columns": ["is_dog"]}
    mine = declare(data, metric="log-loss", submission=form)
    found = mine.submission(probabilities(["x"], [[0.0, 1.0]], ["cat", "dog"]))
    assert found["is_dog"].iloc[0] == pytest.approx(1 - 1e-4)
    form = {"answer": "probabilities", "columns": ["p_cat", "p_dog"], "id": "name"}
    found = declare(data, submission=form).submission(
        probabilities(["x"], [[0.25, 0.75]], ["cat", "dog"])
    )
    assert found.to_dict("list") == {"name": ["x"], "p_cat": [0.25], "p_dog": [0.75]}


def test_without_a_test_set_there_is_nothing_to_predict(data: Path) -> None:
    draw(data, "cat/1.jpg", "dog/2.jpg")
    mine = declare(data)
    assert not mine.has_test
    assert mine.read_test().empty


def test_images_that_are_missing_or_named_twice_are_told(data: Path) -> None:
    draw(data, "a/1.jpg", "b/1.jpg", "a/2.jpg")
    (data / "train.csv").write_text("id,label\n1,cat\n2,dog\n")
    with pytest.raises(MissingData, match=r"1 names are of several images .*a/1\.jpg"):
        declare(data, train={"csv": "train.csv"}).read_training()
    (data / "train.csv").write_text("id,label\na/1,cat\nb/1.jpg,dog\n7,dog\n")
    with pytest.raises(MissingData, match=r"names 1 images that are not in .*\(7\)"):
        declare(data, train={"csv": "train.csv"}).read_training()
    (data / "train.csv").write_text("id,label\na/1,cat\nb/1.jpg,dgo\n")
    with pytest.raises(MissingData, match=r"label must be one of the 2 classes.*mean dog"):
        declare(data, train={"csv": "train.csv"}).read_training()


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"metrics": "accuracy"}, "metrics: unknown key; did you mean metric"),
        ({"metric": "acuracy"}, "no metric 'acuracy'.*accuracy"),
        ({"classes": ["cat"]}, "classes"),
        ({"classes": ["cat", "cat"]}, "classes must differ"),
        ({"task": "labels"}, 'task = "labels" needs train.csv'),
        ({"train": {"group": "patient"}}, "columns of train.csv, which is not given"),
        ({"train": {"csv": "a", "label": ["cat", "dgo"]}}, "label must be the classes' columns"),
        ({"submission": {"answer": "probabilities"}}, "submission.columns must be 2"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_its_key(
    data: Path, keys: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=told) as error:
        declare(data, **keys)
    assert "competition.toml" in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_name_is_told_with_the_declared_ones(data: Path) -> None:
    declare(data)
    broken = data.parents[1] / "kernels" / "broken"
    broken.mkdir()
    (broken / "competition.toml").write_text("name = ")
    with pytest.raises(ValueError, match=r"there are: cars, .*broken.*not valid TOML.*mine"):
        get_competition("mime")


def test_a_run_has_the_file_where_its_entry_is_gone(data: Path) -> None:
    draw(data, "cat/1.jpg", "dog/2.jpg")
    root = data.parents[1]
    declare(data)
    (root / "weights" / "first").mkdir(parents=True)
    entry = root / "kernels" / "mine" / "competition.toml"
    entry.rename(root / "weights" / "first" / "competition.toml")
    assert labels_of(get_competition("mine")) == {"cat/1.jpg": 0, "dog/2.jpg": 1}


CARS = {
    "name": "mine",
    "folder": "sf-dl-car-classification",
    "classes": list(COMPETITIONS["cars"].classes),
    "train": {"images": "train", "csv": "train.csv", "id": "Id", "label": "Category"},
    "test": {"images": "test_upload"},
    "submission": {
        "sample": "sample-submission.csv",
        "id": "Id",
        "with_ending": True,
        "answer": "number",
        "columns": ["Category"],
    },
}
INTEL = {
    "name": "mine",
    "folder": "intel-image-classification",
    "classes": list(COMPETITIONS["intel"].classes),
    "train": {"images": ["seg_train", "seg_test"]},
    "test": {"images": "seg_pred"},
}
DOGS = {
    "name": "mine",
    "folder": "dogs-vs-cats-redux-kernels-edition",
    "classes": ["cat", "dog"],
    "metric": "log-loss",
    "train": {"images": "train", "pattern": r"^(cat|dog)\."},
    "test": {"images": "test"},
    "submission": {"sample": "sample_submission.csv", "answer": "probability"},
}


def cars(folder: Path) -> None:
    rows = [f"{n}.jpg,{n}\n" for n in range(10)]
    draw(folder, *[f"train/{n}/{n}.jpg" for n in range(10)], "test_upload/7.jpg")
    (folder / "train.csv").write_text("Id,Category\n" + "".join(rows))
    (folder / "sample-submission.csv").write_text("Id,Category\n7.jpg,0\n")


def intel(folder: Path) -> None:
    for part in ("train", "test"):
        draw(folder, *[f"seg_{part}/{name}/1.jpg" for name in COMPETITIONS["intel"].classes])
    draw(folder, "seg_pred/5.jpg")


def dogs(folder: Path) -> None:
    draw(folder, "train/cat.0.jpg", "train/dog.0.jpg", "train/dog.1.jpg", "test/1.jpg")
    (folder / "sample_submission.csv").write_text("id,label\n1,0.5\n")


@pytest.mark.parametrize(
    ("name", "keys", "make"),
    [("cars", CARS, cars), ("intel", INTEL, intel), ("dogs-vs-cats", DOGS, dogs)],
)
def test_a_file_can_say_what_a_class_says(data: Path, name: str, keys: dict, make: Any) -> None:
    make(data.parent / keys["folder"])
    path = data.parents[1] / "kernels" / "mine" / "competition.toml"
    path.write_text(to_toml(keys), encoding="utf-8")
    mine, theirs = DeclaredCompetition(path), COMPETITIONS[name]
    ours, table = mine.read_training(), theirs.read_training()
    if name == "intel":  # whose ids shorten the folders' names
        ours = ours.rename(index=lambda one: one.removeprefix("seg_")).sort_index()
    pd.testing.assert_frame_equal(ours, table)
    pd.testing.assert_frame_equal(mine.read_test(), theirs.read_test())
    values = np.full((1, len(mine.classes)), 1 / len(mine.classes), np.float32)
    values[0, -1] += 0.1
    table = pd.DataFrame(values, mine.read_test().index, mine.classes)
    pd.testing.assert_frame_equal(mine.submission(table), theirs.submission(table))
