"""From the folds' boxes to the run's: the views that gain, out-of-fold boxes and their scores."""

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from podium.competitions.boxes import BOX_COLUMNS, BOX_METRICS, has_box
from podium.predictions.probabilities import average_boxes
from podium.predictions.score import Score, score_boxes
from podium.predictions.tta import VIEWS
from podium.predictions.tta_selection import choose_views
from podium.runs.run_folder import RunFolder
from podium.runs.table import HELD_OUT, Table


@dataclass(frozen=True)
class CombinedBoxes:
    """What the box heads of a run come to."""

    scores: list[Score]  # by each of `BOX_METRICS`
    plain: float  # the first metric in the plain view alone
    averaged: float  # and over all views alike
    views: dict[str, float]  # weights of those that are used
    tried: list[dict[str, Any]]
    # `BOX_COLUMNS` by id, with views that were chosen on other images.
    out_of_fold: pd.DataFrame = field(repr=False, compare=False)

    def __str__(self) -> str:
        first, *others = self.scores
        more = "".join(
            f", {one.metric} {one.value:.3f} ({one.low:.3f} to {one.high:.3f})" for one in others
        )
        used = ", ".join(f"{name} {weight:.2f}" for name, weight in self.views.items())
        return (
            f"{first}{more}\n            views {used} "
            f"(plain alone {self.plain:.4f}, all alike {self.averaged:.4f})"
        )

    def as_dict(self) -> dict[str, Any]:
        return {
            "scores": [one.as_dict() for one in self.scores],
            "plain": self.plain,
            "averaged_views": self.averaged,
            "views": self.views,
            "tried_views": self.tried,
        }


def combine_boxes(folder: RunFolder, folds: list[int], table: Table) -> CombinedBoxes | None:
    """Join the boxes of finished folds by id, and keep the views only where they gain.

    As for the probabilities: what is scored is the held-out share where the split has one, and
    whether views gain is seen on validation images.

    Returns:
        None where the run has no box head.

    Raises:
        ValueError: none of their images has a box.
    """
    boxes = _read(folder, folds, "validation")
    if boxes is None:
        return None
    truth, fold_of = table.train[list(BOX_COLUMNS)], table.train["fold"]
    held_out = boxes.index.get_level_values("id").isin(fold_of.index[fold_of == HELD_OUT])
    annotated = boxes.index.get_level_values("id").isin(truth.index[has_box(truth)])
    judged, metric = boxes[annotated & ~held_out], BOX_METRICS[0]
    if judged.empty:
        raise ValueError(f"{folder.path}: no image that its folds score has a box to judge by")

    def of(views: dict[str, float] | None) -> float:
        return score_boxes(truth, average_boxes(judged, views))[0].value

    choice = choose_views(judged, truth, metric)
    others = average_boxes(boxes[~annotated | held_out], choice.weights)
    out_of_fold = pd.concat([choice.cross_fitted, others])
    scored = average_boxes(boxes[held_out], choice.weights) if held_out.any() else out_of_fold
    return CombinedBoxes(
        score_boxes(truth, scored),
        of({VIEWS[0].name: 1.0}),
        of(None),
        choice.weights,
        choice.tried,
        out_of_fold,
    )


def combine_test_boxes(
    folder: RunFolder, folds: list[int], ids: pd.Index, views: dict[str, float] | None
) -> pd.DataFrame | None:
    """The mean of the folds' boxes of the test images, NaN where one could not be read."""
    boxes = _read(folder, folds, "test")
    return None if boxes is None else average_boxes(boxes, views).reindex(ids)


def _read(folder: RunFolder, folds: list[int], name: str) -> pd.DataFrame | None:
    """The boxes of all folds, by id and view; None where their networks find none."""
    found = [folder.fold(number).read_boxes(name) for number in folds]
    return None if any(one is None for one in found) else pd.concat(found)
