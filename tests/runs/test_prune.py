"""`podium prune` and `podium rm`: what they would delete, what they do, and what is in use."""

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from podium.competitions import get_competition
from podium.predictions.blend import blend
from podium.predictions.combine import assemble
from podium.runs.find_run import find_run
from podium.runs.prune import find_leftovers, users
from small_runs import files, write_run

Command = Callable[..., tuple[int, str, str]]
OLD = 1e9  # a time long ago
NOBODY = 999_999_999  # no process has this number


@pytest.fixture
def project(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs a and b, finished, c with a fold that is being trained, and all that can be made again.

    The sizes are told apart: 1 to 7 MB.
    """
    monkeypatch.setattr("sys.stdin", io.StringIO())  # nobody answers
    (tmp_path / "kernels").mkdir()
    weights = tmp_path / "weights"
    for seed, name in enumerate("ab"):
        assemble(write_run(weights / name, seed=seed))
    write_run(weights / "c", folds=[0], seed=2)
    fill(weights / "a" / "fold-0" / "checkpoints" / "3.weights.h5", 1)
    fill(weights / "b" / "fold-1" / "state.npz", 2)
    fill(weights / ".copies" / "80" / "0a" / "b.png", 3)
    fill(weights / ".compiled" / "jit", 4)
    fill(tmp_path / "build" / "mine" / "mine.py", 5)
    os.utime(tmp_path / "build" / "mine" / "mine.py", (OLD, OLD))
    fill(data / ".downloads" / "sf-dl-car-classification.zip", 6)
    fill(weights / f".part-{NOBODY}-d" / "fold-0" / "best.weights.h5", 7)
    fill(weights / f".part-{os.getppid()}-e" / "fold-0" / "best.weights.h5", 8)
    fill(tmp_path / "build" / "followed" / "kernel.log", 7)
    fill(weights / "c" / "fold-1" / "state.npz", 8)
    return tmp_path


def fill(path: Path, megabytes: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(megabytes * 1_000_000))


@contextmanager
def used_elsewhere(run: Path, data: Path) -> Iterator[None]:
    """Another process that trains a fold of a run, and downloads these data."""
    program = (
        "from pathlib import Path; from podium.runs.run_folder import RunFolder\n"
        "from podium.files.locks import locked_folder\n"
        f"with RunFolder(Path({str(run)!r})).writing([0]), locked_folder(Path({str(data)!r})):\n"
        "    print(flush=True); input()"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        other.stdout.readline()
        yield
        other.communicate("\n")


def test_the_bytes_are_told_by_kind_and_nobody_is_asked_in_vain(
    project: Path, command: Command
) -> None:
    before = files(project)
    code, out, errors = command("prune")
    assert code == 1 and "Aborted" in errors and "--yes does not ask" in out
    assert [line.split("  ")[0] for line in out.splitlines()][:8] == [
        *(f"{number}.0 MB" for number in range(1, 8)),
        "28.0 MB",
    ]
    assert "checkpoints" in out and "downloads that broke off" in out
    assert files(project) == before


def test_what_can_be_made_again_goes_and_nothing_else(project: Path, command: Command) -> None:
    before = files(project)
    code, _, errors = command("prune", "--yes")
    assert code == 0 and not errors
    gone = {path for path in before if path not in files(project)}
    assert gone == {
        "weights/a/fold-0/checkpoints/3.weights.h5",
        "weights/b/fold-1/state.npz",
        "weights/.copies/80/0a/b.png",
        "weights/.compiled/jit",
        "build/mine/mine.py",
        "data/.downloads/sf-dl-car-classification.zip",
        f"weights/.part-{NOBODY}-d/fold-0/best.weights.h5",
    }
    assert find_leftovers() == [] and command("prune")[0] == 0


def test_what_is_in_use_stays(project: Path, command: Command) -> None:
    target = project / "data" / get_competition("cars").slug
    with used_elsewhere(project / "weights" / "a", target.resolve()):
        code, _, errors = command("prune", "--yes")
        assert code == 0 and errors.count("stays: ") == 4 and "being written by process" in errors
        kept = {one.path.name for one in find_leftovers()}
        assert kept == {"checkpoints", ".copies", ".compiled", f"{target.name}.zip"}
        code, _, errors = command("rm", "a", "--yes")
        assert code == 75 and "being written by process" in errors
    assert (project / "weights" / "a" / "run.json").is_file()


def test_a_run_is_deleted_after_it_is_said_what_uses_it(project: Path, command: Command) -> None:
    blend(["a", "b"], to=Path("submissions/ab.csv"))
    write_run(project / "weights" / "later", folds=[], backbone="run:a")
    ensemble = project / "kernels" / "both" / "recipe.toml"
    ensemble.parent.mkdir()
    ensemble.write_text('competition = "clocks-or-crocs"\nruns = ["a", "b"]\n')
    (project / "weights" / "c" / "run.json").write_text("{")  # what is broken hides no other
    assert users(find_run("a")) == ["both", "ab", "later"] and users(find_run("ab")) == []
    code, out, errors = command("rm", "a")
    assert code == 1 and "Aborted" in errors
    assert "used by both, ab, later: without it they cannot be made again" in out
    assert "1.0 MB" in out and (project / "weights" / "a" / "run.json").is_file()
    assert command("rm", "a", "--yes")[0] == 0
    assert not (project / "weights" / "a").exists()
    assert (project / "submissions" / "a.csv").is_file()
    assert command("rm", "a", "--yes")[0] == 1


def test_the_answer_no_deletes_nothing(
    project: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    code, _, _ = command("rm", "a")
    assert code == 1 and (project / "weights" / "a" / "run.json").is_file()
