"""A run from files to a submission, for each competition's layout."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from podium.competitions import COMPETITIONS, get_competition
from podium.data.table import BrokenImages, prepare_run
from podium.models.backend import Devices, engine
from podium.predictions.classify import classify
from podium.predictions.combine import assemble
from podium.predictions.result import RunResult
from podium.recipes.entries import get_entry
from podium.runs.fold_folder import RunError
from podium.runs.run import Run
from podium.runs.run_folder import RunFolder
from podium.training.fold_runner import FoldRunner
from podium.training.time_plan import FEWEST
from podium.training.train import find_run, predict, train, train_to_score
from small_competitions import RECIPE, break_image, draw_image, make_project, write_entry
from small_runs import files


def out_of_fold(outcome: RunResult) -> pd.DataFrame:
    return outcome.folder.read_probabilities("out_of_fold")


def folds(outcome: RunResult) -> pd.Series:
    """The fold of each training image, by id."""
    return outcome.folder.read_images().query("part == 'train'")["fold"].astype(int)


def one_class(values: pd.Series, competition: str) -> bool:
    number_of_classes = len(get_competition(competition).classes)
    return values.map(lambda value: value in {str(n) for n in range(number_of_classes)}).all()


# --- Every layout


@pytest.mark.parametrize(
    "competition",
    [
        pytest.param(name, marks=pytest.mark.slow) if name == "dogs-vs-cats-original" else name
        for name in sorted(set(COMPETITIONS) - {"sample"})
    ],
)
def test_from_files_to_a_submission(
    competition: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    make_project(tmp_path, competition)
    known = get_competition(competition)
    overrides = ["shares=[0.5, 0.25, 0.25]"] if competition == "clocks-or-crocs" else []
    outcome = train("tiny", overrides)
    (line,) = (one for one in capsys.readouterr().out.splitlines() if "computing on" in one)
    assert line.endswith(f"; predictions by {engine()}" if engine() else ", float32")

    submission = pd.read_csv(outcome.submission, dtype=str)
    test, training = known.read_test(), known.read_training()
    columns = ["Id", "Category"] if competition == "cars" else ["id", "label"]
    assert list(submission.columns) == columns
    assert submission[columns[0]].tolist() == test.index.tolist()
    answers = submission[columns[1]]
    if competition == "dogs-vs-cats":
        assert answers.astype(float).between(0, 1).all() and answers.nunique() > 2
    elif competition in ("intel", "clocks-or-crocs", "pets"):
        assert set(answers) <= set(known.classes)
    else:
        assert one_class(answers, competition)

    predicted = out_of_fold(outcome)
    assert predicted.index.is_unique
    assert list(predicted.columns) == list(known.classes)
    np.testing.assert_allclose(predicted.sum(axis=1), 1, atol=1e-5)
    if overrides:
        fold = folds(outcome)
        assert set(predicted.index) == set(fold.index[fold != -1]), "validation and held-out share"
        assert outcome.folder.read_score()["scored"].startswith("held-out")
        assert outcome.combined.score.images == (fold == -2).sum() == 5
    else:
        assert set(predicted.index) == set(training.index), "each training image, once"
        assert outcome.combined.score.images == len(training)


# --- One run, looked at from all sides


class Finished:
    """A finished run of the sample competition in a project of its own."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.data = make_project(project, "sample")
        first, copy = sorted((self.data / "train" / "0").iterdir())[:2]
        shutil.copy(first, copy)
        self.copies = {first.name, copy.name}
        self.outcome = train("tiny", ["folds=3"])

    @property
    def folder(self) -> RunFolder:
        return self.outcome.folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    project = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        return Finished(project)


@pytest.fixture
def run(finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Finished:
    """A copy of that project, to do with as the test likes; the current folder."""
    project = tmp_path / "project"
    shutil.copytree(finished.project, project)
    monkeypatch.chdir(project)
    copy = Finished.__new__(Finished)
    copy.project, copy.data = project, project / finished.data.relative_to(finished.project)
    copy.copies = finished.copies
    copy.outcome = RunResult(
        RunFolder(project / "weights" / finished.folder.name),
        finished.outcome.combined,
        project / "submissions" / finished.outcome.submission.name,
    )
    return copy


def test_the_run_is_named_after_what_was_changed(finished: Finished) -> None:
    assert finished.folder.path == finished.project / "weights" / "tiny-folds-3"
    assert finished.outcome.submission == finished.project / "submissions" / "tiny-folds-3.csv"


def test_the_folder_tells_the_run(finished: Finished) -> None:
    about = finished.folder.read_run()
    assert about["entry"] == "tiny"
    assert about["recipe"]["folds"] == 3 and about["recipe"]["seed"] == 0
    assert {"versions", "commit", "machine", "started"} <= set(about)
    for number in range(3):
        fold = finished.folder.fold(number)
        assert fold.weights.is_file() and len(fold.read_history()) == 1
        assert fold.read_cost()["peak_memory_gb"] > 0
        assert not (fold.path / "state.npz").exists(), "the largest file, which nobody needs now"


def test_each_image_is_validated_by_the_network_that_has_not_seen_it(finished: Finished) -> None:
    fold = folds(finished.outcome)
    assert sorted(fold.unique()) == [0, 1, 2]
    for number in range(3):
        ids = finished.folder.fold(number).read_predictions("validation").index.unique("id")
        assert set(ids) == set(fold.index[fold == number])
        tested = finished.folder.fold(number).read_predictions("test")
        assert len(tested) == 9 * 2, "each test image in two views"


def test_near_copies_stay_in_one_fold(finished: Finished) -> None:
    images = finished.folder.read_images().query("part == 'train'")
    of_copies = images.loc[sorted(finished.copies)]
    assert of_copies["group"].nunique() == 1 and of_copies["fold"].nunique() == 1
    assert images["group"].nunique() == len(images) - 1


def test_the_submission_is_the_mean_over_folds_and_views(finished: Finished) -> None:
    views = finished.folder.read_score()["views"]
    tables = [finished.folder.fold(number).read_predictions("test") for number in range(3)]
    predicted = pd.concat(tables)
    of_folds = predicted.groupby(["id", "view"]).mean()
    wanted = sum(weight * of_folds.xs(view, level="view") for view, weight in views.items())
    found = finished.folder.read_probabilities("test")
    np.testing.assert_allclose(found, wanted.loc[found.index], atol=1e-6)
    submission = pd.read_csv(finished.outcome.submission)
    assert submission["Category"].tolist() == found.to_numpy().argmax(axis=1).tolist()


def test_training_a_finished_run_again_changes_nothing_and_is_quick(run: Finished) -> None:
    before = files(run.project)
    began = time.monotonic()
    again = train("tiny", ["folds=3"])
    assert time.monotonic() - began < 5
    assert files(run.project) == before
    assert again.combined == run.outcome.combined


def test_predict_with_other_views_writes_the_submission_again(run: Finished) -> None:
    run.outcome.submission.unlink()
    before = run.folder.read_probabilities("test")
    folder, submission = predict(run.folder.name, views=3)
    assert submission == run.outcome.submission and folder.path == run.folder.path
    assert pd.read_csv(submission)["Id"].tolist() == before.index.tolist()
    tables = [run.folder.fold(number).read_predictions("test") for number in range(3)]
    assert set(tables[0].index.unique("view")) == {"plain", "mirrored", "center"}
    after = run.folder.read_probabilities("test")
    np.testing.assert_allclose(
        after, pd.concat(tables).groupby("id").mean().loc[after.index], atol=1e-6
    )
    # The views of before are predicted as they were: same weights, same images.
    plain = [table.xs("plain", level="view") for table in tables]
    theirs = [run_before.xs("plain", level="view") for run_before in _tables(run)]
    for mine, other in zip(plain, theirs, strict=True):
        np.testing.assert_allclose(mine, other.loc[mine.index], atol=1e-5)


def _tables(run: Finished) -> list[pd.DataFrame]:
    return [run.folder.fold(number).read_predictions("test") for number in range(3)]


def test_predict_gives_again_what_training_predicted(run: Finished) -> None:
    before = _tables(run)
    predict(str(run.folder.path))
    for mine, theirs in zip(_tables(run), before, strict=True):
        np.testing.assert_allclose(mine.loc[theirs.index], theirs, atol=1e-5)


def test_classify_says_what_predict_says(run: Finished) -> None:
    images = [run.data / "test_upload" / name for name in ("missing.jpg",)]
    known = sorted((run.data / "test_upload").iterdir())
    found = classify(run.folder, known, views=2).table().set_index("file").filter(like="p_")
    assert found.index.tolist() == [str(path) for path in known]
    expected = pd.concat(_tables(run)).groupby("id").mean()
    np.testing.assert_allclose(found, expected.loc[[path.name for path in known]], atol=1e-5)
    assert "no such file" in classify(run.folder, images).images[0].problem


def test_find_run_takes_a_name_or_a_path_and_says_what_there_is(run: Finished) -> None:
    assert find_run("tiny-folds-3").path == run.folder.path
    assert find_run("weights/tiny-folds-3").path == run.folder.path
    with pytest.raises(RunError, match=r"no run 'tiny'; .* there are: tiny-folds-3"):
        find_run("tiny")


def test_leftovers_of_killed_writers_are_removed_at_the_next_start(run: Finished) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    leftovers = [
        run.folder.path / f".part-{ended.pid}-out_of_fold.csv",
        run.folder.path / "fold-1" / f".part-{ended.pid}-best.weights.h5",
        run.outcome.submission.with_name(f".part-{ended.pid}-{run.outcome.submission.name}"),
    ]
    state = run.folder.path / "fold-0" / "state.npz"  # killed between test.csv and its deletion
    # Another run's, and one that is being written by a process that lives.
    others = [
        run.outcome.submission.with_name(f".part-{ended.pid}-other.csv"),
        run.folder.path / "fold-1" / ".part-1-best.weights.h5",
    ]
    for path in (*leftovers, *others, state):
        path.write_bytes(b"half a file")
    train("tiny", ["folds=3"])
    assert not [path for path in (*leftovers, state) if path.exists()]
    assert all(path.exists() for path in others)


# --- Changed data


def test_images_that_changed_since_the_start_are_refused(run: Finished) -> None:
    csv, submission = run.data / "train.csv", pd.read_csv(run.outcome.submission)
    rows = csv.read_text().splitlines()
    name, label = rows[1].split(",")
    other = str((int(label) + 1) % 8)
    for changed in (
        [rows[0], *rows[2:]],  # one is gone
        [rows[0], f"{name},{other}", *rows[2:]],  # one has another label
    ):
        csv.write_text("\n".join(changed) + "\n")
        with pytest.raises(RunError, match=r"are not those that .* began with"):
            train("tiny", ["folds=3"])
        predict("tiny-folds-3")  # to which training images do not matter
        assert pd.read_csv(run.outcome.submission).equals(submission)
    csv.write_text("\n".join(rows) + "\n")
    train("tiny", ["folds=3"])

    extra = run.data / "test_upload" / "999.jpg"
    draw_image(extra, 0)
    sample = run.data / "sample-submission.csv"
    sample.write_text(sample.read_text() + "999.jpg,0\n")
    train("tiny", ["folds=3"])
    now = pd.read_csv(run.outcome.submission)
    assert now["Id"].tolist() == [*submission["Id"], "999.jpg"]
    assert now.iloc[:-1].equals(submission)


def test_the_same_ids_with_other_files_are_predicted_anew(run: Finished) -> None:
    submission = pd.read_csv(run.outcome.submission)
    first, second = (run.data / "test_upload" / name for name in submission["Id"][:2])
    before = run.folder.read_probabilities("test")
    images = first.read_bytes(), second.read_bytes()
    first.write_bytes(images[1]), second.write_bytes(images[0])
    train("tiny", ["folds=3"])
    now = run.folder.read_probabilities("test")
    ids = list(before.index[:2])
    np.testing.assert_allclose(now.loc[ids], before.loc[ids[::-1]], atol=1e-6)
    assert not np.allclose(before.loc[ids[0]], before.loc[ids[1]], atol=1e-4)


def test_predict_needs_no_training_images(run: Finished) -> None:
    submission = pd.read_csv(run.outcome.submission)
    (run.data / "train.csv").unlink()
    shutil.rmtree(run.data / "train")
    sample = run.data / "sample-submission.csv"
    for name in submission["Id"]:
        (run.data / "test_upload" / name).rename(run.data / "test_upload" / f"h{name}")
    sample.write_text(sample.read_text().replace("\n", "\nh").removesuffix("h"))
    predict("tiny-folds-3")
    now = pd.read_csv(run.outcome.submission)
    assert now["Id"].tolist() == [f"h{name}" for name in submission["Id"]]
    assert now.iloc[:, 1].equals(submission.iloc[:, 1])


def test_a_place_for_the_submission_that_cannot_be_is_told_first(project: Path) -> None:
    (project / "submissions").write_text("a file in the place of the folder")
    with pytest.raises(FileExistsError, match="submissions"):
        train("tiny", run="nowhere")
    assert not (project / "weights" / "nowhere").exists(), "before anything is begun"


def test_a_run_is_not_given_a_path(project: Path) -> None:
    with pytest.raises(RunError, match=r"run '\.\./elsewhere': expected the name of a folder"):
        train("tiny", run="../elsewhere")


def test_another_recipe_under_the_same_name_is_refused(run: Finished) -> None:
    before = files(run.folder.path)
    with pytest.raises(RunError, match=r"another recipe: seed was 0, is now 5"):
        train("tiny", ["folds=3", "seed=5"], run="tiny-folds-3")
    assert files(run.folder.path) == before


# --- Part of a run


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the dogs and cats, whose submission is a probability."""
    monkeypatch.chdir(tmp_path)
    make_project(tmp_path, "dogs-vs-cats")
    return tmp_path


def test_one_fold_then_all_trains_it_only_once(project: Path) -> None:
    part = train("tiny", folds=[0])
    assert part.combined.folds == [0] and part.combined.of_folds == 2
    assert "1 of 2 folds are trained" in str(part.combined)
    assert set(out_of_fold(part).index) == set(folds(part).index[folds(part) == 0])
    assert len(pd.read_csv(part.submission)) == 11, "one fold is enough for a submission"
    fold = files(part.folder.fold(0).path)
    times = {path: path.stat().st_mtime_ns for path in part.folder.fold(0).path.iterdir()}

    whole = train("tiny")
    assert whole.combined.folds == [0, 1]
    assert len(out_of_fold(whole)) == 24
    assert files(part.folder.fold(0).path) == fold
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert "folds are trained" not in str(whole.combined)


def test_a_fold_that_is_not_there_is_refused(project: Path) -> None:
    with pytest.raises(ValueError, match="fold 2: this recipe has the folds 0 to 1"):
        train("tiny", folds=[0, 2])
    assert not (project / "weights").exists()


def test_limit_trains_on_so_many_and_predicts_all(project: Path) -> None:
    outcome = train("tiny", ["limit=10"], folds=[0])
    images = outcome.folder.read_images()
    training = images.query("part == 'train'")
    assert len(training) == 10 and training["label"].value_counts().tolist() == [5, 5]
    assert len(pd.read_csv(outcome.submission)) == 11


def test_fresh_begins_again(project: Path) -> None:
    first = train("tiny", folds=[0])
    marker = first.folder.path / "fold-0" / "mine.txt"
    marker.write_text("of the first run")
    second = train("tiny", ["image_size=20"], folds=[0], run="tiny", fresh=True)
    assert second.folder.path == first.folder.path
    assert not marker.exists()
    assert second.folder.read_recipe().image_size == 20


# --- Only as far as the score


def test_a_scored_run_is_no_finished_one_until_its_test_images_are_predicted(
    project: Path,
) -> None:
    train_to_score("tiny", [], [0], "tiny")
    folder = RunFolder(project / "weights" / "tiny")
    fold = folder.fold(0)
    assert fold.scored and not fold.finished and fold.can_predict
    assert folder.scored_folds() == [0] and folder.finished_folds() == []
    assert fold.read_progress() is None, "nothing will resume"
    with pytest.raises(RunError, match=r"fold 0 is trained and scored, .* podium predict tiny"):
        assemble(folder)
    before = files(fold.path)
    train_to_score("tiny", [], [0], "tiny")
    assert files(fold.path) == before

    outcome = train("tiny", folds=[0])
    after = files(fold.path)
    assert set(after) == {*before, "test.csv"}
    assert {name: after[name] for name in before} == before, "and not trained again"
    assert len(pd.read_csv(outcome.submission)) == 11
    by_train = fold.read_predictions("test")
    (fold.path / "test.csv").unlink()
    predict("tiny")
    found = fold.read_predictions("test")
    np.testing.assert_allclose(found.loc[by_train.index], by_train, atol=1e-5)


def test_a_scored_fold_whose_weights_were_deleted_is_trained_again(project: Path) -> None:
    train_to_score("tiny", [], [1], "tiny")
    fold = RunFolder(project / "weights" / "tiny").fold(1)
    scored = fold.read_predictions("validation")
    fold.delete_weights()
    train_to_score("tiny", [], [1], "tiny")
    assert not fold.weights.exists(), "its score is all that an experiment needs"
    with pytest.raises(RunError, match=r"best\.weights\.h5 is missing .* train the run again"):
        predict("tiny")
    train("tiny", folds=[1])
    assert fold.finished and fold.can_predict
    np.testing.assert_allclose(fold.read_predictions("validation"), scored, atol=1e-4)


# --- Broken images


def test_broken_images_stop_a_run_before_it_trains(project: Path) -> None:
    data = project / "input" / get_competition("dogs-vs-cats").slug
    broken = [data / "train" / "cat.3.jpg", data / "test" / "7.jpg"]
    for path in broken:
        break_image(path)
    with pytest.raises(BrokenImages) as error:
        train("tiny")
    for path in broken:
        assert str(path) in str(error.value)
    assert str(error.value).startswith("2 of 35 images cannot be read")
    assert "--set broken_images=skip" in str(error.value)
    assert not list((project / "weights" / "tiny").glob("fold-*"))
    assert not list((project / "submissions").glob("*"))

    for path in broken:
        draw_image(path, 0)
    assert len(train("tiny", folds=[0]).folder.finished_folds()) == 1, "mended, it goes on"


def test_broken_images_are_skipped_where_the_recipe_says_so(project: Path) -> None:
    data = project / "input" / get_competition("dogs-vs-cats").slug
    for path in (data / "train" / "cat.3.jpg", data / "train" / "cat.4.jpg", data / "test/7.jpg"):
        break_image(path)
    outcome = train("tiny", ["broken_images=skip"])
    assert len(out_of_fold(outcome)) == 22
    assert not {"cat.3", "cat.4"} & set(out_of_fold(outcome).index)
    submission = pd.read_csv(outcome.submission).set_index("id")["label"]
    assert submission.index.tolist() == list(range(1, 12))
    assert submission[7] == pytest.approx(12 / 22, abs=1e-6), "the share of dogs in training"
    assert (submission.drop(7) != submission[7]).all()
    before = submission.copy()
    _, again = predict("tiny-broken_images-skip")
    np.testing.assert_allclose(pd.read_csv(again)["label"], before, atol=1e-4)


def test_a_test_set_that_nobody_can_read_gets_the_prior(project: Path) -> None:
    data = project / "input" / get_competition("dogs-vs-cats").slug
    for path in (data / "test").iterdir():
        break_image(path)
    outcome = train("tiny", ["broken_images=skip"])
    labels = pd.read_csv(outcome.submission)["label"]
    assert len(labels) == 11
    np.testing.assert_allclose(labels, 0.5, atol=1e-6)


# --- The budget, precision, TensorBoard


def test_a_used_up_time_budget_still_ends_with_a_submission(project: Path) -> None:
    stages = '[{unfreeze="head", epochs=900, learning_rate=0.001}]'
    outcome = train("tiny", ["time_budget=0.05", f"stages={stages}"], run="short")
    assert len(pd.read_csv(outcome.submission)) == 11
    assert len(out_of_fold(outcome)) == 24
    for fold in range(2):
        assert len(outcome.folder.fold(fold).read_history()) <= FEWEST + 1
        (row,) = outcome.folder.read_score()["costs"][str(fold)]["time_plan"]
        assert row["epochs"] == 900 and row["trained"] <= FEWEST + 1
    assert f"{row['trained']:g} of 900" in str(outcome)


def test_minutes_are_of_this_start_and_not_of_the_run(project: Path) -> None:
    train("tiny", folds=[0], minutes=30)
    outcome = train("tiny", folds=[1], minutes=60)
    assert outcome.folder.name == "tiny" and outcome.combined.folds == [0, 1]
    said = str(outcome).splitlines()
    titles, first, second, every = said[said.index(next(s for s in said if "folds  " in s)) :][:4]
    assert titles.split() == ["folds", "fold", "log", "loss", "time", "memory", "epochs"]
    assert first.split()[0] == "0" and second.endswith("1 of 1") and every.split()[0] == "all"
    assert said[-2:] == [
        "next        podium serve tiny",
        f'            podium submit dogs-vs-cats {outcome.submission} -m "tiny"',
    ]


def test_weights_of_an_earlier_stage_predict_at_its_size(project: Path) -> None:
    """The second stage, on larger images, spoils the network, so that the first one's is kept."""
    stages = "[{epochs=2, learning_rate=0.001}, {epochs=1, learning_rate=9.0, image_size=48}]"
    changes = [f"stages={stages}", 'keep="best"', 'optimizer="sgd"']
    outcome = train("tiny", changes, folds=[0], run="two-sizes")
    folder = outcome.folder.fold(0)
    assert folder.weights_stage == 0
    kept = Run.open(outcome.folder)
    assert kept.image_size(0) == kept.recipe.image_size == 16 and kept.recipe.stage_size() == 48

    ids = folder.read_predictions("validation").index.unique("id")
    truth = kept.table.train.loc[ids, "label"]
    plain = folder.read_predictions("validation").xs("plain", level="view")
    loss = -np.log(plain.to_numpy()[range(len(ids)), truth]).mean()
    history = folder.read_history()
    assert loss == pytest.approx(history["val_loss"].min(), rel=1e-3), "as at the kept epoch"
    test = kept.competition.read_test()["path"]
    found = classify(outcome.folder, test, views=1).table().set_index("file").filter(like="p_")
    expected = folder.read_predictions("test").xs("plain", level="view")
    np.testing.assert_allclose(found, expected.loc[test.index], atol=1e-5)


def test_the_precision_of_the_devices_reaches_each_network(project: Path) -> None:
    """Keras forgets the policy when memory of the last fold is freed."""

    class TensorCores(Devices):
        def set_precision(self, mixed: bool) -> str:
            keras.mixed_precision.set_global_policy("mixed_float16" if mixed else "float32")
            return "mixed_float16"

    before = keras.mixed_precision.global_policy()
    recipe = get_entry("tiny").recipe()
    folder = RunFolder(project / "weights" / "tiny")
    try:
        fold_run = FoldRunner(prepare_run(folder, recipe), TensorCores())
        fold_run.train(1, deadline=None)
        fold_run.score(1)
        fold_run.predict_test(1, views=1)
        assert fold_run._network.features.outputs[0].dtype == "float16"
    finally:
        keras.mixed_precision.set_global_policy(before)
    predicted = folder.fold(1).read_predictions("test")
    np.testing.assert_allclose(predicted.sum(axis=1), 1, atol=1e-5)


def test_tensorboard_that_is_not_installed_is_said_at_once(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)  # as if it were not installed
    with pytest.raises(ValueError, match="pip install tensorboard"):
        train("tiny", ["tensorboard=true"])
    assert not (project / "weights").exists()


@pytest.mark.slow
def test_under_jax_a_second_fold_and_a_restart_compile_nothing(tmp_path: Path) -> None:
    """Whole commands, in processes of their own; also the images are read and the report drawn."""
    write_entry(tmp_path, "tiny", RECIPE.format(competition="sample"))

    def podium(*words: str) -> set[str]:
        done = subprocess.run(
            [sys.executable, "-c", "from podium.cli import main; main()", *words],
            env=os.environ | {"KERAS_BACKEND": "jax", "PODIUM_INPUT": ""},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return {path.name for path in (tmp_path / "weights" / ".compiled").glob("*-cache")}

    podium("sample")
    once = podium("train", "tiny", "--limit", "40", "--fold", "0")
    assert any(name.startswith("jit_train_step") for name in once)
    assert podium("train", "tiny", "--limit", "40", "--fold", "1") == once
    assert podium("train", "tiny", "--limit", "40", "--fold", "0", "--fresh") == once
