"""Which pictures a gallery shows: those that a run does best, middling, worst, and gets wrong.

A test set has no truth, so these are pictures that no network saw that judges them.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from podium.competitions import Competition, get_competition
from podium.competitions.boxes import BOX_COLUMNS, iou
from podium.data.splits import HELD_OUT
from podium.data.table import read_table
from podium.runs.fold_folder import RunError
from podium.runs.run_folder import RunFolder

FOUND_COLUMNS = tuple(f"found_{name}" for name in BOX_COLUMNS)
COLUMNS = 6


@dataclass(frozen=True)
class Judged:
    """Pictures that a run has judged without having seen them, by id.

    Columns of `pictures`: path; label and said, the class numbers that are true and predicted;
    sure and of_true, the probabilities of these two; where the run has a box head also
    `BOX_COLUMNS` (NaN where no box is annotated), `FOUND_COLUMNS` and iou.
    """

    run: str
    competition: Competition
    kind: str  # "out-of-fold" or "held-out"
    pictures: pd.DataFrame

    @property
    def has_boxes(self) -> bool:
        return "iou" in self.pictures

    @property
    def quality(self) -> str:
        """The column that the pictures are ordered by."""
        return "iou" if self.has_boxes else "of_true"


@dataclass(frozen=True)
class Row:
    """Some pictures of the gallery, side by side."""

    name: str
    about: str
    pictures: pd.DataFrame  # of `Judged.pictures`


def read_judged(folder: RunFolder) -> Judged:
    """The pictures that make the score of a run or of a blend, with what it says of them.

    Raises:
        RunError: it has no out-of-fold predictions, or of other pictures than are here.
        MissingData: the pictures are not here.
    """
    probabilities = folder.read_probabilities("out_of_fold")
    if folder.read_blended():
        competition = get_competition(folder.read_run()["competition"])
        train = _blended_table(competition, folder)
    else:
        competition = get_competition(folder.read_recipe().competition)
        train = read_table(competition, folder).train
    unknown = probabilities.index.difference(train.index)
    if len(unknown):
        raise RunError(
            f"{folder.path} has predictions of {len(unknown)} pictures that are not in its table "
            f"or not in {competition.folder()}, such as {unknown[0]}"
        )
    pictures, kind = train.loc[probabilities.index], "out-of-fold"
    if "fold" in train and (train["fold"] == HELD_OUT).any():
        pictures, kind = pictures[pictures["fold"] == HELD_OUT], "held-out"
    pictures = _with_classes(pictures, probabilities)
    boxes = folder.read_boxes("out_of_fold")
    if boxes is not None:
        found = boxes.loc[pictures.index].to_numpy()
        pictures[list(FOUND_COLUMNS)] = found
        pictures["iou"] = iou(pictures[list(BOX_COLUMNS)].to_numpy(), found)
    return Judged(folder.name, competition, kind, pictures)


def _with_classes(pictures: pd.DataFrame, probabilities: pd.DataFrame) -> pd.DataFrame:
    values = probabilities.loc[pictures.index].to_numpy()
    labels = pictures["label"].to_numpy()
    return pictures.assign(
        said=values.argmax(axis=1),
        sure=values.max(axis=1),
        of_true=values[np.arange(len(labels)), labels],
    )


def _blended_table(competition: Competition, folder: RunFolder) -> pd.DataFrame:
    """Path and label of the pictures of a blend, whose table has no split."""
    stored = folder.read_pictures()
    if stored is None:
        raise RunError(f"{folder.path} has no table of pictures: blend its runs again")
    labels = stored.loc[stored["part"] == "train", "label"].astype(np.int64)
    found = competition.read_training()
    here = labels.index.intersection(found.index)
    return pd.DataFrame({"path": found.loc[here, "path"], "label": labels.loc[here]})


def choose_rows(judged: Judged, columns: int = COLUMNS) -> list[Row]:
    """The best, middling, worst and misclassified pictures; rows without any are left out.

    By the IoU, of all pictures that have a box. Without boxes by the probability of the true
    class, of the pictures that are classified right: the worst of all would be misclassified ones
    in both rows.
    """
    pictures, quality = judged.pictures, judged.quality
    wrong = pictures["said"] != pictures["label"]
    of_them = pictures[pictures["iou"].notna()] if judged.has_boxes else pictures[~wrong]
    ordered = of_them.sort_values(quality, ascending=False, kind="stable")
    best, middling, worst = (
        ordered.iloc[part] for part in np.array_split(np.arange(len(ordered)), 3)
    )
    middle = max(len(middling) - columns, 0) // 2
    name = "IoU" if judged.has_boxes else "probability"
    chosen = {
        "best": best[:columns],
        "middling": middling[middle : middle + columns],
        "worst": worst[::-1][:columns],
    }
    rows = []
    for row, some_pictures in chosen.items():
        if some_pictures.empty:
            continue
        ends = (f"{end:.2f}" for end in some_pictures[quality].iloc[[0, -1]])
        rows.append(Row(row, f"{name} {' to '.join(dict.fromkeys(ends))}", some_pictures))
    if wrong.any():
        mistakes = pictures[wrong].sort_values("sure", ascending=False, kind="stable")[:columns]
        rows.append(Row("misclassified", f"{wrong.sum():,} of {len(pictures):,}", mistakes))
    return rows
