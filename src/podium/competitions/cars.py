"""SF-DL Car Classification: ten car models from a classified-ads site."""

from pathlib import Path

import pandas as pd

from podium.competitions.base import (
    Competition,
    MissingData,
    best_class,
    found,
    pictures_in,
    read_csv,
    subfolder,
    table_of,
    test_table,
)
from podium.competitions.metrics import Accuracy
from podium.text import some


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
    get_it = (
        "accept the rules at https://www.kaggle.com/c/sf-dl-car-classification/rules, then "
        "`podium download cars`"
    )
    sample_submission = "sample-submission.csv"

    def training_pictures(self, folder: Path) -> pd.DataFrame:
        pictures = subfolder(folder, "train/train", "train")
        rows = read_csv(folder / "train.csv", columns=["Id", "Category"])
        known = {str(number) for number in range(len(self.classes))}
        strange = sorted(set(rows["Category"]) - known)
        if strange:
            raise MissingData(
                f"{folder / 'train.csv'}: Category must be 0 to {len(self.classes) - 1}, "
                f"came {some(strange)}; mend these lines, or unpack the download again"
            )
        return table_of(
            [
                (name, found(pictures / category / name), int(category))
                for name, category in zip(rows["Id"], rows["Category"], strict=True)
            ]
        )

    def test_pictures(self, folder: Path) -> pd.DataFrame:
        pictures = pictures_in(subfolder(folder, "test/test_upload", "test_upload"))
        return test_table([path.name for path in pictures], pictures)

    def submission(self, probabilities: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"Id": probabilities.index, "Category": best_class(probabilities)})
