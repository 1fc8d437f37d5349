"""`podium classify` on images from anywhere, with two networks that were really trained."""

import json
import shutil
from collections.abc import Callable
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
from podium.predictions.classify import classify
from podium.predictions.tta import average_tta
from podium.runs.fold_folder import RunError
from podium.runs.run_folder import RunFolder
from podium.training.train import train
from small_competitions import break_image, enter_copy
from small_runs import files

Podium = Callable[..., tuple[int, str, str]]
TURNED = 6  # EXIF's: a quarter turn to the right makes it upright


@pytest.fixture
def project(trained_pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, to do with as the test likes; the current folder."""
    return enter_copy(trained_pets, tmp_path, monkeypatch)


@pytest.fixture
def run(project: Path) -> RunFolder:
    return RunFolder(project / "weights" / "tiny")


@pytest.fixture
def podium(project: Path, command: Podium) -> Podium:
    return partial(command, "classify", "tiny")


@pytest.fixture
def image(project: Path) -> Image.Image:
    """One that the run was not trained on, 28 by 24 pixels."""
    with Image.open(project / "new" / "pug_11.jpg") as file:
        return file.convert("RGB")


def write_stripes(path: Path) -> Path:
    """Write an image such as none in training: hard stripes, where those are smooth and colored."""
    stripes = np.indices((20, 20))[1] // 2 % 2 * 255
    Image.fromarray(stripes.astype(np.uint8)).save(path)
    return path


# --- Images of any kind


def test_images_of_any_size_mode_and_format(podium: Podium, image: Image.Image) -> None:
    odd = Path("odd")
    odd.mkdir()
    image.convert("RGBA").save(odd / "clear.png")
    image.convert("CMYK").save(odd / "print.jpg")
    image.convert("P").save(odd / "few.gif")
    image.convert("1").save(odd / "ink.tif")
    image.convert("I;16").save(odd / "deep.png")
    image.resize((1, 1)).save(odd / "point.bmp")
    image.resize((3000, 7)).save(odd / "wide.webp")
    code, out, err = podium(odd)
    assert (code, err) == (0, "")
    named = [line.split(":")[0] for line in out.splitlines()]
    names = "few.gif", "ink.tif", "deep.png", "wide.webp", "clear.png", "point.bmp", "print.jpg"
    assert named == [*(str(odd / name) for name in names), "out-of-distribution"]


def test_many_images_are_classified_in_parts(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_image(Path("new/Bengal_11.jpg"))
    names = ["new", "gone.png", "new/pug_10.jpg"]
    at_once = classify(run, names).table()
    monkeypatch.setattr("podium.predictions.classify.AT_ONCE", 2)
    pd.testing.assert_frame_equal(classify(run, names).table(), at_once, atol=1e-5)
    assert len(at_once) == 6 and at_once["problem"].notna().sum() == 2


# --- Lines, CSV and JSON


def test_lines_csv_and_json_agree_and_a_problem_stops_nothing(
    podium: Podium, run: RunFolder
) -> None:
    stripes = write_stripes(Path("stripes.png"))
    break_image(Path("new/Bengal_11.jpg"))
    words = "new", stripes, "gone.png", "file:///etc/hostname"
    code, out, err = podium(*words, "--csv", "a/b.csv", "--json", "c.json")
    assert code == 1 and "Traceback" not in err
    assert [line.split(": ")[1] for line in err.splitlines()] == [
        "new/Bengal_11.jpg",
        "gone.png",
        "file:///etc/hostname",
    ]
    table = pd.read_csv("a/b.csv").set_index("file")
    written = json.loads(Path("c.json").read_text())
    assert (written["run"], written["folds"]) == ("tiny", [0, 1])
    assert [image["file"] for image in written["images"]] == table.index.tolist()
    lines = out.splitlines()
    assert len(lines) == 5
    read = [image for image in written["images"] if image["problem"] is None]
    for line, image in zip(lines, read, strict=False):
        row = table.loc[image["file"]]
        (first, p), (second, q) = sorted(image["probabilities"].items(), key=lambda item: -item[1])
        box = " ".join(f"{edge:.0f}" for edge in image["box"].values())
        assert line.startswith(f"{image['file']}: {first} {p:.3f}, {second} {q:.3f}; box {box}")
        assert (row["class"], row["ood"]) == (first, image["ood"])
        found = row[["probability", f"p_{first}", "ood_score", *PIXEL_COLUMNS]].tolist()
        expected = [p, p, image["ood_score"], *image["box"].values()]
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert lines[3].endswith(f"; out-of-distribution (score {read[3]['ood_score']:.3g})")
    assert read[3]["ood_score"] > written["out_of_distribution"]["limit"]
    gone = written["images"][-2]
    assert gone["problem"] == "gone.png: there is no such file"
    assert {value for key, value in gone.items() if key not in ("file", "problem")} == {None}
    assert table.loc["gone.png"].drop("problem").isna().all()


def test_no_name_loses_the_answers_to_others(podium: Podium) -> None:
    odd = ["http://[::1", f"http://{'a' * 70}.com/", "a\0b.jpg", "n" * 5000, "\udcff.jpg", "\n"]
    code, out, err = podium("new/pug_11.jpg", *odd, "new/pug_10.jpg", "--csv", "a.csv")
    assert code == 1
    assert len(out.splitlines()) == 3
    assert len(err.splitlines()) == len(odd)
    table = pd.read_csv("a.csv")
    assert len(table) == 2 + len(odd)
    assert table["class"].notna().tolist() == [True, *[False] * len(odd), True]


def test_a_csv_that_cannot_be_written_is_told_at_first(podium: Podium, tmp_path: Path) -> None:
    Path("file").touch()
    for option in ("--csv", "--json"):
        code, out, err = podium("new/pug_11.jpg", option, "file/a.csv")
        assert (code, out) == (1, "")
        (line,) = err.splitlines()
        assert "file" in line


def test_a_dash_prints_csv_or_json_alone(podium: Podium) -> None:
    code, out, _ = podium("new", "--csv", "-", "--json", "c.json")
    header, *rows = out.splitlines()
    assert code == 0 and len(rows) == 4
    boxes = "xmin,ymin,xmax,ymax"
    assert header == f"file,class,probability,{boxes},ood,ood_score,problem,p_cat,p_dog"
    _, out, _ = podium("new", "--json", "-")
    assert json.loads(out) == json.loads(Path("c.json").read_text())


def test_without_an_image_only_the_reason_is_told(podium: Podium) -> None:
    assert podium("gone.png") == (1, "", "podium: gone.png: there is no such file\n")


# --- Out-of-distribution images


def test_false_alarms_out_of_fold_are_as_frequent_as_stated(run: RunFolder, project: Path) -> None:
    images = run.read_images().query("part == 'train'")
    unseen = images.index[images["fold"].astype(int) == 0]
    folder = project / "input" / "oxford-iiit-pet" / "images"
    found = classify(run, [folder / f"{name}.jpg" for name in unseen])
    places = len(unseen) + 1
    alarms = sum(image.ood for image in found.images)
    assert alarms == int(0.05 * places) - 1 and found.ood_detector.rate == (alarms + 1) / places
    scores = sorted(image.ood_score for image in found.images)
    np.testing.assert_allclose(scores, np.sort(found.ood_detector.known), rtol=1e-3)


def test_the_detector_is_fitted_once_and_needs_the_data_no_more(
    run: RunFolder, podium: Podium
) -> None:
    shutil.rmtree("input")
    before = files(run.path)
    _, out, _ = podium("new")
    *lines, detector = out.splitlines()
    assert sum("; out-of" in line for line in lines) <= 1
    assert detector.startswith("out-of-distribution: distance, by the network of fold 0; ")
    assert "from 60 that it was not trained on)" in detector
    assert files(run.path) == before and "fold-0/unlikeness.npz" in before
    assert "fold-1/unlikeness.npz" not in before


def test_without_the_data_uncertainty_is_the_score(run: RunFolder, podium: Podium) -> None:
    stored = run.fold(0).path / "unlikeness.npz"
    stored.unlink()
    shutil.rmtree("input")
    code, out, _ = podium("new")
    detector = out.splitlines()[-1]
    assert code == 0 and ": uncertainty, by the network of fold 0 (the training" in detector
    assert "not at hand: no data of pets" in detector and "from 60 that it" in detector
    assert not stored.exists(), "the data may come back"


def test_a_detector_that_is_damaged_or_of_other_weights_is_fitted_again(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = run.fold(0).path / "unlikeness.npz"
    limit = classify(run, ["new"]).ood_detector.limit
    before = stored.read_bytes()
    stored.write_bytes(before[: len(before) // 2])
    assert classify(run, ["new"]).ood_detector.limit == pytest.approx(limit)
    assert f"{stored} is damaged" in capsys.readouterr().err
    shutil.copy(run.fold(1).weights, run.fold(0).weights)
    assert classify(run, ["new"]).ood_detector.limit != pytest.approx(limit)
    assert stored.read_bytes() != before


def test_features_that_are_not_learned_are_scored_by_uncertainty(project: Path) -> None:
    stage = 'stages=[{unfreeze = "head", epochs = 1, learning_rate = 1.0, solver = "kernel"}]'
    augmentation = "augmentation={mirror = false, crop = 1.0, rotate = 0.0}"
    head = "head={width = 0, dropout = 0.0, centers = 60}"
    recipe = project / "kernels" / "tiny" / "recipe.toml"
    recipe.write_text(recipe.read_text().split("batchnorm_momentum")[0])  # no box head
    train(
        "tiny",
        ["backbone=patches", "cached_views=1", head, augmentation, stage],
        run="kernels",
        folds=[0],
    )
    found = classify(RunFolder(project / "weights" / "kernels"), ["new"])
    assert found.ood_detector.kind == "uncertainty" and len(found.ood_detector.known) == 60
    assert "its features are not learned" in str(found.ood_detector)
    assert found.folds == [0]


# --- Runs


def test_a_run_that_has_not_predicted_its_test_images_will_do(run: RunFolder) -> None:
    expected = classify(run, ["new"]).table()
    for fold in (0, 1):
        (run.fold(fold).path / "test.csv").unlink()
    pd.testing.assert_frame_equal(classify(run, ["new"]).table(), expected)


def test_folds_without_weights_are_left_out(run: RunFolder) -> None:
    run.fold(0).delete_weights()
    assert classify(run, ["new"]).folds == [1]
    run.fold(1).delete_weights()
    with pytest.raises(RunError, match="no trained fold yet, or none whose weights were kept"):
        classify(run, ["new"])


def test_a_blend_names_the_runs_to_take(run: RunFolder, podium: Podium) -> None:
    run.write_run({"runs": ["one", "other"], "competition": "pets"})
    code, out, err = podium("new")
    assert code == 1 and out == ""
    assert err.count("\n") == 1 and "is a blend of one, other, not a training run" in err


# --- Boxes


def always_find(run: RunFolder, fold: int, box: tuple[float, ...]) -> None:
    """Make a fold's head find this box in whatever it sees."""
    network = build_network(run.read_recipe(), 2, pretrained=False)
    run.fold(fold).read_weights(network.model)
    cells = network.box_head.get_layer("box_cells")
    # A softmax of nothing is the mean over all cells, whose centers are in the middle.
    distances = (np.array(box) - 0.5) / SideCells.REACH
    cells.set_weights([np.zeros(cells.kernel.shape), np.concatenate([np.zeros(4), distances])])
    run.fold(fold).write_weights(network.model, stage=0)
    keras.backend.clear_session()


def boxes_of(run: RunFolder, *names: object, views: int = 2) -> np.ndarray:
    """The boxes, float64 (images, 4), in pixels."""
    return classify(run, list(map(str, names)), views).table()[list(PIXEL_COLUMNS)].to_numpy()


def test_a_box_is_that_of_all_folds_and_views_in_pixels_of_the_whole_image(
    run: RunFolder, image: Image.Image
) -> None:
    always_find(run, 0, (0.1, 0.2, 0.5, 0.6))
    always_find(run, 1, (0.3, 0.4, 0.5, 0.8))
    exif = Image.Exif()
    exif[0x0112] = TURNED
    odd = Path("odd")
    odd.mkdir()
    image.save(odd / "a.png")
    image.resize((2000, 1000)).save(odd / "b.jpg")
    image.resize((2000, 1000)).save(odd / "c.jpg", exif=exif)
    image.resize((1000, 50)).convert("RGBA").save(odd / "d.webp")
    sizes = np.array([(28, 24), (2000, 1000), (1000, 2000), (1000, 50)])
    mean = {1: (0.2, 0.3, 0.5, 0.7), 2: (0.35, 0.3, 0.65, 0.7)}  # the other view is mirrored
    for views, box in mean.items():
        # Counted from 1, and the last pixel belongs to the box.
        expected = np.tile(sizes, 2) * box + [1, 1, 0, 0]
        np.testing.assert_allclose(boxes_of(run, odd, views=views), expected, atol=0.11)


def test_a_turned_image_has_the_box_of_the_upright_one(run: RunFolder, image: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = TURNED
    image.save("upright.png")
    image.transpose(Image.Transpose.ROTATE_90).save("turned.png", exif=exif)
    upright, turned = boxes_of(run, "upright.png", "turned.png")
    np.testing.assert_array_equal(turned, upright)


def test_test_images_have_the_boxes_that_the_run_gave_them(run: RunFolder) -> None:
    predicted = average_tta(pd.concat([run.fold(fold).read_boxes("test") for fold in (0, 1)]))
    expected = to_pixels(predicted, run.read_images()[["width", "height"]])
    paths = [Path("new") / f"{name}.jpg" for name in expected.index]
    np.testing.assert_allclose(boxes_of(run, *paths), expected, atol=0.11)


def test_every_box_is_within_its_image(run: RunFolder) -> None:
    for fold in (0, 1):
        always_find(run, fold, (-0.5, 0.9, 1.5, 0.2))  # no head's output is bounded
    (box,) = boxes_of(run, "new/pug_11.jpg")
    np.testing.assert_allclose(box, [1, 0.2 * 24 + 1, 28, 0.9 * 24], atol=0.11)
