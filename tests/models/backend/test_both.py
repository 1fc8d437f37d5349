"""What one backend has written, the other reads; and both compute the same."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from podium.runs.fold_folder import FoldFolder

GO_ON = """
import os
import sys
from pathlib import Path

if os.environ["KERAS_BACKEND"] == "jax":
    sys.modules["tensorflow"] = None
sys.path[:0] = sys.argv[1:3]
import numpy as np
import pytest
from podium.models.backend import free_stage
from small_training import draw, killed_after, make_training, raw_validation, recipe, stage

plain = {"width": 8, "dropout": 0.0}  # what is dropped, each backend draws in its own way
stages = [stage("head", 2, 0.02), stage("all", 2, 0.01)]
settings = recipe(stages=stages, head=plain, ema=0.5, cached_views=2, augmentation={"mixup": 0.4})
for folder in map(Path, sys.argv[4:]):
    (folder / "images").mkdir(parents=True, exist_ok=True)
    images = draw(folder / "images")
    training = make_training(settings, images, folder)
    with pytest.MonkeyPatch.context() as patch, killed_after(int(sys.argv[3]), patch):
        training.run()
    training.folder.read_weights(training.network.model)
    predicted = training.network.model.predict(raw_validation(images), verbose=0)
    np.save(folder / "predicted.npy", predicted)
"""


def train(backend: str, epochs: int, *folders: Path) -> subprocess.Popen:
    """Go on with trainings until so many epochs are written, and be killed there."""
    tests = Path(__file__).parents[2]
    words = [str(tests / "training"), str(tests), str(epochs), *map(str, folders)]
    return subprocess.Popen(
        [sys.executable, "-c", GO_ON, *words],
        env=os.environ | {"KERAS_BACKEND": backend},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(*processes: subprocess.Popen) -> None:
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors[-3000:]


@pytest.mark.slow
def test_a_killed_training_goes_on_under_the_other_backend(tmp_path: Path) -> None:
    """After the first of two epochs of all layers, with the same numbers to a thousandth."""
    began = {"tensorflow": tmp_path / "tensorflow", "jax": tmp_path / "jax"}
    wait_for(*(train(backend, 3, folder) for backend, folder in began.items()))
    for backend, folder in began.items():
        for other in began:
            shutil.copytree(folder, tmp_path / f"{backend}-{other}")
    wait_for(*(train(b, 4, tmp_path / f"tensorflow-{b}", tmp_path / f"jax-{b}") for b in began))
    for backend in began:
        one, other = (FoldFolder(tmp_path / f"{backend}-{name}") for name in began)
        columns = ["loss", "val_loss", "accuracy", "val_accuracy", "learning_rate"]
        np.testing.assert_allclose(
            one.read_history()[columns], other.read_history()[columns], rtol=1e-3
        )
        pairs = list(zip(one.read_arrays(), other.read_arrays(), strict=True))
        assert len(pairs) > 100
        for mine, theirs in pairs:
            np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-3)
        predicted = [np.load(folder.path / "predicted.npy") for folder in (one, other)]
        np.testing.assert_allclose(*predicted, atol=1e-3)
        before = np.load(began[backend] / "predicted.npy")
        assert np.abs(predicted[0] - before).max() > 1e-3, "the last epoch changed something"
