"""Any picture from anywhere, through the networks of a run."""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from podium.competitions import get_competition
from podium.fold_run import cached_side, load_network
from podium.images.batches import PictureCache
from podium.predictions.views import VIEWS
from podium.run_folder import RunError, RunFolder


def classify(folder: RunFolder, files: Sequence[Path], views: int = 2) -> pd.DataFrame:
    """Probabilities of each file's picture, the mean over the run's folds and some views.

    Args:
        files: pictures of any size and format.
        views: how many of `VIEWS`.

    Returns:
        float32, a row per file in their order, a column per class.

    Raises:
        UnreadablePicture: a file is no picture.
    """
    recipe = folder.read_recipe()
    competition = get_competition(recipe.competition)
    folds = folder.finished_folds()
    if not folds:
        raise RunError(f"{folder.path} has no trained fold yet: train it to its end first")
    # Shrunk as for the run's own predictions, which it would else differ from.
    pictures = PictureCache(files, cached_side(recipe), memory_share=0)
    size = recipe.final_image_size
    batch = np.stack([view(picture, size) for picture in pictures for view in VIEWS[:views]])
    total = np.zeros((len(files), len(competition.classes)), np.float64)
    for fold in folds:
        keras.backend.clear_session()
        network = load_network(recipe, competition, folder, fold)
        predicted = network.model.predict(batch, batch_size=recipe.batch_size, verbose=0)
        total += predicted.reshape(len(files), -1, predicted.shape[1]).mean(axis=1)
    index = pd.Index([str(path) for path in files], name="file")
    columns = list(competition.classes)
    return pd.DataFrame((total / len(folds)).astype(np.float32), index=index, columns=columns)
