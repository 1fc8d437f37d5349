"""The sample competition: its layout, its repeatability, and that only shape tells the class."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import cross_val_score

from podium.competitions import sample_drawing
from podium.competitions.sample_drawing import VEHICLES, draw_image, draw_sample

KINDS = len(VEHICLES)
TRAIN, TEST = 2 * KINDS, 5


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("input") / "sample"
    draw_sample(folder, TRAIN, TEST)
    return folder


def _bytes_by_path(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_layout_is_that_of_the_real_competition(sample: Path) -> None:
    assert sorted(path.name for path in sample.iterdir()) == [
        "sample-submission.csv", "test_upload", "train", "train.csv", "truth.csv",
    ]  # fmt: skip
    classes = sorted(path.name for path in (sample / "train").iterdir())
    assert classes == [str(label) for label in range(KINDS)]
    for name in ("train.csv", "sample-submission.csv", "truth.csv"):
        assert (sample / name).read_text().splitlines()[0] == "Id,Category"


def test_train_csv_names_every_image_in_the_folder_of_its_class(sample: Path) -> None:
    table = pd.read_csv(sample / "train.csv")
    listed = {f"{row.Category}/{row.Id}" for row in table.itertuples()}
    on_disk = {path.relative_to(sample / "train").as_posix() for path in sample.glob("train/*/*")}
    assert listed == on_disk
    assert len(table) == len(listed) == TRAIN


def test_submission_and_truth_name_every_test_image_once(sample: Path) -> None:
    submission = pd.read_csv(sample / "sample-submission.csv")
    truth = pd.read_csv(sample / "truth.csv")
    on_disk = sorted(path.name for path in (sample / "test_upload").iterdir())
    assert submission.Id.tolist() == truth.Id.tolist() == on_disk
    assert len(on_disk) == TEST
    assert truth.Category.nunique() == TEST, "five images in a row are of five kinds"
    assert submission.Category.eq(0).all(), "the sample submission must not give the truth away"


def test_no_image_is_in_both_train_and_test(sample: Path) -> None:
    train, test = pd.read_csv(sample / "train.csv"), pd.read_csv(sample / "truth.csv")
    assert not set(train.Id) & set(test.Id)


def test_classes_are_balanced(sample: Path) -> None:
    counts = pd.read_csv(sample / "train.csv").Category.value_counts()
    assert counts.to_dict() == dict.fromkeys(range(KINDS), TRAIN // KINDS)


def test_images_are_rgb_jpegs_of_the_asked_size(tmp_path: Path) -> None:
    draw_sample(tmp_path / "small", KINDS, 1, size=(80, 60))
    for path in (tmp_path / "small").rglob("*.jpg"):
        assert path.read_bytes().startswith(b"\xff\xd8\xff")
        assert cv2.imread(str(path)).shape == (60, 80, 3)


def test_same_seed_same_bytes(sample: Path, tmp_path: Path) -> None:
    draw_sample(tmp_path / "again", TRAIN, TEST)
    assert _bytes_by_path(tmp_path / "again") == _bytes_by_path(sample)


def test_another_seed_draws_other_names_and_images(sample: Path, tmp_path: Path) -> None:
    draw_sample(tmp_path / "other", TRAIN, TEST, seed=1)
    first, other = _bytes_by_path(sample), _bytes_by_path(tmp_path / "other")
    assert not {path for path in first if path.endswith("jpg")} & set(other)
    assert not np.array_equal(draw_image(0, 3), draw_image(1, 3))


def test_an_image_does_not_depend_on_those_drawn_before_it() -> None:
    alone = draw_image(0, 7)
    draw_image(0, 5)
    assert np.array_equal(draw_image(0, 7), alone)
    assert not np.array_equal(draw_image(0, 7 + KINDS), alone)


def test_color_does_not_tell_the_class_but_shape_does() -> None:
    """A linear model on colors is near chance; on coarse edges it is far above."""
    count = 30 * KINDS
    images = [draw_image(0, index) for index in range(count)]
    labels = np.arange(count) % KINDS
    colors = np.array([_colors(image) for image in images])
    edges = np.array([_edges(image) for image in images])
    model = RidgeClassifier(alpha=1.0)
    color_accuracy = cross_val_score(model, colors, labels, cv=4).mean()
    edge_accuracy = cross_val_score(model, edges, labels, cv=4).mean()
    assert color_accuracy < 1 / KINDS + 0.1
    assert edge_accuracy > 1 / KINDS + 0.3


def _colors(image: np.ndarray) -> np.ndarray:
    """Mean and spread of each channel, in about unit scale."""
    return np.concatenate([image.mean(axis=(0, 1)), image.std(axis=(0, 1))]) / 50


def _edges(image: np.ndarray) -> np.ndarray:
    """Sizes of the vertical and horizontal changes, on a coarse grid."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    maps = [np.abs(cv2.Sobel(gray, cv2.CV_32F, *direction)) for direction in [(1, 0), (0, 1)]]
    coarse = [cv2.resize(edge, (16, 12), interpolation=cv2.INTER_AREA).ravel() for edge in maps]
    return np.concatenate(coarse) / 50


def test_refuses_to_overwrite_unless_asked(tmp_path: Path) -> None:
    folder = tmp_path / "sample"
    folder.mkdir()
    (folder / "mine.txt").write_text("precious")
    with pytest.raises(ValueError, match="already there"):
        draw_sample(folder, KINDS, 1)
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]

    draw_sample(folder, KINDS, 1, overwrite=True)
    assert not (folder / "mine.txt").exists()
    assert (folder / "train.csv").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["sample"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_killed_drawing_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    folder = tmp_path / "sample"
    if overwrite:
        draw_sample(folder, KINDS, 1)
    before = _bytes_by_path(tmp_path)

    def interrupted(seed: int, index: int, size: tuple[int, int]) -> np.ndarray:
        if index == 4:
            raise KeyboardInterrupt
        return draw_image(seed, index, size)

    monkeypatch.setattr(sample_drawing, "draw_image", interrupted)
    with pytest.raises(KeyboardInterrupt):
        draw_sample(folder, KINDS, 1, seed=2, overwrite=overwrite)
    assert _bytes_by_path(tmp_path) == before
    assert folder.exists() == overwrite
