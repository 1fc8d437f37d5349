"""How a run learned: curves by fold, rates by step, the range test, the linear probe."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from podium import paths
from podium.recipes.recipe import Recipe
from podium.reports.blocks import Block, Chart, Charts, Section, TableBlock, Words
from podium.reports.curves import learning_curve, lr_figure, rates_by_step
from podium.reports.run_data import RunData
from podium.runs.fold_folder import read_json
from podium.runs.table import HELD_OUT
from podium.training.lr_curve import LRCurve

QUANTITIES = {"loss": "loss", "accuracy": "accuracy", "box_mean_iou": "mean IoU of the boxes"}


def learning_section(one: RunData) -> Section:
    """The section; where no epochs are recorded it says so."""
    assert one.recipe is not None, "a blend learns nothing"
    title = "Learning"
    charts = [*_curves(one), *_rates(one, one.recipe), *_range_tests(one, one.recipe)]
    blocks: list[Block] = [Charts(charts)] if charts else []
    if not one.histories:
        blocks.append(Words("No epochs: the weights were made of those of other runs.", True))
    elif max(map(len, one.histories.values())) == 1:
        blocks.append(Words("Each fold has a single epoch, and so no curve."))
    return Section(title, [*blocks, *_linear_probes(one)])


def _curves(one: RunData) -> Iterator[Chart]:
    histories = {f"fold {fold}": history for fold, history in one.histories.items()}
    if not histories or max(map(len, histories.values())) < 2:
        return
    for quantity, title in QUANTITIES.items():
        mine = {name: table for name, table in histories.items() if f"val_{quantity}" in table}
        if mine:
            ends = ", ".join(
                f"{name} {table[f'val_{quantity}'].iloc[-1]:.3g}" for name, table in mine.items()
            )
            alt = f"{title} by epoch, training and validation; at the end of validation: {ends}"
            name = f"curve-{quantity.replace('_', '-')}"
            yield Chart(name, learning_curve(mine, quantity, title), alt)


def _rates(one: RunData, recipe: Recipe) -> Iterator[Chart]:
    for fold, history in one.histories.items():
        if "learning_rate" not in history:
            return
        figure = rates_by_step(recipe, history, _images(one, recipe, fold))
        if figure:
            peaks = ", ".join(
                f"{stage.learning_rate:g}" for stage in recipe.stages if stage.solver == "gradient"
            )
            yield Chart(
                "learning-rate",
                figure,
                f"learning rate and momentum by step; the rate rises to {peaks} and falls",
                f"Fold {fold}: computed as the training does it; dots were recorded after epochs.",
            )
        return  # the folds differ by a step or two


def _images(one: RunData, recipe: Recipe, fold: int) -> list[int]:
    """How many images each stage of a fold trains on."""
    folds = one.train["fold"].to_numpy()
    own = int(((folds != fold) & (folds != HELD_OUT)).sum())
    kept = one.folder.fold(fold).read_pseudo() or {"stages": []}
    joining = {row["stage"]: len(row["labels"]) for row in kept["stages"]}
    return [own + joining.get(number, 0) for number in range(len(recipe.stages))]


def _range_tests(one: RunData, recipe: Recipe) -> Iterator[Chart]:
    """Those that `podium find-lr` has made of this entry with this recipe."""
    for path in sorted((paths.runs() / "find-lr").glob("*.json")):
        test = read_json(path)
        if test["entry"] != one.about.get("entry") or not _same(test["recipe"], recipe):
            continue
        number, fold = test["stage"], test["fold"]
        curve = LRCurve(np.array(test["rates"]), np.array(test["losses"]))
        title = f"range test of stage {number + 1}, fold {fold}"
        yield Chart(
            f"range-test-stage-{number + 1}",
            lr_figure(curve, recipe.stages[number].learning_rate, title),
            f"{title}: lowest loss at {curve.lowest:.1e}, suggested {curve.suggested:.1e}",
        )


def _same(tested: dict[str, Any], recipe: Recipe) -> bool:
    """Whether the recipes differ in learning rates at the most: a test is there to change them."""

    def without_rates(data: dict[str, Any]) -> dict[str, Any]:
        stages = [{**stage, "learning_rate": None} for stage in data["stages"]]
        return {**data, "stages": stages}

    return without_rates(tested) == without_rates(recipe.model_dump())


def _linear_probes(one: RunData) -> Iterator[TableBlock]:
    rows = []
    for fold, history in one.histories.items():
        path = one.folder.fold(fold).path / "floor.json"
        if path.is_file() and "val_accuracy" in history:
            probe, end = read_json(path), history.iloc[-1]
            rows.append(
                (
                    str(fold),
                    f"{probe['accuracy']:.4f}",
                    f"{end['val_accuracy']:.4f}",
                    f"{probe['log_loss']:.4f}",
                    f"{end.get('val_head_loss', end['val_loss']):.4f}",
                )
            )
    if rows:
        titles = ["fold", "accuracy, probe", "last epoch", "log loss, probe", "last epoch"]
        yield TableBlock("Linear probe: logistic regression on the head's features", titles, rows)
