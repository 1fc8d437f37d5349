"""Clocks or crocodiles: 32×32 images of the two."""

from pathlib import Path

import pandas as pd

from podium.competitions.base import Competition, class_folders, subfolder
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
