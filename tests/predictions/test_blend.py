"""A blend of runs: right by id, judged on what all have seen out of fold, refused otherwise."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from podium.predictions.blend import adopt_blend, blend
from podium.predictions.combine import assemble
from podium.recipes.recipe_file import RecipeError, load_ensemble
from podium.runs.fold_folder import RunError
from podium.runs.run_folder import RunFolder
from podium.runs.table import stored_table
from podium.training.train import find_run, predict, train
from small_competitions import make_project, write_entry
from small_runs import CLASSES, TEST, TRAIN, files, write_run

REPOSITORY = Path(__file__).parents[2]
ENSEMBLES = sorted((REPOSITORY / "kernels").glob("*-ensemble"))
TEST_NUMBERS = {"NA": "1", "10": "2", "2": "3"}  # as dogs-vs-cats has them
ENSEMBLE = 'competition = "clocks-or-crocs"\nruns = ["a", "b"]\n'


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the finished runs a, b and c, of one competition and three splits."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kernels").mkdir()
    for seed, name in enumerate("abc"):
        assemble(write_run(tmp_path / "weights" / name, seed=seed))
    return tmp_path


def run(name: str) -> RunFolder:
    return RunFolder(Path("weights", name).resolve())


def change(name: str, file: str, edit: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Change a CSV of a run, all of it as text."""
    path = run(name).path / file
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    edit(table).to_csv(path, index=False)


def accuracy(probabilities: pd.DataFrame) -> float:
    right = [CLASSES.index(name.split("/")[0]) for name in probabilities.index]
    return (probabilities.to_numpy().argmax(axis=1) == right).mean()


# --- What comes out


def test_the_blend_is_by_id(project: Path) -> None:
    wanted = blend(["a", "b", "weights/c"])
    assert wanted.submission == project / "submissions" / "blend.csv"
    assert wanted.folder.path == project / "weights" / "blend"
    names = ("test", "out_of_fold")
    before = [wanted.folder.read_probabilities(name) for name in names]
    # The order of the rows is no matter.
    change("b", "test.csv", lambda table: table.iloc[::-1])
    change("b", "out_of_fold.csv", lambda table: table.sample(frac=1, random_state=0))
    blended = blend(["a", "b", "c"])
    for name, ids, table in zip(names, (TEST, TRAIN), before, strict=True):
        found = blended.folder.read_probabilities(name)
        pd.testing.assert_frame_equal(found, table)
        assert sorted(found.index) == sorted(ids)
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    submission = pd.read_csv(blended.submission, dtype=str, keep_default_na=False)
    assert submission["id"].tolist() == TEST
    test = blended.folder.read_probabilities("test")
    assert submission["label"].tolist() == [CLASSES[n] for n in test.to_numpy().argmax(axis=1)]


def test_the_weights_that_are_told_make_the_test_predictions(project: Path) -> None:
    for seed, name in ((3, "d"), (4, "e")):  # of which neither does without the other
        assemble(write_run(run(name).path, seed=seed))
    blended = blend(["d", "e"])
    summary = blended.folder.read_score()
    weights = np.array([row["weight"] for row in summary["runs"]])
    assert weights.sum() == pytest.approx(1, abs=1e-5) and weights.min() > 0.1
    assert summary["method"] == "mean"
    found = blended.folder.read_probabilities("test")
    tables = []
    for name, row in zip("de", summary["runs"], strict=True):
        powers = run(name).read_probabilities("test").loc[found.index] ** (1 / row["temperature"])
        assert row["floor"] == 0
        tables.append(powers.div(powers.sum(axis=1), axis=0))
    np.testing.assert_allclose(found, np.tensordot(weights, tables, axes=1), atol=1e-4)


def test_it_is_judged_on_the_same_images_as_each_run(project: Path) -> None:
    judged = blend(["a", "b", "c"]).judged
    assert judged.score.value == accuracy(run("blend").read_probabilities("out_of_fold"))
    for name, score in zip("abc", judged.scores, strict=True):
        assert score.value == accuracy(run(name).read_probabilities("out_of_fold"))
        assert score.images == len(TRAIN)
    best = max(judged.scores, key=lambda score: score.value)
    assert judged.gain.value == pytest.approx(judged.score.value - best.value)


def test_the_table_says_what_each_run_and_each_way_scores(project: Path) -> None:
    blended = blend(["a", "b"], to=Path("out/ab.csv"))
    lines = str(blended).splitlines()
    assert lines[0].split() == ["run", "accuracy", "95", "%", "interval", "folds", "weight"]
    assert [line.split()[0] for line in lines[1:3]] == ["a", "b"]
    assert "  0, 1  " in lines[1]
    assert lines[4].split() == ["blended", "by", "accuracy", "95", "%", "interval"]
    taken = [line for line in lines if "taken: the simplest" in line]
    assert len(taken) == 1 and taken[0].startswith(blended.judged.choice.method)
    score, gain = blended.judged.score, blended.judged.gain
    assert f"score       accuracy {score.value:.4f}" in str(blended)
    assert f"gain        {gain.value:+.4f} over " in str(blended)
    assert lines[-2:] == [f"run         {project / 'weights' / 'ab'}", "submission  out/ab.csv"]
    assert Path("out/ab.csv").is_file()
    summary = blended.folder.read_score()
    assert summary["score"] == score.as_dict()
    assert summary["gain"]["value"] == gain.value
    assert [row["run"] for row in summary["runs"]] == ["a", "b"]
    assert not (blended.folder.path / "reliability.png").exists(), "accuracy is not calibrated"


def test_a_log_loss_is_calibrated_and_drawn(project: Path) -> None:
    for name in "ab":
        about = run(name).read_run()
        about["recipe"]["competition"] = "dogs-vs-cats"
        (run(name).path / "run.json").write_text(json.dumps(about))
        for file in ("test.csv", "out_of_fold.csv"):
            change(
                name,
                file,
                lambda table: table.replace({"id": TEST_NUMBERS}).set_axis(
                    ["id", "cat", "dog"], axis=1
                ),
            )
    blended = blend(["a", "b"])
    assert Image.open(blended.folder.path / "reliability.png").size > (400, 400)
    assert "  calibrated" in str(blended).splitlines()[4]
    summary = blended.folder.read_score()
    assert summary["methods"][summary["method"]]["calibrated"]["metric"] == "log loss"
    assert pd.read_csv(blended.submission)["id"].tolist() == [1, 2, 3]


def test_runs_with_other_images_out_of_fold_are_judged_on_what_both_have(project: Path) -> None:
    shutil.rmtree(run("b").path)
    assemble(write_run(run("b").path, folds=[1], seed=1))
    message = refuse(["a", "b"])
    assert message.startswith(
        "a (folds 0, 1) and b (folds 1) have other images out of fold: 8 are only in a ("
    )
    assert message.endswith(
        "), 0 only in b (none). Train the missing folds, or judge on what all have with --common"
    )
    blended = blend(["a", "b"], common=True)
    of_b = run("b").read_probabilities("out_of_fold").index
    assert sorted(blended.folder.read_probabilities("out_of_fold").index) == sorted(of_b)
    assert blended.judged.score.images == blended.judged.scores[0].images == 8


def test_a_fold_that_came_since_is_combined_first(project: Path) -> None:
    """As after a merge, or a kill between the last fold and the combination."""
    shutil.rmtree(run("b").path)
    assemble(write_run(run("b").path, folds=[1], seed=1))
    whole = write_run(project / "elsewhere" / "b", seed=1)
    shutil.copytree(whole.fold(0).path, run("b").fold(0).path)
    write_run(run("new").path, seed=5)
    blended = blend(["a", "b", "new"])
    assert blended.judged.score.images == 16
    assert [member.folds for member in blended.judged.pool.members] == [[0, 1]] * 3


def test_the_same_blend_again_gives_the_same(project: Path) -> None:
    first = blend(["a", "b"])
    kept = ("submissions/blend.csv", "weights/blend/out_of_fold.csv", "weights/blend/score.json")
    before = files(project)
    left = first.folder.path / ".part-999999999-test.csv"
    left.write_text("half a file")
    blend(["a", "b"])
    after = files(project)
    assert [after[path] for path in kept] == [before[path] for path in kept]
    assert not left.exists()
    # Other runs under the same name replace it.
    blend(["a", "c"])
    assert find_run("blend").read_blended() == ["a", "c"]


def test_a_blend_is_blended_as_a_run(project: Path) -> None:
    ab = blend(["a", "b"], to=Path("submissions/ab.csv"))
    abc = blend(["ab", "c"])
    # Its images out of fold were not part of the choice that predicts them.
    assert abc.judged.scores[0].value == ab.judged.score.value
    with pytest.raises(RunError, match=r"over its own run blend: name it otherwise, with --to"):
        blend(["blend", "c"])
    blend(["blend", "c"], to=Path("submissions/another.csv"))


def test_a_blend_is_no_training_run(project: Path) -> None:
    blend(["a", "b"])
    for use in (predict, lambda name: find_run(name).read_recipe()):
        with pytest.raises(RunError) as caught:
            use("blend")
        assert str(caught.value) == (
            f"{project / 'weights' / 'blend'} is a blend of a, b, not a training run: name one of "
            "these"
        )


# --- Refusals


def refuse(runs: list[str], to: Path | None = None, common: bool = False) -> str:
    """What the refusal says; no blend is written."""
    before = files(Path())
    with pytest.raises(RunError) as caught:
        blend(runs, to, common)
    assert files(Path()) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_one_run_or_none_or_the_same_twice_is_no_blend(project: Path) -> None:
    write_entry(project, "ab", ENSEMBLE, command="blend")
    assert refuse([]) == ("name two runs or more, or an ensemble of kernels/ (there are: ab)")
    assert refuse(["a"]).startswith("a alone is no blend: name two runs or more")
    assert refuse(["a", "b", "weights/../weights/a"]) == "the run a is named twice"


def test_a_run_that_is_not_there_or_not_finished(project: Path) -> None:
    assert "no run 'd'" in refuse(["a", "d"])
    unfinished = write_run(run("d").path, folds=[])
    assert refuse(["a", "d"]) == (
        f"{unfinished.path} has no trained fold yet: train it to its end first"
    )


def test_runs_of_other_competitions(project: Path) -> None:
    other = run("b").read_run()
    other["recipe"]["competition"] = "dogs-vs-cats"
    (run("b").path / "run.json").write_text(json.dumps(other))
    for file in ("test.csv", "out_of_fold.csv"):
        change("b", file, lambda table: table.set_axis(["id", "cat", "dog"], axis=1))
    assert refuse(["a", "b"]) == (
        "the runs are of different competitions: a of clocks-or-crocs, b of dogs-vs-cats"
    )


def test_another_order_of_the_classes(project: Path) -> None:
    change("b", "test.csv", lambda table: table[["id", *CLASSES[::-1]]])
    message = refuse(["a", "b"])
    assert message.startswith(f"{run('b').path / 'test.csv'} has the classes crocodile, clock;")
    assert message.endswith("clocks-or-crocs has clock, crocodile, in this order")


def test_other_test_images(project: Path) -> None:
    ids = {"NA": "7", "10": "8", "2": "9"}
    change("b", "test.csv", lambda table: table.assign(id=table["id"].replace(ids)))
    assert refuse(["a", "b"]) == (
        "a and b predict other test images: 3 are only in a (10, 2, NA), 3 only in b (7, 8, 9)"
    )


def test_labels_that_contradict(project: Path) -> None:
    shutil.rmtree(run("b").path)
    labels = {"clock/0": 1, "clock/2": 1, "clock/4": 1, "clock/6": 1}
    assemble(write_run(run("b").path, seed=1, labels=labels))
    assert refuse(["a", "b"]) == (
        "a and b have other labels for 4 images (clock/0, clock/2, clock/4, …): were they "
        "trained on the same data?"
    )


def test_an_image_that_was_trained_on(project: Path) -> None:
    """As if the split had been made anew after the predictions."""
    ids = run("b").read_probabilities("out_of_fold").index
    seen = [ids[3], ids[9]]
    change(
        "b",
        "pictures.csv",
        lambda table: table.assign(fold=table["fold"].where(~table["id"].isin(seen), "-1")),
    )
    message = refuse(["a", "b"])
    assert message.startswith("b was trained on 2 of the images that its out_of_fold.csv holds")
    assert all(name in message for name in seen)


def test_an_image_that_is_missing(project: Path) -> None:
    change("b", "out_of_fold.csv", lambda table: table.drop(index=[0, 5, 7]))
    assert "lacks 3 images of the trained folds" in refuse(["a", "b"])


def test_no_image_that_all_predict(project: Path) -> None:
    for name, fold in (("d", 0), ("e", 1)):
        assemble(write_run(run(name).path, folds=[fold]))
    message = refuse(["a", "d", "e"], common=True)
    assert message.startswith("no image is predicted out of fold by all of a, d, e")


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda table: table.assign(clock="0.9", crocodile="0.9"), "are no probabilities"),
        (lambda table: table.assign(clock="nan"), "are no probabilities"),
        (lambda table: pd.concat([table, table[:2]]), "2 ids are there twice"),
    ],
    ids=["sum", "nan", "doubled"],
)
def test_what_are_no_probabilities(
    project: Path, edit: Callable[[pd.DataFrame], pd.DataFrame], said: str
) -> None:
    change("b", "test.csv", edit)
    message = refuse(["a", "b"])
    assert said in message and str(run("b").path / "test.csv") in message


@pytest.mark.parametrize("text", ["", "<html>", "id,clock,crocodile\n2,a,b\n"])
def test_what_is_no_table(project: Path, text: str) -> None:
    path = run("b").path / "test.csv"
    path.write_text(text)
    assert refuse(["a", "b"]).startswith(f"{path} is not a table of probabilities: ")


def test_nothing_but_a_blend_is_written_over(project: Path) -> None:
    message = refuse(["a", "b"], to=Path("submissions/c.csv"))
    assert message == (f"{run('c').path} is a training run: name the blend otherwise, with --to")
    Path("submissions/folder").mkdir()
    assert "is a folder: name the file" in refuse(["a", "b"], to=Path("submissions/folder"))


# --- Ensembles


def test_an_ensemble_blends_the_runs_of_its_recipe(project: Path) -> None:
    write_entry(project, "ab", ENSEMBLE, command="blend")
    blended = blend(["ab"])
    assert blended.folder.path == run("ab").path
    assert blended.submission == project / "submissions" / "ab.csv"
    about = blended.folder.read_run()
    assert (about["entry"], about["runs"]) == ("ab", ["a", "b"])
    assert {"versions", "commit", "machine", "started"} <= set(about)
    wanted = blend(["a", "b"]).folder.read_probabilities("test")
    pd.testing.assert_frame_equal(blended.folder.read_probabilities("test"), wanted)
    assert blend(["ab"], to=Path("x.csv")).folder.name == "ab"
    assert Path("x.csv").read_bytes() == blended.submission.read_bytes()


def test_an_ensemble_of_another_competition_than_its_runs(project: Path) -> None:
    write_entry(project, "ab", ENSEMBLE.replace("clocks-or-crocs", "cars"), command="blend")
    assert refuse(["ab"]) == ("the ensemble is of cars, its runs are of clocks-or-crocs")


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ('runs = ["a", "b"]', "competition: is missing"),
        (ENSEMBLE + "run = 3", "run: unknown key; did you mean runs?"),
        (ENSEMBLE + "seed = 3", "seed: unknown key; there are: competition, runs"),
        ('competition = "cars"\nruns = ["a"]', "runs: came ['a'], list should have at least 2"),
        ('competition = "cars"\nruns = "a"', "runs: came 'a', should be a list in"),
        ('competition = "cars"\nruns = ["a", "../b"]', "runs.1: came '../b'"),
        ('competition = "cars"\nruns = ["a", "b", "a"]', "runs: a is named twice"),
    ],
)
def test_a_wrong_ensemble_recipe_is_refused(tmp_path: Path, recipe: str, said: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(recipe)
    with pytest.raises(RecipeError) as caught:
        load_ensemble(path)
    assert str(caught.value).startswith(f"{path}: {said}")


@pytest.mark.parametrize("entry", ENSEMBLES, ids=lambda path: path.name)
def test_the_ensembles_of_the_repository_attach_the_kernels_of_their_runs(entry: Path) -> None:
    recipe = load_ensemble(entry / "recipe.toml")
    metadata = json.loads((entry / "kernel-metadata.json").read_text())
    assert metadata["kernel_sources"] == [f"OWNER/podium-{run}" for run in recipe.runs]
    assert f'app(["blend", "{entry.name}"' in (entry / "kernel.py").read_text()
    assert len(ENSEMBLES) == 3


# --- From another machine


@pytest.fixture
def fetched(project: Path) -> RunFolder:
    """The blend of a and b, as it came from a kernel's output."""
    blended = blend(["a", "b"], to=Path("submissions/ab.csv"))
    folder = RunFolder(project / "build" / "ab")
    folder.path.parent.mkdir()
    blended.folder.path.rename(folder.path)
    (folder.path / "more.py").write_text("not to be taken")
    return folder


def test_a_blend_of_another_machine_is_here_as_if_made_here(fetched: RunFolder) -> None:
    wanted = Path("submissions/ab.csv").read_bytes()
    Path("submissions/ab.csv").unlink()
    assert adopt_blend(fetched, run("ab")) == Path("submissions/ab.csv").resolve()
    assert Path("submissions/ab.csv").read_bytes() == wanted
    before = files(fetched.path)
    del before["more.py"]
    assert files(run("ab").path) == before
    adopt_blend(fetched, run("ab"))  # the same again
    blend(["ab", "c"])


def test_another_blend_is_replaced_only_if_wanted(fetched: RunFolder) -> None:
    before = files(blend(["a", "c"], to=Path("submissions/ab.csv")).folder.path)
    with pytest.raises(RunError, match=r"is a blend with another out_of_fold.csv: .* --fresh"):
        adopt_blend(fetched, run("ab"))
    with pytest.raises(RunError, match="is a training run"):
        adopt_blend(fetched, run("c"), fresh=True)
    assert files(run("ab").path) == before
    adopt_blend(fetched, run("ab"), fresh=True)
    assert run("ab").read_blended() == ["a", "b"]


@pytest.mark.parametrize("damage", ["gone", "link", "cut", "training run"])
def test_a_damaged_blend_is_refused(fetched: RunFolder, damage: str) -> None:
    path = fetched.path / "test.csv"
    if damage == "gone":
        path.unlink()
    elif damage == "link":
        path.rename("elsewhere.csv")
        path.symlink_to(Path("elsewhere.csv").resolve())
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-8])
    else:
        fetched = run("a")
    with pytest.raises(RunError):
        adopt_blend(fetched, run("ab"))
    assert not run("ab").exists


# --- Inside a kernel


@pytest.fixture
def kaggle(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As /kaggle: the run a is the output of one kernel, b of a kernel per fold; nested or not."""
    root = project / "kaggle"
    (root / "working").mkdir(parents=True)
    outputs = {
        "podium-a": (0, [0, 1]),
        "notebooks/someone/podium-b-fold-0": (1, [0]),
        "podium-b-fold-1": (1, [1]),
        "competition/train": (None, []),
    }
    for place, (seed, folds) in outputs.items():
        folder = root / "input" / place
        folder.mkdir(parents=True)
        if seed is not None:
            assemble(write_run(folder / "weights" / "ab"[seed], folds, seed))
    shutil.rmtree(project / "weights")
    shutil.rmtree(project / "submissions")
    monkeypatch.setenv("PODIUM_KAGGLE_ROOT", str(root))
    monkeypatch.setenv("TMPDIR", str(project / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", str(project / "tmp"))
    (root / "working" / "kernels").mkdir()
    return root


def test_in_a_kernel_runs_are_found_in_the_outputs_of_others(project: Path, kaggle: Path) -> None:
    before = files(kaggle / "input")
    write_entry(kaggle / "working", "ab", ENSEMBLE, command="blend")
    blended = blend(["ab"])
    assert blended.judged.score.images == 16
    assert [member.folds for member in blended.judged.pool.members] == [[0, 1], [0, 1]]
    left = {path for path in files(kaggle / "working") if not path.startswith("kernels/")}
    assert left == {
        "submission.csv",
        *(
            f"weights/ab/{name}"
            for name in ("run.json", "pictures.csv", "out_of_fold.csv", "test.csv", "score.json")
        ),
    }
    assert files(kaggle / "input") == before
    with pytest.raises(RunError, match=r"no run 'c'; .* and in .*/input there is none"):
        find_run("c")


def test_parts_that_do_not_fit_are_refused(kaggle: Path) -> None:
    other = kaggle / "input" / "podium-b-fold-1" / "weights" / "b"
    shutil.rmtree(other)
    assemble(write_run(other, [1], seed=1, image_size=64))
    with pytest.raises(RunError, match="the recipes differ: image_size is"):
        blend(["a", "b"])


# --- Really trained


def test_two_trained_runs_with_other_folds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PODIUM_INPUT", raising=False)
    data = make_project(tmp_path, "cars")
    runs = [train("tiny", overrides, folds=[0]) for overrides in ([], ["seed=1"])]
    shutil.rmtree(data)  # it blends where there are no images
    write_entry(tmp_path, "cars-both", 'competition = "cars"\nruns = ["tiny", "tiny-seed-1"]')
    assert "have other images out of fold: " in refuse(["cars-both"])
    blended = blend(["cars-both"], common=True)
    mine, theirs = (each.folder.read_probabilities("out_of_fold").index for each in runs)
    common = blended.folder.read_probabilities("out_of_fold").index
    assert set(common) == set(mine) & set(theirs) and 0 < len(common) < len(mine)
    labels = stored_table(runs[0].folder).train["label"]
    predicted = blended.folder.read_probabilities("out_of_fold").to_numpy().argmax(axis=1)
    assert blended.judged.score.value == (labels.loc[common] == predicted).mean()
    submission, first = (pd.read_csv(each.submission) for each in (blended, runs[0]))
    assert submission["Id"].tolist() == first["Id"].tolist()
    assert list(submission.columns) == ["Id", "Category"]
