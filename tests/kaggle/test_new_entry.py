"""`podium new` writes two entries that Podium and Kaggle read, whole or not at all."""

import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from kaggle_stand_in import StandIn
from podium.competitions.inspection import Choices
from podium.kaggle import new_entry
from podium.kaggle.metadata import read_metadata
from podium.kaggle.new_entry import new_entries, to_toml
from podium.recipes.entries import get_entry

ALL_FILES = ["competition.toml", "kernel-metadata.json", "kernel.py", "recipe.toml"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "project" / "kernels").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def flowers(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    """Two classes of three images in folders, and one to predict."""
    folder = tmp_path / "elsewhere"
    for name in ("train/rose/1", "train/rose/2", "train/rose/3", "test/7"):
        write_image(folder / f"{name}.png")
    for name in ("train/oak tree/4", "train/oak tree/5", "train/oak tree/6"):
        write_image(folder / f"{name}.png", 160, 200)
    return folder


def declaration(entry: str) -> dict:
    return tomllib.loads(Path("kernels", entry, "competition.toml").read_text())


def test_two_entries_with_the_same_competition(project: Path, flowers: Path) -> None:
    new = new_entries("flowers", flowers, Choices(metric="log-loss"))
    assert sorted(path.name for path in new.large.path.iterdir()) == ALL_FILES
    assert sorted(path.name for path in new.small.path.iterdir()) == [
        name for name in ALL_FILES if name != "kernel-metadata.json"
    ]
    assert declaration("flowers-b0") == declaration("flowers-b6")
    assert declaration("flowers-b0")["name"] == declaration("flowers-b0")["folder"] == "flowers"
    assert declaration("flowers-b0")["classes"] == ["oak tree", "rose"]
    assert declaration("flowers-b0")["metric"] == "log-loss"
    assert (project / "input" / "flowers").is_symlink()
    assert (project / "input" / "flowers" / "train" / "rose" / "1.png").is_file()
    assert '"train", "flowers-b6"' in new.large.code.read_text()
    assert str(new).startswith("found\n  layout")
    assert "podium train flowers-b0 --preset quick" in new.next_commands


def test_recipes_and_metadata_are_read(project: Path, flowers: Path) -> None:
    new_entries("flowers", flowers, Choices())
    small, large = get_entry("flowers-b0").recipe(), get_entry("flowers-b6").recipe()
    assert (small.competition, small.backbone) == ("flowers", "efficientnet-b0")
    assert large.backbone == "efficientnet-b6"
    assert (small.image_size, large.image_size, large.stages[-1].image_size) == (160, 160, 192)
    assert small.folds == large.folds == 3
    metadata = read_metadata(get_entry("flowers-b6"))
    assert metadata.dataset_sources == ["OWNER/podium-pretrained", "OWNER/flowers"]
    assert metadata.machine_shape == "NvidiaTeslaT4"


def test_smoothed_labels_would_spoil_probabilities(project: Path, flowers: Path) -> None:
    new_entries("one", flowers, Choices(metric="accuracy"))
    new_entries("two", flowers, Choices(metric="log-loss"))
    assert get_entry("one-b0").recipe().label_smoothing == 0.1
    assert get_entry("two-b0").recipe().label_smoothing == 0


def test_data_below_input_is_used_as_it_is(project: Path, flowers: Path) -> None:
    shutil.move(flowers, project / "input" / "my-flowers")
    new = new_entries("flowers", Path("input/my-flowers"), Choices())
    assert declaration("flowers-b0")["folder"] == "my-flowers"
    assert new.data == project / "input" / "my-flowers"
    assert [path.name for path in (project / "input").iterdir()] == ["my-flowers"]


def test_nothing_is_overwritten(project: Path, flowers: Path) -> None:
    (project / "kernels" / "flowers-b6").mkdir()
    with pytest.raises(ValueError, match="flowers-b6 is there already: choose another name"):
        new_entries("flowers", flowers, Choices())
    (project / "input" / "plants").mkdir(parents=True)
    with pytest.raises(ValueError, match="plants is there already, and is not"):
        new_entries("plants", flowers, Choices())
    assert [path.name for path in (project / "kernels").iterdir()] == ["flowers-b6"]
    assert not list((project / "kernels" / "flowers-b6").iterdir())


def test_what_fails_leaves_nothing(
    project: Path, flowers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(new_entry, "_metadata", fail)
    with pytest.raises(OSError, match="the disk is full"):
        new_entries("flowers", flowers, Choices())
    assert not list((project / "kernels").iterdir())
    assert not (project / "input").exists()


@pytest.mark.parametrize("name", ["", "a/b", "../a", "a b", "-a"])
def test_a_name_is_no_path(project: Path, flowers: Path, name: str) -> None:
    with pytest.raises(ValueError, match="expected letters, digits"):
        new_entries(name, flowers, Choices())


def test_a_competition_of_that_name_stays(project: Path, flowers: Path) -> None:
    with pytest.raises(ValueError, match="a competition cars already"):
        new_entries("cars", flowers, Choices())


def test_what_cannot_be_declared_is_refused_before_anything_is_written(
    project: Path, flowers: Path
) -> None:
    with pytest.raises(ValueError, match="no metric 'beauty'; there are: accuracy"):
        new_entries("flowers", flowers, Choices(metric="beauty"))
    assert not list((project / "kernels").iterdir())
    assert not (project / "input").exists()


def test_one_of_data_and_kaggle_is_needed(project: Path, flowers: Path) -> None:
    for data, kaggle in ((None, None), (flowers, "flowers")):
        with pytest.raises(ValueError, match="by --data, or what to fetch by --kaggle"):
            new_entries("flowers", data, Choices(), kaggle)


@pytest.mark.parametrize(
    ("kaggle", "key", "source"),
    [
        ("flowers-2026", "competition_sources", "flowers-2026"),
        ("https://www.kaggle.com/competitions/flowers", "competition_sources", "flowers"),
        ("someone/flowers", "dataset_sources", "someone/flowers"),
    ],
)
def test_from_kaggle_nothing_is_asked(
    stand_in: StandIn, project: Path, flowers: Path, kaggle: str, key: str, source: str
) -> None:
    archive = Path(shutil.make_archive(str(project / "flowers"), "zip", flowers))
    if key == "dataset_sources":
        stand_in.add_dataset(source, archive)
    else:
        stand_in.add_competition(source, archive)
    new_entries("flowers", None, Choices(), kaggle)
    folder = source.rpartition("/")[2]
    assert (project / "input" / folder / "test" / "7.png").is_file()
    assert declaration("flowers-b6")["folder"] == folder
    kind = key.partition("_")[0]
    assert declaration("flowers-b6")["kaggle"] == f"{kind}s/{source}"
    assert getattr(read_metadata(get_entry("flowers-b6")), key)[-1] == source


def test_toml_is_read_as_it_was_written() -> None:
    data = {
        "name": 'a "quoted" \\ näme\n',
        "classes": [f"class number {number}" for number in range(20)],
        "train": {"images": ".", "with_ending": True, "label": ["a", "b"]},
        "test": {"images": "test"},
    }
    assert tomllib.loads(to_toml(data)) == data
