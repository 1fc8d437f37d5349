"""Folders of images that are not as they should be, and names in Unicode's two forms."""

import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from podium.competitions import Competition, get_competition
from podium.competitions.base import argmax_labels, class_folders, images_in, test_table
from podium.competitions.metrics import Accuracy
from podium.competitions.submission import check_submission_file
from podium.files.atomic_write import write_csv
from torture.wrong_tables import SOUND, Trial

TRIED = "torture"


class Letters(Competition):
    """Classes that no keyboard has all of."""

    name = slug = TRIED
    classes = ("café crème", "кот", "猫", "naïve, and “quoted”")
    metric = Accuracy()
    kaggle_source = None
    get_it = "nowhere"

    def training_images(self, folder: Path) -> pd.DataFrame:
        return class_folders(folder / "train", self.classes)

    def test_images(self, folder: Path) -> pd.DataFrame:
        images = images_in(folder / "test")
        return test_table([path.stem for path in images], images)

    def submission(self, probabilities: pd.DataFrame) -> pd.DataFrame:
        names = [self.classes[number] for number in argmax_labels(probabilities)]
        return pd.DataFrame({"id": probabilities.index, "label": pd.Series(names, dtype=str)})


def trials(scratch: Path) -> Iterator[Trial]:
    yield from _classes(scratch / "clocks")
    yield from _names(scratch / "dogs")
    yield from _boxes(scratch / "pets")
    for form in ("NFC", "NFD"):
        yield from _letters(scratch / f"letters {form}", form)
        yield from _accents(scratch / f"accents {form}", form)


def _touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def _classes(folder: Path) -> Iterator[Trial]:
    """A folder per class: one of them empty, or not there; no tests."""
    clocks = get_competition("clocks-or-crocs")
    read = lambda: len(clocks.read_training(folder))  # noqa: E731
    yield Trial("no folder train", read, path=folder, shown="train")
    _touch(folder / "train" / "clock" / "1.png", folder / "train" / "clock" / "2.png")
    yield Trial("a class without a folder", read, path=folder, shown="crocodile")
    (folder / "train" / "crocodile").mkdir()
    yield Trial("a class with an empty folder", read, path=folder, shown="crocodile")
    _touch(folder / "train" / "crocodile" / "notes.txt")
    yield Trial("a class with a note alone", read, path=folder, shown="crocodile")
    _touch(folder / "train" / "crocodile" / "1.png", folder / "train" / "snake" / "1.png")
    yield Trial("a folder of no class is passed over", read, 3)
    test = lambda: clocks.read_test(folder).index.tolist()  # noqa: E731
    yield Trial("no folder test", test, path=folder, shown="test")
    (folder / "test").mkdir()
    yield Trial("an empty folder test", test, path=folder, shown="no test images")
    _touch(folder / "test" / " 1 2 .png", folder / "test" / 'x,y\n".png')
    yield Trial("test ids of odd signs", lambda: len(test()), 2)
    _touch(folder / "test" / "1.png", folder / "test" / "1.jpg")
    yield Trial("test ids twice", test, path=folder, shown="(1)")


def _names(folder: Path) -> Iterator[Trial]:
    """Classes in the files' names."""
    dogs = get_competition("dogs-vs-cats")
    read = lambda: len(dogs.read_training(folder))  # noqa: E731
    _touch(folder / "train" / "cat.1.jpg", folder / "train" / "dog.1.jpg")
    yield Trial("names of cats and dogs", read, 2)
    _touch(folder / "train" / "cat.1.png")
    yield Trial("training ids twice", read, path=folder, shown="(cat.1)")
    (folder / "train" / "cat.1.png").rename(folder / "train" / "Cat 2.png")
    yield Trial("a name of no class", read, path=folder / "train" / "Cat 2.png", shown="cat.12.jpg")


def _boxes(folder: Path) -> Iterator[Trial]:
    """A list of boxes, and the files of the unpacked set."""
    pets = get_competition("pets")
    read = lambda: len(pets.read_training(folder))  # noqa: E731
    _touch(folder / "images" / "a.jpg", folder / "images" / "b.jpg")
    path = folder / "annotations" / "trainval.txt"
    yield Trial("no list and no trainval.txt", read, path=folder, shown="trainval.txt")
    path.parent.mkdir()
    (path.parent / "test.txt").touch()
    for what, data, shown in (
        ("Latin-1", b"Caf\xe9 1 1 1\n", "UTF-8"),
        ("UTF-16", "a 1 1 1\n".encode("utf-16"), "UTF-8"),
        ("no species", b"a 1 1 1\nb 1 3 1\n", "'b 1 3 1'"),
        ("commas", b"a,1,1,1\nb,2,2,1\n", "'a,1,1,1'"),
    ):
        path.write_bytes(data)
        yield Trial(f"trainval.txt: {what}", read, path=path, shown=shown)
    for what, data in (("BOM", b"\xef\xbb\xbfa 1 1 1\nb 1 2 1\n"), ("CRLF", b"a 1 1 1\r\nb 1 2 1")):
        path.write_bytes(data)
        yield Trial(f"trainval.txt: {what}", read, 2)
    path.unlink()
    (folder / "train.csv").write_text("")
    boxes, good = folder / "train.csv", "a.jpg,1,2,3,4,cat\nb.jpg,,,,,dog\n"
    for what, data, shown in (
        ("semicolons", good.replace(",", ";").encode(), "semicolons"),
        ("no such class", good.replace("cat", "cow").encode(), "'cow'"),
        ("three numbers", good.replace("1,2", "1,").encode(), "four numbers"),
        ("words for numbers", good.replace("1,2", "1,x").encode(), "four numbers"),
        ("a cell less", good.replace("1,2", "1").encode(), "line 1"),
        ("an id twice", good.replace("b.jpg", "b/a.jpg").encode(), "same id a"),
        ("Latin-1", good.replace("b.jpg", "bé.jpg").encode("latin-1"), "0xe9"),
        ("one class", b"a.jpg,1,2,3,4,cat\n", "dog"),
        ("an empty file", b"", "no rows"),
    ):
        boxes.write_bytes(data)
        place = folder if what == "one class" else boxes
        yield Trial(f"list of boxes: {what}", read, path=place, shown=shown)
    for what, data in (("BOM", b"\xef\xbb\xbf" + good.encode()), ("CRLF", good.encode())):
        boxes.write_bytes(data.replace(b"\n", b"\r\n"))
        yield Trial(f"list of boxes: {what}", read, 2)


def _letters(folder: Path, form: str) -> Iterator[Trial]:
    """Classes and files of many alphabets, the folder's names in one of Unicode's forms."""
    tried = Letters()
    for number, name in enumerate(tried.classes):
        written = unicodedata.normalize(form, name)
        _touch(folder / "train" / written / f"é{number}.png", folder / "test" / f"{written}.png")
    labels = lambda: sorted(tried.read_training(folder)["label"])  # noqa: E731
    yield Trial(f"classes of many alphabets, {form}", labels, [0, 1, 2, 3])
    path = folder / "submission.csv"

    def submit() -> int:
        ids = tried.read_test(folder).index
        certain = pd.DataFrame(0.0, ids, list(tried.classes)).assign(кот=1.0)
        write_csv(path, tried.validated_submission(certain, ids), index=False)
        return check_submission_file(tried, path, ids)

    yield Trial(f"a submission of many alphabets, {form}", submit, len(tried.classes))


def _accents(folder: Path, form: str) -> Iterator[Trial]:
    """Tables in one of Unicode's forms, images in the other."""
    cars = get_competition("cars")
    other = {"NFC": "NFD", "NFD": "NFC"}[form]
    table, rows = unicodedata.normalize(form, SOUND), SOUND.splitlines()[1:]
    for name, label in (row.split(",") for row in rows):
        there = unicodedata.normalize(other, name)
        _touch(folder / "train" / label / there, folder / "test_upload" / there)
    for name in ("train.csv", "sample-submission.csv"):
        (folder / name).write_text(table, encoding="utf-8")
    asked = [row.split(",")[0] for row in table.splitlines()[1:]]
    found = lambda: all(path.is_file() for path in cars.read_training(folder)["path"])  # noqa: E731
    yield Trial(f"train.csv in {form}, images in {other}", found, True)
    ids = lambda: cars.read_test(folder).index.tolist()  # noqa: E731
    yield Trial(f"sample submission in {form}, images in {other}", ids, asked)
    (folder / "train.csv").write_text("\n".join(table.splitlines()[:-1]), encoding="utf-8")
    yield Trial(f"a class without rows, {form}", found, path=folder, shown="Lada 21099")
