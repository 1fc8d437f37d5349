"""Intel image classification: six kinds of scenes. A dataset without a leaderboard."""

from pathlib import Path

import pandas as pd

from podium.competitions.base import Competition, class_folders, subfolder
from podium.competitions.metrics import Accuracy


class Intel(Competition):
    name = "intel"
    slug = "intel-image-classification"
    classes = ("buildings", "forest", "glacier", "mountain", "sea", "street")
    metric = Accuracy()
    kaggle_source = "datasets/puneet6060/intel-image-classification"
    get_it = "`podium download intel`"
    test_folders = ("seg_pred/seg_pred", "seg_pred")

    def training_images(self, folder: Path) -> pd.DataFrame:
        """seg_train and seg_test together: both are labeled, and the folds do the judging."""
        parts = {
            part: subfolder(folder, f"seg_{part}/seg_{part}", f"seg_{part}")
            for part in ("train", "test")
        }
        return pd.concat(
            [class_folders(place, self.classes, prefix=f"{part}/") for part, place in parts.items()]
        )
