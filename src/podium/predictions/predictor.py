"""Pictures through the networks of a run: one network is built, and takes each fold's weights."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd

from podium.competitions import Competition
from podium.data.batches import shrink, view_batches
from podium.models.network import build_network
from podium.predictions.predict import boxes_of_pictures
from podium.predictions.tta import View
from podium.recipes.recipe import Recipe
from podium.runs.run_folder import RunFolder
from podium.training.fold_runner import cached_side


@dataclass(frozen=True)
class Looked:
    """What a fold's network says of some pictures, all float32."""

    probabilities: np.ndarray  # (pictures, views, classes)
    features: np.ndarray  # (pictures, channels), of the first view
    boxes: np.ndarray | None  # (pictures, views, 4), in shares of the picture; None: no box head


@dataclass
class Looker:
    """Probabilities, features and boxes of decoded pictures; `open` a fold first."""

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
        """What a picture's shorter side is shrunk to before anything else is done, pixels."""
        return cached_side(self.recipe)

    def shrink(self, picture: np.ndarray) -> np.ndarray:
        """As pictures of a training are: a run would else say another thing of the same picture."""
        return shrink(picture, self.side)

    def open(self, fold: int) -> None:
        """Take the weights of a fold."""
        self.folder.fold(fold).read_weights(self._network.model)

    @property
    def finds_boxes(self) -> bool:
        return self.recipe.box is not None

    def look(self, pictures: Sequence[np.ndarray], views: Sequence[View]) -> Looked:
        """What the network says of pictures, uint8 (height, width, 3), in each view."""
        batches = view_batches(
            pictures,
            np.arange(len(pictures)),
            size=self.recipe.final_image_size,
            batch_size=self.recipe.batch_size,
            view=views,
        )
        features, probabilities, *boxes = (
            part.reshape(len(pictures), len(views), -1)
            for part in self._all.predict(batches, verbose=0)
        )
        found = None
        if boxes:
            # The views are cut from these pictures, whatever size they had before.
            sides = pd.DataFrame([one.shape[:2] for one in pictures], columns=["height", "width"])
            found = boxes_of_pictures(boxes[0], views, sides)
        return Looked(probabilities, features[:, 0].astype(np.float32), found)
