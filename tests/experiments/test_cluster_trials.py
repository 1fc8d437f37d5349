"""Comparisons and searches whose folds are trained elsewhere: as many, and as good, as here."""

from pathlib import Path

import optuna
import pytest

from here_pool import HerePool
from podium import paths
from podium.experiments import tune as tuning
from podium.experiments.compare import compare
from podium.experiments.tune import tune
from podium.runs.run_folder import RunFolder
from podium.training.cluster import worker
from podium.training.cluster.driver import Cluster

TRIES = ["head.width=8,4"]


def on(pool: HerePool) -> Cluster:
    cluster = Cluster()
    cluster.pool = pool
    return cluster


def studied() -> list[optuna.trial.FrozenTrial]:
    url = f"sqlite:///{paths.runs() / 'studies.db'}"
    (study,) = optuna.get_all_study_summaries(url)
    return optuna.load_study(study_name=study.study_name, storage=url).trials


def test_folds_of_all_combinations_go_out_at_once(trained_copy: Path) -> None:
    pool = HerePool()
    comparison = compare("tiny", TRIES, overrides=["head.dropout=0.1"], cluster=on(pool))
    assert len(pool.done) == 4
    assert not comparison.failed
    assert {str(one.combination) for one in comparison.measured} == {"head.width=8", "head.width=4"}
    assert all(one.run.scored_folds() == [0, 1] for one in comparison.measured)
    assert all(one.run.finished_folds() == [] for one in comparison.measured)
    assert len((paths.runs() / "experiments.csv").read_text().splitlines()) == 3
    # All is there: the same command trains nothing.
    compare("tiny", TRIES, overrides=["head.dropout=0.1"], cluster=on(pool))
    assert len(pool.done) == 4


def test_a_combination_that_fails_ends_alone(
    trained_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_diverges(order, send):
        is_first = order["run"] == "tiny-head.dropout-0.1"
        return ("diverged", "no number") if is_first else worker.work(order, send)

    monkeypatch.setattr("here_pool.work", one_diverges)
    options = {"folds": [0], "overrides": ["head.dropout=0.1"]}
    comparison = compare("tiny", TRIES, **options, cluster=on(HerePool()))
    assert [message for _, message in comparison.failed] == ["fold 0: no number"]
    assert [str(one.combination) for one in comparison.measured] == ["head.width=4"]


@pytest.mark.slow
def test_a_search_has_several_trials_at_once_and_keeps_the_best(
    trained_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = []
    add = tuning.add_trial

    def counted(cluster, *words):
        add(cluster, *words)
        running.append(len(cluster.scheduler.units))

    monkeypatch.setattr(tuning, "add_trial", counted)
    pool = HerePool(slots_=2)
    tuned = tune("tiny", 4, searches=["head.dropout=0.01:0.6"], cluster=on(pool))
    trials = studied()
    assert [trial.state for trial in trials] == [optuna.trial.TrialState.COMPLETE] * 4
    assert tuned.trials == 4
    assert max(running) == 2
    kept = [RunFolder(paths.runs() / trial.user_attrs["run"]) for trial in trials]
    with_weights = [run.name for run in kept if run.fold(0).weights.is_file()]
    best = max(trials, key=lambda trial: trial.value).user_attrs["run"]
    assert best in with_weights and len(with_weights) <= 2  # "tiny" was there before
    # The same call finds as many as were asked for.
    tune("tiny", 4, searches=["head.dropout=0.01:0.6"], cluster=on(pool))
    assert len(studied()) == 4


@pytest.mark.slow
def test_a_search_that_is_interrupted_goes_on_with_the_same_values(
    trained_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(order, send):
        raise KeyboardInterrupt

    monkeypatch.setattr("here_pool.work", interrupted)
    options = {"searches": ["head.dropout=0.01:0.6"], "folds": [0]}
    overrides = ["head.width=4"]
    with pytest.raises(KeyboardInterrupt):
        tune("tiny", 2, overrides=overrides, **options, cluster=on(HerePool(slots_=2)))
    states = [trial.state.name for trial in studied()]
    assert states == ["FAIL", "FAIL", "WAITING", "WAITING"]
    monkeypatch.setattr("here_pool.work", worker.work)
    tune("tiny", 2, overrides=overrides, **options, cluster=on(HerePool(slots_=2)))
    first, second, third, fourth = studied()
    assert [third.params, fourth.params] == [first.params, second.params]
    assert {third.state.name, fourth.state.name} == {"COMPLETE"}
