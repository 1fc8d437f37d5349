"""Checking: broken images are reported by id, sound ones with size and fingerprint."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from podium.data.check import check_images
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
