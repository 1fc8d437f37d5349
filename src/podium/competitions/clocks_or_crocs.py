"""Clocks or crocodiles: 32×32 pictures of the two."""

from pathlib import Path

import pandas as pd

from podium.competitions.base import (
    Competition,
    best_class,
    class_folders,
    pictures_in,
    subfolder,
    test_table,
)
from podium.competitions.metrics import Accuracy


class ClocksOrCrocs(Competition):
    name = "clocks-or-crocs"
    slug = "clocks-or-crocs"
    classes = ("clock", "crocodile")
    metric = Accuracy()
    kaggle_source = None
    get_it = "put the pictures into input/clocks-or-crocs/train/clock, …/train/crocodile and …/test"

    def training_pictures(self, folder: Path) -> pd.DataFrame:
        return class_folders(subfolder(folder, "train"), self.classes)

    def test_pictures(self, folder: Path) -> pd.DataFrame:
        pictures = pictures_in(subfolder(folder, "test"))
        return test_table([path.stem for path in pictures], pictures)

    def submission(self, probabilities: pd.DataFrame) -> pd.DataFrame:
        names = [self.classes[number] for number in best_class(probabilities)]
        return pd.DataFrame({"id": probabilities.index, "label": pd.Series(names, dtype=str)})
