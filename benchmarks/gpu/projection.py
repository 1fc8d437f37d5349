"""Minutes of each GPU entry on the device that was measured, on two T4s and on a TPU v5e-8.

A step costs as one of the largest stage does, by its pixels and the part of the network that it
trains; what a run has to do is counted as `podium train --dry-run` counts it.
"""

from dataclasses import dataclass
from typing import Any

from podium.kaggle.projection import EFFICIENTNETS
from podium.recipes.entries import all_entries, get_entry
from podium.recipes.recipe import Recipe
from podium.training.dry_run import Costs, ImageCounts, reckon
from podium.training.time_plan import Speeds

READ = 400  # images a second, decoded on the cores of such a machine
# Images of the whole data on Kaggle, of which the machine measured may have a part: labeled, test.
IMAGES = {"cars": (15561, 6675), "dogs-vs-cats": (25000, 12500), "intel": (17034, 7301)}


@dataclass(frozen=True)
class Accelerator:
    """Published figures of one chip, of which a kernel gets several."""

    name: str
    count: int
    operations_a_second: float  # in half precision
    bytes_a_second: float


ACCELERATORS = (
    # NVIDIA T4 data sheet (2019): mixed precision, and memory bandwidth.
    Accelerator("two T4s", 2, 65e12, 320e9),
    # https://cloud.google.com/tpu/docs/v5e, key chip specifications.
    Accelerator("TPU v5e-8", 8, 197e12, 819e9),
)


def project(step: dict[str, Any], prediction: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The entries that train the network of the measured one on a GPU, and the minutes of each.

    Args:
        step: what part b found.
        prediction: what part d found; without it a prediction costs a third of a step.
    """
    measured = get_entry(step["entry"]).recipe(())
    rows = []
    for entry in all_entries():
        if entry.is_ensemble or entry.machine == "CPU":
            continue
        recipe = entry.recipe(())
        if recipe.backbone != measured.backbone or recipe.competition not in IMAGES:
            continue
        row: dict[str, Any] = {"entry": entry.name, "here": minutes(recipe, step, prediction)}
        for one in ACCELERATORS:
            # As fast as its memory is, or as its multiplications are, shared without loss.
            slower = [
                step[figure] / (one.count * getattr(one, figure))
                for figure in ("operations_a_second", "bytes_a_second")
            ]
            row[one.name] = sorted(row["here"] * ratio for ratio in slower)
        rows.append(row)
    return rows


def minutes(recipe: Recipe, step: dict[str, Any], prediction: dict[str, Any] | None) -> float:
    """Of a whole run, each stage compiled once for all of its folds."""
    labeled, test = IMAGES[recipe.competition]
    train = round(labeled * (1 - 1 / recipe.folds))
    pixels = step["batch_size"] * step["image_size"] ** 2
    blocks = EFFICIENTNETS[recipe.backbone][3]

    def share(which: str | int) -> float:
        """The part of the network that is trained where so much is unfrozen."""
        named = {"head": 0.0, "half": 0.5, "all": 1.0}
        return which / blocks if isinstance(which, int) else named[which]

    # Forth once, and back twice through what is trained.
    trained = step["step_seconds"] / pixels / (1 + 2 * share(step["unfreeze"]))
    predicted = trained
    if prediction and "images_a_second" in prediction:
        views = prediction["images_a_second"][0] * prediction["views"]
        predicted = 1 / views / prediction["image_size"] ** 2
    costs = Costs(
        Speeds(pixel=predicted, trained=trained),
        share,
        memory=[0.0] * len(recipe.stages),
        reading=(labeled + test) / READ,
        estimated=True,
    )
    found = reckon(recipe, ImageCounts(labeled, train, labeled - train, test), costs)
    compiled = step["compile_seconds"] * len(recipe.stages)
    return (found.seconds + compiled) / 60


def lines(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """As a table, its headings first."""
    names = [one.name for one in ACCELERATORS]
    ranges = [
        (f"{row['here']:.0f} min", *("{:.0f} to {:.0f} min".format(*row[name]) for name in names))
        for row in rows
    ]
    cells = [(row["entry"], *of_row) for row, of_row in zip(rows, ranges, strict=True)]
    return [("entry", "here", *names), *cells]
