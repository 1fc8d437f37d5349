"""Where things lie, here and in a folder laid out as a Kaggle kernel has it."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from podium import paths
from podium.competitions import MissingData, get_competition
from podium.models.pretrained import WEIGHTS_FILES, find_weights
from podium.runs.find_run import find_run

CARS = "sf-dl-car-classification"
WEIGHTS = WEIGHTS_FILES["efficientnet-b6"]["noisy-student"]


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of a kernel's folders; nothing is found anywhere else."""
    for name in ("PODIUM_INPUT", "PODIUM_PRETRAINED"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "kaggle"
    (root / "input").mkdir(parents=True)
    (root / "working").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PODIUM_KAGGLE_ROOT", str(root))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(paths.tempfile, "tempdir", None)
    return root


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.mark.parametrize(
    "nesting",
    ["", "competitions/", "datasets/someone/", "a/b/c/d/"],
)
def test_data_is_found_however_kaggle_nests_it(kernel: Path, nesting: str) -> None:
    folder = kernel / "input" / nesting / CARS
    touch(folder / "train.csv")
    assert get_competition("cars").folder() == folder


@pytest.mark.parametrize("nesting", ["podium-pretrained", "datasets/someone/podium-pretrained/b6"])
def test_weights_are_found_in_any_attached_dataset(kernel: Path, nesting: str) -> None:
    path = touch(kernel / "input" / nesting / WEIGHTS)
    assert find_weights(WEIGHTS) == path


def test_the_least_nested_of_several_is_taken(kernel: Path) -> None:
    (kernel / "input" / "a" / CARS / "train").mkdir(parents=True)
    (kernel / "input" / CARS / CARS).mkdir(parents=True)
    found = list(paths.find_in_kaggle_input(CARS))
    assert found == [kernel / "input" / CARS, kernel / "input" / "a" / CARS]


def test_a_file_with_the_name_of_the_data_is_not_the_data(kernel: Path) -> None:
    touch(kernel / "input" / CARS)
    with pytest.raises(MissingData, match=f"no data of .* in .*{kernel / 'input'}"):
        get_competition("cars").folder()


def test_a_kernel_writes_where_kaggle_looks(kernel: Path) -> None:
    assert paths.runs() == kernel / "working" / "weights"
    assert paths.submission("cars-b6") == kernel / "working" / "submission.csv"
    assert not paths.scratch().is_relative_to(kernel)


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the scratch folder of this user will be; it is not there yet."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path / f"podium-{os.getuid()}"


def test_the_scratch_folder_is_its_users_alone(scratch: Path) -> None:
    umask = os.umask(0)
    try:
        assert paths.scratch() == paths.scratch() == scratch
    finally:
        os.umask(umask)
    assert stat.S_IMODE(scratch.stat().st_mode) == 0o700
    scratch.chmod(0o755)  # by an older version: nobody else could write to it
    paths.scratch()
    assert stat.S_IMODE(scratch.stat().st_mode) == 0o700


def plant_link(scratch: Path) -> None:
    target = scratch.with_name("elsewhere")
    target.mkdir(mode=0o700)
    scratch.symlink_to(target)


def plant_open(scratch: Path) -> None:
    scratch.mkdir()
    scratch.chmod(0o777)


def plant_anothers(scratch: Path) -> None:
    scratch.mkdir(mode=0o700)
    if os.getuid():
        pytest.skip("only root can give a folder away")
    os.chown(scratch, 12345, 12345)


@pytest.mark.parametrize(
    "plant", [plant_link, plant_open, plant_anothers, Path.touch, lambda p: p.symlink_to("gone")]
)
def test_a_planted_scratch_folder_is_refused(
    scratch: Path, kernel: Path, plant: Callable[[Path], None]
) -> None:
    """Whatever uses it: here runs that were joined, and archives that are unpacked."""
    plant(scratch)
    touch(kernel / "input" / CARS / "train.zip")
    for use in (paths.scratch, lambda: find_run("a"), get_competition("cars").folder):
        with pytest.raises(ValueError, match=rf"^{scratch} is not user .* TMPDIR"):
            use()


def test_elsewhere_a_run_has_a_submission_of_its_name(data: Path, tmp_path: Path) -> None:
    assert paths.kaggle() is None
    assert paths.submission("cars-b6") == tmp_path / "submissions" / "cars-b6.csv"


def test_runs_lie_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert paths.runs() == tmp_path / "weights"
    monkeypatch.setenv("PODIUM_RUNS", str(tmp_path / "shared"))
    assert paths.runs() == tmp_path / "shared"
