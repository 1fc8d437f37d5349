"""Runs are found by name, and do not lead out of their folder."""

from pathlib import Path

import pytest

from podium.runs.find_run import find_run
from podium.runs.fold_folder import RunError
from podium.runs.run_folder import check_name
from small_runs import write_run


def test_a_run_whose_files_lead_elsewhere_is_not_used(data: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "weights" / "mine")
    (tmp_path / "elsewhere").mkdir()
    link = run.path / "fold-1" / "checkpoints"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match=r"checkpoints is a link that leads out of its run"):
        find_run("mine")
    link.unlink()
    (run.path / "fold-1" / "again.csv").symlink_to(run.path / "fold-0" / "test.csv")
    assert find_run("mine").path == run.path, "a link within it is no way out"


def test_a_run_that_lies_on_another_disk_is_used(data: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "disk" / "mine")
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "mine").symlink_to(run.path)
    assert find_run("mine").path == run.path


def test_a_misspelled_run_is_told_the_likely_one(data: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "weights" / "cars-b4-cpu")
    with pytest.raises(RunError, match=r"there are: cars-b4-cpu; did you mean cars-b4-cpu\?$"):
        find_run("cars-b4")


@pytest.mark.parametrize("name", ["../mine", "..", ".", "a/b", "/mine", "", " ", "a\0b"])
def test_a_name_is_no_path(name: str) -> None:
    with pytest.raises(RunError, match="expected the name of a folder of weights/, not a path"):
        check_name(name)
    assert check_name("mine-0.5") == "mine-0.5"


@pytest.mark.parametrize("name", [".hidden", "-rf", "a b", "запуск", "a\x1b[2J", "a" * 101, "=1+1"])
def test_a_new_name_is_plain_and_an_old_one_opens(data: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(RunError, match="expected at most 100 signs of A to Z") as caught:
        check_name(name)
    assert str(caught.value).isprintable()
    write_run(tmp_path / "weights" / name)
    assert check_name(name) == name == find_run(name).name
