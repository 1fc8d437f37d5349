"""A whole run of several labels, and one of grades: trained, reported, submitted, classified."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from podium import competitions
from podium.competitions import get_competition
from podium.data.table import prepare_run
from podium.predictions.blend import blend
from podium.predictions.blend_methods import ALONE
from podium.predictions.blend_selection import BlendChoice
from podium.predictions.classify import classify
from podium.predictions.combine import write_submission
from podium.predictions.decisions import judge
from podium.reports.gallery import choose_rows
from podium.reports.report import with_report
from podium.reports.run_data import read_run_data
from podium.runs.run import Run
from podium.runs.run_folder import RunFolder
from podium.runs.table import stored_table
from podium.serving.engine import Engine
from podium.training.preflight import check_recipe
from podium.training.soup import soup
from podium.training.train import train
from small_tasks import add_competitions, make_task_project

EPOCHS = 12


@pytest.fixture(scope="module", params=["shapes", "stripes"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """A run of either task, its report, and what else needs the network, made once."""
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("PODIUM_DEBUG", "1")
        add_competitions(patch)
        data = make_task_project(folder, request.param, epochs=EPOCHS)
        (data / "test" / "test-70.png").write_bytes(b"no image")
        result = with_report(train("tiny", ["broken_images=skip"]))
        yield result, data


def test_it_learns_and_is_scored_on_what_it_has_not_seen(trained) -> None:
    result, _ = trained
    competition = get_competition(result.folder.read_recipe().competition)
    stored = result.folder.read_probabilities("out_of_fold")
    assert list(stored.columns) == competition.outputs
    assert stored.to_numpy().min() >= 0 and stored.to_numpy().max() <= 1
    assert not np.allclose(stored.sum(axis=1), 1, atol=0.05)
    truth = competition.truth(stored_table(result.folder).train["label"]).loc[stored.index]
    truth, judged = truth.to_numpy(), stored.to_numpy()
    judged, thresholds = judge(competition.metric, competition.task, truth, judged)
    assert result.folder.read_score()["thresholds"] == thresholds
    value = competition.metric.per_image(truth, judged).mean()
    assert result.combined.score.value == pytest.approx(value)
    assert result.combined.score.images == len(stored) == 64
    if competition.name == "shapes":
        assert value > 0.7  # all labels absent: 0.6
    else:
        assert value < 0.75  # every grade 1.5: 1.0


def test_an_image_that_cannot_be_read_gets_the_prior(trained) -> None:
    result, _ = trained
    run = Run.open(result.folder)
    task, classes = run.competition.task, len(run.competition.classes)
    prior = task.prior(run.table.train["label"], classes)
    np.testing.assert_array_equal(result.folder.read_probabilities("test").loc["test-70"], prior)


def test_its_submission_has_the_decided_answers(trained) -> None:
    result, _ = trained
    competition = get_competition(result.folder.read_recipe().competition)
    test = result.folder.read_probabilities("test")
    written = pd.read_csv(result.submission, dtype=str, keep_default_na=False)
    thresholds = result.folder.read_thresholds()
    answers = competition.task.decide(test.loc[written["id"]].to_numpy(), thresholds)
    if competition.task.several:
        assert written["label"].tolist() == competition.task.names(answers, competition.classes)
    else:
        assert written["label"].astype(int).tolist() == answers.tolist()


def test_its_split_and_table_are_read_again(trained) -> None:
    result, _ = trained
    recipe = result.folder.read_recipe()
    again = prepare_run(result.folder, recipe)  # compares labels with those of the files
    competition = again.competition
    members = competition.task.members(again.table.train["label"], len(competition.classes))
    for fold in (0, 1):
        mine = members[again.table.train["fold"] == fold].sum(axis=0)
        assert (abs(mine - members.sum(axis=0) / 2) <= 2).all()


def test_its_report_has_what_the_task_can_show(trained) -> None:
    result, _ = trained
    page = result.report.read_text(encoding="utf-8")
    several = result.folder.read_recipe().competition == "shapes"
    assert "Grad-CAM" in page and "reliability" in page
    assert ("confusion" in page) != several
    assert ("images have exactly their labels" in page) == several
    one = read_run_data(result.folder)
    assert {"label", "said", "truth", "answer", "sure", "of_true"} <= set(one.judged)
    assert one.judged[["sure", "of_true"]].stack().between(0, 1).all()
    assert one.judged.loc[one.judged["said"] == one.judged["label"], "truth"].equals(
        one.judged.loc[one.judged["said"] == one.judged["label"], "answer"]
    )
    assert choose_rows(one)


def test_any_image_is_classified(trained) -> None:
    result, data = trained
    found = classify(result.folder, [data / "test" / "test-64.png"])
    (image,), task = found.images, found.run.competition.task
    values = np.array([list(image.probabilities.values())])
    assert list(image.probabilities) == found.run.competition.outputs
    thresholds = result.folder.read_thresholds()
    assert image.said == task.said(values, found.run.competition.classes, thresholds)[0]
    said = ", ".join(name for name, _ in image.said)
    assert image.as_dict()["class"] == said
    assert re.search(r"test-64\.png: (no label|[\w, .]+)$", str(image).split(";")[0])
    assert f"p_{found.run.competition.outputs[0]}" in found.table()


def test_fitted_thresholds_decide_everywhere(trained) -> None:
    result, data = trained
    folder, score = result.folder, result.folder.read_score()
    competition = get_competition(folder.read_recipe().competition)
    every = np.zeros(len(competition.outputs))  # each label, and the highest grade
    try:
        folder.write_score({**score, "thresholds": every.tolist()})
        path = write_submission(folder, competition, data.parent / "lower.csv")
        (image,) = classify(folder, [data / "test" / "test-64.png"]).images
        judged = read_run_data(folder).judged
    finally:
        folder.write_score(score)
    answers = set(pd.read_csv(path, dtype=str)["label"])
    names = ["disk", "bar", "frame"] if competition.task.several else ["many"]
    assert answers == ({"disk bar frame"} if competition.task.several else {"3"})
    assert sorted(name for name, _ in image.said) == sorted(names)
    assert set(judged["answer"]) == {", ".join(names)}


def test_it_is_served_with_its_answer(trained) -> None:
    result, _ = trained
    engine = Engine(result.folder)
    (prediction,) = engine.predict(np.full((1, engine.size, engine.size, 3), 90, np.uint8))
    competition = engine.run.competition
    assert {score.name for score in prediction.classes} == set(competition.outputs)
    by_name = {score.name: score.probability for score in prediction.classes}
    values = np.array([[by_name[name] for name in competition.outputs]])
    expected = competition.task.said(values, competition.classes, engine.thresholds)[0]
    assert prediction.said == [name for name, _ in expected]


def test_pseudo_labels_are_refused_in_a_line(trained) -> None:
    result, _ = trained
    recipe = result.folder.read_recipe().model_dump()
    recipe["stages"][0]["pseudo"] = {"from": "other", "above": 0.9}
    recipe = type(result.folder.read_recipe()).model_validate(recipe)
    with pytest.raises(ValueError, match=r"is a task of (labels|grades): leave `pseudo` out"):
        check_recipe(recipe)


@pytest.mark.slow
def test_two_runs_are_blended_and_their_answers_decided(trained) -> None:
    result, _ = trained
    competition = get_competition(result.folder.read_recipe().competition)
    other = train("tiny", ["broken_images=skip", "seed=0"], run="again")
    blended = blend([result.folder.name, other.folder.name])
    score = blended.folder.read_score()
    assert score["method"] in ALONE
    test = blended.folder.read_probabilities("test")
    both = [one.read_probabilities("test") for one in (result.folder, other.folder)]
    again = BlendChoice.from_dict(score["fitted"])(np.stack([one.to_numpy() for one in both]))
    np.testing.assert_allclose(again, test.to_numpy(), atol=1e-6)
    written = pd.read_csv(blended.submission, dtype=str, keep_default_na=False)
    answers = competition.task.decide(test.to_numpy(), blended.folder.read_thresholds())
    if competition.task.several:
        assert written["label"].tolist() == competition.task.names(answers, competition.classes)
    else:
        assert written["label"].astype(int).tolist() == answers.tolist()


@pytest.mark.slow
def test_two_runs_are_one_soup(trained) -> None:
    result, _ = trained
    competition = get_competition(result.folder.read_recipe().competition)
    train("tiny", ["broken_images=skip", "seed=0"], run="third")
    made = soup([result.folder.name, "third"], "both")
    assert list(made.folder.read_probabilities("out_of_fold").columns) == competition.outputs
    assert made.folder.read_run()["soup"]["folds"][0]["tried"]
    assert made.submission.is_file()


def test_a_run_opens_wherever_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained
) -> None:
    """With the file that describes its competition, and no entry that has it."""
    result, _ = trained
    folder = tmp_path / "elsewhere" / "run"
    shutil.copytree(result.folder.path, folder)
    classes = list(get_competition(result.folder.read_recipe().competition).classes)
    name = result.folder.read_recipe().competition
    monkeypatch.delitem(competitions.COMPETITIONS, name)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=f"no competition '{name}'"):
        Run.open(RunFolder(folder))
    task = "labels" if name == "shapes" else "grades"
    (folder / "competition.toml").write_text(
        f'name = "{name}"\nfolder = "{name}"\ntask = "{task}"\nclasses = {classes}\n'
        'train.csv = "train.csv"\n'
    )
    assert list(Run.open(RunFolder(folder)).competition.classes) == classes
