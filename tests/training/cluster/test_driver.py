"""Folds and predictions that are shipped, done elsewhere and merged: the run is as if made here."""

import shutil
from pathlib import Path

import pytest

from here_pool import HerePool
from podium import paths
from podium.competitions import get_competition
from podium.runs.run_folder import RunFolder
from podium.training.cluster import driver, worker
from podium.training.cluster.driver import Cluster, FoldsFailed
from podium.training.cluster.shipping import versions
from podium.training.train import predict, train
from small_competitions import RECIPE, write_entry

RESULTS = ("best.weights.h5", "validation.csv", "test.csv")


def on(pool: HerePool, **options: float) -> Cluster:
    cluster = Cluster(**options)
    cluster.pool = pool
    return cluster


def same_results(one: RunFolder, other: RunFolder, folds: range = range(2)) -> bool:
    names = [f"fold-{fold}/{name}" for fold in folds for name in RESULTS]
    names += ["out_of_fold.csv", "test.csv", "pictures.csv", "checked.json"]
    return all((one.path / name).read_bytes() == (other.path / name).read_bytes() for name in names)


def run(name: str) -> RunFolder:
    return RunFolder(paths.runs() / name)


def test_a_run_that_was_trained_elsewhere_has_the_bytes_of_one_trained_here(
    trained_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = HerePool()
    result = train("tiny", run="other", cluster=on(pool))
    assert same_results(run("tiny"), run("other"))
    assert result.submission.read_bytes() == paths.submission("tiny").read_bytes()
    assert pool.done == [("fold 0 of other", 1), ("fold 1 of other", 1)]
    parts = run("other").read_run()["parts"]
    assert [part["fold"] for part in parts] == [0, 1]
    assert {"processor", "engine", "versions", "machine"} <= set(parts[0])
    assert not (paths.runs() / ".states" / "other" / "fold-0").exists()
    assert "fold 0 of other stage 1, epoch 1 of 1: loss " in capsys.readouterr().out
    # The same command finds nothing to do, and needs no cluster.
    train("tiny", run="other", cluster=Cluster("nowhere:1"))


@pytest.mark.slow
def test_a_fold_whose_node_died_goes_on_from_its_last_state(
    trained_copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(worker, "LOOKING", 0.02)
    monkeypatch.setattr(worker, "STATE_EVERY", 0.0)
    epochs = ["stages.0.epochs=12"]
    train("tiny", epochs, folds=[1], run="here")
    pool = HerePool(lost=[("fold 1 of other", 1)])
    train("tiny", epochs, folds=[1], run="other", cluster=on(pool))
    assert "going on after" in capsys.readouterr().out
    assert pool.done == [("fold 1 of other", 1), ("fold 1 of other", 2)]
    assert same_results(run("here"), run("other"), range(1, 2))


@pytest.mark.slow
def test_a_folder_that_is_shared_has_the_states(
    trained_copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(worker, "LOOKING", 0.02)
    monkeypatch.setattr(worker, "STATE_EVERY", 0.0)
    monkeypatch.setenv("PODIUM_RUNS", str(trained_copy / "weights"))
    states, kept = [], driver._keep_state

    def keep(folder: RunFolder, fold: int, packed: bytes) -> None:
        states.append(fold)
        kept(folder, fold, packed)

    monkeypatch.setattr(driver, "_keep_state", keep)
    pool = HerePool(lost=[("fold 1 of other", 1)])
    epochs = ["stages.0.epochs=12"]
    train("tiny", epochs, [1], "other", cluster=on(pool))
    assert states == [1]
    assert "going on after" in capsys.readouterr().out
    assert not (trained_copy / "weights" / ".states" / "other" / "fold-1").exists()


def test_a_mistake_names_its_fold_and_the_others_are_finished(
    trained_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PODIUM_INPUT", str(trained_copy / "input"))
    pool = HerePool()

    def other_data(order, send):
        if order["fold"] == 0:
            image = next((trained_copy / "input" / "podium-sample" / "train").rglob("*.*g"))
            before = image.read_bytes()
            image.write_bytes(before[:-1])
            try:
                return worker.work(order, send)
            finally:
                image.write_bytes(before)
        return worker.work(order, send)

    monkeypatch.setattr("here_pool.work", other_data)
    with pytest.raises(FoldsFailed, match=r"^fold 0: the training images in .* have other sizes"):
        train("tiny", run="other", cluster=on(pool))
    assert run("other").finished_folds() == [1]
    monkeypatch.setattr("here_pool.work", worker.work)
    train("tiny", run="other", cluster=on(pool))
    assert pool.done == [("fold 0 of other", 1), ("fold 1 of other", 1), ("fold 0 of other", 1)]
    assert same_results(run("tiny"), run("other"))


def test_a_node_with_other_versions_is_refused_in_one_line(
    trained_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "versions", lambda: {**versions(), "keras": "2.0"})
    pool = HerePool()
    with pytest.raises(ValueError, match=r"^here: this node has keras \S+ for 2.0: install"):
        train("tiny", run="other", cluster=on(pool))
    assert pool.cancelled
    assert len(pool.done) == 1


def test_data_is_shipped_where_a_node_has_none(
    trained_copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = trained_copy / "input" / "podium-sample"
    away = data.with_name("away")

    def without_data(order, send):
        data.rename(away)
        try:
            return worker.work(order, send)
        finally:
            away.rename(data)

    monkeypatch.setattr("here_pool.work", without_data)
    train("tiny", folds=[0], run="other", cluster=on(HerePool(), ship_input=True))
    assert same_folds(run("tiny"), run("other"), 0)
    assert "shipping" in capsys.readouterr().out


def test_too_much_data_is_not_shipped(trained_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("podium.training.cluster.shipping.LARGEST", 1000)
    pool = HerePool()
    with pytest.raises(ValueError, match="copy it to each node, and set PODIUM_INPUT there"):
        train("tiny", folds=[0], run="other", cluster=on(pool, ship_input=True))
    assert not pool.given


def test_an_image_of_the_same_size_and_other_bytes_is_found(
    trained_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = next((trained_copy / "input" / "podium-sample" / "train").rglob("*.*g"))

    def other_bytes(order, send):
        before = image.read_bytes()
        image.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        return worker.work(order, send)

    monkeypatch.setattr("here_pool.work", other_bytes)
    with pytest.raises(FoldsFailed, match=r"^fold 0: .* has another training image"):
        train("tiny", folds=[0], run="other", cluster=on(HerePool()))


@pytest.mark.parametrize("has_gpus", [False, True])
def test_a_fold_gets_gpus_or_threads_and_the_memory_that_others_took(
    trained_copy: Path, monkeypatch: pytest.MonkeyPatch, has_gpus: bool
) -> None:
    monkeypatch.setattr("here_pool.work", lambda order, send: ("failed", "not here"))
    shutil.rmtree(run("tiny").fold(1).path)
    pool = HerePool(has_gpus=has_gpus, largest_node=3)
    with pytest.raises(FoldsFailed, match=r"^fold 1: not here"):
        train("tiny", cluster=on(pool, gpus_per_fold=2))
    (given,) = pool.given
    assert (given.cpus, given.gpus) == ((0, 2) if has_gpus else (3, 0))
    peak = run("tiny").fold(0).read_cost()["peak_memory_gb"]
    assert peak * 1e9 < given.memory < 1.2 * peak * 1e9


def same_folds(one: RunFolder, other: RunFolder, fold: int) -> bool:
    places = [folder.fold(fold).path for folder in (one, other)]
    return all(
        (places[0] / name).read_bytes() == (places[1] / name).read_bytes() for name in RESULTS
    )


@pytest.mark.slow
def test_a_run_that_starts_from_another_one_takes_it_along(trained_copy: Path) -> None:
    warm = RECIPE.format(competition="sample").replace('"none"', '"run:tiny"')
    write_entry(trained_copy, "warm", warm)
    train("warm", run="here")
    train("warm", run="other", cluster=on(HerePool()))
    assert same_results(run("here"), run("other"))
    assert run("other").fold(0).read_start() == run("here").fold(0).read_start()


@pytest.mark.slow
def test_a_limit_of_time_is_shared_by_the_folds_one_after_another(trained_copy: Path) -> None:
    pool = HerePool(slots_=1)
    train("tiny", minutes=600, run="other", cluster=on(pool))
    assert [order["waves"] for order in pool.orders] == [2, 2]
    assert all(order["end"] for order in pool.orders)
    assert run("other").fold(0).read_cost()["time_plan"]


def test_predictions_in_parts_have_the_bytes_of_those_made_at_once(
    trained_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "FEWEST", 2)
    before = {path: path.read_bytes() for path in (run("tiny").path).rglob("*.csv")}
    submission = paths.submission("tiny").read_bytes()
    run("tiny").delete_test()
    pool = HerePool(slots_=8)
    recipe = run("tiny").read_run()
    recipe["recipe"]["batch_size"] = 4
    run("tiny").write_run(recipe)
    _, written = predict("tiny", cluster=on(pool))
    assert len(pool.done) == 2 * 3  # 9 images, in whole batches of 4
    assert {path: path.read_bytes() for path in before} == before
    assert written.read_bytes() == submission


def test_a_part_of_other_test_images_fails_its_fold(
    trained_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = get_competition("sample").read_test()["path"].iloc[0]
    before = test.read_bytes()

    def other_image(order, send):
        test.write_bytes(before + b"0")
        try:
            return worker.work(order, send)
        finally:
            test.write_bytes(before)

    monkeypatch.setattr("here_pool.work", other_image)
    with pytest.raises(FoldsFailed, match="has 1 other test images"):
        predict("tiny", cluster=on(HerePool()))
