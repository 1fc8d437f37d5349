"""The entries: found from anywhere in the project, listed with what they lack here."""

import json
from pathlib import Path

import pytest

from podium.competitions import get_competition
from podium.models.pretrained import WEIGHTS_FILES
from podium.recipes.entries import Entry, all_entries, get_entry
from podium.recipes.recipe_file import RecipeError, load_ensemble
from podium.reports.listing import list_entries

REPOSITORY = Path(__file__).parents[2]
ENTRIES = sorted((REPOSITORY / "kernels").glob("*/recipe.toml"))


def write_entry(name: str, backbone: str = "resnet-small", weights: str = "none") -> Path:
    """An entry of the cars in the working directory's kernels/."""
    folder = Path("kernels", name)
    folder.mkdir(parents=True)
    lines = ('competition = "cars"', f'backbone = "{backbone}"', f'weights = "{weights}"')
    (folder / "recipe.toml").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(autouse=True)
def no_pretrained_weights(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory is a project without data, and nothing is found elsewhere."""
    monkeypatch.setenv("PODIUM_PRETRAINED", str(tmp_path / "pretrained"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def row_of(name: str) -> str:
    return next(line for line in str(list_entries()).splitlines() if line.startswith(name))


def test_entries_are_found_by_name_from_any_folder_of_the_project(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("b", "a"):
        write_entry(name)
    Path("kernels", "no-entry").mkdir()
    assert [entry.name for entry in all_entries()] == ["a", "b"]
    monkeypatch.chdir("kernels/b")
    assert [entry.name for entry in all_entries()] == ["a", "b"]
    assert get_entry("a").recipe().competition == "cars"
    assert get_entry("a").recipe(["seed=5"]).seed == 5


def test_an_unknown_entry_is_told_the_known_ones(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_entry(name)
    with pytest.raises(ValueError) as caught:
        get_entry("c")
    assert str(caught.value) == f"no entry 'c' in {tmp_path / 'kernels'}; there are: a, b"


def test_a_misspelled_entry_is_told_the_likely_one() -> None:
    write_entry("clocks-or-crocs-patches"), write_entry("cars-b6")
    with pytest.raises(ValueError, match=r"; did you mean clocks-or-crocs-patches\?$"):
        get_entry("clocks-or-crocs-patchs")
    with pytest.raises(ValueError, match=r"; did you mean dogs-vs-cats\?$"):
        get_competition("dogs-and-cats")


def test_outside_the_project_the_way_in_is_told() -> None:
    with pytest.raises(ValueError, match="none: run podium inside the project's folder"):
        get_entry("a")


def test_a_refused_recipe_is_named_by_its_file() -> None:
    folder = write_entry("a")
    (folder / "recipe.toml").write_text('competition = "cars"\nbackbon = "resnet-small"\n')
    with pytest.raises(RecipeError) as caught:
        get_entry("a").recipe()
    assert "kernels/a/recipe.toml: backbone: is missing" in str(caught.value)
    assert "did you mean backbone?" in str(caught.value)


def test_the_machine_is_the_accelerator_or_a_cpu() -> None:
    entry = Entry(write_entry("a"))
    assert entry.machine == "CPU"
    (entry.path / "kernel-metadata.json").write_text(json.dumps({"machine_shape": "NvidiaTeslaT4"}))
    assert entry.machine == "NvidiaTeslaT4"


def test_what_is_missing_here_is_listed(data: Path, tmp_path: Path) -> None:
    file = WEIGHTS_FILES["efficientnet-b0"]["noisy-student"]
    write_entry("scratch")
    write_entry("tuned", "efficientnet-b0", "noisy-student")
    assert str(list_entries()).splitlines()[0].split()[:3] == ["entry", "competition", "backbone"]
    no_data = "data in input/sf-dl-car-classification"
    assert row_of("scratch").endswith(f"CPU        {no_data}")
    assert row_of("tuned").endswith(f"{no_data}, weights {file}")

    (data / "sf-dl-car-classification").mkdir()
    assert row_of("scratch").endswith("nothing")
    assert row_of("tuned").endswith(f"  weights {file}")

    (tmp_path / "pretrained").mkdir()
    (tmp_path / "pretrained" / file).touch()
    assert row_of("tuned").endswith("nothing")


@pytest.mark.parametrize("path", ENTRIES, ids=lambda path: path.parent.name)
def test_every_recipe_of_the_repository_can_be_run(path: Path) -> None:
    if Entry(path.parent).is_ensemble:
        get_competition(load_ensemble(path).competition)
        return
    recipe = Entry(path.parent).recipe()
    get_competition(recipe.competition)
    if recipe.started_from:
        return
    assert recipe.backbone in WEIGHTS_FILES
    assert recipe.weights in {"none", *WEIGHTS_FILES[recipe.backbone]}


def test_the_repository_has_entries() -> None:
    assert {"sample-b0", "cars-b6"} <= {path.parent.name for path in ENTRIES}


def test_an_ensemble_is_listed_with_the_runs_that_are_missing(tmp_path: Path) -> None:
    folder = Path("kernels", "both")
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text('competition = "cars"\nruns = ["a", "b"]\n')
    assert row_of("both").split(maxsplit=3) == [
        "both",
        "cars",
        "2",
        "runs    CPU        run a, run b",
    ]
    (tmp_path / "weights" / "a").mkdir(parents=True)
    (tmp_path / "weights" / "a" / "run.json").write_text("{}")
    assert row_of("both").endswith("CPU        run b")
    with pytest.raises(RecipeError, match="both averages runs and trains none: podium blend both"):
        get_entry("both").recipe()


def test_a_run_that_labels_test_images_is_listed_while_it_is_missing(
    data: Path, tmp_path: Path
) -> None:
    folder = write_entry("taught")
    stages = 'stages = [{ epochs = 1, learning_rate = 0.1, pseudo = { from = "a" } }]\n'
    (folder / "recipe.toml").write_text((folder / "recipe.toml").read_text() + stages)
    (data / "sf-dl-car-classification").mkdir()
    assert row_of("taught").endswith("CPU        run a")
    (tmp_path / "weights" / "a").mkdir(parents=True)
    (tmp_path / "weights" / "a" / "run.json").write_text("{}")
    assert row_of("taught").endswith("nothing")


def test_a_run_to_start_from_is_listed_while_it_is_missing(data: Path, tmp_path: Path) -> None:
    write_entry("one", "run:weights/a")
    write_entry("other", "efficientnet-b0", "run:a")
    (data / "sf-dl-car-classification").mkdir()
    assert row_of("one").split() == ["one", "cars", "run:a", "CPU", "run", "a"]
    assert row_of("other").endswith("CPU        run a")
    (tmp_path / "weights" / "a").mkdir(parents=True)
    (tmp_path / "weights" / "a" / "run.json").write_text("{}")
    assert row_of("one").endswith("nothing") and row_of("other").endswith("nothing")
