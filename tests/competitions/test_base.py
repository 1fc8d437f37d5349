"""The layouts: ids, labels, order and CSV of each competition, and what is wrong said with counts.

Each competition gets a few real images in the folders that Kaggle's download unpacks to.
"""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from podium.competitions import (
    COMPETITIONS,
    Competition,
    MissingData,
    WrongSubmission,
    get_competition,
)
from podium.data.check import check_competition

WriteImage = Callable[..., Path]


def write_csv(path: Path, header: str, rows: Iterable[str]) -> None:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


class Layout:
    """The folder of a competition with images in it, and what should be read from it."""

    def __init__(self, competition: Competition, data: Path, write: WriteImage, nested: bool):
        self.competition = competition
        self.folder = data / competition.slug
        self.write = write
        self.labels: dict[str, int] = {}
        self.test: list[str] = []
        getattr(self, "_" + competition.name.replace("-", "_"))(nested)

    def _cars(self, nested: bool) -> None:
        train = self.folder / ("train/train" if nested else "train")
        self.test_folder = self.folder / ("test/test_upload" if nested else "test_upload")
        classes = len(self.competition.classes)
        self.labels = {f"{900 + 37 * n % 101}.jpg": n % classes for n in range(2 * classes)}
        for name, label in self.labels.items():
            self.write(train / str(label) / name)
        self.test = ["7.jpg", "100.jpg", "20.jpg"]  # neither by name nor by number
        self._test_files(self.test)
        rows = [f"{name},{label}" for name, label in self.labels.items()]
        write_csv(self.folder / "train.csv", "Id,Category", rows)
        self.sample = self.folder / "sample-submission.csv"
        write_csv(self.sample, "Id,Category", [f"{name},0" for name in self.test])

    _sample = _cars

    def _dogs_vs_cats(self, nested: bool) -> None:
        redux = self.competition.name == "dogs-vs-cats"
        train = self.folder / ("train/train" if nested else "train")
        test = "test" if redux else "test1"
        self.test_folder = self.folder / (f"{test}/{test}" if nested else test)
        self.labels = {f"{kind}.{n}": n // 3 for n, kind in enumerate(["cat"] * 3 + ["dog"] * 3)}
        for name in self.labels:
            self.write(train / f"{name}.jpg")
        self.test = ["1", "2", "3", "10"]
        self._test_files([f"{name}.jpg" for name in self.test])
        self.sample = self.folder / str(self.competition.sample_submission)
        write_csv(self.sample, "id,label", [f"{name},0.5" for name in self.test])

    _dogs_vs_cats_original = _dogs_vs_cats

    def _intel(self, nested: bool) -> None:
        for part in ("train", "test"):
            place = self.folder / (f"seg_{part}/seg_{part}" if nested else f"seg_{part}")
            for label, name in enumerate(self.competition.classes):
                self.write(place / name / "5.jpg")  # the same name in every folder
                self.labels[f"{part}/{name}/5.jpg"] = label
        self.test_folder = self.folder / ("seg_pred/seg_pred" if nested else "seg_pred")
        self.test = ["9", "24", "100"]
        self._test_files([f"{name}.jpg" for name in self.test])

    def _clocks_or_crocs(self, nested: bool) -> None:
        for label, name in enumerate(self.competition.classes):
            for number in range(2):
                self.write(self.folder / "train" / name / f"{number}.png")
                self.labels[f"{name}/{number}.png"] = label
        self.test_folder = self.folder / "test"
        self.test = ["1", "2", "11"]
        self._test_files([f"{name}.png" for name in self.test])

    def _pets(self, nested: bool) -> None:
        self.test_folder = self.folder / ("images/images" if nested else "images")
        annotations = self.folder / ("annotations/annotations" if nested else "annotations")
        annotations.mkdir(parents=True)
        self.labels = {f"{breed}_{n}": n // 2 % 2 for n, breed in enumerate("AAbb")}
        self.test = ["b_9", "A_11", "A_10"]  # in the order of test.txt
        self._test_files([f"{name}.jpg" for name in [*self.labels, *self.test]])
        rows = [f"{name} 1 {label + 1} 1" for name, label in self.labels.items()]
        (annotations / "trainval.txt").write_text("\n".join(rows))
        (annotations / "test.txt").write_text("\n".join(f"{one} 1 1 1" for one in self.test))

    def _test_files(self, names: Iterable[str]) -> None:
        for name in names:
            self.write(self.test_folder / name)

    def probabilities(self) -> pd.DataFrame:
        """In another order than the test images, and each image another likeliest class."""
        classes = len(self.competition.classes)
        rows = np.full((len(self.test), classes), 0.4 / (classes - 1), np.float32)
        rows[np.arange(len(rows)), np.arange(len(rows)) % classes] = 0.6
        ids = pd.Index(self.test, dtype=str, name="id")
        return pd.DataFrame(rows, ids, list(self.competition.classes)).iloc[::-1]


Lay = Callable[..., Layout]


@pytest.fixture
def lay(data: Path, write_image: WriteImage) -> Lay:
    """Write the images of a competition: `lay("cars", nested=True)`."""

    def lay(name: str, nested: bool = False) -> Layout:
        return Layout(get_competition(name), data, write_image, nested)

    return lay


def complaint(act: Callable[[], object], kind: type[Exception] = MissingData) -> str:
    with pytest.raises(kind) as caught:
        act()
    return str(caught.value)


NESTED = [
    *((name, False) for name in COMPETITIONS),
    *((name, True) for name in COMPETITIONS if name != "clocks-or-crocs"),
]


# --- What is read


@pytest.mark.parametrize(("name", "nested"), NESTED)
def test_training_images_have_their_ids_and_labels(lay: Lay, name: str, nested: bool) -> None:
    layout = lay(name, nested)
    table = layout.competition.read_training()
    assert table["label"].to_dict() == layout.labels
    assert table.index.is_monotonic_increasing
    assert all(isinstance(one, str) for one in table.index)
    assert table["label"].dtype == np.int64
    assert all(path.is_file() for path in table["path"])
    assert table["path"].is_unique


@pytest.mark.parametrize(("name", "nested"), NESTED)
def test_test_images_are_in_the_order_of_the_submission(lay: Lay, name: str, nested: bool) -> None:
    layout = lay(name, nested)
    table = layout.competition.read_test()
    assert table.index.tolist() == layout.test
    assert table.index.name == "id"
    for one, path in table["path"].items():
        assert path.is_file()
        assert one in (path.name, path.stem)


@pytest.mark.parametrize("name", COMPETITIONS)
def test_every_image_of_a_layout_is_sound(lay: Lay, name: str) -> None:
    layout = lay(name)
    report = check_competition(layout.competition)
    assert not report.broken and not report.doubled, str(report)
    assert (report.train, report.test) == (len(layout.labels), len(layout.test))
    assert report.classes == {
        kind: list(layout.labels.values()).count(label)
        for label, kind in enumerate(layout.competition.classes)
    }


def test_files_that_are_no_images_are_passed_over(lay: Lay) -> None:
    layout = lay("dogs-vs-cats")
    (layout.test_folder / "Thumbs.db").write_bytes(b"\0")
    (layout.folder / "train" / ".DS_Store").write_bytes(b"\0")
    layout.write(layout.test_folder / "11.JPG")
    write_csv(layout.sample, "id,label", [f"{name},0.5" for name in [*layout.test, "11"]])
    assert layout.competition.read_test().index.tolist() == [*layout.test, "11"]
    assert len(layout.competition.read_training()) == len(layout.labels)


@pytest.mark.parametrize("ending", [".jfif", ".jpe", ".avif", ".TIFF"])
def test_images_with_rare_endings_count(lay: Lay, ending: str) -> None:
    layout = lay("clocks-or-crocs")
    path = layout.test_folder / "1.png"
    path.rename(path.with_suffix(ending))
    assert layout.competition.read_test().index.tolist() == layout.test


# --- What is missing or wrong


@pytest.mark.parametrize("name", COMPETITIONS)
def test_without_data_the_places_and_the_way_to_it_are_named(data: Path, name: str) -> None:
    competition = get_competition(name)
    message = complaint(competition.folder)
    assert f"no data of {name}" in message
    assert str(data / competition.slug) in message
    assert str(data.parent / "input" / competition.slug) in message
    assert competition.get_it in message
    assert complaint(competition.read_training) == message
    assert complaint(competition.read_test) == message


def test_data_in_the_projects_input_is_found_from_below(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = data.parent
    (project / "kernels" / "cars-b6").mkdir(parents=True)
    (project / "input" / "sf-dl-car-classification").mkdir(parents=True)
    monkeypatch.chdir(project / "kernels" / "cars-b6")
    found = get_competition("cars").folder()
    assert found == project / "input" / "sf-dl-car-classification"
    (data / "sf-dl-car-classification").mkdir()  # PODIUM_INPUT goes before
    assert get_competition("cars").folder() == data / "sf-dl-car-classification"


@pytest.mark.parametrize("name", COMPETITIONS)
def test_an_empty_folder_is_not_taken_for_the_data(data: Path, name: str) -> None:
    competition = get_competition(name)
    (data / competition.slug).mkdir()
    for read in (competition.read_training, competition.read_test):
        message = complaint(read)
        assert str(data / competition.slug) in message
        assert "expected a folder" in message
        assert "unpack the download again" in message


@pytest.mark.parametrize("name", COMPETITIONS)
def test_a_test_folder_without_images_is_said(lay: Lay, name: str) -> None:
    layout = lay(name)
    for path in layout.test_folder.iterdir():
        path.unlink()
    message = complaint(layout.competition.read_test)
    assert message.startswith(f"there are no test images of {name} in {layout.folder}")


@pytest.mark.parametrize("name", ["clocks-or-crocs", "intel", "dogs-vs-cats"])
def test_classes_without_images_are_counted_and_named(lay: Lay, name: str) -> None:
    layout = lay(name)
    kind = layout.competition.classes[1]
    for path in layout.competition.read_training()["path"]:
        if kind in str(path.relative_to(layout.folder)):
            path.unlink()
    of = len(layout.competition.classes)
    message = complaint(layout.competition.read_training)
    assert f"no training images of 1 of {of} classes: {kind}" in message


def test_a_class_missing_from_the_csv_is_named(lay: Lay) -> None:
    layout = lay("cars")
    rows = [f"{one},{label}" for one, label in layout.labels.items() if label not in (3, 4)]
    write_csv(layout.folder / "train.csv", "Id,Category", rows)
    message = complaint(layout.competition.read_training)
    assert "no training images of 2 of 10 classes: Lada 2110, Lada 2107" in message


def test_a_training_id_without_a_file_is_found_by_check(lay: Lay) -> None:
    layout = lay("cars")
    name, label = next(iter(layout.labels.items()))
    path = layout.folder / "train" / str(label) / name
    path.unlink()
    assert len(layout.competition.read_training()) == len(layout.labels)
    assert check_competition(layout.competition).broken == [f"{path}: there is no such file"]


@pytest.mark.parametrize("category", ["10", "-1", "1.0", "Lada"])
def test_a_category_out_of_range_is_named(lay: Lay, category: str) -> None:
    layout = lay("cars")
    rows = [f"{one},{label}" for one, label in layout.labels.items()]
    write_csv(layout.folder / "train.csv", "Id,Category", [*rows, f"1.jpg,{category}"])
    message = complaint(layout.competition.read_training)
    assert f"train.csv: Category must be 0 to 9, came {category}; mend line 22" in message


def test_the_competition_of_the_docs_names_a_label_that_is_none_of_its_classes(
    data: Path, write_image: WriteImage
) -> None:
    text = (Path(__file__).parents[2] / "docs" / "competitions.md").read_text()
    code = text.split("```python\n")[1].split("```")[0].replace(", ...)", ', "beagle")')
    names: dict[str, type[Competition]] = {}
    exec(code, names)
    dogs = names["DogBreeds"]()
    breeds = [*dogs.classes, "affenpinscher"]
    for number in range(4):
        write_image(data / dogs.slug / "train" / f"{number}.jpg")
    rows = [f"{number},{breed}" for number, breed in enumerate(breeds)]
    write_csv(data / dogs.slug / "labels.csv", "id,breed", rows)
    assert dogs.read_training()["label"].tolist() == [0, 1, 2, 0]
    write_csv(data / dogs.slug / "labels.csv", "id,breed", [*rows[:2], "2,Afgan hound", rows[3]])
    assert complaint(dogs.read_training) == (
        f"{data / dogs.slug / 'labels.csv'}: breed must be one of the 3 classes, came Afgan hound; "
        "mend line 4; did you mean afghan_hound?"
    )


def test_a_name_that_tells_no_class_is_named(lay: Lay) -> None:
    layout = lay("dogs-vs-cats")
    path = layout.write(layout.folder / "train" / "cow.1.jpg")
    message = complaint(layout.competition.read_training)
    assert message == f"{path}: expected a name like cat.12.jpg; rename it"


@pytest.mark.parametrize("name", ["cars", "dogs-vs-cats", "dogs-vs-cats-original"])
def test_a_sample_submission_of_other_ids_is_told_both_ways(lay: Lay, name: str) -> None:
    layout = lay(name)
    header = layout.sample.read_text().splitlines()[0]
    write_csv(layout.sample, header, [f"{one},0" for one in ["x", "y", *layout.test[1:]]])
    message = complaint(layout.competition.read_test)
    other = f"2 only in {layout.sample.name} (x, y), 1 only in the images ({layout.test[0]})"
    assert message.startswith(f"{layout.sample}: other ids than the images: {other}; ")


def test_a_sample_submission_without_some_images_is_told(lay: Lay) -> None:
    layout = lay("cars")
    write_csv(layout.sample, "Id,Category", [f"{layout.test[0]},0"])
    message = complaint(layout.competition.read_test)
    assert "than the images: 2 only in the images (100.jpg, 20.jpg); " in message


def test_doubled_ids_are_counted(lay: Lay) -> None:
    cars, intel = lay("cars"), lay("intel")
    train = cars.folder / "train.csv"
    train.write_text(train.read_text() + train.read_text().splitlines()[1] + "\n")
    message = complaint(cars.competition.read_training)
    assert f"1 ids are there twice ({next(iter(cars.labels))})" in message
    cars.sample.write_text(cars.sample.read_text() + "7.jpg,0\n")
    message = complaint(cars.competition.read_test)
    assert message == f"{cars.sample}: 1 ids are there twice (7.jpg); keep one line of each"
    intel.write(intel.test_folder / "9.png")
    assert "1 ids are there twice (9)" in complaint(intel.competition.read_test)


def test_an_unknown_competition_is_told_the_known_ones() -> None:
    message = complaint(lambda: get_competition("car"), ValueError)
    known = ", ".join(COMPETITIONS)
    assert message == f"no competition 'car'; there are: {known}; did you mean cars?"


# --- What is submitted


@pytest.mark.parametrize("name", COMPETITIONS)
def test_a_submission_has_every_test_id_once_and_in_order(lay: Lay, name: str) -> None:
    layout = lay(name)
    ids = layout.competition.read_test().index
    submission = layout.competition.validated_submission(layout.probabilities(), ids)
    if layout.competition.sample_submission:
        header = layout.sample.read_text().splitlines()[0].split(",")
        assert submission.columns.tolist() == header
    else:
        assert submission.columns.tolist() == ["id", "label"]
    assert submission.iloc[:, 0].tolist() == layout.test
    assert not submission.isna().any(axis=None)


@pytest.mark.parametrize(
    ("name", "answers"),
    [
        ("cars", [0, 1, 2]),
        ("sample", [0, 1, 2]),
        ("dogs-vs-cats-original", [0, 1, 0, 1]),
        ("intel", ["buildings", "forest", "glacier"]),
        ("clocks-or-crocs", ["clock", "crocodile", "clock"]),
        ("pets", ["cat", "dog", "cat"]),
    ],
)
def test_a_submission_of_classes_has_the_likeliest(lay: Lay, name: str, answers: list) -> None:
    layout = lay(name)
    ids = layout.competition.read_test().index
    submission = layout.competition.validated_submission(layout.probabilities(), ids)
    assert submission.iloc[:, 1].tolist() == answers
    if isinstance(answers[0], int):
        assert submission.dtypes.iloc[1] == np.int64


def test_the_redux_submits_the_probability_of_a_dog_and_never_certainty() -> None:
    ids = pd.Index(["1", "2", "3", "4"], name="id")
    dog = np.array([0, 1, 0.25, 0.99995], np.float32)
    probabilities = pd.DataFrame({"cat": 1 - dog, "dog": dog}, ids)
    submission = get_competition("dogs-vs-cats").validated_submission(probabilities, ids)
    np.testing.assert_allclose(submission["label"], [1e-4, 0.9999, 0.25, 0.9999], rtol=1e-6)


@pytest.fixture
def two() -> pd.DataFrame:
    """Valid probabilities of two images, cat and dog."""
    ids = pd.Index(["1", "2"], name="id")
    return pd.DataFrame([[0.9, 0.1], [0.3, 0.7]], ids, ["cat", "dog"], dtype=np.float32)


def test_predictions_of_other_ids_are_refused_with_counts(two: pd.DataFrame) -> None:
    submit = get_competition("dogs-vs-cats").validated_submission
    message = complaint(lambda: submit(two, pd.Index(["2", "3", "4"])), WrongSubmission)
    assert message == (
        "the predictions are of other ids: 2 only in the test ids (3, 4), 1 only in the "
        "predictions (1)"
    )


@pytest.mark.parametrize("row", [[0.9, 0.2], [np.nan, 0.5], [np.inf, 0.0], [1.5, -0.5]])
def test_what_is_no_probability_is_refused(two: pd.DataFrame, row: list[float]) -> None:
    two.iloc[1] = row
    submit = get_competition("dogs-vs-cats").validated_submission
    message = complaint(lambda: submit(two, two.index), WrongSubmission)
    assert message.startswith("probabilities must be")


# --- Where it is on Kaggle


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("cars", "competitions/sf-dl-car-classification"),
        ("dogs-vs-cats", "competitions/dogs-vs-cats-redux-kernels-edition"),
        ("dogs-vs-cats-original", "competitions/dogs-vs-cats"),
        ("intel", "datasets/puneet6060/intel-image-classification"),
        ("clocks-or-crocs", None),
        ("pets", None),
        ("sample", None),
    ],
)
def test_each_competition_says_where_kaggle_has_it(name: str, source: str | None) -> None:
    competition = get_competition(name)
    assert competition.kaggle_source == source
    assert (f"podium download {name}`" in competition.get_it) == (source is not None)


def test_a_competition_that_says_nothing_is_the_kaggle_competition_of_its_slug() -> None:
    class Flowers(type(get_competition("intel"))):
        name, slug = "flowers", "tpu-getting-started"

    class Leaves(Flowers):
        name, slug, kaggle_source = "leaves", "leaves", "datasets/someone/leaves"

    assert Flowers.kaggle_source == "competitions/tpu-getting-started"
    assert Leaves.kaggle_source == "datasets/someone/leaves"


@pytest.mark.parametrize("name", COMPETITIONS)
def test_images_are_read_from_another_folder_too(lay: Lay, tmp_path: Path, name: str) -> None:
    layout = lay(name)
    elsewhere = layout.folder.rename(tmp_path / "elsewhere")
    train = layout.competition.read_training(elsewhere)
    assert train["label"].to_dict() == layout.labels
    assert layout.competition.read_test(elsewhere).index.tolist() == layout.test
    assert all(path.is_relative_to(elsewhere) for path in train["path"])


@pytest.mark.parametrize("name", ["dogs-vs-cats", "dogs-vs-cats-original"])
def test_archives_that_kaggle_mounts_packed_are_read(
    lay: Lay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    layout = lay(name)
    attached = tmp_path / "kaggle" / "input" / "competitions" / layout.competition.slug
    attached.parent.mkdir(parents=True)
    layout.folder.rename(attached)
    for images in (attached / "train", attached / layout.test_folder.name):
        shutil.make_archive(str(images), "zip", attached, images.name)
        shutil.rmtree(images)
    (tmp_path / "kaggle" / "working").mkdir()
    monkeypatch.setenv("PODIUM_KAGGLE_ROOT", str(tmp_path / "kaggle"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    before = sorted(attached.rglob("*"))
    table = layout.competition.read_training()
    assert table["label"].to_dict() == layout.labels
    assert all(path.is_file() for path in table["path"])
    assert layout.competition.read_test().index.tolist() == layout.test
    assert sorted(attached.rglob("*")) == before
    assert not list((tmp_path / "kaggle" / "working").iterdir())
