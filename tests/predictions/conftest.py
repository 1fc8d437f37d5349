"""Finished runs to blend: made up once, and copied for each test."""

import shutil
from pathlib import Path

import pytest

from podium.predictions.combine import assemble
from small_runs import write_run


@pytest.fixture(scope="session")
def three_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the combined runs a, b and c, of one competition and three splits."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for seed, name in enumerate("abc"):
            assemble(write_run(folder / "weights" / name, seed=seed))
    return folder


@pytest.fixture
def project(three_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the runs a, b and c; it is the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kernels").mkdir()
    shutil.copytree(three_runs / "weights", tmp_path / "weights")
    return tmp_path
