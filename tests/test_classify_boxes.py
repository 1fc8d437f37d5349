"""`podium classify` with a run that finds boxes: in pixels of each image as one sees it."""

import json
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from podium.competitions.boxes import PIXEL_COLUMNS, to_pixels
from podium.models.box_head import SideCells
from podium.models.network import build_network
from podium.predictions.classify import answer
from podium.predictions.combine import average_tta
from podium.runs.run_folder import RunFolder
from podium.training.train import train
from small_competitions import RECIPE, break_image, enter_copy, make_project

BOX = '\nbox = {{ width = 8, taps = ["block2a", "block3a"] }}\n'
TURNED = 6  # EXIF's: a quarter turn to the right makes it upright


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    project = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PODIUM_INPUT", raising=False)
        patch.chdir(project)
        make_project(project, "pets", RECIPE + BOX)
        train("tiny", run="tiny")
        yield project


@pytest.fixture
def project(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, to do with as the test likes; the current folder."""
    return enter_copy(trained, tmp_path, monkeypatch)


@pytest.fixture
def run(project: Path) -> RunFolder:
    return RunFolder(project / "weights" / "tiny")


@pytest.fixture
def image(project: Path) -> Image.Image:
    """One that the run has not trained on, 28 by 24 pixels."""
    with Image.open(project / "input/oxford-iiit-pet/images/pug_11.jpg") as file:
        return file.convert("RGB")


Podium = Callable[..., tuple[int, str, str]]


@pytest.fixture
def podium(project: Path, command: Podium) -> Podium:
    return partial(command, "classify", "tiny")


def let_always_find(run: RunFolder, fold: int, box: tuple[float, ...]) -> None:
    """Make a fold's head find this box in whatever it sees."""
    network = build_network(run.read_recipe(), 2, pretrained=False)
    run.fold(fold).read_weights(network.model)
    cells = network.box_head.get_layer("box_cells")
    # A softmax of nothing is the mean over all cells, whose centers are in the middle.
    distances = (np.array(box) - 0.5) / SideCells.REACH
    cells.set_weights([np.zeros(cells.kernel.shape), np.concatenate([np.zeros(4), distances])])
    run.fold(fold).write_weights(network.model)
    keras.backend.clear_session()


def boxes_of(run: RunFolder, *words: object, views: int = 2) -> np.ndarray:
    """The boxes that are answered: float64 (images, 4)."""
    images = answer(run, list(map(str, words)), views).images
    assert all(tuple(one.box) == PIXEL_COLUMNS for one in images)
    return np.array([list(one.box.values()) for one in images])


# --- Where the box is


def test_it_is_that_of_all_folds_and_views_in_pixels_of_the_whole_image(
    run: RunFolder, project: Path, image: Image.Image
) -> None:
    let_always_find(run, 0, (0.1, 0.2, 0.5, 0.6))
    let_always_find(run, 1, (0.3, 0.4, 0.5, 0.8))
    exif = Image.Exif()
    exif[0x0112] = TURNED
    odd = project / "odd"
    odd.mkdir()
    image.save(odd / "a.png")
    image.resize((2000, 1000)).save(odd / "b.jpg")
    image.resize((2000, 1000)).save(odd / "c.jpg", exif=exif)
    image.resize((2000, 1000)).convert("L").save(odd / "d.jpg")
    image.resize((1000, 50)).convert("RGBA").save(odd / "e.webp")
    sizes = np.array([(28, 24), (2000, 1000), (1000, 2000), (2000, 1000), (1000, 50)])
    mean = {1: (0.2, 0.3, 0.5, 0.7), 2: (0.35, 0.3, 0.65, 0.7)}  # the other view is mirrored
    for views, box in mean.items():
        # Counted from 1, and the last pixel belongs to the box.
        expected = np.tile(sizes, 2) * box + [1, 1, 0, 0]
        np.testing.assert_allclose(boxes_of(run, odd, views=views), expected, atol=0.11)


def test_a_turned_image_is_answered_for_as_the_upright_one(
    run: RunFolder, project: Path, image: Image.Image
) -> None:
    exif = Image.Exif()
    exif[0x0112] = TURNED
    image.save("upright.png")
    image.transpose(Image.Transpose.ROTATE_90).save("turned.png", exif=exif)
    upright, turned = boxes_of(run, "upright.png", "turned.png")
    np.testing.assert_array_equal(turned, upright)


def test_test_images_have_the_boxes_that_the_run_gave_them(run: RunFolder, project: Path) -> None:
    predicted = average_tta(pd.concat([run.fold(fold).read_boxes("test") for fold in (0, 1)]))
    expected = to_pixels(predicted, run.read_images()[["width", "height"]])
    paths = [project / f"input/oxford-iiit-pet/images/{name}.jpg" for name in expected.index]
    np.testing.assert_allclose(boxes_of(run, *paths), expected, atol=0.11)


def test_every_box_is_within_its_image(run: RunFolder, project: Path) -> None:
    let_always_find(run, 0, (-0.5, 0.9, 1.5, 0.2))  # no head's output is bounded
    let_always_find(run, 1, (-0.5, 0.9, 1.5, 0.2))
    (box,) = boxes_of(run, project / "input/oxford-iiit-pet/images/pug_11.jpg")
    np.testing.assert_allclose(box, [1, 0.2 * 24 + 1, 28, 0.9 * 24], atol=0.11)


# --- How it is said


def test_line_csv_and_json_have_it(
    run: RunFolder, project: Path, podium: Podium, image: Image.Image
) -> None:
    for fold in (0, 1):
        let_always_find(run, fold, (0.25, 0.25, 0.75, 0.75))
    image.resize((400, 200)).save("a.png")
    break_image(shutil.copy("a.png", project / "b.png"))
    code, out, err = podium("a.png", "b.png", "--csv", "a.csv", "--json", "a.json")
    assert code == 1 and err.startswith("podium: b.png: ")
    assert out.splitlines()[0].split("; ")[1] == "box 101 51 300 150"
    header, first, second = Path("a.csv").read_text().splitlines()
    assert header == ("file,class,probability,xmin,ymin,xmax,ymax,unlike,score,problem,p_cat,p_dog")
    assert first.split(",")[3:7] == ["101", "51", "300", "150"]
    assert second.startswith("b.png,,,,,,,")
    known, broken = json.loads(Path("a.json").read_text())["images"]
    assert known["box"] == {"xmin": 101.0, "ymin": 51.0, "xmax": 300.0, "ymax": 150.0}
    assert broken["box"] is None
