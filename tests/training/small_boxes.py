"""A training with boxes small enough for a test: a bright square on gray noise, red or blue."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from small_training import CLASSES, recipe

from podium.competitions.boxes import NO_BOX
from podium.data.batches import ImageCache
from podium.recipes.recipe import Recipe
from podium.training.datasets import FoldDataset

SIDE = 24  # pixels
TRAIN, VALIDATION = 48, 16


def box_recipe(**changes: Any) -> Recipe:
    data = {
        "competition": "pets",
        "image_size": SIDE,
        "batch_size": 8,
        "head": {"width": 0, "dropout": 0.0},
        "box": {"width": 16, "taps": ["block2a", "block3a"]},
        "augmentation": {"crop": 0.9, "rotate": 0.0, "light": 0.0, "color": 0.0},
        "train_batchnorm": True,
        "batchnorm_momentum": 0.7,  # few steps
    }
    return recipe(**{**data, **changes})


def draw_boxed(folder: Path, without: int = 0) -> FoldDataset:
    """Images with boxes; the first `without` training images have none annotated."""
    random = np.random.default_rng(3)
    labels = np.arange(TRAIN + VALIDATION) % CLASSES
    paths, boxes = [], np.empty((len(labels), 4), np.float32)
    for number, label in enumerate(labels):
        gray = random.normal(90, 8, (SIDE, SIDE, 3))
        side = random.integers(8, 14)
        x, y = random.integers(0, SIDE - side, 2)
        gray[y : y + side, x : x + side, 2 * label] += 120
        boxes[number] = np.array([x, y, x + side, y + side]) / SIDE
        paths.append(folder / f"{number}.png")
        Image.fromarray(gray.clip(0, 255).astype(np.uint8)).save(paths[-1])
    boxes[:without] = NO_BOX
    one_hot = np.eye(CLASSES, dtype=np.float32)[labels]
    train, validation = np.split(np.arange(len(paths)), [TRAIN])
    return FoldDataset(
        ImageCache(paths, SIDE, memory_share=0.1),
        train,
        one_hot[train],
        validation,
        one_hot[validation],
        train_boxes=boxes[train],
        validation_boxes=boxes[validation],
    )
