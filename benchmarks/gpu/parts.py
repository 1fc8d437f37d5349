"""The parts, their sizes, and the process that runs one: what it finds lies in a file meanwhile.

python -m benchmarks.gpu.parts PART FILE UNTIL [--quick]
"""

import argparse
import importlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measuring import say
from podium.files.atomic_write import write_json
from podium.recipes.entries import get_entry
from podium.recipes.recipe import Recipe
from podium.system import start_backend


@dataclass(frozen=True)
class Part:
    """A part of the benchmark, `measure(found, sizes)` of its module.

    Args:
        minutes: that it takes at the most, networks compiled anew; it does not begin in fewer.
    """

    module: str
    what: str
    minutes: float


# Minutes as one H200 took them: B6 29 s to be built and 161 s to be compiled, B4 150 s.
PARTS = {
    "a": Part("training", "podium train: two folds, and fit fed by Podium or from memory", 7.0),
    "b": Part("large_step", "a step of the largest stage, and whether the loss falls", 3.6),
    "c": Part("float16_step", "the same in float16, the loss scaled", 3.6),
    "d": Part("prediction", "prediction in four views", 3.0),
    "e": Part("timm_step", "the step of part b, by timm on PyTorch", 1.3),
}


@dataclass(frozen=True)
class Sizes:
    """How large everything is.

    Args:
        small, large: entries, with changes to their recipes: the first is trained, of the second
            the largest stage is timed, and predictions.
        timed: steps in each of the turns.
        fed: the same where what feeds them is compared: threads need some to start.
        learning: steps that are to show a falling loss.
        held: batches that a training from memory goes round.
        matrix: side of the matrices that are multiplied.
        copied: bytes that are copied.
    """

    small: tuple[str, tuple[str, ...]] = ("cars-b4-cpu", ("image_size=320",))
    large: tuple[str, tuple[str, ...]] = ("cars-b6", ())
    timed: int = 60
    fed: int = 200
    turns: int = 3
    learning: int = 200
    held: int = 8
    matrix: int = 8192
    copied: int = 1 << 30

    def large_recipe(self) -> Recipe:
        """Of the entry; its weights are random, unless those it names are on this machine."""
        from podium.models.pretrained import find_weights, weights_file

        entry, changes = self.large
        recipe = get_entry(entry).recipe(changes)
        file = weights_file(recipe.backbone, recipe.weights)
        if file is None or find_weights(file) is None:
            recipe = recipe.model_copy(update={"weights": "none"})
        return recipe


def largest_stage(recipe: Recipe) -> int:
    """The number of the stage of the largest images; the last of them."""
    return max(range(len(recipe.stages)), key=lambda number: (recipe.stage_size(number), number))


TINY = ("backbone=resnet-8", "weights=none", "image_size=32", "batch_size=8", "folds=2")
QUICK = Sizes(
    small=(
        "cars-b4-cpu",
        (*TINY, "stages=[{unfreeze='head',epochs=2,learning_rate=1e-3},"
         "{unfreeze=2,epochs=2,learning_rate=1e-3}]"),
    ),
    large=(
        "cars-b6",
        (*TINY, "stages=[{unfreeze='head',epochs=1,learning_rate=1e-3},"
         "{unfreeze='all',epochs=1,learning_rate=1e-4,image_size=36,batch_size=4}]"),
    ),
    timed=2,
    fed=4,
    turns=1,
    learning=40,
    held=2,
    matrix=128,
    copied=1 << 20,
)  # fmt: skip


class Found:
    """What a part has found so far: written after each addition, as its process may be ended.

    Args:
        until: `time.time()` when that happens.
    """

    def __init__(self, path: Path, until: float):
        self._path, self._until = path, until
        self.values: dict[str, Any] = {}

    def add(self, **values: Any) -> None:
        self.values |= values
        write_json(self._path, self.values)
        say("  " + ", ".join(f"{name} {value}" for name, value in values.items()))

    @property
    def left(self) -> float:
        """Seconds until the process is ended."""
        return self._until - time.time()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("file", type=Path)
    parser.add_argument("until", type=float)
    parser.add_argument("--quick", action="store_true")
    words = parser.parse_args()
    module = f"benchmarks.gpu.{PARTS[words.part].module}"
    if words.part != "e":  # JAX takes three quarters of a GPU's memory, and PyTorch needs some
        start_backend()
    sizes = QUICK if words.quick else Sizes()
    importlib.import_module(module).measure(Found(words.file, words.until), sizes)


if __name__ == "__main__":
    main()
