"""Hidden test images, predicted by what a run has fitted: every row, and within the time."""

import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from podium.competitions import MissingData, get_competition
from podium.files.atomic_write import write_json
from podium.predictions.blend import blend
from podium.runs.fold_folder import RunError
from podium.runs.run_folder import RunFolder
from podium.training import predict_in_time as timing
from podium.training.predict_in_time import predict_in_time
from podium.training.train import train
from small_competitions import break_image, draw_image, enter_copy, make_project

HOUR = 3600.0


@pytest.fixture(scope="module")
def cars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a run of the cars, both folds; only to be copied."""
    project = tmp_path_factory.mktemp("cars")
    make_project(project, "cars")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        train("tiny")
    return project


@pytest.fixture
def project(cars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    return enter_copy(cars, tmp_path, monkeypatch)


def data(project: Path) -> Path:
    return project / "input" / get_competition("cars").slug


def hide(project: Path, names: list[str]) -> None:
    """Put other test images in the place of the public ones, and take the training images away."""
    folder = data(project)
    for name in ("train", "test"):
        shutil.rmtree(folder / name)
    (folder / "train.csv").unlink()
    for number, name in enumerate(names):
        draw_image(folder / "test" / "test_upload" / name, number % 10)
    sample = pd.DataFrame({"Id": names, "Category": 0})
    sample.to_csv(folder / "sample-submission.csv", index=False)


def within(seconds: float, run: str = "tiny") -> pd.DataFrame:
    return pd.read_csv(predict_in_time(run, time.monotonic() + seconds), dtype=str)


def test_the_same_images_get_the_same_answers_and_the_run_is_only_read(project: Path) -> None:
    submission = project / "submissions" / "tiny.csv"
    before = submission.read_bytes()
    submission.unlink()
    run = project / "weights" / "tiny"
    files = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    within(HOUR)
    assert submission.read_bytes() == before
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == files


def test_hidden_images_get_a_row_each_also_where_one_is_broken_or_gone(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"{number}.jpg" for number in (3, 907, 41, 1000, 5, 6, 88)]
    hide(project, names)
    folder = data(project) / "test" / "test_upload"
    break_image(folder / "41.jpg")
    (folder / "5.jpg").unlink()
    draw_image(folder / "not-asked-for.jpg", 3)
    found = within(HOUR)
    assert found["Id"].tolist() == names
    told = capsys.readouterr().out
    assert "2 of 7 images cannot be read" in told and "41.jpg" in told and "5.jpg" in told
    labels = RunFolder(project / "weights" / "tiny").read_images().query("part == 'train'")["label"]
    commonest = labels.value_counts().sort_index().idxmax()
    assert (
        found.set_index("Id").loc[["41.jpg", "5.jpg"], "Category"].astype(float).eq(commonest).all()
    )


def test_views_are_left_out_first_and_then_folds(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder(project / "weights" / "tiny")
    weights = {"plain": 0.25, "mirrored": 0.75}
    write_json(run.path / "score.json", {**run.read_score(), "views": weights})
    hide(project, [f"{number}.jpg" for number in range(40)])

    within(HOUR)
    assert "time for" not in capsys.readouterr().out
    # Slow images: one takes a second in its first view, and another one in each further one.
    from podium.training.fold_runner import FoldRunner

    monkeypatch.setattr(timing, "_seconds_each", lambda _, views, images: float(len(views)))
    assert len(within(2 * 60)) == 40
    told = capsys.readouterr().out
    assert "time for 1 of 2 views: without plain\n" in told, "the one that counts less"
    assert "folds" not in told

    predicts = FoldRunner.predict_test

    def slowly(*words) -> None:
        time.sleep(1.5)
        predicts(*words)

    monkeypatch.setattr(FoldRunner, "predict_test", slowly)
    assert len(within(2.0)) == 40
    told = capsys.readouterr().out
    assert "time for 1 of 2 views: without plain\n" in told
    assert "time for 1 of 2 folds: without fold 1\n" in told


def test_the_pace_of_a_network_is_measured(project: Path) -> None:
    from podium.data.table import open_to_predict
    from podium.predictions.tta import VIEWS
    from podium.training.train import start_runner

    runner = start_runner(open_to_predict(RunFolder(project / "weights" / "tiny")))
    runner.network(0)
    began = time.monotonic()
    seconds = timing._seconds_each(runner, VIEWS[:2], range(3))
    assert 0 < 3 * seconds < time.monotonic() - began


@pytest.mark.slow
def test_a_blend_is_made_again_by_what_it_had_fitted(project: Path) -> None:
    train("tiny", overrides=["seed=1"], run="twin")
    blended = blend(["tiny", "twin"])
    before = blended.folder.read_probabilities("test")
    written = blended.submission.read_bytes()
    for name in ("tiny", "twin"):  # nothing can be fitted any more
        (project / "weights" / name / "out_of_fold.csv").unlink()
    (blended.folder.path / "test.csv").unlink()
    predict_in_time("blend", time.monotonic() + HOUR)
    assert (project / "submissions" / "blend.csv").read_bytes() == written
    copy = next((project.parent / "tmp").rglob("predicting/blend/test.csv"))
    again = RunFolder(copy.parent).read_probabilities("test")
    np.testing.assert_allclose(again.loc[before.index], before, atol=1e-6)

    names = [f"{number}.jpg" for number in (1, 2, 3)]
    hide(project, names)
    assert within(HOUR, "blend")["Id"].tolist() == names

    shutil.copytree(blended.folder.path, blended.folder.path.with_name("inner"))
    about = blended.folder.read_run()
    blended.folder.write_run({**about, "runs": ["tiny", "inner"]})
    with pytest.raises(RunError, match="blend blends the blend inner"):
        within(HOUR, "blend")


def test_what_cannot_predict_is_refused(project: Path) -> None:
    hide(project, [])
    with pytest.raises(MissingData, match="expected a folder test"):
        within(HOUR)
    run = RunFolder(project / "weights" / "tiny")
    run.fold(1).delete_weights()
    with pytest.raises(RunError, match="the weights of one are gone"):
        within(HOUR)
