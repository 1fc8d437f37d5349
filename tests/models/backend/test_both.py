"""What one backend has written, the other reads; and both compute the same."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from podium.runs.fold_folder import FoldFolder

GO_ON = """
import json
import os
import sys
from pathlib import Path

if os.environ["KERAS_BACKEND"] == "jax":
    sys.modules["tensorflow"] = None
sys.path[:0] = sys.argv[1:3]
import numpy as np
import pytest
from small_training import draw, killed_after, make_training, raw_validation, recipe

settings = recipe(**json.loads(sys.argv[4]))
for folder in map(Path, sys.argv[5:]):
    (folder / "images").mkdir(parents=True, exist_ok=True)
    images = draw(folder / "images")
    training = make_training(settings, images, folder)
    with pytest.MonkeyPatch.context() as patch, killed_after(int(sys.argv[3]), patch):
        training.run()
    training.folder.read_weights(training.network.model)
    shown = raw_validation(images, settings.image_size)
    predicted = training.network.model.predict(shown, verbose=0)
    np.save(folder / "predicted.npy", predicted)
"""


def stage(unfreeze: str, learning_rate: float) -> dict[str, Any]:
    return {"unfreeze": unfreeze, "epochs": 2, "learning_rate": learning_rate}


# What is dropped in training, each backend draws in its own way.
SMALL = {
    "stages": [stage("head", 0.02), stage("all", 0.01)],
    "head": {"width": 8, "dropout": 0.0},
    "ema": 0.5,
    "cached_views": 2,
    "augmentation": {"mixup": 0.4},
}
B0 = {
    "backbone": "efficientnet-b0",
    "image_size": 32,
    "train_batchnorm": True,
    "drop_connect": 0.0,
    "stages": [stage("all", 1e-3)],
    "head": {"width": 0, "dropout": 0.0},
}


def train(settings: dict[str, Any], backend: str, epochs: int, *folders: Path) -> subprocess.Popen:
    """Go on with trainings until so many epochs are written, and be killed there."""
    tests = Path(__file__).parents[2]
    words = [str(tests / "training"), str(tests), str(epochs), json.dumps(settings)]
    return subprocess.Popen(
        [sys.executable, "-c", GO_ON, *words, *map(str, folders)],
        env=os.environ | {"KERAS_BACKEND": backend},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(*processes: subprocess.Popen) -> None:
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors[-3000:]


def assert_alike(one: Path, other: Path, before: Path) -> None:
    """See that two trainings went on from the same state to the same numbers, to a thousandth."""
    mine, theirs = FoldFolder(one), FoldFolder(other)
    columns = ["loss", "val_loss", "accuracy", "val_accuracy", "learning_rate"]
    np.testing.assert_allclose(
        mine.read_history()[columns], theirs.read_history()[columns], rtol=1e-3
    )
    pairs = list(zip(mine.read_arrays(), theirs.read_arrays(), strict=True))
    assert len(pairs) > 100, "of the network and of its optimizer"
    for array, another in pairs:
        np.testing.assert_allclose(array, another, rtol=1e-3, atol=1e-3)
    predicted, *others = (np.load(path / "predicted.npy") for path in (one, other, before))
    np.testing.assert_allclose(predicted, others[0], atol=1e-3)
    assert np.abs(predicted - others[1]).max() > 1e-3, "the last epoch changed something"


@pytest.mark.slow
def test_a_killed_training_goes_on_under_the_other_backend(tmp_path: Path) -> None:
    """After the first of two epochs of all layers."""
    began = {"tensorflow": tmp_path / "tensorflow", "jax": tmp_path / "jax"}
    wait_for(*(train(SMALL, backend, 3, folder) for backend, folder in began.items()))
    for backend, folder in began.items():
        for other in began:
            shutil.copytree(folder, tmp_path / f"{backend}-{other}")
    wait_for(
        *(train(SMALL, b, 4, tmp_path / f"tensorflow-{b}", tmp_path / f"jax-{b}") for b in began)
    )
    for backend, before in began.items():
        assert_alike(*(tmp_path / f"{backend}-{name}" for name in began), before)


@pytest.mark.slow
def test_steps_of_an_efficientnet_are_the_same(tmp_path: Path) -> None:
    before = tmp_path / "before"
    wait_for(train(B0, "tensorflow", 1, before))
    after = {backend: tmp_path / backend for backend in ("tensorflow", "jax")}
    for folder in after.values():
        shutil.copytree(before, folder)
    wait_for(*(train(B0, backend, 2, folder) for backend, folder in after.items()))
    assert_alike(*after.values(), before)
