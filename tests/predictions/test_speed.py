"""Speed: what is timed, and what becomes of the times of several folds."""

import numpy as np
import pytest

from podium.predictions.speed import BATCHES, SINGLES, speeds, time_predictions


def test_single_images_and_full_batches_are_timed() -> None:
    seen = []
    images = [np.full((4, 4, 3), number, np.uint8) for number in range(3)]
    times = time_predictions(lambda batch: seen.append(batch.shape), images, batch_size=5)
    single, batch = (1, 4, 4, 3), (5, 4, 4, 3)
    assert seen == [single, batch, *[single] * SINGLES, *[batch] * BATCHES], "first to trace"
    assert len(times["single"]) == SINGLES and len(times["batch"]) == BATCHES
    assert min(times["single"]) >= 0


def test_the_times_of_all_folds_count() -> None:
    folds = [{"single": [10.0, 12.0], "batch": [4.0]}, {"single": [14.0], "batch": [6.0]}]
    found = speeds(folds)
    assert found["single"].value == pytest.approx(12) and found["single"].images == 3
    assert found["single"].low < 12 < found["single"].high
    assert found["batch"].value == pytest.approx(5)
    assert speeds([]) == {}
