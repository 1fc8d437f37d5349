"""32×32 images from scratch: how long until the accuracy that the small ResNet ends at.

The peer is trained as its author did; ours is the recipe of the entry `intel-patches`. Both predict
one fold of the real intel images (`PODIUM_INPUT`), and are left out where these are not.
"""

import contextlib
import io
import time
from pathlib import Path
from typing import Any

import benchmarks.quiet  # noqa: F401

# isort: split
from benchmarks.measuring import ROOT, Row, in_turns, main
from podium.competitions import get_competition
from podium.data.table import prepare_run
from podium.recipes.recipe_file import parse_recipe, read_toml
from podium.runs.run_folder import RunFolder
from podium.training.fold_runner import FoldRunner

FOLD = 0
PEER = {  # [2, 2, 2] blocks of 16, 32 and 64 channels
    "competition": "intel",
    "backbone": "resnet-small",
    "weights": "none",
    "train_batchnorm": True,
    "batchnorm_momentum": 0.9,
    "image_size": 32,
    "batch_size": 64,
    "views": 1,
    "optimizer": "adam",
    "clip_value": 0.1,
    "keep": "last",
    "stages": [{"unfreeze": "all", "epochs": 24, "learning_rate": 0.01}],
    "head": {"width": 0, "dropout": 0.0},
    "augmentation": {
        "mirror": True,
        "shift": 4,
        "crop": 1.0,
        "rotate": 0.0,
        "light": 0.0,
        "color": 0.0,
    },
}


def measure(quick: bool, scratch: Path) -> list[Row]:
    what, against = "32×32 from scratch, intel fold 0", "the small ResNet as its author trained it"
    try:
        get_competition("intel").folder()
    except ValueError:
        return [Row.left_out(what, against, "PODIUM_INPUT has no intel images")]
    own = read_toml(ROOT / "kernels" / "intel-patches" / "recipe.toml") | {"views": 1}
    small = {"limit": 120} if quick else {}
    stages = [{**PEER["stages"][0], "epochs": 1}] if quick else PEER["stages"]
    contenders = {"ours": own | small, "peer": PEER | small | {"stages": stages}}
    runs = iter(range(1000))
    accuracies: dict[str, list[float]] = {name: [] for name in contenders}

    def run(name: str) -> float:
        folder = RunFolder(scratch / f"{name}-{next(runs)}")
        seconds, accuracy = train(contenders[name], folder)
        accuracies[name].append(accuracy)
        return seconds

    measured = in_turns(
        {name: lambda name=name: run(name) for name in contenders},
        turns=1 if quick else 3,
        warm_up=False,
    )
    means = {name: sum(values) / len(values) for name, values in accuracies.items()}
    return [
        Row(
            what,
            against,
            "s",
            measured["ours"],
            measured["peer"],
            gain="theirs / ours",
            to_reach="≥ 10",
            note="from building the network to predicted validation images, tracing included; "
            f"accuracy of the plain view: ours {means['ours']:.4f}, peer {means['peer']:.4f}",
        )
    ]


def train(data: dict[str, Any], folder: RunFolder) -> tuple[float, float]:
    """Seconds of a fold and its accuracy; reading and checking the files is not counted."""
    recipe = parse_recipe(data, "benchmark")
    with contextlib.redirect_stdout(io.StringIO()):
        folder.begin(recipe, {}, fresh=False)
        fold_run = FoldRunner(prepare_run(folder, recipe))
        began = time.perf_counter()
        fold_run.train(FOLD, None)
        fold_run.score(FOLD)
        seconds = time.perf_counter() - began
    predicted = folder.fold(FOLD).read_predictions("validation").droplevel("view")
    right = fold_run.table.train["label"].loc[predicted.index]
    return seconds, float((predicted.to_numpy().argmax(axis=1) == right).mean())


if __name__ == "__main__":
    main(measure)
