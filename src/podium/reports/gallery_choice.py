"""Which images a gallery shows: those that a run does best, middling, worst, and gets wrong.

A test set has no truth, so these are images that no network saw that judges them.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from podium.competitions import Competition, get_competition
from podium.competitions.boxes import BOX_COLUMNS, iou
from podium.data.table import read_table
from podium.runs.fold_folder import RunError
from podium.runs.run_folder import RunFolder
from podium.runs.table import HELD_OUT

FOUND_COLUMNS = tuple(f"found_{name}" for name in BOX_COLUMNS)
COLUMNS = 6


@dataclass(frozen=True)
class ScoredImages:
    """Images that a run has judged without having seen them, by id.

    Columns of `images`: path; label and said, the class numbers that are true and predicted;
    sure and of_true, the probabilities of these two; where the run has a box head also
    `BOX_COLUMNS` (NaN where no box is annotated), `FOUND_COLUMNS` and iou.
    """

    run: str
    competition: Competition
    kind: str  # "out-of-fold" or "held-out"
    images: pd.DataFrame

    @property
    def has_boxes(self) -> bool:
        return "iou" in self.images

    @property
    def quality(self) -> str:
        """The column that the images are ordered by."""
        return "iou" if self.has_boxes else "of_true"


@dataclass(frozen=True)
class Row:
    """Some images of the gallery, side by side."""

    name: str
    about: str
    images: pd.DataFrame  # of `Judged.images`


def read_judged(folder: RunFolder) -> ScoredImages:
    """The images that make the score of a run or of a blend, with what it says of them.

    Raises:
        RunError: it has no out-of-fold predictions, or of other images than are here.
        MissingData: the images are not here.
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
            f"{folder.path} has predictions of {len(unknown)} images that are not in its table "
            f"or not in {competition.folder()}, such as {unknown[0]}"
        )
    images, kind = train.loc[probabilities.index], "out-of-fold"
    if "fold" in train and (train["fold"] == HELD_OUT).any():
        images, kind = images[images["fold"] == HELD_OUT], "held-out"
    images = _with_classes(images, probabilities)
    boxes = folder.read_boxes("out_of_fold")
    if boxes is not None:
        found = boxes.loc[images.index].to_numpy()
        images[list(FOUND_COLUMNS)] = found
        images["iou"] = iou(images[list(BOX_COLUMNS)].to_numpy(), found)
    return ScoredImages(folder.name, competition, kind, images)


def _with_classes(images: pd.DataFrame, probabilities: pd.DataFrame) -> pd.DataFrame:
    values = probabilities.loc[images.index].to_numpy()
    labels = images["label"].to_numpy()
    return images.assign(
        said=values.argmax(axis=1),
        sure=values.max(axis=1),
        of_true=values[np.arange(len(labels)), labels],
    )


def _blended_table(competition: Competition, folder: RunFolder) -> pd.DataFrame:
    """Path and label of the images of a blend, whose table has no split."""
    stored = folder.read_images()
    if stored is None:
        raise RunError(f"{folder.path} has no table of images: blend its runs again")
    labels = stored.loc[stored["part"] == "train", "label"].astype(np.int64)
    found = competition.read_training()
    here = labels.index.intersection(found.index)
    return pd.DataFrame({"path": found.loc[here, "path"], "label": labels.loc[here]})


def choose_rows(judged: ScoredImages, columns: int = COLUMNS) -> list[Row]:
    """The best, middling, worst and misclassified images; rows without any are left out.

    By the IoU, of all images that have a box. Without boxes by the probability of the true
    class, of the images that are classified right: the worst of all would be misclassified ones
    in both rows.
    """
    images, quality = judged.images, judged.quality
    wrong = images["said"] != images["label"]
    of_them = images[images["iou"].notna()] if judged.has_boxes else images[~wrong]
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
    for row, some_images in chosen.items():
        if some_images.empty:
            continue
        ends = (f"{end:.2f}" for end in some_images[quality].iloc[[0, -1]])
        rows.append(Row(row, f"{name} {' to '.join(dict.fromkeys(ends))}", some_images))
    if wrong.any():
        mistakes = images[wrong].sort_values("sure", ascending=False, kind="stable")[:columns]
        rows.append(Row("misclassified", f"{wrong.sum():,} of {len(images):,}", mistakes))
    return rows
