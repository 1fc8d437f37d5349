"""A trial: errors in its process are said here; its costs are those of its folds."""

import os
import signal
from pathlib import Path

import pytest

from podium.experiments.grid import Combination
from podium.experiments.trial import TrialFailed, in_own_process, measure
from small_runs import write_run


def mistaken(message: str) -> None:
    raise TrialFailed(message)


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def wrong() -> None:
    raise KeyError("a bug")


def test_a_users_mistake_comes_with_its_message() -> None:
    with pytest.raises(TrialFailed, match=r"^no weights here$"):
        in_own_process(mistaken, "no weights here")


def test_a_killed_process_is_a_failed_trial() -> None:
    with pytest.raises(TrialFailed, match="killed: was there too little memory"):
        in_own_process(killed)


def test_a_bug_keeps_its_class_and_traceback() -> None:
    with pytest.raises(KeyError) as error:
        in_own_process(wrong)
    assert "in wrong" in str(error.value.__cause__)


def test_a_trial_costs_the_seconds_of_its_folds_and_the_memory_of_the_largest(
    tmp_path: Path,
) -> None:
    run = write_run(tmp_path / "clocks")
    for fold in (0, 1):
        run.fold(fold).write_cost({"seconds": 60 + fold, "peak_memory_gb": 1.5 - fold})
    combination = Combination("clocks", (), run.read_recipe())
    both, one = measure(combination, run, [0, 1]), measure(combination, run, [1])
    assert (both.seconds, both.peak_memory_gb) == (121, 1.5)
    assert (one.seconds, one.peak_memory_gb) == (61, 0.5)
    assert both.combined.score.images == 16 and one.combined.score.images == 8
