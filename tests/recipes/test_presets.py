"""Presets: recipes for minutes, an hour and a night, over which `--set` wins."""

from pathlib import Path

import pytest

from podium.recipes.entries import Entry
from podium.recipes.presets import PRESETS, preset_keys

ENTRIES = sorted((Path(__file__).parents[2] / "kernels").glob("*/recipe.toml"))


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("has_weights", [True, False])
def test_a_preset_fits_every_entry(name: str, has_weights: bool) -> None:
    for path in ENTRIES:
        entry = Entry(path.parent)
        if entry.is_ensemble:
            continue
        recipe = entry.recipe(preset=preset_keys(name, has_weights))
        assert recipe.weights == ("imagenet" if has_weights else "none")
        assert recipe.train_batchnorm != has_weights
        assert recipe.augmentation == entry.recipe().augmentation


def test_longer_presets_have_more_time_and_look_closer() -> None:
    entry = Entry(ENTRIES[0].parent)
    for has_weights in (True, False):
        recipes = [entry.recipe(preset=preset_keys(name, has_weights)) for name in PRESETS]
        for key in ("time_budget", "image_size", "views"):
            values = [getattr(recipe, key) for recipe in recipes]
            assert values == sorted(set(values))


def test_set_wins_over_a_preset_and_does_not_change_it() -> None:
    entry, keys = Entry(ENTRIES[0].parent), preset_keys("quick", True)
    recipe = entry.recipe(["views=3", "stages.0.epochs=2", "head.dropout=0.5"], keys)
    assert (recipe.views, recipe.stages[0].epochs, recipe.head.dropout) == (3, 2, 0.5)
    again = entry.recipe(preset=preset_keys("quick", True))
    assert (again.views, again.stages[0].epochs, again.head.dropout) == (2, 15, 0.3)


def test_a_preset_that_does_not_exist_is_refused() -> None:
    assert preset_keys("best")["backbone"] == "efficientnet-b4"
    with pytest.raises(ValueError, match="no preset 'fast'; there are: quick, good, best"):
        preset_keys("fast")
