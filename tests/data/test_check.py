"""Checking: broken images are reported by id, sound ones with size and fingerprint."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from podium.competitions import get_competition
from podium.data.check import check_competition, check_images
from podium.data.near_duplicates import fingerprint, near_duplicate_groups
from podium.files.image_io import read_image


@pytest.fixture
def paths(tmp_path: Path) -> pd.Series:
    rng = np.random.default_rng(0)
    for name, shape in {"wide": (20, 50, 3), "tall": (60, 30, 3)}.items():
        image = rng.integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    (tmp_path / "broken.png").write_bytes((tmp_path / "wide.png").read_bytes()[:900])
    names = ["tall", "missing", "wide", "broken"]
    return pd.Series([tmp_path / f"{name}.png" for name in names], index=names, name="path")


def test_rows_are_those_of_the_paths(paths: pd.Series) -> None:
    checked = check_images(paths)
    assert list(checked.index) == list(paths.index)
    assert checked.loc["wide", ["width", "height"]].tolist() == [50, 20]
    assert checked.loc["tall", ["width", "height"]].tolist() == [30, 60]
    assert checked.loc[["wide", "tall"], "problem"].tolist() == ["", ""]


def test_problems_are_told(paths: pd.Series) -> None:
    checked = check_images(paths)
    assert "no such file" in checked.loc["missing", "problem"]
    assert "broken.png" in checked.loc["broken", "problem"]
    assert checked.loc["broken", ["width", "height"]].tolist() == [0, 0]
    assert checked.loc["broken", "thumbnail"] is None


def test_fingerprints_are_exact(paths: pd.Series) -> None:
    checked = check_images(paths)
    expected = fingerprint(read_image(paths["wide"]))
    assert checked.loc["wide", "small"] == expected.small
    np.testing.assert_array_equal(checked.loc["wide", "thumbnail"], expected.thumbnail)


def test_groups_come_from_what_is_returned(paths: pd.Series) -> None:
    assert near_duplicate_groups(check_images(paths)).tolist() == [0, 1, 2, 3]
    twice = pd.concat([paths, paths.rename(lambda name: f"{name} again")])
    assert near_duplicate_groups(check_images(twice)).tolist() == [0, 1, 2, 3, 0, 4, 2, 5]


def test_paths_may_be_text_and_none(paths: pd.Series) -> None:
    assert check_images(paths.astype(str)).loc["wide", "width"] == 50
    nothing = check_images(paths.iloc[:0])
    assert nothing.empty
    assert near_duplicate_groups(nothing).tolist() == []


CLOCKS = get_competition("clocks-or-crocs")


@dataclass
class Images:
    """Three clocks, three crocodiles and two test images."""

    folder: Path
    paths: list[Path] = field(default_factory=list)

    @property
    def clock(self) -> Path:
        return self.folder / "train" / "clock" / "0.jpg"


@pytest.fixture
def images(data: Path, write_image: Callable[..., Path]) -> Images:
    images = Images(data / CLOCKS.slug)
    for kind in CLOCKS.classes:
        for number in range(3):
            images.paths.append(write_image(images.folder / f"train/{kind}/{number}.jpg"))
    for number in range(2):
        path = write_image(images.folder / f"test/{number}.png", height=32, width=32)
        images.paths.append(path)
    return images


def test_sound_images_make_a_clean_report(images: Images) -> None:
    report = check_competition(CLOCKS)
    assert not report.broken and not report.doubled
    assert (report.train, report.test) == (6, 2)
    assert report.classes == {"clock": 3, "crocodile": 3}
    assert report.sizes == {"64×48": 6, "32×32": 2}
    assert report.broken == report.doubled == report.contradictions == []
    assert report.leaked == 0
    lines = str(report).splitlines()
    assert lines[0] == "6 training and 2 test images; 6 of 64×48, 2 of 32×32"
    assert "classes: clock 3, crocodile 3" in lines
    assert "broken or missing: none" in lines


def test_each_broken_image_is_named_with_what_is_wrong(images: Images) -> None:
    truncated, empty, text, test = images.paths[0], *images.paths[3:5], images.paths[6]
    truncated.write_bytes(truncated.read_bytes()[:-400])
    empty.write_bytes(b"")
    text.write_text("<html>404</html>")
    test.write_bytes(b"")
    report = check_competition(CLOCKS)
    assert len(report.broken) == 4
    for path, problem in (
        (truncated, "truncated"),
        (empty, "the file is empty"),
        (text, "not an image in a known format"),
        (test, "the file is empty"),
    ):
        assert any(line.startswith(f"{path}: {problem}") for line in report.broken), path
    assert str(report).count("\n  /") == 4
    assert (report.train, report.test) == (6, 2)
    assert sum(report.sizes.values()) == 4


def test_doubled_images_are_named_with_their_classes(images: Images) -> None:
    shutil.copy(images.clock, images.clock.with_name("again.jpg"))
    report = check_competition(CLOCKS)
    assert [sorted(group) for group in report.doubled] == [
        ["clock/0.jpg (clock)", "clock/again.jpg (clock)"]
    ]
    assert report.contradictions == []
    assert "clock/0.jpg (clock) = clock/again.jpg (clock)" in str(report)


def test_copies_of_several_classes_contradict_each_other(images: Images) -> None:
    with Image.open(images.clock) as image:
        mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        mirrored.save(images.folder / "train/crocodile/mirrored.png")
    report = check_competition(CLOCKS)
    assert [sorted(group) for group in report.contradictions] == [
        ["clock/0.jpg (clock)", "crocodile/mirrored.png (crocodile)"]
    ]
    assert "of these with several labels: 1" in str(report)


def test_copies_of_training_images_in_the_test_are_counted(images: Images) -> None:
    shutil.copy(images.clock, images.folder / "test" / "7.jpg")
    report = check_competition(CLOCKS)
    assert report.leaked == 1
    assert not report.broken and not report.doubled  # Kaggle's own leak is nothing to mend
    assert str(report).endswith("near-copies of training images: 1")


def test_where_no_image_can_be_read_all_are_named(images: Images) -> None:
    for path in images.paths:
        path.write_bytes(b"")
    report = check_competition(CLOCKS)
    assert len(report.broken) == 8
    assert report.sizes == {}
    assert str(report).startswith("6 training and 2 test images")
