"""The boxes of blended runs: their mean, where runs find boxes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from podium.competitions.boxes import BOX_COLUMNS
from podium.predictions.blend_members import BlendRun
from podium.predictions.score import Score, score_boxes
from podium.runs.table import SIZE_COLUMNS


@dataclass(frozen=True)
class BlendedBoxes:
    """The mean of the runs' boxes: nothing is chosen, so that the score needs no care."""

    runs: dict[str, float]  # that find boxes, and the mean IoU of each alone
    scores: list[Score]
    out_of_fold: pd.DataFrame = field(repr=False)  # `BOX_COLUMNS` by id
    test: pd.DataFrame = field(repr=False)
    images: pd.DataFrame = field(repr=False)  # boxes and sides by id, of all images

    def __str__(self) -> str:
        alone = ", ".join(f"{name} {value:.4f}" for name, value in self.runs.items())
        return f"{self.scores[0]}, the mean of {alone}"

    def as_dict(self) -> dict[str, Any]:
        return {"runs": self.runs, "scores": [one.as_dict() for one in self.scores]}


def blend_boxes(
    members: Sequence[BlendRun], ids: pd.Index, test_ids: pd.Index
) -> BlendedBoxes | None:
    """Average the boxes of those runs that find some; None if there are none.

    Args:
        ids: the images that all runs predict out of fold.
    """
    found = {member.name: member.folder.read_boxes("out_of_fold") for member in members}
    finding = [member for member in members if found[member.name] is not None]
    if not finding:
        return None
    columns = list(BOX_COLUMNS)
    stored = finding[0].folder.read_images()[["part", *columns, *SIZE_COLUMNS]]
    truth = stored.loc[stored["part"] == "train", columns]
    alone = {member.name: found[member.name].loc[ids] for member in finding}
    tests = [member.folder.read_boxes("test").loc[test_ids] for member in finding]
    mean = sum(alone.values()) / len(finding)
    return BlendedBoxes(
        {name: score_boxes(truth, boxes)[0].value for name, boxes in alone.items()},
        score_boxes(truth, mean),
        mean,
        sum(tests) / len(finding),
        stored,
    )
