"""Pictures through the networks of a run: one network is built, and takes each fold's weights."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np

from podium.competitions import Competition
from podium.fold_run import cached_side
from podium.images.batches import shrink, view_batches
from podium.models.network import build_network
from podium.predictions.views import View
from podium.recipe import Recipe
from podium.run_folder import RunFolder


@dataclass
class Looker:
    """Probabilities and features of decoded pictures; `open` a fold first."""

    folder: RunFolder
    recipe: Recipe
    competition: Competition

    def __post_init__(self) -> None:
        keras.backend.clear_session()
        self._network = build_network(self.recipe, len(self.competition.classes), pretrained=False)
        network = self._network
        # Both at once: the features are on the way to the probabilities.
        self._both = keras.Model(
            network.model.input, [network.classifier.output, network.features.output]
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

    def look(
        self, pictures: Sequence[np.ndarray], views: Sequence[View]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities (pictures, views, classes), and features (pictures, channels) of the first.

        Both are float32.
        """
        batches = view_batches(
            pictures,
            np.arange(len(pictures)),
            size=self.recipe.final_image_size,
            batch_size=self.recipe.batch_size,
            view=views,
        )
        probabilities, features = self._both.predict(batches, verbose=0)
        by_picture = features.reshape(len(pictures), len(views), -1)[:, 0]
        shape = len(pictures), len(views), len(self.competition.classes)
        return probabilities.reshape(shape), by_picture.astype(np.float32)
