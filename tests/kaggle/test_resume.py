"""A kernel that ended before its run was finished: the next version goes on, as a run here does."""

import re
from pathlib import Path

import pytest
from trained_run import CARS, REF, leave, push

from kaggle_stand_in import StandIn
from podium.kaggle.build import build
from podium.kaggle.client import KaggleError
from podium.kaggle.kernel import Kernel
from podium.kaggle.kernels import KernelFailed, RunOnKaggle, collect_entry
from podium.training.train import train
from small_competitions import RECIPE, write_entry

LONG = RECIPE.replace("epochs = 1", "epochs = 3")
FILES = ("out_of_fold.csv", "test.csv", "fold-1/best.weights.h5")


@pytest.fixture
def project(kaggle: StandIn, tmp_path: Path) -> Path:
    """A project whose entry `long` has two folds of three epochs."""
    write_entry(tmp_path, "long", LONG.format(competition="cars"), competition_sources=[CARS])
    return tmp_path


def in_second_fold(log: str) -> bool:
    """Whether its second epoch is done."""
    return bool(re.search(r"fold 1 \(2 of 2\).*Epoch 3/3", log, re.DOTALL))


@pytest.mark.slow
def test_a_kernel_that_was_ended_in_its_second_fold_goes_on(
    kaggle: StandIn, project: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it comes to is what an undisturbed training here comes to."""
    kaggle.nested_input = True
    kaggle.ends_when = in_second_fold
    with pytest.raises(KernelFailed, match=r"exceeded the max.*push long \[--resume\] --wait"):
        push("long")
    kaggle.ends_when = lambda log: False
    outcome = push("long", resume=True)
    assert outcome.combined.folds == [0, 1]
    second = kaggle.kernels["someone/podium-long"].last
    assert second.pushed["kernelDataSources"] == ["someone/podium-long"]
    assert "going on with run long: fold 0 finished; fold 1 after 2 epochs" in second.log_text
    assert "fold 1 (1 of 1)" in second.log_text and "Epoch 2/3" not in second.log_text
    about = outcome.folder.read_run()
    assert [each["sources"] for each in about["earlier"]] != [about["sources"]]

    here = tmp_path / "here"
    write_entry(here, "long", LONG.format(competition="cars"))
    monkeypatch.chdir(here)
    monkeypatch.setenv("PODIUM_INPUT", str(trained / "input"))
    undisturbed = train("long").folder
    for name in FILES:
        assert (outcome.folder.path / name).read_bytes() == (undisturbed.path / name).read_bytes()


@pytest.mark.slow
def test_a_kernel_ends_itself_and_the_next_goes_on(kaggle: StandIn, project: Path) -> None:
    """Before Kaggle ends it, because that may keep nothing."""
    kaggle.keeps_ended = False
    recipe = LONG.replace("epochs = 3", "epochs = 1000")
    write_entry(project, "longer", recipe.format(competition="cars"), competition_sources=[CARS])
    with pytest.raises(KernelFailed, match=r"ended before fold 0, 1 was finished: .* --resume"):
        push("longer", hours=45 / 3600)
    (session,) = kaggle.kernels["someone/podium-longer"].sessions
    assert session.status == "COMPLETE" and "hours are over" in session.log_text
    with pytest.raises(KernelFailed, match="ended before fold 0, 1"):
        push("longer", hours=45 / 3600, resume=True)
    assert "fold 0 after" in kaggle.kernels["someone/podium-longer"].last.log_text


def test_there_must_be_a_version_that_ended_and_left_the_run(
    kaggle: StandIn, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KaggleError, match=f"no kernel {REF} on Kaggle"):
        push(resume=True)
    kaggle.run_instead = "open('notes.txt', 'w').write('nothing else')"
    push(wait=False)
    kaggle.kernels[REF].last.wait()
    nothing = f"the last version of {REF} left no run tiny, so that there is nothing to resume"
    with pytest.raises(KaggleError, match=nothing):
        push(resume=True)
    kaggle.hold_queue = True
    push(wait=False)
    with pytest.raises(KaggleError, match=f"{REF} is QUEUED: --resume goes on once it has ended"):
        push(resume=True)
    assert len(kaggle.kernels[REF].sessions) == 2, "nothing was pushed"


def test_what_kaggle_did_not_keep_cannot_be_resumed(kaggle: StandIn, trained: Path) -> None:
    kaggle.keeps_ended = False
    inner = leave(kaggle, trained)
    kaggle.run_instead = lambda ref: (
        inner(ref) + "\nimport sys, time; sys.stdout.flush(); time.sleep(60)"
    )
    kaggle.ends_when = lambda log: "another line" in log
    with pytest.raises(KernelFailed):
        push()
    with pytest.raises(KaggleError, match="left no run tiny"):
        push(resume=True)


def test_a_kernel_that_ended_unfinished_is_collected_as_far_as_it_came(
    kaggle: StandIn, trained: Path, tmp_path: Path
) -> None:
    inner = leave(kaggle, trained)
    kaggle.run_instead = lambda ref: inner(ref) + "\nshutil.rmtree('weights/tiny/fold-1')"
    with pytest.raises(KernelFailed, match=f"{REF} ended before fold 1 was finished"):
        push()
    assert (tmp_path / "weights/tiny/fold-0/test.csv").is_file()
    kaggle.run_instead = inner
    recipe = tmp_path / "kernels/tiny/recipe.toml"
    before = recipe.read_text()
    recipe.write_text(before + "seed = 7\n")
    with pytest.raises(KaggleError, match="is a run of another recipe: seed was 0, is now 7"):
        push(resume=True)
    recipe.write_text(before)
    assert push(resume=True).combined.folds == [0, 1]
    assert collect_entry(RunOnKaggle(Kernel("tiny"))).combined.folds == [0, 1]


def test_each_version_that_goes_on_is_another_build(project: Path) -> None:
    """Else the output of the version before would be taken for this one's."""
    builds = [build(Kernel("long"), "someone", goes_on_from=left) for left in (None, "a", "b", "b")]
    sources = [built.sources for built in builds]
    assert len(set(sources)) == 3 and sources[2] == sources[3]
    assert [built.metadata.kernel_sources for built in builds[:2]] == [[], ["someone/podium-long"]]
