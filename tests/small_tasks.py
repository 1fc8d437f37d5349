"""Competitions of several labels an image, and of grades, on drawn images."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from podium import competitions
from podium.competitions.base import Competition, training_table
from podium.competitions.metrics import MeanMetric
from podium.competitions.tasks import GRADES, LABELS, Task
from small_competitions import write_entry

RECIPE = """
competition = "{competition}"
backbone = "resnet-8"
weights = "none"
train_batchnorm = true
batchnorm_momentum = 0.8
image_size = 32
batch_size = 16
folds = 2
views = 2
head = {{ width = 8, dropout = 0.0 }}
stages = [{{ unfreeze = "all", epochs = {epochs}, learning_rate = 0.01 }}]
"""


@dataclass(frozen=True)
class LabelsRight(MeanMetric):
    """The share of labels that are right."""

    task: Task = LABELS
    name: str = "labels right"
    higher_is_better: bool = True

    def per_image(self, labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        return ((probabilities >= 0.5) == labels).mean(axis=1)


@dataclass(frozen=True)
class GradeError(MeanMetric):
    """How far the expected grade is from the true one."""

    task: Task = GRADES
    name: str = "grade error"
    higher_is_better: bool = False

    def per_image(self, labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        return np.abs(probabilities.sum(axis=1) - labels).astype(np.float64)


class Shapes(Competition):
    """Which of three shapes are in an image: any, or none."""

    name = "shapes"
    slug = "shapes"
    kaggle_source = None
    get_it = "draw it"
    classes = ("disk", "bar", "frame")
    task = LABELS
    metric = LabelsRight()
    test_folders = ("test",)

    def training_images(self, folder: Path) -> pd.DataFrame:
        rows = pd.read_csv(folder / "train.csv", dtype=str, keep_default_na=False)
        numbers = [[self.classes.index(name) for name in cell.split()] for cell in rows["label"]]
        images = [folder / "train" / f"{name}.png" for name in rows["id"]]
        return training_table(list(zip(rows["id"], images, numbers, strict=True)))


class Stripes(Competition):
    """How many stripes are in an image."""

    name = "stripes"
    slug = "stripes"
    kaggle_source = None
    get_it = "draw it"
    classes = ("none", "few", "some", "many")
    task = GRADES
    metric = GradeError()
    test_folders = ("test",)

    def training_images(self, folder: Path) -> pd.DataFrame:
        rows = pd.read_csv(folder / "train.csv", dtype=str, keep_default_na=False)
        images = [folder / "train" / f"{name}.png" for name in rows["id"]]
        numbers = map(self.classes.index, rows["label"])
        return training_table(list(zip(rows["id"], images, numbers, strict=True)))


def add_competitions(monkeypatch: pytest.MonkeyPatch) -> None:
    for one in (Shapes(), Stripes()):
        monkeypatch.setitem(competitions.COMPETITIONS, one.name, one)


def draw_shapes(path: Path, numbers: list[int], seed: int) -> None:
    image = _background(seed)
    if 0 in numbers:
        cv2.circle(image, (9, 10), 6, (230, 40, 40), -1)
    if 1 in numbers:
        cv2.rectangle(image, (3, 24), (29, 29), (40, 230, 40), -1)
    if 2 in numbers:
        cv2.rectangle(image, (18, 4), (29, 16), (40, 40, 230), 2)
    _write(path, image)


def draw_stripes(path: Path, grade: int, seed: int) -> None:
    image = _background(seed)
    for stripe in range(grade):
        image[:, 4 + 9 * stripe : 9 + 9 * stripe] = 235
    _write(path, image)


def _background(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 70, (6, 6, 3))
    image = 110 + cv2.resize(noise, (32, 32), interpolation=cv2.INTER_CUBIC)
    return image.clip(0, 255).astype(np.uint8)


def _write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


def make_task_project(
    folder: Path, competition: str, images: int = 64, epochs: int = 1, more: str = ""
) -> Path:
    """A project with one entry, `tiny`; returns the data's folder."""
    write_entry(folder, "tiny", RECIPE.format(competition=competition, epochs=epochs) + more)
    data, random = folder / "input" / competition, np.random.default_rng(0)
    rows = []
    for number in range(images + 10):
        part = "train" if number < images else "test"
        path = data / part / f"{part}-{number}.png"
        if competition == "shapes":
            shown = [shape for shape in range(3) if random.random() < 0.45]
            draw_shapes(path, shown, number)
            label = " ".join(Shapes.classes[shape] for shape in shown)
        else:
            grade = number % len(Stripes.classes)
            draw_stripes(path, grade, number)
            label = Stripes.classes[grade]
        if part == "train":
            rows.append((path.stem, label))
    pd.DataFrame(rows, columns=["id", "label"]).to_csv(data / "train.csv", index=False)
    return data
