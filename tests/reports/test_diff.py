"""`podium diff`: two runs told apart by recipe, origin, data and score."""

from collections.abc import Callable
from pathlib import Path

import pytest

from podium.predictions.combine import assemble
from podium.reports.run_data import read_run_data
from small_runs import TRAIN, set_digests, write_run

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kernels").mkdir()
    return tmp_path / "weights"


def test_what_differs_is_told_and_nothing_else(weights: Path, command: Command) -> None:
    one = write_run(weights / "a", seed=0)
    other = write_run(weights / "b", seed=1, image_size=96, labels={TRAIN[0]: 1})
    for folder in (one, other):
        assemble(folder)
        set_digests(folder, folder.name)
    about = other.read_run()
    other.write_run({**about, "commit": "another", "versions": {"keras": "3.13.2"}})
    code, out, _ = command("diff", "a", "b")
    assert code == 0
    first, second = read_run_data(one), read_run_data(other)
    gain = second.gain_over(first.probabilities.loc[second.judged.index])
    assert gain.as_gain in out and "95 % interval" in gain.as_gain
    told = [line.split() for line in out.splitlines()]
    assert ["image_size", "224", "96"] in told and ["seed", "0", "1"] in told
    assert not any(line[:1] == ["batch_size"] for line in told)
    assert ["commit", "commit", "of", "weights", "another"] in told
    assert ["versions.keras", "–", "3.13.2"] in told
    assert not any(line[:1] == ["machine"] for line in told)
    assert "training images: 16 in both, 0 only in a, 0 only in b" in out
    moved = (first.train["fold"] != second.train["fold"]).sum()
    assert "another label: 1\n" in out and f"another fold: {moved}\n" in out
    assert "test images of another file: 3" in out


def test_the_parts_of_a_run_tell_each_machine_and_version_once(
    weights: Path, command: Command
) -> None:
    one, other = (write_run(weights / name) for name in "ab")
    for folder in (one, other):
        assemble(folder)
    parts = [
        {"fold": fold, "machine": machine, "versions": {"keras": "3.13.2"}}
        for fold, machine in enumerate(["left", "right", "left"])
    ]
    one.write_run({**one.read_run(), "parts": parts})
    other.write_run({**other.read_run(), "machine": "left", "versions": {"keras": "3.13.2"}})
    code, out, _ = command("diff", "a", "b")
    assert code == 0 and "[{" not in out
    told = [line.split() for line in out.splitlines()]
    assert ["machine", "left;", "right", "left"] in told
    assert not any(line[:1] == ["versions.keras"] for line in told)


def test_a_run_and_itself(weights: Path, command: Command) -> None:
    assemble(write_run(weights / "a"))
    code, out, _ = command("diff", "a", "a")
    assert code == 0
    assert "The recipes do not differ." in out and "another label: 0" in out


def test_a_run_without_a_score_is_one_line(weights: Path, command: Command) -> None:
    write_run(weights / "a")
    write_run(weights / "b", folds=[])
    code, out, errors = command("diff", "a", "b")
    assert code == 1 and not out and "b has no trained fold yet" in errors
