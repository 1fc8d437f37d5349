"""`podium new` as a user types it: from folders of images to a submission by three commands."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

# Small enough for a test, over what the preset says.
SMALL = (
    "weights=none",
    "backbone=resnet-8",
    "image_size=16",
    'stages=[{unfreeze = "all", epochs = 1, learning_rate = 0.001}]',
)


@pytest.fixture
def flowers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_image: Callable[..., Path]
) -> Path:
    """A folder of data beside a project, which is the current folder."""
    (tmp_path / "project" / "kernels").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "flowers"


def trained(command: Callable[..., tuple[int, str, str]], entry: str) -> str:
    words = [word for change in SMALL for word in ("--set", change)]
    code, out, error = command("train", entry, "--preset", "quick", "--run", "small", *words)
    assert code == 0, error
    return out


def test_from_class_folders_to_a_submission(
    flowers: Path,
    write_image: Callable[..., Path],
    command: Callable[..., tuple[int, str, str]],
) -> None:
    for number in range(10):
        write_image(flowers / "train" / ("rose", "oak")[number % 2] / f"{number}.png")
    for number in range(3):
        write_image(flowers / "test" / f"{number}.png")
    code, out, error = command("new", "flowers", "--data", flowers)
    assert code == 0, error
    assert "guessed\n  to predict  test/" in out
    assert "10 training and 3 test images" in out  # podium check
    assert "podium train flowers-b0 --preset quick" in out.splitlines()[-2]
    assert "submission" in trained(command, "flowers-b0")
    assert json.loads(Path("weights/small/run.json").read_text())["preset"] == "quick"
    submission = pd.read_csv("submissions/small.csv", dtype=str)
    assert list(submission["id"]) == ["0", "1", "2"]
    assert set(submission["label"]) <= {"rose", "oak"}
    assert command("new", "flowers", "--data", flowers)[0] == 1  # nothing is overwritten


def test_groups_and_no_test_set(
    flowers: Path,
    write_image: Callable[..., Path],
    command: Callable[..., tuple[int, str, str]],
) -> None:
    rows = ["image,patient,kind"]
    for number in range(24):
        write_image(flowers / "images" / f"{number}.png")
        rows.append(f"{number},p{number // 2},{'ab'[number // 2 % 2]}")
    (flowers / "labels.csv").write_text("\n".join(rows) + "\n")
    code, out, error = command("new", "flowers", "--data", flowers)
    assert code == 0, error
    assert "patient, 12 of them" in out
    assert "validation accuracy" in trained(command, "flowers-b0")
    table = pd.read_csv("weights/small/pictures.csv", dtype={"id": str}).set_index("id")
    patients = table.index.astype(int) // 2
    assert (table.groupby(patients)["fold"].nunique() == 1).all()
    assert not Path("submissions/small.csv").exists()


def test_a_broken_image_is_told_and_the_next_commands_all_the_same(
    flowers: Path,
    write_image: Callable[..., Path],
    command: Callable[..., tuple[int, str, str]],
) -> None:
    for name in ("a/1", "a/2", "b/3", "b/4"):
        write_image(flowers / f"{name}.png")
    (flowers / "a" / "1.png").write_bytes(b"no image")
    code, out, _ = command("new", "flowers", "--data", flowers)
    assert code == 1
    assert "broken or missing: 1" in out
    assert "podium train flowers-b0" in out


def test_folds_of_a_column_are_trained_as_they_are(
    flowers: Path,
    write_image: Callable[..., Path],
    command: Callable[..., tuple[int, str, str]],
) -> None:
    rows = ["image,kind,fold"]
    for number in range(12):
        write_image(flowers / f"{number}.png")
        rows.append(f"{number}.png,{'ab'[number // 2 % 2]},{number % 2}")
    (flowers / "labels.csv").write_text("\n".join(rows) + "\n")
    code, out, error = command("new", "flowers", "--data", flowers)
    assert code == 0, error
    assert "fold, 2 of them" in out
    assert "fold 1 (2 of 2)" in trained(command, "flowers-b0")
    table = pd.read_csv("weights/small/pictures.csv").set_index("id")
    assert all(fold == int(name.partition(".")[0]) % 2 for name, fold in table["fold"].items())
