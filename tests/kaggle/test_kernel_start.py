"""The start of a kernel: a run is taken up from what is attached, parts join, and the time ends."""

import subprocess
import sys
from pathlib import Path

import pytest

from podium.kaggle.kernel_start import join_parts, take_up
from podium.runs.find_run import find_run
from podium.runs.fold_folder import RunError
from podium.runs.run_folder import RunFolder
from podium.system import KERNEL_MINUTES, TRAINING_MINUTES, training_minutes
from small_runs import files, write_run


@pytest.fixture
def attached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is attached to a kernel; nothing is yet."""
    (tmp_path / "working").mkdir()
    (tmp_path / "input").mkdir()
    monkeypatch.setenv("PODIUM_KAGGLE_ROOT", str(tmp_path))
    monkeypatch.setenv("PODIUM_SOURCES", "def")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    return tmp_path / "input"


def begun(place: Path, run: str = "tiny") -> RunFolder:
    """A run whose first fold is finished, and whose second one has two epochs."""
    folder = write_run(place / "weights" / run, [0])
    folder.write_run({**folder.read_run(), "sources": "abc"})
    folder.fold(1).write_state({"history": [{"stage": 0, "epoch": 0, "seconds": 1}] * 2}, [])
    return folder


def test_a_run_is_taken_up_as_its_last_version_left_it(
    attached: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left = begun(attached / "notebooks" / "someone" / "podium-tiny")
    (left.fold(1).path / ".part-7-state.npz").write_text("half a state")
    for path in left.path.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)  # as Kaggle attaches it
    take_up("tiny", sources="abc")
    here = find_run("tiny")
    found, wanted = files(here.path), files(left.path)
    assert found.keys() == wanted.keys() - {"fold-1/.part-7-state.npz"}
    assert {name for name in found if found[name] != wanted[name]} == {"run.json"}
    assert all(path.stat().st_mode & 0o200 for path in here.path.rglob("*"))
    about, before = here.read_run(), left.read_run()
    assert [each["sources"] for each in about["earlier"]] == ["abc"]
    assert about["recipe"] == before["recipe"] and about["sources"] == "def"
    printed = capsys.readouterr().out
    assert printed == "going on with run tiny: fold 0 finished; fold 1 after 2 epochs\n"


def test_the_run_of_another_version_is_told(
    attached: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun(attached / "podium-tiny")
    take_up("tiny", sources="abcd")
    assert "the run of an earlier version than the last" in capsys.readouterr().out


def test_what_is_not_attached_cannot_be_taken_up(attached: Path) -> None:
    with pytest.raises(RunError, match=r"no run 'tiny'; .* and in .*input there is none"):
        take_up("tiny", sources="abc")


def test_parts_of_several_kernels_are_one_run(attached: Path) -> None:
    for fold in (0, 1):
        write_run(attached / f"podium-tiny-fold-{fold}" / "weights" / "tiny", [fold])
    write_run(attached / "podium-other" / "weights" / "other")
    with pytest.raises(RunError, match="is attached in 2 places"):
        find_run("tiny")
    for run in ("tiny", "other"):
        join_parts(run)
        assert find_run(run).finished_folds() == [0, 1]
    assert not any((attached.parent / "working").iterdir()), "no output of the kernel"


def test_a_kernel_whose_time_is_over_ends_as_if_it_were_done() -> None:
    code = (
        "import time\n"
        "from podium.kaggle.kernel_start import end_after\n"
        "end_after(0.0001)\n"
        "time.sleep(60)\n"
        "raise SystemExit('it went on')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "0.0001 hours are over" in done.stdout and "--resume goes on" in done.stdout


def test_what_is_resumed_leaves_out_no_epochs(
    attached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert training_minutes(None) == KERNEL_MINUTES
    monkeypatch.setenv(TRAINING_MINUTES, "None")
    assert training_minutes(None) is training_minutes(30) is None
    monkeypatch.setenv(TRAINING_MINUTES, "510.0")  # beside a TPU
    assert (training_minutes(None), training_minutes(660), training_minutes(30)) == (510, 510, 30)
