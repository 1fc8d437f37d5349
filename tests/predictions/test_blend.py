"""A blend: a run by id with an honest score, written and adopted as a whole."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from podium.kaggle.kernel_start import join_parts
from podium.predictions.blend import FILES, adopt_blend, blend
from podium.predictions.blend_selection import BlendChoice
from podium.predictions.combine import assemble
from podium.recipes.recipe_file import RecipeError, load_ensemble
from podium.runs.find_run import find_run
from podium.runs.fold_folder import RunError
from podium.runs.run_folder import RunFolder
from small_competitions import write_entry
from small_runs import CLASSES, TEST, TRAIN, files, write_run

REPOSITORY = Path(__file__).parents[2]
ENSEMBLES = sorted((REPOSITORY / "kernels").glob("*-ensemble"))
TEST_NUMBERS = {"NA": "1", "10": "2", "2": "3"}  # as dogs-vs-cats has them
ENSEMBLE = 'competition = "clocks-or-crocs"\nruns = ["a", "b"]\n'


def run(name: str) -> RunFolder:
    return RunFolder(Path("weights", name).resolve())


def accuracy(probabilities: pd.DataFrame) -> float:
    right = [CLASSES.index(name.split("/")[0]) for name in probabilities.index]
    return (probabilities.to_numpy().argmax(axis=1) == right).mean()


# --- The result


def test_a_blend_is_a_run_with_a_submission(project: Path) -> None:
    blended = blend(["a", "b", "c"])
    assert blended.submission == project / "submissions" / "blend.csv"
    assert blended.folder.path == project / "weights" / "blend"
    assert sorted(files(blended.folder.path)) == sorted(FILES)
    for name, ids in (("test", TEST), ("out_of_fold", TRAIN)):
        found = blended.folder.read_probabilities(name)
        assert sorted(found.index) == sorted(ids)
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    submission = pd.read_csv(blended.submission, dtype=str, keep_default_na=False)
    assert submission["id"].tolist() == TEST
    test = blended.folder.read_probabilities("test")
    assert submission["label"].tolist() == [CLASSES[n] for n in test.to_numpy().argmax(axis=1)]
    # Each score is of the same images.
    assert blended.score.value == accuracy(blended.folder.read_probabilities("out_of_fold"))
    for name, score in zip("abc", blended.scores, strict=True):
        assert score.value == accuracy(run(name).read_probabilities("out_of_fold"))
        assert score.images == len(TRAIN)
    best = max(score.value for score in blended.scores)
    assert blended.gain.value == pytest.approx(blended.score.value - best)


def test_the_weights_in_the_score_make_the_test_predictions(project: Path) -> None:
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


def test_a_stored_blend_makes_the_test_predictions_again(project: Path) -> None:
    for seed, name in ((3, "d"), (4, "e")):
        assemble(write_run(run(name).path, seed=seed))
    found = blend(["d", "e"]).folder
    stored, test = found.read_score()["fitted"], found.read_probabilities("test")
    members = [run(name).read_probabilities("test").loc[test.index].to_numpy() for name in "de"]
    again = BlendChoice.from_dict(stored)(np.stack(members))
    np.testing.assert_allclose(again, test.to_numpy(), rtol=1e-6)


def test_the_printed_tables_have_a_line_for_each_run_and_method(project: Path) -> None:
    blended = blend(["a", "b"], to=Path("out/ab.csv"))
    lines = str(blended).splitlines()
    assert lines[0].split() == ["run", "accuracy", "95", "%", "interval", "folds", "weight"]
    assert [line.split()[0] for line in lines[1:3]] == ["a", "b"]
    assert "  0, 1  " in lines[1]
    assert lines[4].split() == ["blended", "by", "accuracy", "95", "%", "interval"]
    taken = [line for line in lines if "taken: the simplest" in line]
    assert len(taken) == 1 and taken[0].startswith(blended.choice.method)
    assert f"score       accuracy {blended.score.value:.4f}" in str(blended)
    assert f"gain        {blended.gain.value:+.4f} over " in str(blended)
    assert lines[-2:] == [f"run         {project / 'weights' / 'ab'}", "submission  out/ab.csv"]
    assert Path("out/ab.csv").is_file()
    summary = blended.folder.read_score()
    assert summary["score"] == blended.score.as_dict()
    assert summary["gain"]["value"] == blended.gain.value
    assert [row["run"] for row in summary["runs"]] == ["a", "b"]


def test_a_log_loss_is_calibrated(project: Path) -> None:
    for name in "ab":
        about = run(name).read_run()
        about["recipe"]["competition"] = "dogs-vs-cats"
        run(name).write_run(about)
        for file in ("test.csv", "out_of_fold.csv"):
            table = pd.read_csv(run(name).path / file, dtype=str, keep_default_na=False)
            table = table.replace({"id": TEST_NUMBERS}).set_axis(["id", "cat", "dog"], axis=1)
            table.to_csv(run(name).path / file, index=False)
    blended = blend(["a", "b"])
    assert "  calibrated" in str(blended).splitlines()[4]
    summary = blended.folder.read_score()
    assert summary["methods"][summary["method"]]["calibrated"]["metric"] == "log loss"
    assert pd.read_csv(blended.submission)["id"].tolist() == [1, 2, 3]


def test_the_same_blend_again_gives_the_same_files(project: Path) -> None:
    first = blend(["a", "b"])
    kept = ("submissions/blend.csv", "weights/blend/out_of_fold.csv", "weights/blend/score.json")
    before = files(project)
    left = first.folder.path / ".part-999999999-test.csv"
    left.write_text("half a file")
    blend(["a", "b"])
    after = files(project)
    assert [after[path] for path in kept] == [before[path] for path in kept]
    assert not left.exists()
    blend(["a", "c"])
    assert find_run("blend").read_blended() == ["a", "c"], "other runs replace it"


def test_a_blend_is_blended_as_a_run_and_not_trained(project: Path) -> None:
    ab = blend(["a", "b"], to=Path("submissions/ab.csv"))
    abc = blend(["ab", "c"])
    # Its images out of fold were not part of the choice that predicts them.
    assert abc.scores[0].value == ab.score.value
    with pytest.raises(RunError, match=r"replace its own run blend: name it otherwise, with --to"):
        blend(["blend", "c"])
    with pytest.raises(RunError, match="is a blend of a, b, not a training run"):
        find_run("ab").read_recipe()


@pytest.mark.parametrize(
    ("runs", "to", "expected"),
    [
        ([], None, "name two runs or more, or an ensemble of kernels/ (there are: ab)"),
        (["a"], None, "a alone is no blend: name two runs or more"),
        (["a", "b"], "submissions/c.csv", "weights/c is a training run: name the blend otherwise"),
        (["a", "b"], "weights", "--to weights is a folder: name the file"),
    ],
)
def test_a_blend_of_one_run_or_over_another_is_refused(
    project: Path, runs: list[str], to: str | None, expected: str
) -> None:
    write_entry(project, "ab", ENSEMBLE, command="blend")
    before = files(Path())
    with pytest.raises(RunError) as caught:
        blend(runs, to and Path(to))
    assert expected in str(caught.value)
    assert files(Path()) == before


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


def test_an_ensemble_of_another_competition_than_its_runs_is_refused(project: Path) -> None:
    write_entry(project, "ab", ENSEMBLE.replace("clocks-or-crocs", "cars"), command="blend")
    with pytest.raises(RunError, match="is of cars, not clocks-or-crocs"):
        blend(["ab"])


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ('runs = ["a", "b"]', "competition: is missing"),
        (ENSEMBLE + "run = 3", "run: unknown key; did you mean runs?"),
        (ENSEMBLE + "seed = 3", "seed: unknown key; see docs/recipes.md"),
        ('competition = "cars"\nruns = ["a"]', "runs: came ['a'], List should have at least 2"),
        ('competition = "cars"\nruns = "a"', "runs: came 'a', should be a valid list"),
        ('competition = "cars"\nruns = ["a", "../b"]', "runs.1: came '../b'"),
    ],
)
def test_a_wrong_ensemble_recipe_is_refused(tmp_path: Path, recipe: str, expected: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(recipe)
    with pytest.raises(RecipeError) as caught:
        load_ensemble(path)
    assert str(caught.value).startswith(f"{path}: {expected}")


@pytest.mark.parametrize("entry", ENSEMBLES, ids=lambda path: path.name)
def test_the_ensembles_of_the_repository_attach_the_kernels_of_their_runs(entry: Path) -> None:
    recipe = load_ensemble(entry / "recipe.toml")
    metadata = json.loads((entry / "kernel-metadata.json").read_text())
    assert metadata["kernel_sources"] == [f"OWNER/podium-{run}" for run in recipe.runs]
    assert f'app(["blend", "{entry.name}"' in (entry / "kernel.py").read_text()
    assert len(ENSEMBLES) == 3


# --- From another machine


@pytest.fixture(scope="module")
def made_elsewhere(three_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights/ab and submissions/ab.csv of another machine."""
    folder = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(three_runs / "weights", folder / "weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        blend(["a", "b"], to=Path("submissions/ab.csv"))
    return folder


@pytest.fixture
def fetched(project: Path, made_elsewhere: Path) -> RunFolder:
    """The blend of a and b, as it came from a kernel's output."""
    folder = RunFolder(project / "build" / "ab")
    shutil.copytree(made_elsewhere / "weights" / "ab", folder.path)
    (folder.path / "more.py").write_text("not to be taken")
    return folder


def test_a_blend_of_another_machine_is_here_as_if_made_here(
    fetched: RunFolder, made_elsewhere: Path
) -> None:
    wanted = (made_elsewhere / "submissions" / "ab.csv").read_bytes()
    assert adopt_blend(fetched, run("ab")) == Path("submissions/ab.csv").resolve()
    assert Path("submissions/ab.csv").read_bytes() == wanted
    before = files(fetched.path)
    del before["more.py"]
    assert files(run("ab").path) == before
    adopt_blend(fetched, run("ab"))  # the same again
    blend(["ab", "c"])


def test_another_blend_is_replaced_only_if_wanted(fetched: RunFolder) -> None:
    before = files(blend(["a", "c"], to=Path("submissions/ab.csv")).folder.path)
    with pytest.raises(RunError, match=r"has another out_of_fold.csv: .* --fresh"):
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
    with pytest.raises(RunError, match="run 'b' is attached in 2 places"):
        blend(["ab"])
    join_parts("b")  # as a kernel does at its start
    blended = blend(["ab"])
    assert blended.score.images == 16
    assert [member.folds for member in blended.pool.members] == [[0, 1], [0, 1]]
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
