"""Preflight: whether a recipe can run here, before an image is read and without TensorFlow."""

from importlib.util import find_spec

from podium.competitions import get_competition
from podium.models.pretrained import WEIGHTS_FILES, check_choice, find_weights, weights_file
from podium.recipes.entries import get_entry
from podium.recipes.presets import preset_keys
from podium.recipes.recipe import Recipe
from podium.runs.run_folder import RunFolder
from podium.system import check_address_space, check_backend
from podium.training.pseudo_labels import check_pseudo
from podium.training.warm_start import check_warm_start


def read_recipe(entry: str, overrides: list[str], preset: str | None = None) -> Recipe:
    """The recipe of an entry, as a preset and then `--set` change it.

    A quick training needs no pretrained weights: where there are none, it begins from nothing.

    Raises:
        ValueError: there is no such entry or preset, or the recipe is refused.
    """
    chosen = get_entry(entry)
    if preset is None:
        return chosen.recipe(overrides)
    backbone = preset_keys(preset)["backbone"]
    told = [
        each.partition("=")[2].strip("\"' ") for each in overrides if each.startswith("weights=")
    ]
    has_weights = told[-1] != "none" if told else True
    file = weights_file(backbone, "imagenet")
    if preset == "quick" and not told and find_weights(file) is None:
        has_weights = False
        print(
            f"preset quick: {file} is not on this machine: a small network is trained from nothing "
            "in place of it; copy the file into weights/pretrained/ and it knows more"
        )
    keys = preset_keys(preset, has_weights)
    if get_competition(chosen.recipe().competition).folds_given:
        keys["shares"] = []
    if box := chosen.recipe().box:  # its blocks are another backbone's
        keys["box"] = {**box.model_dump(), "taps": []}
    return chosen.recipe(overrides, keys)


def check_recipe(recipe: Recipe, into: RunFolder | None = None, fresh: bool = False) -> None:
    """Refuse what would fail only after minutes.

    Args:
        recipe: as `resolve_backbone` gives it.
        into: the folder of the run, where it is known. One that goes on has its pseudo-labels, and
            its folds may need nothing of the run that they started from.
        fresh: it begins again.

    Raises:
        ValueError: too little memory, an unknown backbone or weights, a package that is not
            installed or too old, a run to start from or to take pseudo-labels from that does not
            fit.
    """
    check_backend()
    check_address_space()
    if recipe.backbone not in WEIGHTS_FILES:
        raise ValueError(f"no backbone {recipe.backbone!r}; there are: {', '.join(WEIGHTS_FILES)}")
    if recipe.backbone == "patches" and "gradient" in {stage.solver for stage in recipe.stages}:
        raise ValueError(
            "the backbone patches is solved at once, with nothing for gradients to train: set "
            'stages = [{ solver = "kernel" }], head.width = 0, head.centers and cached_views = 1, '
            "as kernels/intel-patches has them"
        )
    if recipe.started_from is None:
        check_choice(recipe.backbone, recipe.weights)
    competition = get_competition(recipe.competition)
    balanced = [key for key in ("class_weight", "sampling") if getattr(recipe, key) == "balanced"]
    if balanced and not competition.task.sums_to_one:
        raise ValueError(
            f'{balanced[0]} = "balanced" is of one class an image, and {competition.name} asks for '
            f"{competition.task.name}: leave it out"
        )
    if recipe.box and not competition.has_boxes:
        raise ValueError(
            f"a box head needs boxes to learn from, and {recipe.competition} has none: leave [box] "
            "out of the recipe"
        )
    if recipe.tensorboard and find_spec("tensorboard") is None:
        # TensorFlow no longer brings it, and Keras would only notice at the first step.
        raise ValueError(
            "tensorboard = true needs a package that is not installed: "
            "pip install tensorboard, or go without: --set tensorboard=false"
        )
    if into is None or fresh or not into.exists:
        check_warm_start(recipe, into)
        check_pseudo(recipe, into)
