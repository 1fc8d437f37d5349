"""Clocks or crocodiles: 32×32 images of the two."""

from pathlib import Path

import pandas as pd

from podium.competitions.base import (
    Competition,
    argmax_labels,
    class_folders,
    images_in,
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
    get_it = "put the images into input/clocks-or-crocs/train/clock, …/train/crocodile and …/test"

    def training_images(self, folder: Path) -> pd.DataFrame:
        return class_folders(subfolder(folder, "train"), self.classes)

    def test_images(self, folder: Path) -> pd.DataFrame:
        images = images_in(subfolder(folder, "test"))
        return test_table([path.stem for path in images], images)

    def submission(self, probabilities: pd.DataFrame) -> pd.DataFrame:
        names = [self.classes[number] for number in argmax_labels(probabilities)]
        return pd.DataFrame({"id": probabilities.index, "label": pd.Series(names, dtype=str)})
