"""Fixtures of several tests: images that are no near-copies, data, a trained run, the commands."""

import contextlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TQDM_DISABLE", "1")  # before tqdm reads it, as `podium` does in a file

import cv2
import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from podium.competitions.sample_drawing import draw_sample
from small_competitions import RECIPE, enter_copy, write_entry

# As many as a recipe asks for by default: whichever test imports TensorFlow first decides.
os.environ["TF_NUM_INTRAOP_THREADS"] = "4"
if os.environ.get("KERAS_BACKEND") == "jax":  # as `podium.system.start_backend` sets it up
    sys.modules["tensorflow"] = None
# Nothing comes from outside, whoever runs the tests.
for name in ("PODIUM_INPUT", "PODIUM_PRETRAINED", "PODIUM_RUNS", "PODIUM_DEBUG"):
    os.environ.pop(name, None)

WriteImage = Callable[..., Path]
Command = Callable[..., tuple[int, str, str]]


def scene(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    """A made-up photograph, uint8 (height, width, 3): noise at all scales, as nature has it.

    Plain noise would not do: scaled down it is gray, and all of it looks alike.
    """
    rng = np.random.default_rng(seed)
    image = np.zeros((height, width, 3))
    for cells in (3, 6, 12, 24):
        noise = rng.normal(size=(cells, cells, 3)) / cells**0.7
        image += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    image = (image - image.min()) / np.ptp(image) * 255
    return image.astype(np.uint8)


@pytest.fixture
def write_image() -> WriteImage:
    """Write an image, each time another one: `write_image(path, height=48, width=64)`."""
    seeds = iter(range(1_000_000))

    def write(path: Path, height: int = 48, width: int = 64) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene(next(seeds), height, width)).save(path)
        return path

    return write


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that competitions look for their data in; the working directory is tmp."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("PODIUM_INPUT", str(folder))
    return folder


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that one worker makes for all of them; only to be read."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            unfinished = folder.with_name(f"{name}-unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)  # of a worker that failed
            unfinished.mkdir()
            with contextlib.chdir(unfinished), pytest.MonkeyPatch.context() as patch:
                patch.delenv("PODIUM_INPUT", raising=False)
                make(unfinished)
            unfinished.rename(folder)
    return folder


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose entry `tiny` was trained, both folds, once for all workers; only to be read.

    The run is weights/tiny: 24 drawn images of 16 pixels, the smallest network, one epoch, two
    views.
    """

    def make(project: Path) -> None:
        from podium.training.train import train

        write_entry(project, "tiny", RECIPE.format(competition="sample"))
        draw_sample(project / "input" / "podium-sample", train=24, test=9, size=(32, 24))
        train("tiny")

    return made_once(tmp_path_factory, "trained-run", make)


@pytest.fixture
def trained_copy(trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `trained_run`, to do with as a test likes; the current folder."""
    return enter_copy(trained_run, tmp_path, monkeypatch)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `podium` with some words, in this process: exit code, output and errors."""
    from podium.cli import main

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["podium", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


@pytest.fixture(scope="session")
def trained_pets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with weights/tiny: cats, dogs and boxes, two folds. Copy it, or leave it as it is.

    Test images are in the folder `new` as well; the OOD detector is fitted.
    """
    from small_competitions import PETS_RECIPE, draw_more_pets, make_project

    def make(project: Path) -> None:
        from podium.predictions.classify import classify
        from podium.runs.run_folder import RunFolder
        from podium.training.train import train

        data = make_project(project, "pets", PETS_RECIPE)
        draw_more_pets(data, range(100, 150))  # a fold must hold 19 to set a limit
        train("tiny", run="tiny")
        (project / "new").mkdir()
        for name in ("Bengal_10", "Bengal_11", "pug_10", "pug_11"):
            shutil.copy(data / "images" / f"{name}.jpg", project / "new")
        classify(RunFolder(project / "weights" / "tiny"), [project / "new"])

    return made_once(tmp_path_factory, "trained-pets", make)
