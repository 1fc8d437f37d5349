"""A trained run behind an engine, and images to ask it about."""

from pathlib import Path

import numpy as np
import pytest
from small_web import encoded

from podium.runs.run_folder import RunFolder
from podium.serving.engine import Engine
from podium.serving.schema import RequestLimits
from podium.serving.uploads import decode_upload


@pytest.fixture(scope="session")
def served(trained_pets: Path) -> Path:
    """The project of the run, `weights/tiny`; nothing is written into it."""
    return trained_pets


@pytest.fixture
def in_the_project(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PODIUM_INPUT", "PODIUM_PRETRAINED", "PODIUM_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(served)


@pytest.fixture(scope="session")
def run(served: Path) -> RunFolder:
    return RunFolder(served / "weights" / "tiny")


@pytest.fixture(scope="session")
def engine(run: RunFolder) -> Engine:
    """Ready to predict."""
    made = Engine(run)
    made.warm_up()
    return made


@pytest.fixture(scope="session")
def unseen(served: Path) -> list[Path]:
    """Test images: two Bengals, two pugs."""
    return sorted((served / "new").iterdir())


@pytest.fixture(scope="session")
def foreign(engine: Engine) -> bytes:
    """A PNG such as none in training, where all are smooth and colored: the strangest of some."""
    places = np.indices((36, 36))
    random = np.random.default_rng(0)
    candidates = [
        *(places[1] // width % 2 * 255 for width in (1, 2, 4, 8)),
        random.integers(0, 2, (36, 36, 3)) * 255,
        *(np.full((36, 36, 3), color) for color in ((0, 255, 0), (255, 0, 255), (255, 255, 255))),
    ]
    files = [encoded(pixels, "PNG") for pixels in candidates]
    predictions = engine.predict(as_sent(files, engine))
    scores = [prediction.ood_score for prediction in predictions]
    assert max(scores) > 1.05 * engine.ood_detector.limit
    return files[int(np.argmax(scores))]


def as_sent(files: list[bytes], engine: Engine) -> np.ndarray:
    """Decode files as they are uploaded."""
    sizes = engine.run.recipe.cache_size, engine.size
    return np.stack([decode_upload("a", data, RequestLimits(), *sizes).pixels for data in files])
