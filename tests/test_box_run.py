"""A run with a box head: to its submission with boxes, in parts, blended and as a soup."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from podium.competitions.boxes import BOX_COLUMNS, PIXEL_COLUMNS, iou
from podium.experiments.compare import compare
from podium.predictions.blend import blend
from podium.predictions.combine import assemble
from podium.predictions.result import RunResult
from podium.reports.diff import diff
from podium.runs.fold_folder import RunError
from podium.runs.merge import merge_run
from podium.runs.run_folder import RunFolder
from podium.training.soup import soup
from podium.training.train import predict, train
from small_competitions import BOX_RECIPE, break_image, make_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of the test images cannot be read."""
    folder = tmp_path_factory.mktemp("project")
    recipe = "checkpoints = 2\n" + BOX_RECIPE.replace("epochs = 1", "epochs = 2")
    data = make_project(folder, "pets", recipe)
    break_image(data / "images" / "pug_11.jpg")
    return folder


@pytest.fixture(autouse=True)
def in_the_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PODIUM_INPUT", "PODIUM_PRETRAINED", "PODIUM_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(project)


@pytest.fixture(scope="module")
def outcome(project: Path) -> RunResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        return train("tiny")


def test_a_submission_has_classes_and_boxes_in_pixels(outcome: RunResult) -> None:
    table = pd.read_csv(outcome.submission)
    assert table.columns.tolist() == ["id", "label", *PIXEL_COLUMNS]
    assert set(table["id"]) == {f"{breed}_{n}" for breed in ("Bengal", "pug") for n in (10, 11)}
    read = table[table["id"] != "pug_11"]
    assert table.set_index("id").loc["pug_11", list(PIXEL_COLUMNS)].isna().all()
    assert (read["xmin"] >= 1).all() and (read["xmax"] <= 28).all(), "of images 28 by 24"
    assert (read["ymin"] >= 1).all() and (read["ymax"] <= 24).all()
    assert (read["xmin"] <= read["xmax"]).all() and (read["ymin"] <= read["ymax"]).all()


def test_boxes_are_scored_out_of_fold_and_timed(outcome: RunResult) -> None:
    folder = outcome.folder
    found, images = folder.read_boxes("out_of_fold"), folder.read_images()
    trained = images[images["part"] == "train"]
    assert sorted(found.index) == sorted(trained.index)
    truth = trained.loc[found.index, list(BOX_COLUMNS)].to_numpy(np.float64)
    overlap = iou(truth, found.to_numpy())
    score = json.loads((folder.path / "score.json").read_text())
    scores = score["boxes"]["scores"]
    assert scores[0]["value"] == pytest.approx(np.nanmean(overlap), abs=1e-6)
    assert scores[0]["images"] == 18, "two of the twenty have no box"
    assert [one["metric"] for one in scores[1:]] == ["IoU over 0.5", "IoU over 0.75"]
    assert score["speed"].keys() == {"single", "batch"} and score["speed"]["single"]["value"] > 0
    said = str(outcome)
    assert f"boxes       mean IoU {scores[0]['value']:.4f}" in said
    assert "ms an image (single; 95 % interval" in said


def test_boxes_of_two_runs_are_compared_image_by_image(outcome: RunResult, tmp_path: Path) -> None:
    better = RunFolder(tmp_path / "better")
    shutil.copytree(outcome.folder.path, better.path)
    images = better.read_images().query("part == 'train'")
    probabilities = better.read_probabilities("out_of_fold")
    found = better.read_boxes("out_of_fold")
    truth = images.loc[found.index, list(BOX_COLUMNS)].astype(np.float32)
    true = found.where(truth.isna().to_numpy(), truth.set_axis(found.columns, axis=1))
    better.write_probabilities("out_of_fold", probabilities, true)
    told = [line.split() for line in diff("tiny", str(better.path)).splitlines()]
    (boxes,) = (line for line in told if line[:2] == ["better", "1.0000"] and line[-1] == "18")
    before = json.loads((better.path / "score.json").read_text())["boxes"]["scores"][0]["value"]
    assert boxes[2] == f"{before:.4f}" and boxes[3] == f"{1 - before:+.4f}"
    assert "noise)" not in boxes, "its whole interval is above 0"
    better.write_probabilities("out_of_fold", probabilities, None)
    assert "Boxes against" not in diff("tiny", str(better.path)) + diff(str(better.path), "tiny")


def test_predicting_again_gives_the_same_bytes(outcome: RunResult) -> None:
    before = outcome.submission.read_bytes()
    _, submission = predict("tiny")
    assert submission.read_bytes() == before


def test_folds_from_elsewhere_are_put_together(outcome: RunResult, tmp_path: Path) -> None:
    part, into = RunFolder(tmp_path / "part"), RunFolder(tmp_path / "tiny")
    shutil.copytree(outcome.folder.path, part.path)
    assert merge_run(part, into) == [0, 1]
    assemble(into)
    pd.testing.assert_frame_equal(into.read_boxes("test"), outcome.folder.read_boxes("test"))


def test_a_part_without_its_boxes_is_damaged(outcome: RunResult, tmp_path: Path) -> None:
    part = RunFolder(tmp_path / "part")
    shutil.copytree(outcome.folder.path, part.path)
    fold = part.fold(0)
    fold.write_predictions("test", fold.read_predictions("test"))
    with pytest.raises(RunError, match=r"test\.csv lacks boxes"):
        merge_run(part, RunFolder(tmp_path / "tiny"))


def test_a_competition_without_boxes_is_refused(project: Path) -> None:
    recipe = (project / "kernels" / "tiny" / "recipe.toml").read_text()
    other = project / "kernels" / "clocks"
    other.mkdir()
    (other / "recipe.toml").write_text(recipe.replace('"pets"', '"clocks-or-crocs"'))
    with pytest.raises(ValueError, match=r"clocks-or-crocs has none: leave \[box\] out"):
        train("clocks")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("augmentation.mixup=0.2", "beside a box head there is no mixup"),
        (
            'keep="best" stages=[{solver="logistic"}]',
            "loss of that stage lacks the boxes",
        ),
        ('stages=[{solver="logistic"}]', "a box head is trained by gradient"),
    ],
)
def test_recipes_that_a_box_head_cannot_have(override: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        train("tiny", [*override.split(), "head.width=0"])


# --- Together with other runs


def test_a_blend_has_the_mean_of_the_boxes(outcome: RunResult) -> None:
    """The other run is a copy whose boxes are elsewhere."""
    one, other = outcome.folder, RunFolder(Path("weights") / "elsewhere")
    shutil.copytree(one.path, other.path)
    for name in ("out_of_fold", "test"):
        moved = one.read_boxes(name) * np.float32(0.5)
        other.write_probabilities(name, one.read_probabilities(name), moved)
    blended = blend(["tiny", "elsewhere"], to=Path("both.csv"))
    mean = 0.75 * one.read_boxes("test")
    pd.testing.assert_frame_equal(blended.folder.read_boxes("test"), mean, atol=1e-6)
    table = pd.read_csv(blended.submission)
    assert table.columns.tolist() == ["id", "label", *PIXEL_COLUMNS]
    kept = json.loads((blended.folder.path / "score.json").read_text())["boxes"]
    assert kept["runs"].keys() == {"tiny", "elsewhere"}
    assert f"mean IoU {kept['scores'][0]['value']:.4f}" in str(blended)

    again = blend(["both", "tiny"], to=Path("again.csv"))  # a blend is a run like any other
    pd.testing.assert_frame_equal(
        again.folder.read_boxes("test"), (mean + one.read_boxes("test")) / 2, atol=1e-6
    )


def test_a_soup_finds_boxes_too(outcome: RunResult) -> None:
    made = soup(["tiny"])
    assert "boxes       mean IoU" in str(made)
    assert made.folder.read_boxes("test").notna().all(axis=1).sum() == 3


def test_a_comparison_has_a_column_for_boxes(outcome: RunResult) -> None:
    """The run is there: nothing is trained."""
    found = str(compare("tiny", ["box.width=8"], folds=[0, 1]))
    head, row = found.splitlines()[:2]
    assert "averaged  boxes   seconds" in head
    assert f"{outcome.combined.boxes.scores[0].value:.4f}" in row
