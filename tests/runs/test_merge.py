"""Parts of a run from several machines: one run, as if trained in one place, or refused."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from podium.competitions.boxes import BOX_COLUMNS
from podium.predictions.combine import assemble
from podium.runs.fold_folder import RunError
from podium.runs.merge import RESULTS, merge_run
from podium.runs.run_folder import RunFolder
from podium.runs.table import stored_table
from podium.training.train import train
from small_competitions import make_project
from small_runs import files, set_digests, write_run

# --- Really trained, on three machines

ASSEMBLE = """
import sys
sys.modules |= {"tensorflow": None, "keras": None}  # which importing them would raise for
from pathlib import Path
from podium.runs.merge import merge_run
from podium.predictions.combine import assemble
from podium.runs.run_folder import RunFolder
for part in sys.argv[1:]:
    print(merge_run(RunFolder(Path(part)), RunFolder(Path("weights/tiny"))))
outcome = assemble(RunFolder(Path("weights/tiny")))
print(outcome.combined)
print(outcome.submission)
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three projects: one trains both folds, the others one each."""
    projects = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PODIUM_INPUT", raising=False)
        for name, folds in (("both", []), ("first", [0]), ("second", [1])):
            projects[name] = tmp_path_factory.mktemp(name)
            make_project(projects[name], "sample")
            patch.chdir(projects[name])
            train("tiny", folds=folds)
    return projects


def test_folds_of_two_machines_are_put_together_as_if_trained_on_one(
    trained: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "kernels").mkdir()  # a project without images
    parts = [str(trained[name] / "weights" / "tiny") for name in ("second", "first")]
    done = subprocess.run(
        [sys.executable, "-c", ASSEMBLE, *parts],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == ["[1]", "[0]"]
    assert lines[-1] == str(tmp_path / "submissions" / "tiny.csv")
    found, wanted = files(tmp_path), files(trained["both"])
    for path in (
        "weights/tiny/pictures.csv",
        "weights/tiny/out_of_fold.csv",
        "weights/tiny/test.csv",
        "submissions/tiny.csv",
        *(f"weights/tiny/fold-{fold}/best.weights.h5" for fold in (0, 1)),
    ):
        assert found[path] == wanted[path], path
    scores = [json.loads(each["weights/tiny/score.json"]) for each in (found, wanted)]
    for score in scores:
        assert score.pop("costs").keys() == {"0", "1"}
    assert scores[0] == scores[1]


def test_a_merged_run_is_trained_on_as_any_other(
    trained: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PODIUM_INPUT", raising=False)
    for folder in ("kernels", "input"):
        shutil.copytree(trained["both"] / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    for name in ("first", "second"):
        merge_run(RunFolder(trained[name] / "weights" / "tiny"), run_here(tmp_path))
    before = files(run_here(tmp_path).path)
    outcome = train("tiny")  # finds both folds finished
    assert outcome.combined.folds == [0, 1]
    after = files(run_here(tmp_path).path)
    assert {path: after[path] for path in before} == before
    assert after["out_of_fold.csv"] == files(trained["both"])["weights/tiny/out_of_fold.csv"]


# --- Made up


def run_here(project: Path) -> RunFolder:
    return RunFolder(project / "weights" / "tiny")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """Where the parts are to be put; nothing is there yet."""
    monkeypatch.chdir(tmp_path)
    return run_here(tmp_path)


def part(tmp_path: Path, fold: int | list[int], kernel: str = "") -> RunFolder:
    """What a kernel that trained this fold has left."""
    folds = [fold] if isinstance(fold, int) else fold
    name = kernel or "-".join(map(str, folds))
    return write_run(tmp_path / f"kernel-{name}" / "tiny", folds)


def test_of_a_part_the_finished_folds_are_taken(tmp_path: Path, here: RunFolder) -> None:
    source = part(tmp_path, 1)
    wanted = {f"fold-1/{name}" for name in RESULTS} | {"run.json", "pictures.csv"}
    for name in ("out_of_fold.csv", "sitecustomize.py", "fold-1/.part-7-test.csv"):
        (source.path / name).write_text("not to be taken")
    (source.path / "fold-0").mkdir()  # begun, not finished
    (source.path / "fold-0" / "best.weights.h5").write_text("half a training")
    before = files(source.path)
    assert merge_run(source, here) == [1]
    assert set(files(here.path)) == wanted
    assert here.finished_folds() == [1]
    for path in wanted - {"run.json"}:
        assert files(here.path)[path] == before[path]
    assert files(source.path) == before


def test_checkpoints_come_along_and_take_the_place_of_others(
    tmp_path: Path, here: RunFolder
) -> None:
    def with_checkpoints(kernel: str, epochs: list[int]) -> RunFolder:
        source = part(tmp_path, 0, kernel=kernel)
        for epoch in epochs:
            path = source.fold(0).checkpoint(epoch)
            path.parent.mkdir(exist_ok=True)
            shutil.copy(source.fold(0).weights, path)
        return source

    merge_run(with_checkpoints("first", [3, 4]), here)
    assert here.fold(0).checkpoints() == [3, 4]
    second = with_checkpoints("second", [4, 5])
    second.fold(0).write_cost({"seconds": 1})
    merge_run(second, here, fresh=True)
    assert here.fold(0).checkpoints() == [4, 5]
    assert here.fold(0).checkpoint(5).read_bytes() == second.fold(0).weights.read_bytes()


def test_run_json_says_where_each_fold_comes_from(tmp_path: Path, here: RunFolder) -> None:
    assert merge_run(part(tmp_path, 1), here) == [1]
    assert merge_run(part(tmp_path, 0), here) == [0]
    run = here.read_run()
    assert run["commit"] == "commit of kernel-1", "the first part's"
    assert [row["fold"] for row in run["parts"]] == [0, 1]
    assert [row["commit"] for row in run["parts"]] == ["commit of kernel-0", "commit of kernel-1"]
    assert all("recipe" not in row and row["machine"] == "x86_64" for row in run["parts"])
    here.read_recipe()
    # Put together again from what was put together, it is still known.
    again = RunFolder(tmp_path / "again" / "tiny")
    assert merge_run(here, again) == [0, 1]
    assert again.read_run()["parts"] == run["parts"]


def test_a_second_merge_changes_nothing(tmp_path: Path, here: RunFolder) -> None:
    parts = [part(tmp_path, fold) for fold in (0, 1)]
    for each in parts:
        merge_run(each, here)
    assemble(here)
    before = files(tmp_path)
    times = {path: path.stat().st_mtime_ns for path in here.path.rglob("*")}
    for each in parts:
        assert merge_run(each, here) == []
    assert merge_run(here, here) == []
    assert files(tmp_path) == before
    assert {path: path.stat().st_mtime_ns for path in here.path.rglob("*")} == times


def test_other_results_of_a_fold_replace_it_only_if_wanted(tmp_path: Path, here: RunFolder) -> None:
    merge_run(part(tmp_path, [0, 1]), here)
    assemble(here)
    other = part(tmp_path, 0, kernel="again")
    table = other.fold(0).read_predictions("test")
    other.fold(0).write_predictions("test", table.iloc[:, ::-1].set_axis(table.columns, axis=1))
    before = files(here.path)
    with pytest.raises(RunError) as caught:
        merge_run(other, here)
    assert str(caught.value) == (
        f"{here.fold(0).path} is finished there already, with other results: keep it, or replace "
        "it with --fresh"
    )
    assert files(here.path) == before

    assert merge_run(other, here, fresh=True) == [0]
    after = files(here.path)
    assert {path for path in before if after.get(path) != before[path]} == {
        "fold-0/test.csv",
        "run.json",
        "score.json",  # gone, because it is of the folds before
    }
    commits = [row["commit"] for row in here.read_run()["parts"]]
    assert commits == ["commit of kernel-again", "commit of kernel-0-1"]
    assemble(here)
    assert here.read_score()["folds"] == [0, 1]


def test_a_half_trained_fold_is_replaced_only_if_wanted(tmp_path: Path, here: RunFolder) -> None:
    merge_run(part(tmp_path, 0), here)
    here.fold(1).write_state({"stage": 1, "epoch": 3}, [])
    before = files(here.path)
    with pytest.raises(RunError, match=r"fold-1 is half trained there: .* --fresh"):
        merge_run(part(tmp_path, 1), here)
    assert files(here.path) == before
    assert merge_run(part(tmp_path, 1, kernel="2"), here, fresh=True) == [1]
    assert here.finished_folds() == [0, 1]
    assert here.fold(1).read_progress() is None


class Killed(BaseException):
    """As a kill, nobody catches it."""


@pytest.mark.parametrize("fresh", [False, True])
def test_a_killed_merge_leaves_whole_folds_and_is_completed(
    tmp_path: Path, here: RunFolder, monkeypatch: pytest.MonkeyPatch, fresh: bool
) -> None:
    source = part(tmp_path, [0, 1])
    other = part(tmp_path, [0, 1], kernel="other")
    for fold in (0, 1):  # another training of the same folds
        other.fold(fold).write_cost({"seconds": 1})
    copy = shutil.copyfile
    number = 2 * len(RESULTS) + (not fresh)  # a new run has its table to copy as well
    for kill_at in range(number):
        shutil.rmtree(here.path, ignore_errors=True)
        if fresh:
            merge_run(other, here)
        left = [kill_at]

        def killed(source: Path, target: Path, left: list[int] = left) -> None:
            if left[0] == 0:
                target.write_bytes(source.read_bytes()[:50])
                raise Killed
            left[0] -= 1
            copy(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(shutil, "copyfile", killed)
            with pytest.raises(Killed):
                merge_run(source, here, fresh)
        for fold in here.finished_folds():
            found = files(here.fold(fold).path)
            assert found in (files(source.fold(fold).path), files(other.fold(fold).path))
        assert len(here.finished_folds()) == (2 if fresh else max(0, kill_at - 1) // len(RESULTS))
        merge_run(source, here, fresh)
        for fold in (0, 1):
            assert files(here.fold(fold).path) == files(source.fold(fold).path)
        origins = [row["commit"] for row in here.read_run()["parts"]]
        assert origins == ["commit of kernel-0-1"] * 2


# --- What does not belong together


def change_images(folder: RunFolder, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    path = folder.path / "pictures.csv"
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    change(table).to_csv(path, index=False)


def refuse(source: RunFolder, into: RunFolder) -> str:
    """What the refusal says; nothing may have changed."""
    place = into.path.parent.parent
    before = files(place)
    with pytest.raises(RunError) as caught:
        merge_run(source, into)
    assert files(place) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_another_recipe_is_refused(tmp_path: Path, here: RunFolder) -> None:
    write_run(here.path, folds=[0])
    other = write_run(tmp_path / "kernel-1" / "tiny", [1], image_size=64)
    message = refuse(other, here)
    assert f"{other.path} is no part of the run {here.path}" in message
    assert "the recipes differ: image_size is 224 here, 64 there" in message
    assert "Put it into a folder of another name" in message


def test_another_split_is_refused(tmp_path: Path, here: RunFolder) -> None:
    write_run(here.path, folds=[0])
    other = part(tmp_path, 1)

    def swap(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[table["fold"] != "", "fold"] = table["fold"].map({"0": "1", "1": "0"})
        return table

    change_images(other, swap)
    scored = stored_table(other).train.query("fold == 1").index
    validation = write_run(tmp_path / "x" / "tiny", [0]).fold(0).read_predictions("validation")
    assert set(validation.index.unique("id")) == set(scored)
    other.fold(1).write_predictions("validation", validation)
    message = refuse(other, here)
    assert "16 images have another fold" in message


def test_groups_that_are_numbered_otherwise_do_not_matter(tmp_path: Path, here: RunFolder) -> None:
    write_run(here.path, folds=[0])
    other = part(tmp_path, 1)
    rows = files(other.path)["pictures.csv"]

    def renumber(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(group=[f"{int(n) + 5}" if n else "" for n in table["group"]])

    change_images(other, renumber)
    assert files(other.path)["pictures.csv"] != rows
    assert merge_run(other, here) == [1]


def test_a_test_image_that_only_one_machine_can_read_is_said(
    tmp_path: Path, here: RunFolder
) -> None:
    write_run(here.path, folds=[0])
    other = part(tmp_path, 1)

    def break_one(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(problem=["cut off" if n == "10" else "" for n in table["id"]])

    change_images(other, break_one)
    readable = other.fold(1).read_predictions("test").drop(index="10", level="id")
    other.fold(1).write_predictions("test", readable)
    assert "1 images can be read in only one of the two" in refuse(other, here)


def test_other_boxes_are_refused(tmp_path: Path, here: RunFolder) -> None:
    write_run(here.path, folds=[0])
    other = part(tmp_path, 1)

    def boxed(x_max: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
        """Every training image with a box but the first, the last of them up to x_max."""

        def change(table: pd.DataFrame) -> pd.DataFrame:
            train = table.index[table["part"] == "train"]
            for column, value in zip(BOX_COLUMNS, ("0.1", "0.2", "0.5", "0.9"), strict=True):
                table[column] = ""
                table.loc[train[1:], column] = value
            table.loc[train[-1], "x_max"] = x_max
            return table

        return change

    change_images(other, boxed("0.5"))
    change_images(here, boxed("0.6"))
    assert "1 images have another x_max" in refuse(other, here)
    change_images(here, boxed("0.5"))
    assert merge_run(other, here) == [1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"test": ["NA", "10"]}, "they have other training or test images"),
        ({"test": ["NA", "2", "10"]}, "or another order of these"),
        ({"labels": {"clock/0": 1}}, "1 images have another label"),
    ],
    ids=["fewer", "order", "labels"],
)
def test_other_images_are_refused(
    tmp_path: Path, here: RunFolder, changes: dict[str, object], said: str
) -> None:
    write_run(here.path, folds=[0])
    assert said in refuse(write_run(tmp_path / "kernel-1" / "tiny", [1], **changes), here)


def test_other_files_of_the_same_test_images_are_refused(tmp_path: Path, here: RunFolder) -> None:
    other = write_run(tmp_path / "kernel-1" / "tiny", [1])
    for folder, digest in ((write_run(here.path, folds=[0]), "before"), (other, "now")):
        set_digests(folder, digest)
    assert "3 test images have other files by the same ids" in refuse(other, here)
    set_digests(here, "now")
    assert merge_run(other, here) == [1]


def test_a_blend_is_no_part(tmp_path: Path, here: RunFolder) -> None:
    write_run(here.path)
    blend = RunFolder(tmp_path / "kernel-1" / "tiny")
    blend.path.mkdir(parents=True)
    (blend.path / "run.json").write_text('{"runs": ["a", "b"]}')
    (blend.path / "pictures.csv").write_text("part,id,label\n")
    assert "is a blend of a, b, not a training run" in refuse(blend, here)
    assert "is a blend of a, b, not a training run" in refuse(part(tmp_path, 0), blend)


# --- Parts that are damaged, or worse


def cut(name: str) -> Callable[[RunFolder], None]:
    """Cut the file off in its middle."""

    def damage(folder: RunFolder) -> None:
        path = folder.path / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return damage


def write(name: str, text: str) -> Callable[[RunFolder], None]:
    return lambda folder: (folder.path / name).write_text(text) and None


def remove(name: str) -> Callable[[RunFolder], None]:
    return lambda folder: (folder.path / name).unlink()


def link(name: str) -> Callable[[RunFolder], None]:
    """Put a link in place of a file or folder, to the same content elsewhere."""

    def damage(folder: RunFolder) -> None:
        path = folder.path / name
        elsewhere = folder.path.parent.parent / "elsewhere"
        path.rename(elsewhere)
        path.symlink_to(elsewhere)

    return damage


def fewer_images(folder: RunFolder) -> None:
    table = folder.fold(0).read_predictions("test")
    folder.fold(0).write_predictions("test", table.drop(index="10", level="id"))


def leak(folder: RunFolder) -> None:
    def one_group(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(group=["0" if n else "" for n in table["group"]])

    change_images(folder, one_group)


def another_fold(folder: RunFolder) -> None:
    folder.fold(0).path.rename(folder.fold(7).path)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (remove("run.json"), "run.json is missing"),
        (remove("pictures.csv"), "has no table of images yet"),
        (remove("fold-0/cost.json"), "cost.json is missing: was all of the part fetched?"),
        (remove("fold-0/test.csv"), "has no finished fold"),
        (write("run.json", "[]"), "cannot be read as a run"),
        (write("run.json", "{"), "is not as Podium writes it"),
        (write("pictures.csv", ""), "is not as Podium writes it"),
        (write("pictures.csv", "part,id\ntrain,a\n"), "is not as Podium writes it"),
        (leak, "near-identical images"),
        (cut("fold-0/best.weights.h5"), "fold 0 of .* is damaged: .*truncated"),
        (write("fold-0/best.weights.h5", "<html>"), "is damaged: .*or a web page"),
        (cut("fold-0/validation.csv"), "is damaged"),
        (cut("fold-0/test.csv"), "is damaged"),
        (write("fold-0/test.csv", "<html>"), "is damaged"),
        (write("fold-0/cost.json", "{"), "is damaged"),
        (fewer_images, "test.csv lacks some of 3 images in 2 views"),
        (another_fold, "fold 7: this recipe has the folds 0 to 1"),
        (link("run.json"), "run.json is a link that leads out of its run"),
        (link("fold-0/test.csv"), "test.csv is a link that leads out of its run"),
        (link("fold-0"), "fold-0 is a link that leads out of its run"),
    ],
)
def test_a_damaged_part_is_refused(
    tmp_path: Path, here: RunFolder, damage: Callable[[RunFolder], None], said: str
) -> None:
    source = part(tmp_path, 0)
    damage(source)
    with pytest.raises(RunError, match=said) as caught:
        merge_run(source, here)
    assert str(source.path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not here.path.exists()


PSEUDO = {"unfreeze": "all", "epochs": 1, "learning_rate": 0.1, "pseudo": {"from": "a"}}


def test_what_joined_the_training_comes_along(tmp_path: Path, here: RunFolder) -> None:
    parts = [
        write_run(tmp_path / f"kernel-{fold}" / "tiny", [fold], stages=[PSEUDO]) for fold in (0, 1)
    ]
    for fold, each in enumerate(parts):
        with pytest.raises(RunError, match=r"pseudo\.json is missing"):
            merge_run(each, here)
        each.fold(fold).write_pseudo({"stages": [{"stage": 0, "knows_the_fold": f"{fold}"}]})
        assert merge_run(each, here) == [fold]
    for fold in (0, 1):
        assert here.fold(fold).read_pseudo()["stages"][0]["knows_the_fold"] == str(fold)
    for damage in ("{", "[]", '{"stages": [1]}', '{"stages": [{}]}'):
        (parts[0].fold(0).path / "pseudo.json").write_text(damage)
        with pytest.raises(RunError, match=r"fold 0 of .* is damaged: "):
            merge_run(parts[0], here, fresh=True)


def test_what_a_network_stems_from_comes_along(tmp_path: Path, here: RunFolder) -> None:
    parts = [
        write_run(tmp_path / f"kernel-{fold}" / "tiny", [fold], weights="run:a") for fold in (0, 1)
    ]
    about = {"run": "a", "competition": "intel", "weights": "a digest"}
    for fold, each in enumerate(parts):
        with pytest.raises(RunError, match=r"started_from\.json is missing"):
            merge_run(each, here)
        each.fold(fold).write_start([{**about, "fold": fold}])
        assert merge_run(each, here) == [fold]
    for fold in (0, 1):
        assert here.fold(fold).read_start() == [{**about, "fold": fold}]
    for damage in ("{", "[]", '{"runs": [1]}', '{"runs": [{}]}'):
        (parts[0].fold(0).path / "started_from.json").write_text(damage)
        with pytest.raises(RunError, match=r"fold 0 of .* is damaged: "):
            merge_run(parts[0], here, fresh=True)
    other = write_run(tmp_path / "kernel-2" / "tiny", [0], weights="run:b")
    other.fold(0).write_start([{**about, "fold": 0}])
    with pytest.raises(RunError, match="weights is 'run:a' here, 'run:b' there"):
        merge_run(other, here)


def test_folds_that_are_scored_are_taken_where_no_test_is_asked_for(tmp_path: Path) -> None:
    part, into = write_run(tmp_path / "a" / "run", folds=[1]), RunFolder(tmp_path / "b" / "run")
    (part.fold(1).path / "test.csv").unlink()
    with pytest.raises(RunError, match="has no finished fold"):
        merge_run(part, into)
    assert merge_run(part, into, tested=False) == [1]
    assert into.scored_folds() == [1] and into.finished_folds() == []
