"""Images to try a run with: of its validation, which the network that answers has not seen."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from podium.competitions.base import MissingData
from podium.data.batches import shrink
from podium.data.table import read_table
from podium.files.image_io import UnreadableImage, read_image
from podium.runs.fold_folder import RunError
from podium.runs.table import HELD_OUT
from podium.serving.engine import Engine

SIDE = 480  # pixels of the shorter side, or what the network is given if that is more
QUALITY = 90


@dataclass(frozen=True)
class ExampleImage:
    """A JPEG and the true class."""

    name: str
    jpeg: bytes


def find_examples(engine: Engine, most: int) -> list[ExampleImage]:
    """Up to so many, of as many classes as possible; none where the images are not at hand."""
    if not most:
        return []
    try:
        train = read_table(engine.competition, engine.folder).train
        return [
            ExampleImage(engine.classes[row.label], _jpeg(row.path, max(SIDE, engine.side)))
            for row in _chosen(train, engine.folds[0], most).itertuples()
        ]
    except (MissingData, RunError, UnreadableImage) as error:
        print(f"no examples on the page: {error}")
        return []


def _chosen(train: pd.DataFrame, fold: int, most: int) -> pd.DataFrame:
    """The first images of each class in turns, the classes evenly chosen."""
    unseen = train[train["fold"].isin([fold, HELD_OUT])]
    turn = unseen.groupby("label").cumcount()
    ordered = unseen.assign(turn=turn).sort_values(["turn", "label"], kind="stable")
    first = ordered[ordered["turn"] == 0]
    if len(first) > most:
        return first.iloc[np.linspace(0, len(first) - 1, most).round().astype(int)]
    return ordered.head(most).sort_values(["label", "turn"], kind="stable")


def _jpeg(path: Path, side: int) -> bytes:
    image = shrink(read_image(path, side), side)
    words = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), words)[1].tobytes()
