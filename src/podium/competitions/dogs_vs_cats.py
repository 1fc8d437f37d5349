"""Dogs vs Cats: the redux (a probability, log loss) and the original (a class, accuracy)."""

from pathlib import Path

import pandas as pd

from podium.competitions.base import Competition, MissingData, training_table
from podium.competitions.image_folders import images_in, subfolder
from podium.competitions.metrics import Accuracy, LogLoss


class DogsVsCats(Competition):
    name = "dogs-vs-cats"
    slug = "dogs-vs-cats-redux-kernels-edition"
    classes = ("cat", "dog")
    metric = LogLoss()
    sample_submission = "sample_submission.csv"

    def training_images(self, folder: Path) -> pd.DataFrame:
        """cat.0.jpg and dog.12.jpg; of a folder cat/ or dog/ also those with other names."""
        train = subfolder(folder, "train/train", "train")
        rows = []
        for path in images_in(train):
            name = path.relative_to(train)
            kinds = [
                kind for kind in (path.name.split(".")[0], name.parts[0]) if kind in self.classes
            ]
            if kinds:
                rows.append((name.with_suffix("").as_posix(), path, self.classes.index(kinds[0])))
            elif path.parent == train:  # else it is left out, as its folder is of no class
                raise MissingData(f"{path}: expected a name like cat.12.jpg; rename it")
        return training_table(rows)

    def submission(self, probabilities: pd.DataFrame) -> pd.DataFrame:
        clip = self.metric.clip
        dog = probabilities["dog"].clip(clip, 1 - clip).to_numpy()
        return pd.DataFrame({"id": probabilities.index, "label": dog})


class DogsVsCatsOriginal(DogsVsCats):
    name = "dogs-vs-cats-original"
    slug = "dogs-vs-cats"
    same_images_as = "dogs-vs-cats"
    metric = Accuracy()
    sample_submission = "sampleSubmission.csv"
    test_folders = ("test1/test1", "test1")

    def submission(self, probabilities: pd.DataFrame) -> pd.DataFrame:
        numbers = self.task.decide(probabilities.to_numpy())
        return pd.DataFrame({"id": probabilities.index, "label": numbers})
