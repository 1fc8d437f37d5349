"""Images through the networks of a run: one network is built, and takes each fold's weights."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd

from podium.competitions import Competition
from podium.data.batches import shrink, view_batches
from podium.models.network import build_network
from podium.predictions.predict import boxes_of_images
from podium.predictions.tta import View
from podium.recipes.recipe import Recipe
from podium.runs.run_folder import RunFolder
from podium.training.fold_runner import cached_side


@dataclass(frozen=True)
class Prediction:
    """What a fold's network says of some images, all float32."""

    probabilities: np.ndarray  # (images, views, classes)
    features: np.ndarray  # (images, channels), of the first view
    boxes: np.ndarray | None  # (images, views, 4), in shares of the image; None: no box head


@dataclass
class Predictor:
    """Probabilities, features and boxes of decoded images; `open` a fold first."""

    folder: RunFolder
    recipe: Recipe
    competition: Competition

    def __post_init__(self) -> None:
        keras.backend.clear_session()
        self._network = build_network(self.recipe, len(self.competition.classes), pretrained=False)
        network = self._network
        # All at once: the features are on the way to the probabilities.
        self._all = keras.Model(
            network.model.input, [network.features.output, *network.model.outputs]
        )

    @property
    def side(self) -> int:
        """What an image's shorter side is shrunk to before anything else is done, pixels."""
        return cached_side(self.recipe)

    def shrink(self, image: np.ndarray) -> np.ndarray:
        """As images of a training are: a run would else say another thing of the same image."""
        return shrink(image, self.side)

    def open(self, fold: int) -> None:
        """Take the weights of a fold."""
        self.folder.fold(fold).read_weights(self._network.model)

    @property
    def finds_boxes(self) -> bool:
        return self.recipe.box is not None

    def predict(self, images: Sequence[np.ndarray], views: Sequence[View]) -> Prediction:
        """What the network says of images, uint8 (height, width, 3), in each view."""
        batches = view_batches(
            images,
            np.arange(len(images)),
            size=self.recipe.final_image_size,
            batch_size=self.recipe.batch_size,
            view=views,
        )
        features, probabilities, *boxes = (
            part.reshape(len(images), len(views), -1)
            for part in self._all.predict(batches, verbose=0)
        )
        found = None
        if boxes:
            # The views are cut from these images, whatever size they had before.
            sides = pd.DataFrame([one.shape[:2] for one in images], columns=["height", "width"])
            found = boxes_of_images(boxes[0], views, sides)
        return Prediction(probabilities, features[:, 0].astype(np.float32), found)
