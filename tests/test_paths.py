"""Where things lie, here and in a folder laid out as a Kaggle kernel has it."""

import subprocess
import sys
from pathlib import Path

import pytest

from podium import paths
from podium.competitions import MissingData, get_competition
from podium.models.pretrained import WEIGHTS_FILES, find_weights
from podium.system import KERNEL_MINUTES, training_minutes

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
    with pytest.raises(MissingData, match=f"looked for .*{kernel / 'input'}"):
        get_competition("cars").folder()


def test_a_kernel_writes_where_kaggle_looks(kernel: Path) -> None:
    assert paths.runs() == kernel / "working" / "weights"
    assert paths.submission("cars-b6") == kernel / "working" / "submission.csv"
    assert not paths.scratch().is_relative_to(kernel)


def test_elsewhere_a_run_has_a_submission_of_its_name(data: Path, tmp_path: Path) -> None:
    assert paths.kaggle() is None
    assert paths.submission("cars-b6") == tmp_path / "submissions" / "cars-b6.csv"


def test_a_kernel_ends_before_kaggle_ends_it(kernel: Path) -> None:
    assert training_minutes(None) == KERNEL_MINUTES
    assert training_minutes(10_000) == KERNEL_MINUTES
    assert training_minutes(30) == 30


def test_here_only_the_recipe_limits_the_time(data: Path) -> None:
    assert training_minutes(None) is None
    assert training_minutes(10_000) == 10_000


@pytest.mark.parametrize(("installed", "refused"), [("2.17.1", True), ("2.18.0", False)])
def test_an_old_tensorflow_is_refused_before_anything_takes_time(
    tmp_path: Path, installed: str, refused: bool
) -> None:
    about = tmp_path / f"tensorflow-{installed}.dist-info" / "METADATA"
    about.parent.mkdir()
    about.write_text(f"Metadata-Version: 2.1\nName: tensorflow\nVersion: {installed}\n")
    code = "from podium.system import check_tensorflow; check_tensorflow()"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}"],
        capture_output=True,
        text=True,
    )
    assert (done.returncode != 0) == refused
    assert ("TensorFlow 2.17.1 is installed, Podium needs 2.18 or newer" in done.stderr) == refused
