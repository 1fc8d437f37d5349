"""A run or a blend opened by a program, as `podium.open_run` does: docs/api.md."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from podium.files.image_io import shrink
from podium.predictions.score import Score
from podium.predictions.tta import VIEWS
from podium.runs.run_folder import RunFolder
from podium.system import start_backend

if TYPE_CHECKING:  # imports Keras, which takes seconds
    from podium.predictions.predictor import Predictor


@dataclass(frozen=True)
class OpenRun:
    """A run or a blend; what is asked for is read or computed once."""

    folder: RunFolder

    @property
    def score(self) -> Score:
        """The out-of-fold score with its interval: `value`, `low`, `high`, `metric`, `images`.

        Raises:
            RunError: the run was not trained to its end.
        """
        return Score.from_dict(self.folder.read_score()["score"])

    @cached_property
    def out_of_fold(self) -> pd.DataFrame:
        """Probabilities of training images by networks that have not seen them, float32 by id.

        A column per class. `folder.read_images()` has label, group and fold of the same ids.

        Raises:
            RunError: the run was not trained to its end.
        """
        return self.folder.read_probabilities("out_of_fold")

    def predict(self, images: Sequence[np.ndarray] | np.ndarray, views: int = 1) -> pd.DataFrame:
        """Probabilities of any images: the mean of all folds' networks, a row an image, float32.

        Args:
            images: uint8 (height, width, 3) each, RGB, of any sizes.
            views: of test-time augmentation to average, at most 10.

        Raises:
            ValueError: an image is of another form.
            RunError: no network of the run is here; a blend has none of its own.
        """
        for image in images:
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                came = f"{image.dtype} {image.shape}"
                raise ValueError(f"came an image of {came}, expected uint8 (height, width, 3), RGB")
        run = self._predictor.run
        pixels = [shrink(image, run.recipe.cache_size) for image in images]
        _, mean, _ = self._predictor.predict_by_all(pixels, VIEWS[:views])
        return pd.DataFrame(mean, columns=run.competition.outputs)

    @cached_property
    def _predictor(self) -> "Predictor":
        start_backend()
        from podium.predictions.predictor import Predictor

        return Predictor(self.folder)
