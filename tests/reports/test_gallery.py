"""The gallery shows the images that it should, with what the run says of them."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from podium.competitions import MissingData, get_competition
from podium.competitions.boxes import BOX_COLUMNS, box_table
from podium.data.table import prepare_run
from podium.files.atomic_write import write_json
from podium.files.image_io import UnreadableImage
from podium.recipes.recipe_file import parse_recipe
from podium.reports.gallery import BLUE, GREEN, RED, choose_rows, draw_gallery, gallery
from podium.reports.run_data import read_run_data
from podium.runs.fold_folder import RunError
from podium.runs.run_folder import RunFolder
from small_competitions import DRAW

PETS = get_competition("pets")
WRONG = {"Bengal_0": 0.7, "pug_5": 0.9, "pug_6": 0.8}  # and how sure; Bengal_0 has no box


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with images and without entries; the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kernels").mkdir()
    DRAW["pets"](tmp_path / "input" / PETS.slug)
    return tmp_path


def image(place: Path, name: str) -> Path:
    return place / "input" / PETS.slug / "images" / f"{name}.jpg"


def write_run(place: Path, boxes: bool = True, **changes: object) -> RunFolder:
    """A run that has judged all training images.

    It is the surer the higher an image's number, and the farther its boxes are off, a pixel or
    more; a dog's less than a cat's.
    """
    data = {"competition": "pets", "backbone": "resnet-small", "folds": 2, **changes}
    folder = RunFolder(place / "weights" / "a")
    folder.begin(parse_recipe(data, "here"), {"entry": "a"}, fresh=False)
    train = prepare_run(folder, parse_recipe(data, "here")).table.train
    numbers = train.index.str.split("_").str[1].astype(int).to_numpy()
    label = train["label"].to_numpy()
    sure = (
        pd.Series(WRONG).reindex(train.index).fillna(0.6 + 0.03 * pd.Series(numbers, train.index))
    )
    said = np.where(train.index.isin(WRONG), 1 - label, label)
    dog = np.where(said == 1, sure, 1 - sure)
    probabilities = pd.DataFrame({"cat": 1 - dog, "dog": dog}, train.index, dtype=np.float32)
    off = (2 * numbers + 1 - label)[:, None] / 56
    truth = train[list(BOX_COLUMNS)].fillna(0.25).to_numpy()
    found = box_table(train.index, truth + off * [1, 0, 1, 0])
    folder.write_probabilities("out_of_fold", probabilities, found if boxes else None)
    folds = [0] if "shares" in changes else [0, 1]
    for fold in folds:
        folder.fold(fold).write_cost({"seconds": 1})
    score = {"metric": "accuracy", "value": 0.8, "low": 0.6, "high": 0.9, "images": len(train)}
    kind = "held-out" if "shares" in changes else "out-of-fold"
    folder.write_score({"score": score, "folds": folds, "scored": kind, "tried_views": []})
    return folder


def chosen(folder: RunFolder, columns: int) -> dict[str, list[str]]:
    rows = choose_rows(read_run_data(folder), columns)
    return {row.name: row.images.index.tolist() for row in rows}


def drawn(folder: RunFolder, columns: int = 6) -> tuple[Figure, dict[str, Axes]]:
    """The figure, and the axes of each row's first image."""
    run = read_run_data(folder)
    rows = choose_rows(run, columns)
    figure = draw_gallery(run, rows)
    parts = zip(rows, figure.subfigs, strict=True)
    return figure, {row.name: part.axes[0] for row, part in parts}


# --- Which images


def test_rows_go_by_the_iou_of_the_images_that_have_a_box(place: Path) -> None:
    assert chosen(write_run(place), 3) == {
        "best": ["pug_1", "Bengal_1", "pug_2"],
        "middling": ["Bengal_4", "pug_5", "Bengal_5"],
        "worst": ["Bengal_9", "pug_9", "Bengal_8"],
        "misclassified": ["pug_5", "pug_6", "Bengal_0"],
    }


def test_without_boxes_they_go_by_the_true_class_of_those_that_are_right(place: Path) -> None:
    assert chosen(write_run(place, boxes=False), 2) == {
        "best": ["Bengal_9", "pug_9"],
        "middling": ["Bengal_4", "pug_4"],
        "worst": ["pug_0", "pug_1"],
        "misclassified": ["pug_5", "pug_6"],
    }


def test_no_image_is_in_two_rows_and_rows_are_short_where_there_are_few(place: Path) -> None:
    rows = chosen(write_run(place), 12)
    ranked = [name for row in ("best", "middling", "worst") for name in rows[row]]
    assert len(ranked) == len(set(ranked)) == 18 and len(rows["misclassified"]) == 3


def test_a_row_without_images_is_left_out(place: Path) -> None:
    folder = write_run(place)
    right = read_run_data(folder).judged.index.difference(WRONG)
    probabilities, boxes = (
        folder.read_probabilities("out_of_fold"),
        folder.read_boxes("out_of_fold"),
    )
    folder.write_probabilities("out_of_fold", probabilities.loc[right], boxes.loc[right])
    assert list(chosen(folder, 3)) == ["best", "middling", "worst"]
    figure, _ = drawn(folder)
    names = [part.texts[0].get_text().partition(":")[0] for part in figure.subfigs]
    assert names == ["best", "middling", "worst"]


def test_where_images_were_held_out_these_are_shown(place: Path) -> None:
    folder = write_run(place, shares=[0.5, 0.25, 0.25])
    run = read_run_data(folder)
    stored = folder.read_images().query("part == 'train'")
    assert sorted(run.judged.index) == sorted(stored.index[stored["fold"].astype(int) == -2])
    title = draw_gallery(run, choose_rows(run)).texts[0].get_text()
    assert "held-out images" in title


def test_a_blend_shows_its_images_too(place: Path) -> None:
    expected = chosen(write_run(place, boxes=False), 2)
    folder = RunFolder(place / "weights" / "a")
    write_json(folder.path / "run.json", {"runs": ["b", "c"], "competition": "pets"})
    folder.write_images(folder.read_images().reset_index().set_index(["part", "id"])[["label"]])
    assert chosen(folder, 2) == expected


# --- The figure


def test_labels_are_green_or_red_and_say_so_in_words(place: Path) -> None:
    _, first = drawn(write_run(place))
    best, wrong = first["best"], first["misclassified"]
    assert label(best) == ("✓ dog 0.63", GREEN, "normal")
    assert label(wrong) == ("✗ cat 0.90, is dog", RED, "bold")


def label(axis: Axes) -> tuple[str, str, str]:
    """Text, color and weight of an image's label."""
    wanted = axis.get_title("left")
    (text,) = (one for one in axis.findobj(Text) if one.get_text() == wanted)
    return wanted, text.get_color(), text.get_fontweight()


def test_boxes_and_their_iou(place: Path) -> None:
    _, first = drawn(write_run(place))
    true, found = first["best"].patches[:2]
    # pug_1: 1 to 10 and 2 to 13 as Pascal VOC counts, of 28 × 24 pixels; found a pixel farther
    # to the right.
    corners = np.array([0 / 28, 1 / 24, 10 / 28, 13 / 24])
    np.testing.assert_allclose(true.get_bbox().extents, corners, atol=1e-6)
    np.testing.assert_allclose(found.get_bbox().extents, corners + [1 / 28, 0] * 2, atol=1e-6)
    assert [true.get_edgecolor(), found.get_edgecolor()] == [rgba(GREEN), rgba(BLUE)]
    assert [true.get_linestyle(), found.get_linestyle()] == ["-", "--"]
    (corner,) = first["best"].texts
    assert corner.get_text() == f"IoU {9 / 11:.2f}"
    assert corner.get_position() == (0.02, 0.02) and corner.get_verticalalignment() == "top"


def rgba(color: str) -> tuple[float, ...]:
    return (*(int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)), 1.0)


def test_an_image_without_a_true_box_has_the_predicted_one(place: Path) -> None:
    figure, _ = drawn(write_run(place))
    last = figure.subfigs[-1].axes[2]
    assert label(last)[0] == "✗ dog 0.70, is cat"
    (box,) = last.patches
    assert box.get_edgecolor() == rgba(BLUE)
    assert last.texts[0].get_text() == "no true box"


def test_without_boxes_there_is_nothing_on_the_images(place: Path) -> None:
    figure, _ = drawn(write_run(place, boxes=False))
    assert all(not axis.patches for axis in figure.axes)
    assert figure.legends == []


def test_images_keep_their_shape_and_overlap_nothing(place: Path) -> None:
    with Image.open(image(place, "pug_1")) as small:
        sides = small.size
        small.resize((28, 70)).save(image(place, "pug_1"))
    voc = image(place, "pug_1").parents[1] / "annotations" / "xmls" / "pug_1.xml"
    for name, before, now in zip(("width", "height"), sides, (28, 70), strict=True):
        text = voc.read_text().replace(f"<{name}>{before}<", f"<{name}>{now}<")
        voc.write_text(text)
    folder = write_run(place)
    figure, first = drawn(folder, columns=4)
    figure.draw_without_rendering()
    portrait = first["best"].get_window_extent()
    assert portrait.height / portrait.width == pytest.approx(70 / 28)
    shown = [axis for axis in figure.axes if axis.images]
    boxes = [axis.get_tightbbox() for axis in shown]  # with their labels
    names = [text for part in figure.subfigs for text in part.texts]
    boxes += [text.get_window_extent() for text in [*figure.texts, *names, *figure.legends]]
    for number, box in enumerate(boxes):
        assert figure.bbox.containsx(box.x0) and figure.bbox.containsx(box.x1)
        assert figure.bbox.containsy(box.y0) and figure.bbox.containsy(box.y1)
        assert not any(box.overlaps(other) for other in boxes[:number])


# --- The command

Podium = Callable[..., tuple[int, str, str]]


@pytest.fixture
def podium(command: Podium) -> Podium:
    return partial(command, "gallery")


def test_the_command_writes_a_png_and_says_where(place: Path, podium: Podium) -> None:
    write_run(place)
    code, out, err = podium("a")
    path = place / "weights" / "a" / "gallery.png"
    assert (code, err) == (0, "") and out.splitlines()[-1] == f"gallery     {path}"
    first = out.splitlines()[0].split()
    assert first[:1] + first[-4:] == ["best", "pug_1,", "Bengal_1,", "pug_2,", "…"]
    with Image.open(path) as figure:
        assert figure.format == "PNG" and 1112 <= figure.width <= 1132
    assert podium("a", "--to", "some/where.png", "--columns", 2)[0] == 0
    with Image.open("some/where.png") as figure:
        assert figure.width < 800


def test_another_place_must_be_a_png(place: Path, podium: Podium) -> None:
    write_run(place)
    for to in (".", "a.jpg"):
        code, _, err = podium("a", "--to", to)
        assert code == 1 and err.endswith(f"{to}: give the name of a file that ends in .png\n")


def test_a_run_that_cannot_be_shown_says_why(place: Path) -> None:
    folder = write_run(place)
    predicted = folder.path / "out_of_fold.csv"
    predicted.rename(place / "kept.csv")
    with pytest.raises(RunError, match=r"out_of_fold.csv is missing: train the run to its end"):
        gallery(folder)
    (place / "kept.csv").rename(predicted)
    image(place, "Bengal_0").write_bytes(b"")
    with pytest.raises(UnreadableImage, match=r"Bengal_0.jpg: the file is empty"):
        gallery(folder)
    shutil.rmtree(place / "input")
    with pytest.raises(MissingData, match="the images of a are not here"):
        gallery(folder)
    assert not (folder.path / "gallery.png").exists()


def test_images_of_another_training_are_refused(place: Path) -> None:
    folder = write_run(place)
    listed = place / "input" / PETS.slug / "annotations" / "trainval.txt"
    listed.write_text(listed.read_text().replace("Bengal_0 5 1 1\n", ""))
    with pytest.raises(MissingData, match="the folder has no Bengal_0"):
        gallery(folder)
