"""What a recipe lacks is told before an image is read."""

from pathlib import Path

import pytest

from podium.recipes.recipe_file import parse_recipe
from podium.training.preflight import check_recipe

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
