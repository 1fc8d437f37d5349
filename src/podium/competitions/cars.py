"""SF-DL Car Classification: ten car models from a classified-ads site."""

from pathlib import Path

import pandas as pd

from podium.competitions.base import Competition, test_table, training_table
from podium.competitions.csv_files import read_csv
from podium.competitions.image_folders import images_in, subfolder
from podium.competitions.metrics import Accuracy


class Cars(Competition):
    name = "cars"
    slug = "sf-dl-car-classification"
    classes = (
        "Lada Priora",
        "Ford Focus",
        "Lada 2114",
        "Lada 2110",
        "Lada 2107",
        "Lada Niva",
        "Lada Kalina",
        "Lada 2109",
        "Volkswagen Passat",
        "Lada 21099",
    )
    metric = Accuracy()
    sample_submission = "sample-submission.csv"

    def training_images(self, folder: Path) -> pd.DataFrame:
        images = subfolder(folder, "train/train", "train")
        numbers = [str(number) for number in range(len(self.classes))]
        rows = read_csv(folder / "train.csv", columns=["Id", "Category"], classes=numbers)
        pairs = zip(rows["Id"], rows["Category"], strict=True)
        return training_table([(name, images / kind / name, int(kind)) for name, kind in pairs])

    def test_images(self, folder: Path) -> pd.DataFrame:
        images = images_in(subfolder(folder, "test/test_upload", "test_upload"))
        return test_table([path.name for path in images], images)

    def submission(self, probabilities: pd.DataFrame) -> pd.DataFrame:
        numbers = self.task.decide(probabilities.to_numpy())
        return pd.DataFrame({"Id": probabilities.index, "Category": numbers})
