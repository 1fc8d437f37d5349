"""One fold of a run: its network is built, trained, and predicts."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import keras
import numpy as np
import pandas as pd

from podium import paths
from podium.competitions.boxes import BOX_COLUMNS
from podium.data.batches import ImageCache, view_batches
from podium.data.near_duplicates import near_copies
from podium.files.image_io import resize
from podium.models.backend import Devices, engine
from podium.models.inference import predict
from podium.models.network import LayerWeights, Network, build_network, give_backbone
from podium.predictions.predict import predict_views
from podium.predictions.score import time_predictions
from podium.predictions.tta import VIEWS, View
from podium.runs.run import Run
from podium.runs.table import HELD_OUT, SIZE_COLUMNS
from podium.system import peak_memory_gb
from podium.training.datasets import (
    AugmentedSample,
    FoldDataset,
    of_images,
    sample_augmented,
    stage_seed,
)
from podium.training.lr_finder import LRCurve
from podium.training.pseudo_labels import pseudo_labels
from podium.training.time_plan import Speeds, TimePlan, stage_works
from podium.training.trainer import Trainer
from podium.training.warm_start import find_initial_weights

FIRST = 1000  # images that a first layer is fitted to
TIMED = 30  # images that are predicted one by one, to know how long it takes


@dataclass
class FoldRunner:
    """Trains, scores and predicts the folds of a run; they share the decoded images."""

    run: Run
    devices: Devices = field(default_factory=Devices)

    def __post_init__(self) -> None:
        self.recipe, self.folder, self.table = self.run.recipe, self.run.folder, self.run.table
        self.competition, recipe = self.run.competition, self.run.recipe
        self.devices.set_determinism(recipe.deterministic)
        precision = self.devices.set_precision(recipe.mixed_precision)
        predicting = f"; predictions by {engine()}" if engine() else ""
        print(f"computing on {self.devices}, {precision}{predicting}")
        for stage in recipe.stages:
            self.devices.check_batch_size(stage.batch_size or recipe.batch_size)
        # Training images first, then the test images that can be read.
        every = pd.concat([self.table.train, self.table.readable_test])
        self._paths = every["path"]
        self._sides = every[SIZE_COLUMNS] if self.competition.has_boxes else None
        kept = paths.copies() if recipe.copies else None
        sizes = recipe.cache_size, recipe.memory_share
        self._cache = ImageCache(list(self._paths), *sizes, copies=kept)
        self.loaded: int | None = None  # the fold whose network is in memory
        self.speeds = Speeds()

    def train(self, fold: int, deadline: float | None = None) -> None:
        """Train the fold's stages, as many of their epochs as the deadline leaves time for.

        Args:
            deadline: `time.monotonic()` at which the fold must be predicted.
        """
        progress = self.folder.fold(fold).read_progress() or {"history": []}
        before = sum(row["seconds"] for row in progress["history"])  # it was killed
        self._began = time.monotonic() - before
        self.folder.fold(fold).forget_cost()
        training = self._training(fold, deadline)
        training.run()
        self._time_plan = training.plan.rows
        self._network, self.loaded = training.network, fold

    def lr_range_test(self, fold: int, stage: int, low: float, high: float, steps: int) -> LRCurve:
        """Train the stages before one, then try rising learning rates in it."""
        return self._training(fold, deadline=None).lr_range_test(stage, low, high, steps)

    def score(self, fold: int) -> None:
        """Predict what the network just trained has not seen of the training images."""
        folder = self.folder.fold(fold)
        folder.write_predictions("validation", self.predict(self.scored(fold), self.recipe.views))
        cost: dict[str, Any] = {
            "seconds": round(time.monotonic() - self._began),
            "peak_memory_gb": peak_memory_gb(),
        }
        if self._time_plan:
            cost["time_plan"] = self._time_plan
        if self.recipe.box:  # it is meant for images from anywhere, one after another
            images = self._some(self.scored(fold), TIMED, self._size)
            predict = self._network.model.predict_on_batch
            cost["milliseconds"] = time_predictions(predict, images, self.recipe.batch_size)
        folder.write_cost(cost)
        folder.delete_state()

    def predict_test(self, fold: int, views: int | Sequence[View]) -> None:
        """Predict the test images, with the fold's best weights."""
        self.network(fold)
        tests = self._positions(self.table.readable_test.index)
        self.folder.fold(fold).write_predictions("test", self.predict(tests, views))

    def network(self, fold: int) -> Network:
        """The network of a fold with its best weights."""
        if self.loaded != fold:
            self.folder.fold(fold).read_weights(self.open(fold).model)
        return self._network

    def sample_augmented(self, fold: int, most: int) -> AugmentedSample:
        """Some training images of a fold as its network saw them, augmented."""
        return sample_augmented(self._images(fold), self.recipe, most)

    def plain(self, ids: pd.Index) -> np.ndarray:
        """Training images as the network predicts them: uint8 (images, size, size, 3)."""
        return self._some(self.table.train.index.get_indexer(ids), len(ids), self._size)

    @property
    def _size(self) -> int:
        """Side that the network in memory predicts at, pixels."""
        return self.run.image_size(self.loaded)

    def open(self, fold: int) -> Network:
        """A network for a fold, which predicts from now on; its weights are still to be given."""
        self._clear()
        with self.devices.scope():
            self._network = build_network(
                self.recipe, *self.competition.head_form, pretrained=False
            )
        self.loaded = fold
        return self._network

    def _training(self, fold: int, deadline: float | None) -> Trainer:
        """The training of a fold with a new network, or with the backbone of another run's."""
        given = self._given_backbone(fold)
        self._clear()
        keras.utils.set_random_seed(self.recipe.seed + fold)
        from_run = self.recipe.started_from is not None
        with self.devices.scope():
            form = self.competition.head_form
            network = build_network(self.recipe, *form, pretrained=not from_run)
            if given:
                give_backbone(network, given, f"run {self.recipe.started_from}")
        images = self._images(fold)
        if network.is_fitted_first and not from_run:
            network.fit_first(self._some(images.train, FIRST, self.recipe.image_size))
        train = [len(images.of_stage(number).train) for number in range(len(self.recipe.stages))]
        validation = len(images.validation)
        works = stage_works(self.recipe, train, validation, network.unfrozen_share)
        to_predict = len(self.scored(fold)) + len(self.table.readable_test)  # score, and submit
        pixels = to_predict * self.recipe.views * self.recipe.stage_size() ** 2
        plan = TimePlan(works, pixels, deadline, self.speeds)
        folder = self.folder.fold(fold)
        return Trainer(network, images, self.recipe, self.devices, folder, plan)

    def _given_backbone(self, fold: int) -> LayerWeights | None:
        """The weights that a fold's backbone starts with; None where another run gives none.

        A killed training has them in its state, and needs no other run.
        """
        start = find_initial_weights(self.run, fold)
        if start is None:
            return None
        print(start, flush=True)
        self._clear()
        weights = start.read_backbone()
        self.folder.fold(fold).write_start(start.lineage)
        return weights

    def _clear(self) -> None:
        keras.backend.clear_session()  # the last fold's network would stay in memory
        self.devices.set_precision(self.recipe.mixed_precision)  # which clear_session forgets

    def predict(self, positions: np.ndarray, views: int | Sequence[View]) -> pd.DataFrame:
        """What the fold's network says of the images at these positions, by id and view.

        Args:
            views: or how many of `VIEWS`.
        """
        return predict_views(
            self._network.model,
            self._cache,
            positions,
            self._paths.index[positions],
            self.competition.outputs,
            VIEWS[:views] if isinstance(views, int) else views,
            self._size,
            self.recipe.batch_size,
            self._sides.iloc[positions] if self._sides is not None else None,
        )

    def predict_plain(self, positions: np.ndarray) -> np.ndarray:
        """The probabilities in the plain view, without a word: float32 (positions, classes)."""
        batches = view_batches(
            self._cache,
            positions,
            size=self._size,
            batch_size=self.recipe.batch_size,
            view=VIEWS[0],
        )
        return predict(self._network.classifier, batches)[0]

    def last_batches(self, fold: int, images: int) -> Iterator[np.ndarray]:
        """Batches of up to so many images, as the last epoch of the training had them."""
        number = len(self.recipe.stages) - 1
        stage = self.recipe.stages[number]
        seed = stage_seed(self.recipe, number)
        batches, _ = of_images(self._images(fold), self.recipe, stage, seed, stage.epochs - 1)
        few = max(1, images // (stage.batch_size or self.recipe.batch_size))
        return (batch[0] for batch in islice(batches, few))

    def _images(self, fold: int) -> FoldDataset:
        folds = self.table.train["fold"].to_numpy()
        train = np.flatnonzero((folds != fold) & (folds != HELD_OUT))
        validation = np.flatnonzero(folds == fold)
        task, classes = self.competition.task, len(self.competition.classes)
        labels = task.targets(self.table.train["label"], classes)

        def copies(tests: pd.Index) -> np.ndarray:
            return near_copies(self._cache, self._positions(tests), self.scored(fold))

        pseudo = {
            stage: (self._positions(joining.index), task.targets(joining, classes))
            for stage, joining in pseudo_labels(self.run, fold, copies).items()
        }
        images = FoldDataset(
            self._cache, train, labels[train], validation, labels[validation], pseudo
        )
        if not self.recipe.box:
            return images
        boxes = self.table.train[list(BOX_COLUMNS)].to_numpy(np.float32)
        return replace(images, train_boxes=boxes[train], validation_boxes=boxes[validation])

    def _some(self, positions: np.ndarray, most: int, size: int) -> np.ndarray:
        """Up to so many of these images, evenly chosen: uint8 (images, size, size, 3)."""
        chosen = np.linspace(0, len(positions) - 1, min(most, len(positions))).astype(int)
        return np.stack([resize(self._cache[i], size, size) for i in positions[chosen]])

    def scored(self, fold: int) -> np.ndarray:
        """Positions of the images that this fold's network has not seen."""
        return np.flatnonzero(self.table.train["fold"].isin([fold, HELD_OUT]))

    def _positions(self, ids: pd.Index) -> np.ndarray:
        """Positions of these test images."""
        return len(self.table.train) + self.table.readable_test.index.get_indexer(ids)
