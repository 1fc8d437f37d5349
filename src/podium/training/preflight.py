"""Preflight: whether a recipe can run here, before an image is read and without TensorFlow."""

from importlib.util import find_spec

from podium.competitions import get_competition
from podium.models.pretrained import WEIGHTS_FILES, check_choice
from podium.recipes.recipe import Recipe
from podium.runs.run_folder import RunFolder
from podium.system import check_address_space, check_backend
from podium.training.pseudo_labels import check_pseudo
from podium.training.warm_start import check_warm_start


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
    if recipe.box and not get_competition(recipe.competition).has_boxes:
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
