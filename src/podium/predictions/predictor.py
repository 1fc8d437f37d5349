"""The networks of a run: one is built, and takes the weights of each fold in turn."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd
from tqdm import tqdm

from podium.data.batches import view_batches
from podium.models.backend import COMPILES_ALL
from podium.models.inference import predict
from podium.models.network import Network, build_network
from podium.predictions.predict import boxes_of_images
from podium.predictions.tta import View
from podium.runs.fold_folder import RunError
from podium.runs.run import Run
from podium.runs.run_folder import RunFolder


@dataclass(frozen=True)
class Prediction:
    """The outputs of one fold's network, float32."""

    probabilities: np.ndarray  # (images, views, classes)
    features: np.ndarray  # (images, channels), of the first view
    boxes: np.ndarray | None  # (images, views, 4), in shares of the image; None: no box head


def open_network(run: Run, fold: int) -> Network:
    """The network of a fold as it predicts."""
    network = build_network(run.recipe, *run.competition.head_form, pretrained=False)
    run.folder.fold(fold).read_weights(network.model)
    return network


class Predictor:
    """Probabilities, features and boxes of decoded images; `load` a fold first.

    Raises:
        RunError: the run has no trained network, or is a blend, which has none of its own.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.run = Run.open(folder)
        self.folds = [fold for fold in folder.scored_folds() if folder.fold(fold).can_predict]
        if not self.folds:
            raise RunError(
                f"{folder.path} has no trained fold yet, or none whose weights were kept: train "
                "it to its end first"
            )
        self.size = self.run.recipe.stage_size()  # of the images to predict, pixels
        keras.backend.clear_session()
        network = build_network(self.run.recipe, *self.run.competition.head_form, pretrained=False)
        self._model = network.model
        # One pass for all of them: the features are on the way to the probabilities.
        outputs = [network.features.output, *network.model.outputs]
        self._outputs = keras.Model(network.model.input, outputs)
        self._outputs.jit_compile = COMPILES_ALL  # as in `Network`

    def load(self, fold: int) -> None:
        """Take the weights of a fold."""
        self.run.folder.fold(fold).read_weights(self._model)
        self.size = self.run.image_size(fold)

    def predict(self, images: Sequence[np.ndarray], views: Sequence[View]) -> Prediction:
        """Predict images, uint8 (height, width, 3), in each view."""
        batches = view_batches(
            images,
            np.arange(len(images)),
            size=self.size,
            batch_size=self.run.recipe.batch_size,
            view=views,
        )
        features, probabilities, *boxes = (
            output.reshape(len(images), len(views), -1)
            for output in predict(self._outputs, batches)
        )
        image_boxes = None
        if boxes:
            # The views are cut from these images, whatever size the files had.
            sides = pd.DataFrame([image.shape[:2] for image in images], columns=["height", "width"])
            image_boxes = boxes_of_images(boxes[0], views, sides)
        return Prediction(probabilities, features[:, 0].astype(np.float32), image_boxes)

    def predict_by_all(
        self, images: Sequence[np.ndarray], views: Sequence[View]
    ) -> tuple[Prediction, np.ndarray, np.ndarray | None]:
        """What the first fold's network says, and float32 means over all folds and views.

        These are of the probabilities (images, classes) and of the boxes (images, 4), or None.
        """
        by_fold = []
        for fold in tqdm(self.folds, "classifying", unit=" networks", delay=2, leave=False):
            self.load(fold)
            by_fold.append(self.predict(images, views))
        probabilities = _mean([found.probabilities for found in by_fold])
        boxes = _mean([found.boxes for found in by_fold]) if self.run.recipe.box else None
        return by_fold[0], probabilities, boxes


def _mean(by_fold: Sequence[np.ndarray]) -> np.ndarray:
    """Average (images, views, …) of each fold to float32 (images, …)."""
    by_views = [values.mean(axis=1) for values in by_fold]
    return np.mean(by_views, axis=0, dtype=np.float64).astype(np.float32)
