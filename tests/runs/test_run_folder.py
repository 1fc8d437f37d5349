"""The run folder: files whole or not at all, numbers to the last bit, ids as they are."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from podium.files.atomic_write import write_json
from podium.files.locks import Busy
from podium.recipes.recipe import Recipe
from podium.recipes.recipe_file import parse_recipe
from podium.runs.fold_folder import FoldFolder, RunError
from podium.runs.run_folder import MAX_NAME, RunFolder, run_name

STRANGE_IDS = [
    "001", "1", "NA", "nan", "None", "null", "1e5", "0x1F", "True", "-inf", "2020-01-01",
    "a b", " front", "back ", "a,b", 'say "hi"', "it's", "línea/ñ.jpg", "車.png", "#1", "a\nb",
]  # fmt: skip


def recipe(**changes: object) -> Recipe:
    return parse_recipe({"competition": "cars", "backbone": "resnet-small", **changes}, "here")


def any_floats(count: int) -> np.ndarray:
    """Finite float32 of every size, drawn by their bits: the smallest and largest among them."""
    bits = np.random.default_rng(0).integers(0, 2**32, 2 * count, dtype=np.uint32)
    floats = bits.view(np.float32)
    floats = floats[np.isfinite(floats)][: count - 5]
    edges = [0.0, 1e-45, 1.1754944e-38, 3.4028235e38, 1 / 3]
    return np.concatenate([floats, np.array(edges, np.float32)])


# --- Tables


def test_probabilities_keep_every_bit(tmp_path: Path) -> None:
    values = any_floats(3000).reshape(-1, 3)
    ids = pd.Index([str(number) for number in range(len(values))], name="id")
    folder = RunFolder(tmp_path)
    folder.write_probabilities("test", pd.DataFrame(values, ids, ["a", "b", "c"]))
    read = folder.read_probabilities("test").to_numpy()
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read.view(np.uint32), values.view(np.uint32))


def test_predictions_of_a_fold_keep_every_bit(tmp_path: Path) -> None:
    values = any_floats(400).reshape(-1, 2)
    ids = [str(number) for number in range(len(values) // 2)]
    index = pd.MultiIndex.from_product([["plain", "top left"], ids], names=["view", "id"])
    table = pd.DataFrame(values, index.swaplevel(), ["a", "b"])
    fold = FoldFolder(tmp_path / "fold-0")
    fold.write_predictions("validation", table)
    pd.testing.assert_frame_equal(fold.read_predictions("validation"), table, check_exact=True)


def test_ids_stay_the_strings_they_are(tmp_path: Path) -> None:
    folder, count = RunFolder(tmp_path), len(STRANGE_IDS)
    ids = pd.Index(STRANGE_IDS, dtype=str, name="id")
    values = np.full((count, 2), 0.5, np.float32)

    folder.write_probabilities("test", pd.DataFrame(values, ids, ["a", "b"]))
    assert folder.read_probabilities("test").index.tolist() == STRANGE_IDS

    views = pd.MultiIndex.from_product([ids, ["plain"]], names=["id", "view"])
    folder.fold(0).write_predictions("test", pd.DataFrame(values, views, ["a", "b"]))
    read = folder.fold(0).read_predictions("test")
    assert read.index.get_level_values("id").tolist() == STRANGE_IDS

    part = pd.Series(["train"] * (count - 1) + ["test"], ids, name="part")
    folder.write_images(part.to_frame().assign(label=0, group=0, fold=0, problem="NA"))
    images = folder.read_images()
    assert images is not None
    assert images.index.tolist() == STRANGE_IDS
    assert set(images["problem"]) == {"NA"}


def test_the_table_of_images_comes_back(tmp_path: Path) -> None:
    train = pd.DataFrame(
        {"label": [1, 0], "group": [0, 1], "fold": [0, -2], "problem": ""},
        pd.Index(["007", "x"], name="id"),
    )
    test = pd.DataFrame({"problem": ["", "empty, or\nbroken"]}, pd.Index(["1", "2"], name="id"))
    folder = RunFolder(tmp_path)
    assert folder.read_images() is None
    folder.write_images(pd.concat({"train": train, "test": test}, names=["part", "id"]))
    read = folder.read_images()
    assert read is not None
    assert read["part"].tolist() == ["train", "train", "test", "test"]
    back = read[read["part"] == "train"].astype({"label": int, "group": int, "fold": int})
    assert back[train.columns].to_dict() == train.to_dict()
    assert read.loc[read["part"] == "test", "problem"].to_dict() == test["problem"].to_dict()


def test_probabilities_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"test\.csv is missing: train the run to its end first"):
        RunFolder(tmp_path).read_probabilities("test")


def test_the_state_of_a_training_comes_back_and_goes(tmp_path: Path) -> None:
    fold = FoldFolder(tmp_path / "fold-0")
    assert fold.read_progress() is None
    arrays = [any_floats(100), np.array(7), np.zeros((2, 0), np.float16)]
    arrays += [np.full(2, number) for number in range(12)]  # array_10 must not come before array_2
    fold.write_state({"stage": 1, "epoch": 3}, arrays)
    assert fold.read_progress() == {"stage": 1, "epoch": 3}
    read = fold.read_arrays()
    assert len(read) == len(arrays)
    for back, array in zip(read, arrays, strict=True):
        assert back.dtype == array.dtype
        np.testing.assert_array_equal(back, array)
    fold.delete_state()
    fold.delete_state()  # which is no mistake
    assert fold.read_progress() is None


def test_a_fold_is_finished_once_its_test_predictions_are_there(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    for number in (10, 2, 0):
        folder.fold(number).write_cost({"seconds": 1})
    assert folder.finished_folds() == []
    for number in (10, 2):
        (folder.fold(number).path / "test.csv").write_text("id,view,a\n")
    assert folder.finished_folds() == [2, 10]


# --- Names


def test_the_name_of_a_run_tells_what_was_changed() -> None:
    assert run_name("cars-b6", []) == "cars-b6"
    assert run_name("cars-b6", ["image_size=224", "seed=1"]) == "cars-b6-image_size-224-seed-1"


@pytest.mark.parametrize("override", ["weights=../../etc/x", "head.taps=[a, b]", "weights=a b"])
def test_the_name_of_a_run_is_one_folder(override: str) -> None:
    name = run_name("cars-b6", [override])
    assert Path(name).name == name
    assert not set(name) & set(" /\\[],=\"'")


def test_long_names_are_cut_and_stay_different() -> None:
    stages = "stages=[{epochs=1, learning_rate=0.1}" + ", {epochs=1, learning_rate=0.1}" * 9
    names = {run_name("cars-b6", [f"{stages}]", f"seed={seed}"]) for seed in range(3)}
    assert len(names) == 3
    assert max(map(len, names)) <= MAX_NAME == 100
    assert all(len(name.encode()) < 255 for name in names)


# --- Beginning


def test_a_run_begins_with_its_recipe_and_goes_on_with_the_same(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    assert not folder.exists
    folder.begin(recipe(seed=3), {"entry": "cars-b6", "machine": "first"}, fresh=False)
    assert folder.read_recipe() == recipe(seed=3)
    assert folder.read_run()["entry"] == "cars-b6"
    before = (folder.path / "run.json").read_bytes()
    folder.begin(recipe(seed=3), {"entry": "cars-b6", "machine": "second"}, fresh=False)
    assert (folder.path / "run.json").read_bytes() == before


def test_a_run_goes_on_with_its_own_choice_of_epochs_and_the_time_of_this_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder(tmp_path / "run")
    assert folder.begin(recipe(), {}, fresh=False) == recipe()
    assert folder.begin(recipe(time_budget=5), {}, fresh=False) == recipe(time_budget=5)
    assert capsys.readouterr().out == ""
    assert folder.begin(recipe(keep="best"), {}, fresh=False) == recipe()
    assert capsys.readouterr().out == 'this run began with keep = "last", and goes on with it\n'


def test_another_recipe_is_refused_and_nothing_overwritten(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin(recipe(image_size=64), {}, fresh=False)
    folder.fold(0).write_cost({"seconds": 1})
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    with pytest.raises(RunError) as caught:
        folder.begin(recipe(image_size=96, seed=1), {}, fresh=False)
    message = str(caught.value)
    assert "image_size was 64, is now 96" in message
    assert "--run NAME" in message
    assert "--fresh" in message
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json")} == before


def test_nothing_is_trained_into_a_soup(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "a-soup")
    runs = [{"run": "a", "started": "then"}, {"run": "b", "started": "then"}]
    folder.write_run({"recipe": recipe().model_dump(), "soup": {"runs": runs, "folds": []}})
    assert folder.read_souped() == ["a", "b"]
    assert folder.read_blended() == []
    with pytest.raises(RunError, match="is a soup of a, b, which nothing is trained into"):
        folder.begin(recipe(), {}, fresh=False)


def test_fresh_begins_again(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin(recipe(seed=1), {}, fresh=True)
    folder.fold(0).write_cost({"seconds": 1})
    folder.begin(recipe(seed=2), {}, fresh=True)
    assert folder.read_recipe().seed == 2
    assert not folder.fold(0).path.exists()


def test_fresh_replaces_the_run_whole_even_where_it_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin(recipe(seed=1), {}, fresh=True)
    folder.fold(0).write_cost({"seconds": 1})

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            folder.begin(recipe(seed=2), {}, fresh=True)
    assert not folder.path.exists()  # nothing of the old recipe is left under its name
    folder.begin(recipe(seed=2), {}, fresh=False)
    assert folder.read_recipe().seed == 2
    assert folder.finished_folds() == folder.scored_folds() == []
    assert {path.name for path in tmp_path.iterdir()} == {".locks", "run"}


def test_a_fold_has_one_writer_and_others_may_be_written_beside_it(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin(recipe(), {}, fresh=False)
    code = f"""
from pathlib import Path
from podium.runs.run_folder import RunFolder
with RunFolder(Path({str(folder.path)!r})).writing([0]):
    print("held", flush=True)
    input()
"""
    pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], text=True, **pipe) as process:
        assert process.stdout.readline() == "held\n"
        with folder.writing([1]), folder.sharing():
            pass
        for folds in ([0], [1, 0], None):
            told = pytest.raises(Busy, match=f"fold 0 of .*run is .* {process.pid} on ")
            with told, folder.writing(folds):
                pytest.fail("two writers")
        with pytest.raises(Busy):
            folder.begin(recipe(seed=2), {}, fresh=True)
        assert folder.read_recipe() == recipe()
        process.stdin.close()
    with folder.writing():
        assert folder.exists


def test_a_kill_while_a_fold_is_replaced_loses_neither(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin(recipe(), {}, fresh=False)
    for name in ("fold-0", ".old-fold-0", ".old-fold-1", ".part-999999999-fold-1"):
        (folder.path / name).mkdir()
        (folder.path / name / "cost.json").write_text(f'{{"of": "{name}"}}')
    folder.begin(recipe(), {}, fresh=False)
    assert folder.fold(0).read_cost() == {"of": "fold-0"}
    assert folder.fold(1).read_cost() == {"of": ".old-fold-1"}
    assert {path.name for path in folder.path.iterdir()} == {"run.json", "fold-0", "fold-1"}


def test_fresh_does_not_empty_a_folder_that_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    RunFolder(tmp_path).begin(recipe(), {}, fresh=True)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("key", ["warm_restarts", "seed"])
def test_a_run_of_an_older_version_is_told_and_left_alone(tmp_path: Path, key: str) -> None:
    old = {**recipe().model_dump(), key: "as it was"}
    write_json(tmp_path / "run.json", {"recipe": old, "versions": {"podium": "0.0.7"}})
    before = (tmp_path / "run.json").read_bytes()
    for act in (
        RunFolder(tmp_path).read_recipe,
        lambda: RunFolder(tmp_path).begin(recipe(), {}, fresh=False),
    ):
        with pytest.raises(RunError) as caught:
            act()
        message = str(caught.value)
        assert key in message
        assert "written by Podium 0.0.7" in message
        assert "--run NAME" in message
        assert (tmp_path / "run.json").read_bytes() == before


def test_a_run_without_a_key_that_is_new_goes_on_with_its_default(tmp_path: Path) -> None:
    old = recipe().model_dump()
    del old["tensorboard"]
    (tmp_path / "run.json").write_text(json.dumps({"recipe": old}))
    RunFolder(tmp_path).begin(recipe(), {}, fresh=False)
    with pytest.raises(RunError, match="tensorboard was False, is now True"):
        RunFolder(tmp_path).begin(recipe(tensorboard=True), {}, fresh=False)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounts a small disk")
def test_a_disk_without_room_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", disk], check=False)
    if mounted.returncode:
        pytest.skip("this machine does not let us mount a disk")
    try:
        fold = FoldFolder(disk / "fold-0")
        fold.write_state({"stage": 0}, [np.zeros(10)])
        with pytest.raises(OSError, match=r"no space left: the next file needs 12\.4 MB"):
            fold.write_state({"stage": 1}, [np.zeros(1_000_000)])
        assert fold.read_progress() == {"stage": 0}
        assert [path.name for path in fold.path.iterdir()] == ["state.npz"]
    finally:
        subprocess.run(["umount", disk], check=True)
