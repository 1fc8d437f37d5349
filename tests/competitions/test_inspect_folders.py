"""Which images of a dataset that nobody has described lie in which folder."""

import re
from pathlib import Path

import pytest

from podium.competitions.csv_files import MissingData
from podium.competitions.inspect_folders import Folders


def laid_out(folder: Path, *names: str) -> Folders:
    images = [folder / name for name in names]
    for path in images:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return Folders(folder, images)


def test_an_archives_own_folder_is_gone_into(tmp_path: Path) -> None:
    assert laid_out(tmp_path / "a", "x/y/cat/1.png", "x/y/dog/2.png").root == tmp_path / "a/x/y"
    assert laid_out(tmp_path / "b", "x/1.png", "x/2.png").root == tmp_path / "b"
    (tmp_path / "c" / ".cache").mkdir(parents=True)
    folders = laid_out(tmp_path / "c", "x/a/1.png", "x/b/2.png")
    assert folders.root == tmp_path / "c/x"
    assert folders.images_by_folder(folders.root) == {"a": 1, "b": 1}
    assert folders.name(folders.root / "a") == "x/a/"
    assert folders.name(folders.folder) == "the folder itself"


def test_the_folder_of_ids_is_the_deepest_that_has_them_all(tmp_path: Path) -> None:
    folders = laid_out(tmp_path, "train/train/1.png", "train/train/2.png", "other/2.png", "3.png")
    train = re.compile("train")
    assert folders.folder_of({"1", "2"}, train) == tmp_path / "train/train"
    assert folders.folder_of({"2.png"}, re.compile("other")) == tmp_path / "other"
    assert folders.folder_of({"1", "3"}, train) == tmp_path


def test_a_path_that_is_told_lies_in_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = laid_out(tmp_path / "data", "a/1.png", "b/2.png")
    (tmp_path / "labels.csv").touch()
    monkeypatch.chdir(tmp_path)
    for name in ("a", "data/a", str(tmp_path / "data" / "a")):
        assert folders.told("--test", name) == tmp_path / "data" / "a"
    with pytest.raises(MissingData, match=r"--csv labels.csv: there is no such thing in"):
        folders.told("--csv", "labels.csv")
