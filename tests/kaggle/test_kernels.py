"""Kernels are pushed, followed and collected with the real client; what it prints is an error."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from trained_run import REF, forget, leave, push, results

from kaggle_stand_in import StandIn
from podium.cli import main
from podium.kaggle.build import build
from podium.kaggle.client import KaggleError
from podium.kaggle.kernel import Kernel
from podium.kaggle.kernels import KernelFailed, RunOnKaggle, collect_entry
from podium.kaggle.metadata import MetadataError
from podium.runs.fold_folder import RunError

POLL = 0.1
FOLDS = [f"{REF}-fold-{fold}" for fold in (0, 1)]


@pytest.fixture
def kaggle(kaggle: StandIn, trained: Path) -> StandIn:
    """A Kaggle whose kernels leave the trained run, whatever is pushed."""
    kaggle.run_instead = leave(kaggle, trained)
    kaggle.python = Path(sys.executable)  # which needs no clean environment for that
    return kaggle


def methods(kaggle: StandIn) -> list[str]:
    return [method for method, _ in kaggle.calls]


def test_a_pushed_run_is_here_as_if_it_had_run_here(
    kaggle: StandIn, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = push()
    assert results(tmp_path) == results(trained)
    assert str(outcome).splitlines()[0] == f"run         {tmp_path / 'weights' / 'tiny'}"
    assert str(tmp_path / "submissions" / "tiny.csv") in str(outcome)
    printed = capsys.readouterr().out
    assert "pushed: https://www.kaggle.com/code/someone/podium-tiny" in printed
    assert printed.count("one line\n") == printed.count("another line\n") == 1
    assert f"{REF}: COMPLETE" in printed
    assert (tmp_path / "build/tiny/kernel.log").read_text() == "one line\nanother line\n"
    assert not (tmp_path / "build/tiny/output").exists()
    forget(tmp_path)
    collect_entry(RunOnKaggle(Kernel("tiny")))
    assert results(tmp_path) == results(trained)


def test_kaggles_own_command_takes_a_built_kernel_as_it_is(kaggle: StandIn) -> None:
    built = build(Kernel("tiny"), owner=kaggle.user)
    code = (
        "import sys, kagglesdk.kaggle_env as env\n"
        f"env._env_to_endpoint[env.KaggleEnv.LOCAL] = {kaggle.url!r}\n"
        f"sys.argv = ['kaggle', 'kernels', 'push', '-p', {str(built.folder)!r}]\n"
        "from kaggle.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Kernel version 1 successfully pushed")
    assert kaggle.kernels[REF].last.pushed["text"] == built.code.read_text()


def test_without_waiting_the_way_to_the_run_is_told(
    kaggle: StandIn, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kaggle.hold_queue = True
    assert push(wait=False) is None
    assert "when it has run: podium collect tiny\n" in capsys.readouterr().out
    with pytest.raises(KaggleError, match=f"{REF} is QUEUED: --wait follows it to its end"):
        collect_entry(RunOnKaggle(Kernel("tiny")))
    kaggle.hold_queue = False
    collect_entry(RunOnKaggle(Kernel("tiny")), wait=True, poll_seconds=POLL)
    assert results(tmp_path) == results(trained)
    collect_entry(RunOnKaggle(Kernel("tiny")))  # once more changes nothing
    assert results(tmp_path) == results(trained)


def test_a_refused_push_is_one_line_and_an_exit_code(
    kaggle: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kaggle.refuse_push = "The kernel is too beautiful"
    monkeypatch.setattr(sys, "argv", ["podium", "push", "tiny", "--wait", "--poll", "0.1"])
    with pytest.raises(SystemExit) as exited:
        main()
    assert exited.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("podium: ") and error.count("\n") == 1
    assert "The kernel is too beautiful" in error and "podium push tiny [--resume]" in error


def test_metadata_is_refused_before_any_call(kaggle: StandIn, tmp_path: Path) -> None:
    path = tmp_path / "kernels/tiny/kernel-metadata.json"
    path.write_text(path.read_text().replace("enable_internet", "enable_intranet"))
    with pytest.raises(MetadataError, match="enable_intranet: unknown key"):
        push()
    assert kaggle.calls == []


def test_a_failed_kernel_fails_the_command(kaggle: StandIn, trained: Path, tmp_path: Path) -> None:
    kaggle.run_instead = leave(kaggle, trained, folds=[])
    with pytest.raises(KernelFailed) as caught:
        push()
    message = str(caught.value)
    assert f"{REF} ended as ERROR: Your notebook exited with code 1" in message
    assert message.endswith("or again: podium push tiny [--resume] --wait")
    log = tmp_path / "build/tiny/kernel.log"
    assert str(log) in message
    assert "now it breaks" in log.read_text() and "out of luck" in log.read_text()
    assert not (tmp_path / "weights").exists()


def test_folds_run_apart_and_become_one_run(
    kaggle: StandIn, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kaggle.max_sessions = 1  # fewer than Podium believes
    push(each_fold=True)
    assert results(tmp_path) == results(trained)
    printed = capsys.readouterr().out
    assert printed.count("Maximum batch CPU session count of 1 reached. Trying again") == 1
    assert "[tiny-fold-1] one line\n" in printed
    assert {ref for ref in kaggle.kernels if kaggle.kernels[ref].sessions} == set(FOLDS)


def test_no_more_kernels_at_once_than_asked_for(kaggle: StandIn, trained: Path) -> None:
    inner = leave(kaggle, trained)
    most = []

    def count(ref: str) -> str:
        sessions = [session for kernel in kaggle.kernels.values() for session in kernel.sessions]
        most.append(sum(not session.ended for session in sessions))
        return inner(ref) + "\nimport time; time.sleep(0.3)"

    kaggle.run_instead = count
    push(each_fold=True, at_once=1)
    assert most == [1, 1]


def test_a_fold_that_failed_is_named_and_pushed_again_alone(
    kaggle: StandIn, trained: Path, tmp_path: Path
) -> None:
    kaggle.run_instead = leave(kaggle, trained, folds=[0])
    with pytest.raises(KernelFailed) as caught:
        push(each_fold=True)
    assert f"{FOLDS[1]} ended as ERROR" in str(caught.value)
    assert FOLDS[0] not in str(caught.value)
    assert str(caught.value).endswith("podium push tiny --fold 1 [--resume] --wait")
    assert (tmp_path / "weights/tiny/fold-0/test.csv").is_file()
    assert not (tmp_path / "weights/tiny/fold-1").exists()

    kaggle.run_instead = leave(kaggle, trained)
    push(folds=[1])
    assert results(tmp_path) == results(trained)
    assert len(kaggle.kernels[FOLDS[0]].sessions) == 1


def test_the_same_command_goes_on_where_folds_are_missing(
    kaggle: StandIn, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    push(folds=[1])
    push(each_fold=True)
    assert results(tmp_path) == results(trained)
    assert len(kaggle.kernels[FOLDS[1]].sessions) == 1
    calls = len(kaggle.calls)
    push(each_fold=True)
    assert len(kaggle.calls) == calls
    assert "all folds are in" in capsys.readouterr().out


def test_what_is_wrong_with_one_fold_keeps_no_other_away(
    kaggle: StandIn, trained: Path, tmp_path: Path
) -> None:
    inner = leave(kaggle, trained)
    spoil = "\nopen('weights/tiny/fold-0/test.csv', 'w').close()"
    kaggle.run_instead = lambda ref: inner(ref) + spoil * ref.endswith("fold-0")
    with pytest.raises(KernelFailed, match=r"fold 0 of .* is damaged"):
        push(each_fold=True)
    assert (tmp_path / "weights/tiny/fold-1/test.csv").is_file()
    assert not (tmp_path / "weights/tiny/fold-0").exists()


def test_more_folds_than_places_need_waiting_for(kaggle: StandIn) -> None:
    with pytest.raises(KaggleError, match="2 kernels, and 1 may run at once: --wait"):
        push(each_fold=True, at_once=1, wait=False)
    with pytest.raises(KaggleError, match="2 kernels, and 1 may run at once: --wait"):
        push(each_fold=True, on="tpu", wait=False)
    assert "SaveKernel" not in methods(kaggle)


def test_a_kernel_is_pushed_to_the_machine_that_is_asked_for(
    kaggle: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    kaggle.run_instead = "raise SystemExit('no TPU today')"
    with pytest.raises(KernelFailed, match=r"podium push tiny --on tpu \[--resume\] --wait$"):
        push(on="tpu")
    assert kaggle.kernels[REF].last.pushed["machineShape"] == "TpuV5E8"
    assert "\nquota       20.0 of 20.0 hours on TPUs are left" in capsys.readouterr().out
    kaggle.fail("GetAcceleratorQuotaStatistics", 503)
    with pytest.raises(KernelFailed):
        push(on="l4")
    assert kaggle.kernels[REF].last.pushed["machineShape"] == "NvidiaL4"
    assert "\nquota       not known: asking for it: Kaggle answers 503" in capsys.readouterr().out


def test_a_run_that_is_here_is_not_pushed_over(kaggle: StandIn, trained: Path) -> None:
    push()
    calls = len(kaggle.calls)
    with pytest.raises(RunError, match=r"has fold 0, 1 already: .* --fresh"):
        push()
    assert len(kaggle.calls) == calls
    push(fresh=True)
    assert len(kaggle.kernels[REF].sessions) == 2


def test_other_results_are_not_replaced_unasked(
    kaggle: StandIn, trained: Path, tmp_path: Path
) -> None:
    push()
    history = tmp_path / "weights/tiny/fold-0/history.csv"
    mine = history.read_text() + "\n"
    history.write_text(mine)
    with pytest.raises(KernelFailed, match=r"fold-0 .* with other results: .* --fresh"):
        collect_entry(RunOnKaggle(Kernel("tiny")))
    assert history.read_text() == mine
    collect_entry(RunOnKaggle(Kernel("tiny")), fresh=True)
    assert history.read_text() != mine


def test_a_later_version_of_someone_else_is_not_taken_for_this_one(
    kaggle: StandIn, trained: Path, tmp_path: Path
) -> None:
    """As another machine of the same user may push it meanwhile."""
    right = leave(kaggle, trained)
    pushed = threading.Event()

    def run_instead(ref: str) -> str:
        if kaggle.kernels[ref].last.version > 1:
            return "print('another version')"
        pushed.set()
        return right(ref) + "\nimport time; time.sleep(1)"

    def push_another() -> None:
        pushed.wait(20)
        kaggle.kernels.save(kaggle.kernels[REF].last.pushed)

    kaggle.run_instead = run_instead
    another = threading.Thread(target=push_another)
    another.start()
    push()
    another.join()
    assert results(tmp_path) == results(trained)
    assert "another version" in kaggle.kernels[REF].last.log_text


def test_a_kernel_that_left_another_run_is_told(kaggle: StandIn, tmp_path: Path) -> None:
    kaggle.run_instead = "open('notes.txt', 'w').write('nothing else')"
    with pytest.raises(
        KaggleError, match=f"{REF} left no run tiny; what it did leave, and its log, is in"
    ):
        push()
    assert (tmp_path / "build/tiny/output/notes.txt").is_file()


def test_a_kernel_that_was_never_pushed_is_told(kaggle: StandIn) -> None:
    with pytest.raises(KaggleError, match=f"no kernel {REF} on Kaggle, or it is not yours"):
        collect_entry(RunOnKaggle(Kernel("tiny")))


def test_interrupted_waiting_stops_nothing_and_tells_how_to_go_on(kaggle: StandIn) -> None:
    kaggle.run_instead = "import time; time.sleep(600)"

    def interrupt() -> None:
        while "GetKernelSessionStatus" not in methods(kaggle):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KaggleError, match="runs on, and `podium collect tiny --wait` follows"):
        push()
    assert not kaggle.kernels[REF].last.ended
