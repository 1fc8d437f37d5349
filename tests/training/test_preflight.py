"""What a recipe lacks is told before an image is read."""

from pathlib import Path

import pytest

from podium.models.pretrained import weights_file
from podium.recipes.recipe_file import parse_recipe
from podium.training.preflight import check_recipe, read_recipe
from small_competitions import RECIPE, write_entry

PATCHES = {
    "competition": "intel",
    "backbone": "patches",
    "weights": "none",
    "cached_views": 1,
    "head": {"width": 0, "centers": 20},
    "stages": [{"solver": "kernel"}],
}


def test_patches_are_solved_and_not_trained() -> None:
    check_recipe(parse_recipe(PATCHES, "here"))
    logistic = {**PATCHES, "head": {"width": 0}, "stages": [{"solver": "logistic"}]}
    check_recipe(parse_recipe(logistic, "here"))
    gradient = {**PATCHES, "head": {}, "stages": [{"epochs": 1, "learning_rate": 0.1}]}
    with pytest.raises(ValueError, match=r'set stages = \[\{ solver = "kernel" \}\]'):
        check_recipe(parse_recipe(gradient, "here"))


@pytest.mark.parametrize("content", ["version https://git-lfs.github.com/spec/v1\n", "<html>"])
def test_weights_that_are_a_pointer_or_a_page_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    monkeypatch.setenv("PODIUM_PRETRAINED", str(tmp_path))
    data = {"competition": "cars", "backbone": "efficientnet-b4", "weights": "noisy-student"}
    recipe = parse_recipe(data, "here")
    check_recipe(recipe)  # it may be a run that goes on, and needs none
    (tmp_path / "efficientnet-b4_noisy-student_notop.h5").write_text(content)
    with pytest.raises(ValueError, match="a pointer of Git LFS, or a web page"):
        check_recipe(recipe)


@pytest.fixture
def pretrained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of pretrained weights, in a project with the entry tiny; there are none."""
    write_entry(tmp_path, "tiny", RECIPE.format(competition="sample"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PODIUM_PRETRAINED", str(tmp_path / "pretrained"))
    return tmp_path / "pretrained"


def test_a_quick_training_without_pretrained_weights_begins_from_nothing(
    pretrained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = read_recipe("tiny", [], "quick")
    assert (recipe.weights, recipe.train_batchnorm) == ("none", True)
    told = capsys.readouterr().out
    assert "is trained from nothing" in told
    assert told.count("\n") == 1
    file = weights_file("efficientnet-b0", "imagenet")
    assert file in told
    pretrained.mkdir()
    (pretrained / file).touch()
    assert read_recipe("tiny", [], "quick").weights == "imagenet"
    assert read_recipe("tiny", ["weights=none"], "quick").train_batchnorm
    assert capsys.readouterr().out == ""


def test_longer_presets_fetch_their_weights(pretrained: Path) -> None:
    assert read_recipe("tiny", [], "best").weights == "imagenet"
    assert read_recipe("tiny", ["weights=none"], "best").train_batchnorm
    assert read_recipe("tiny", []).backbone == "resnet-8"
