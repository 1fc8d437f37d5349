"""Folders of images: whatever the decoder reads counts, wherever it lies, and the rest is told."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from podium.competitions import MissingData, get_competition
from podium.competitions.image_folders import files_in, images_in, left_out
from podium.data.check import check_competition
from small_competitions import DRAW

WriteImage = Callable[..., Path]
CLOCKS = get_competition("clocks-or-crocs")


@pytest.fixture
def clocks(data: Path) -> Path:
    """The folder of 10 clocks, 10 crocodiles and 6 test images."""
    folder = data / CLOCKS.slug
    DRAW[CLOCKS.name](folder)
    return folder


def convert(path: Path, name: str, kind: str) -> None:
    with Image.open(path) as image:
        image.convert("RGB").save(path.with_name(name), kind)
    path.unlink()


def told() -> str:
    return CLOCKS.left_out(CLOCKS.read_training(), CLOCKS.read_test())


def test_an_image_counts_whatever_it_is_called(clocks: Path) -> None:
    names = {"a.jfif": "JPEG", "b.JPE": "JPEG", "c.AVIF": "AVIF", "d.ppm": "PPM", "e": "PNG"}
    names |= {"f.jp2": "JPEG2000", "g.photo": "WEBP"}
    for number, (name, kind) in enumerate(names.items()):
        convert(clocks / "train" / "clock" / f"clock-{number}.png", name, kind)
    convert(clocks / "test" / "test-0.png", "test-0.JFIF", "JPEG")
    training = CLOCKS.read_training()
    assert training["label"].value_counts().to_dict() == {0: 10, 1: 10}
    assert {f"clock/{name}" for name in names} < set(training.index)
    assert CLOCKS.read_test().index.tolist() == [f"test-{number}" for number in range(6)]
    report = check_competition(CLOCKS)
    assert not report.broken and not report.doubled and "left out" not in str(report)


def test_images_in_folders_below_a_class_are_of_it(clocks: Path) -> None:
    for kind in CLOCKS.classes:
        for below in ("2019", "2020/may"):  # the same names in each
            folder = clocks / "train" / kind / below
            folder.mkdir(parents=True)
            shutil.copy(clocks / "train" / kind / f"{kind}-0.png", folder / "1.png")
    training = CLOCKS.read_training()
    assert training["label"].value_counts().to_dict() == {0: 12, 1: 12}
    assert training.loc["clock/2020/may/1.png", "label"] == 0
    assert training.loc["crocodile/2019/1.png", "label"] == 1
    assert told() == ""


def test_what_is_left_out_is_told_in_a_line(clocks: Path, write_image: WriteImage) -> None:
    for name in ("Thumbs.db", ".DS_Store", "._clock-0.png", "desktop.ini", ".git/config.png"):
        path = clocks / "train" / "clock" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    assert told() == ""
    for name in ("train/clock/a.txt", "test/b.TXT", "train/clock/c.heic", "train/d"):
        (clocks / name).write_bytes(b"no image")
    assert told() == "left out: 4 files (.txt 2, .heic 1, no extension 1)"
    report = check_competition(CLOCKS)
    assert told() in str(report).splitlines()
    assert not report.broken and not report.doubled


@pytest.mark.parametrize(
    ("name", "strange"),
    [
        ("clocks-or-crocs", "train/robot"),
        ("intel", "seg_train/seg_train/desert"),
        ("sample", "train/train/10"),
        ("cars", "train/train/Lada"),
        ("dogs-vs-cats", "train/bird"),
    ],
)
def test_a_class_that_nobody_expects_is_named(
    data: Path, write_image: WriteImage, name: str, strange: str
) -> None:
    competition = get_competition(name)
    folder = data / competition.slug
    DRAW[name](folder)
    if not (folder / strange).parent.is_dir():  # drawn without the nesting
        strange = strange.split("/", 1)[1]
    before = competition.read_training()
    for number in range(3):
        write_image(folder / strange / "some" / f"{number}.png")
    train, test = competition.read_training(), competition.read_test()
    assert train.index.equals(before.index)
    assert competition.left_out(train, test) == (
        f"left out: 3 files (.png 3); nothing is used of {folder / strange}"
    )
    assert competition.left_out(train, test) in str(check_competition(competition))


def test_cats_and_dogs_may_have_folders_of_their_own(data: Path, write_image: WriteImage) -> None:
    competition = get_competition("dogs-vs-cats")
    DRAW[competition.name](data / competition.slug)
    train = data / competition.slug / "train"
    for name in ("cat/1.png", "dog/1.png", "dog/more/dog.77.jpg"):
        write_image(train / name)
    labels = competition.read_training()["label"]
    assert labels[["cat/1", "dog/1", "dog/more/dog.77", "cat.3"]].tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize("part", ["train/clock", "test", "train/clock/below"])
def test_a_name_that_is_not_utf_8_is_named_escaped(clocks: Path, part: str) -> None:
    (clocks / part).mkdir(exist_ok=True)
    name = "часы.png".encode("cp866")
    shutil.copy(clocks / "test" / "test-0.png", os.fsencode(clocks / part) + b"/" + name)
    for look in (lambda: check_competition(CLOCKS), told):
        with pytest.raises(MissingData) as caught:
            look()
        message = str(caught.value)
        assert message.isprintable() and message.endswith("rename them")
        assert f"{clocks / part}/\\udce7" in message


def test_a_link_in_a_circle_ends(tmp_path: Path, write_image: WriteImage) -> None:
    write_image(tmp_path / "a" / "1.png")
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    (tmp_path / "elsewhere").symlink_to(tmp_path / "a")
    assert len(files_in(tmp_path)) == len(images_in(tmp_path)) == 1


def test_nothing_used_is_told_by_the_folders_below(tmp_path: Path, write_image: WriteImage) -> None:
    write_image(tmp_path / "b" / "c" / "1.png")
    assert left_out([tmp_path], []) == (
        f"left out: 1 files (.png 1); nothing is used of {tmp_path / 'b'}"
    )
    assert left_out([tmp_path / "absent"], []) == ""


# --- One folder too deep


@pytest.mark.parametrize("name", ["clocks-or-crocs", "cars", "dogs-vs-cats", "intel", "pets"])
@pytest.mark.parametrize("wrapper", ["archive", "slug"])
def test_data_one_folder_too_deep_is_found(data: Path, name: str, wrapper: str) -> None:
    competition = get_competition(name)
    folder = data / competition.slug
    deeper = folder / (competition.slug if wrapper == "slug" else wrapper)
    DRAW[name](deeper)
    for read in (competition.read_training, competition.read_test):
        with pytest.raises(MissingData, match="found one folder deeper: move it up, ") as caught:
            read()
        assert f"move it up, {deeper}/" in str(caught.value)


def test_the_whole_folder_and_the_classes_may_be_too_deep(data: Path, clocks: Path) -> None:
    (clocks / "train").rename(clocks / "classes")
    (clocks / "train").mkdir()
    (clocks / "classes").rename(clocks / "train" / "classes")
    deeper = clocks / "train" / "classes" / "clock"
    with pytest.raises(MissingData, match=f"found one folder deeper: move it up, {deeper} to"):
        CLOCKS.read_training()
    (data / "downloads").mkdir()
    clocks.rename(data / "downloads" / CLOCKS.slug)
    with pytest.raises(MissingData, match=r"found one folder deeper: move it up, .*/downloads/"):
        CLOCKS.folder()
