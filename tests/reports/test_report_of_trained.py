"""The report of a run that was trained here: made with it, with images, boxes and Grad-CAM."""

import base64
import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_page import Read

from podium.predictions.result import RunResult
from podium.reports.report import figures_of, report, with_report
from podium.reports.thumbnails import with_heat
from podium.runs.run_folder import RunFolder
from podium.training.train import train
from small_competitions import BOX_RECIPE, break_image, make_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One training image cannot be read; a cat is there a second time as a dog."""
    folder = tmp_path_factory.mktemp("project")
    data = make_project(folder, "pets", BOX_RECIPE)
    break_image(data / "images" / "pug_9.jpg")
    shutil.copy(data / "images" / "Bengal_2.jpg", data / "images" / "pug_2.jpg")
    return folder


@pytest.fixture(autouse=True)
def in_the_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODIUM_DEBUG", "1")  # a report that fails shall be seen
    monkeypatch.chdir(project)


@pytest.fixture(scope="module")
def outcome(project: Path) -> RunResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        patch.setenv("PODIUM_DEBUG", "1")
        return with_report(train("tiny"))


@pytest.fixture(scope="module")
def page(outcome: RunResult) -> str:
    return outcome.report.read_text(encoding="utf-8")


def words(page: str) -> str:
    return re.sub(r"\s+", " ", Read(page).text)


def section(page: str, title: str) -> str:
    """The HTML of a section."""
    (found,) = [
        one for one in page.split("<section ")[1:] if one.startswith(f'aria-labelledby="{title}"')
    ]
    return found


def images(html: str) -> list[np.ndarray]:
    """The images that a part of a page holds."""
    found = re.findall(r'src="data:image/\w+;base64,([^"]+)"', html)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(one)))) for one in found]


def test_a_training_ends_with_its_report(outcome: RunResult, page: str, project: Path) -> None:
    assert outcome.report == outcome.folder.path / "report.html"
    assert f"report      {outcome.report}\n" in str(outcome)
    assert "Left out" not in words(page), "the network was in memory, the images are here"
    assert str(project) not in page, "no path of this machine"
    assert outcome.report.stat().st_size < 2e6


def test_the_memory_of_each_stage_is_recorded(outcome: RunResult, page: str) -> None:
    history = outcome.folder.fold(1).read_history()
    assert history["peak_memory_gb"].between(0.1, 100).all()
    assert f"{history['peak_memory_gb'].max():.2f} GB" in words(section(page, "cost-and-origin"))


def test_what_could_not_be_read_is_told(page: str) -> None:
    data = words(section(page, "data"))
    assert "left out 1 files" in data and "training 19 images" in data
    assert "pug_9 training truncated" in data and "not trained on" in data


def test_near_copies_in_different_classes_are_shown(page: str) -> None:
    shown = words(section(page, "images"))
    assert "Near-copies in different classes: 1 groups" in shown
    assert "group 1: cat Bengal_2" in shown and "group 1: dog pug_2" in shown


def test_images_are_shown_with_both_boxes(page: str) -> None:
    shown = section(page, "images")
    assert len(images(shown)) >= 19 + 14 and "no image: " not in shown
    poorest = shown[shown.index("Poorest boxes") :]
    assert poorest.count('class="true"') >= 14 and poorest.count('class="found"') >= 14
    assert "mean IoU" in words(section(page, "score"))


def test_a_batch_is_shown_as_the_network_saw_it(outcome: RunResult, page: str) -> None:
    shown = section(page, "as-the-network-sees-them")
    assert "Fold 1, stage 1, 16 px: training images, augmented" in words(shown)
    found = images(shown)
    # A batch has all 10 or 9 images of the other fold; 16 pixels are enlarged 12 times.
    assert len(found) in (9, 10) and {one.shape for one in found} == {(192, 192, 3)}
    assert 'class="true"' in shown


def test_grad_cam_looks_at_right_and_wrong_images(outcome: RunResult, page: str) -> None:
    shown = section(page, "grad-cam")
    judged = outcome.folder.read_probabilities("out_of_fold")
    assert "By the network of fold 1, on images that it was not trained on." in words(shown)
    tiles = [one.shape[1] // one.shape[0] for one in images(shown)]
    assert tiles and set(tiles) <= {2, 3} and len(judged) == 19
    assert tiles.count(2) == shown.count('class="right"')
    assert tiles.count(3) == shown.count('class="wrong"')


def test_the_command_makes_the_same_page_later(outcome: RunResult, page: str) -> None:
    made = report(["tiny"])
    assert made.path == outcome.report and not made.left_out
    again = made.path.read_text(encoding="utf-8")
    titles = [one["id"] for one in Read(again).all("h2")]
    assert titles == [one["id"] for one in Read(page).all("h2")]
    for part in ("score", "data", "images"):
        assert section(again, part) == section(page, part)


def test_training_again_leaves_the_report_of_a_finished_run(outcome: RunResult) -> None:
    before = outcome.report.stat().st_mtime_ns
    assert with_report(train("tiny")).report == outcome.report
    assert outcome.report.stat().st_mtime_ns == before


def test_without_weights_the_rest_is_made(outcome: RunResult, tmp_path: Path) -> None:
    copy = RunFolder(tmp_path / "copy")
    shutil.copytree(outcome.folder.path, copy.path)
    for fold in (0, 1):
        copy.fold(fold).delete_weights()
    made = report([str(copy.path)])
    assert made.left_out == ["Grad-CAM: Left out: no weights were kept."]
    assert len(images(section(made.path.read_text(), "as-the-network-sees-them"))) > 8


def test_of_other_images_no_network_part_is_made(
    outcome: RunResult, project: Path, tmp_path: Path
) -> None:
    listed = next((project / "input").iterdir()) / "annotations" / "trainval.txt"
    before = listed.read_text()
    listed.write_text(before.replace("Bengal_0 5 1 1\n", ""))
    try:
        made = report(["tiny"], tmp_path / "page.html")
    finally:
        listed.write_text(before)
    why = "Left out: the images here are others than those that the run was trained with."
    assert [one.partition(": ")[2] for one in made.left_out] == [why, why]


def test_broken_files_are_said_in_their_place(
    outcome: RunResult, project: Path, tmp_path: Path
) -> None:
    """All of the dogs, of which there are some in each batch and each sample; of size known."""
    pil_images = next((project / "input").iterdir()) / "images"
    whole = {path: path.read_bytes() for path in pil_images.glob("pug_*.jpg")}
    try:
        for path, data in whole.items():
            path.write_bytes(data[: len(data) * 3 // 4])
        made = report(["tiny"], tmp_path / "page.html")
    finally:
        for path, data in whole.items():
            path.write_bytes(data)
    assert "no image: dog, predicted as" in made.path.read_text()
    batch, cam = made.left_out
    assert "a batch cannot be made any more" in batch
    assert "Grad-CAM: Left out: an image's file cannot be read" in cam


def test_a_notebook_gets_the_gallery_as_well(outcome: RunResult) -> None:
    charts = len(list(outcome.report.with_suffix("").glob("*.png")))
    assert len(list(figures_of(outcome.folder))) == charts + 1


def test_heat_is_brightest_where_it_is_hottest() -> None:
    heat = np.zeros((4, 4))
    heat[0, 0] = 1
    drawn = with_heat(np.full((40, 60, 3), 120, np.uint8), heat)
    assert drawn.shape == (40, 60, 3) and drawn.dtype == np.uint8
    assert drawn[3, 4].sum() > drawn[35, 55].sum() + 150
