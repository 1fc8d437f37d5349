"""Runs that Podium trained at commit 0d24f74 still open: public formats stay.

old_run/old_run.tar.xz holds a project with 24 images of 32 pixels (drawn by old_run/made_by.py):
two runs of a resnet-8 with two folds, one of them without its weights, their blend, and a third run
that was killed after its first epoch, beside what it came to uninterrupted.
"""

import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ARCHIVE = Path(__file__).parent / "old_run" / "old_run.tar.xz"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    for name in ("PODIUM_INPUT", "PODIUM_PRETRAINED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, index_col="id")


def assert_same(path: Path, before: pd.DataFrame, atol: float = 1e-6) -> None:
    """The probabilities in a CSV are those of before."""
    after = read(path)
    assert after.index.equals(before.index) and list(after) == list(before)
    np.testing.assert_allclose(after, before, atol=atol)


def test_runs_and_their_blend_are_listed(project: Path, command) -> None:
    code, out, _ = command("runs")
    assert code == 0
    listed = {line.split()[0]: line for line in out.splitlines() if line}
    assert {"tiny", "tiny-seed-1", "tiny-seed-2", "blend"} <= set(listed)
    assert "0.5417" in listed["tiny"], "the score of 0d24f74"


def test_a_run_predicts_the_same_probabilities(project: Path, command) -> None:
    run = project / "weights" / "tiny"
    before = read(run / "test.csv")
    (run / "test.csv").unlink()
    assert command("predict", "tiny")[0] == 0
    assert_same(run / "test.csv", before)


def test_runs_blend_to_the_same_probabilities(project: Path, command) -> None:
    blend = project / "weights" / "blend"
    before = {name: read(blend / name) for name in ("test.csv", "out_of_fold.csv")}
    code, out, _ = command("blend", "tiny", "tiny-seed-1")
    assert code == 0 and "accuracy 0.5000" in out
    for name, expected in before.items():
        assert_same(blend / name, expected)


def test_runs_and_blends_are_reported(project: Path, command) -> None:
    for runs in (["tiny"], ["blend"], ["tiny", "tiny-seed-1"]):
        code, out, _ = command("report", *runs)
        assert code == 0 and ".html" in out
    assert "Grad-CAM" in (project / "weights" / "tiny" / "report.html").read_text()


def test_a_killed_training_goes_on_to_the_same_end(project: Path, command) -> None:
    run = project / "weights" / "tiny-seed-2"
    code, out, _ = command("train", "tiny", "--set", "seed=2")
    assert code == 0 and "going on after 1 finished epochs" in out
    for name in ("test.csv", "out_of_fold.csv"):
        assert_same(run / name, read(project / "expected" / name), atol=1e-4)
