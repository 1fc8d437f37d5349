"""What a fold trains and validates on: its images and labels, and batches of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from podium.competitions.boxes import NO_BOX
from podium.data.batches import (
    Batches,
    ImageCache,
    training_batches,
    view_batches,
)
from podium.files.image_io import resize
from podium.recipes.recipe import Recipe
from podium.recipes.tables import Stage
from podium.training.time_plan import TimePlan


@dataclass(frozen=True)
class FoldDataset:
    """What a fold trains and validates on: indices into the cache, and one-hot labels.

    Args:
        pseudo: by stage, the images that join the training of that stage alone, with labels
            that a network gave them.
        pseudo_labeled: how many of the training images, the last ones, are of these.
        train_boxes, validation_boxes: where the network has a head for them; float32
            (images, 4) in shares, NaN where an image has none.
    """

    cache: ImageCache
    train: np.ndarray  # int (images,)
    train_labels: np.ndarray  # float32 (images, classes)
    validation: np.ndarray
    validation_labels: np.ndarray
    pseudo: Mapping[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    pseudo_labeled: int = 0
    train_boxes: np.ndarray | None = None
    validation_boxes: np.ndarray | None = None

    def of_stage(self, stage: int) -> "FoldDataset":
        """These, with those that join the stage of this number."""
        if stage not in self.pseudo:
            return self
        joining, labels = self.pseudo[stage]
        boxes = self.train_boxes
        if boxes is not None:  # a class says not where it is
            boxes = np.concatenate([boxes, np.tile(NO_BOX, (len(joining), 1))])
        return replace(
            self,
            train=np.concatenate([self.train, joining]),
            train_labels=np.concatenate([self.train_labels, labels]),
            pseudo={},
            pseudo_labeled=len(joining),
            train_boxes=boxes,
        )

    @property
    def validation_targets(self) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """The labels, and the boxes where the network has a head for them."""
        return _targets(self.validation_labels, self.validation_boxes)

    @property
    def labeled(self) -> int:
        """How many of the training images, the first ones, have labels of their own."""
        return len(self.train) - self.pseudo_labeled


def _targets(
    labels: np.ndarray, boxes: np.ndarray | None
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    return labels if boxes is None else (labels, boxes)


def of_images(
    images: FoldDataset,
    recipe: Recipe,
    stage: Stage,
    seed: int,
    first_epoch: int,
    plan: TimePlan | None = None,
) -> tuple[Batches, Batches]:
    """What to train on and to validate with: augmented batches of the stage's remaining epochs.

    The last `calm_epochs` of them are calm.

    Args:
        plan: under which there may be fewer epochs; they become calm at the same part of them.
    """
    size, batch_size = stage.image_size or recipe.image_size, stage.batch_size or recipe.batch_size
    train = training_batches(
        images.cache,
        images.train,
        _targets(images.train_labels, images.train_boxes),
        size=size,
        batch_size=batch_size,
        augmentation=recipe.augmentation,
        seed=seed,
        epochs=range(first_epoch, stage.epochs),
        is_calm=calm_epochs(stage, plan),
        balanced=recipe.sampling == "balanced",
        class_weights=class_weights(images, recipe),
    )
    validation = view_batches(
        images.cache,
        images.validation,
        size=size,
        batch_size=batch_size,
        view=lambda image, size: resize(image, size, size),
        targets=images.validation_targets,
    )
    return train, validation


def calm_epochs(stage: Stage, plan: TimePlan | None) -> Callable[[int], bool]:
    """Which epochs of a stage are calm; to be asked shortly before the epoch begins."""
    first = stage.epochs - stage.calm_epochs
    if plan is None or plan.deadline is None:
        return lambda epoch: epoch >= first
    return lambda epoch: plan.epoch_position(epoch) >= (first - 0.5) * plan.work.steps


def class_weights(images: FoldDataset, recipe: Recipe) -> np.ndarray | None:
    """How much a training image of each class counts, float32 (classes,); None: all the same.

    Scikit-learn's "balanced", of soft labels too: their mean over the training images is 1.
    """
    if recipe.class_weight == "none":
        return None
    shares = images.train_labels.mean(axis=0)
    weights = 1 / (np.maximum(shares, np.finfo(np.float32).tiny) * (shares > 0).sum())
    return np.where(shares > 0, weights, 0).astype(np.float32)


def stage_seed(recipe: Recipe, stage: int) -> int:
    """A seed for the images of a stage, so that no two stages see the same order."""
    return int(np.random.SeedSequence((recipe.seed, stage)).generate_state(1)[0])


@dataclass(frozen=True)
class AugmentedSample:
    """Images of one stage."""

    stage: int  # counted from 0
    images: np.ndarray  # uint8 (images, size, size, 3)
    labels: np.ndarray  # float32 (images, classes), mixed where the images are
    boxes: np.ndarray | None  # float32 (images, 4) in shares, NaN where there is none


def sample_augmented(images: FoldDataset, recipe: Recipe, most: int) -> AugmentedSample:
    """Up to so many images, the first ones of a fold's last stage that trained on images.

    Where all stages learned from cached features, images that are augmented in the same way.
    """
    stages = enumerate(recipe.stages)
    direct = [n for n, stage in stages if stage.unfreeze != "head" or not recipe.cached_views]
    number = direct[-1] if direct else len(recipe.stages) - 1
    if not direct:  # then nothing is mixed
        unmixed = recipe.augmentation.model_copy(update={"mixup": 0.0, "cutmix": 0.0})
        recipe = recipe.model_copy(update={"augmentation": unmixed})
    seed = stage_seed(recipe, number)
    batches, _ = of_images(images.of_stage(number), recipe, recipe.stages[number], seed, 0)
    seen, targets = next(iter(batches))[:2]
    labels, boxes = targets if isinstance(targets, tuple) else (targets, None)
    return AugmentedSample(
        number, seen[:most], labels[:most], None if boxes is None else boxes[:most]
    )
