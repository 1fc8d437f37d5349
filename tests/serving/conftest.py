"""A run that was really trained, with classes and boxes, and images to ask it about."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from small_web import encoded

from podium.runs.run_folder import RunFolder
from podium.serving.decoding import decode_upload
from podium.serving.engine import Engine
from podium.serving.limits import RequestLimits
from podium.serving.uploads import Upload
from podium.training.train import train
from small_competitions import RECIPE, draw_image, make_project, voc

# Keras' momentum of 0.99 would lag behind the few steps of this training.
BOX = """
batchnorm_momentum = 0.8
box = {{ width = 8, taps = ["block2a", "block3a"] }}
"""
MORE = range(100, 150)  # training images of each class: a fold must hold 19 to call any unlike


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The project of a trained run, `weights/tiny`; the current folder of the whole session."""
    project = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("PODIUM_INPUT", "PODIUM_PRETRAINED", "PODIUM_DEBUG"):
            patch.delenv(name, raising=False)
        patch.chdir(project)
        data = make_project(project, "pets", RECIPE + BOX)
        lines = []
        for label, breed in enumerate(("Bengal", "pug")):
            for number in MORE:
                name = f"{breed}_{number}"
                draw_image(data / "images" / f"{name}.jpg", label)
                (data / "annotations" / "xmls" / f"{name}.xml").write_text(
                    voc(name, number % 10, label)
                )
                lines.append(f"{name} {label + 5} {label + 1} 1\n")
        with (data / "annotations" / "trainval.txt").open("a") as listed:
            listed.writelines(lines)
        train(
            "tiny",
            folds=[0],
            run="tiny",
            overrides=["stages.0.epochs=12", "stages.0.learning_rate=0.01"],
        )
        yield project


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
    """Ready to answer."""
    made = Engine(run)
    made.warm_up()
    return made


@pytest.fixture(scope="session")
def unseen(served: Path) -> list[Path]:
    """Test images: two Bengals, two pugs."""
    images = served / "input" / "oxford-iiit-pet" / "images"
    return [images / f"{breed}_{number}.jpg" for breed in ("Bengal", "pug") for number in (10, 11)]


@pytest.fixture(scope="session")
def foreign(engine: Engine) -> bytes:
    """A PNG such as none in training, where all are smooth and colored: the strangest of some."""
    places = np.indices((36, 36))
    random = np.random.default_rng(0)
    candidates = [
        *(places[1] // width % 2 * 255 for width in (1, 2, 4, 8)),
        places.sum(axis=0) // 2 % 2 * 255,
        random.integers(0, 2, (36, 36, 3)) * 255,
        *(np.full((36, 36, 3), color) for color in ((0, 255, 0), (255, 0, 255), (255, 255, 255))),
    ]
    files = [encoded(one, "PNG") for one in candidates]
    squares = [
        decode_upload(Upload("", one), RequestLimits(), engine.side, engine.size) for one in files
    ]
    scores = [one.score for one in engine.see(np.stack([one.pixels for one in squares]))]
    assert max(scores) > 1.05 * engine.ood_detector.limit
    return files[int(np.argmax(scores))]
