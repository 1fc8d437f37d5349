"""A code competition, the whole way: trained, predicted, and run again on the hidden images."""

import shutil
import zipfile
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from trained_run import CARS, leave, push

from kaggle_stand_in import StandIn
from kaggle_stand_in.competitions import Competition as StandInCompetition
from podium.kaggle.build import build
from podium.kaggle.client import KaggleError
from podium.kaggle.code_competition import push_predict, submit_kernel
from podium.kaggle.kernel import Kernel
from podium.kaggle.kernels import KernelFailed
from podium.kaggle.leaderboard import read_leaderboard
from small_competitions import RECIPE, break_image, draw_image, write_entry
from small_runs import Command

REF = "someone/podium-tiny-predict"
POLL = 0.1  # seconds
BROKEN = "41.jpg"


def hidden_images(folder: Path, names: list[str]) -> Path:
    """A zip of what the second run finds: other images, one broken, and none to train on."""
    data = folder / "hidden"
    for number, name in enumerate(names):
        draw_image(data / "test" / "test_upload" / name, number % 10)
    break_image(data / "test" / "test_upload" / BROKEN)
    sample = pd.DataFrame({"Id": names, "Category": 0})
    sample.to_csv(data / "sample-submission.csv", index=False)
    archive = folder / "hidden.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(data.rglob("*")):
            packed.write(path, path.relative_to(data))
    return archive


@pytest.fixture
def competition(kaggle: StandIn, tmp_path: Path) -> StandInCompetition:
    """A competition whose hidden test set has eight images where the public one has five."""
    names = [f"{number}.jpg" for number in (1, 13, 2, 3, 41, 5, 8, 1000)]
    truth = pd.DataFrame({"Id": names, "Category": range(len(names))})
    truth.to_csv(tmp_path / "truth.csv", index=False)
    there = kaggle.competitions[CARS]
    there.hidden, there.truth = hidden_images(tmp_path, names), tmp_path / "truth.csv"
    return there


def train_there(kaggle: StandIn, trained: Path, *entries: str, **options) -> None:
    """Let kernels leave the run that was trained once, and forget what was collected of them."""
    kaggle.run_instead = leave(kaggle, trained)
    for entry in entries:
        push(entry, **options)
    kaggle.run_instead = None
    shutil.rmtree("weights")
    shutil.rmtree("submissions")


def test_a_kernel_predicts_the_public_images_and_then_the_hidden_ones(
    kaggle: StandIn,
    competition: StandInCompetition,
    trained: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    train_there(kaggle, trained, "tiny")
    with pytest.raises(KaggleError, match="push it first"):
        submit_kernel(Kernel("tiny", predicts=True), poll_seconds=POLL)
    push_predict(Kernel("tiny", predicts=True), wait=True, poll_seconds=POLL)
    session = kaggle.kernels[REF].last
    assert set(session.outputs) == {"submission.csv"}
    public = session.outputs["submission.csv"].read_bytes()
    assert public == (trained / "submissions" / "tiny.csv").read_bytes()
    assert "9 hours are the limit: to be ready after 8.1" in session.log_text
    assert "podium submit tiny --kernel --wait" in capsys.readouterr().out

    submitted = submit_kernel(Kernel("tiny", predicts=True), wait=True, poll_seconds=POLL)
    [kept] = competition.submissions
    assert (kept.status, kept.public_score) == ("COMPLETE", submitted.public_score)
    assert f"submitted   version 1 of {REF} to {CARS}" in str(submitted)
    asked = pd.read_csv(competition.truth)["Id"].tolist()
    rows = [line.split(",")[0] for line in kept.text.decode().splitlines()[1:]]
    assert rows == asked, "each image of the hidden sample submission, the broken one too"
    assert (
        f"{BROKEN}" in kept.rerun.log_text and "1 of 8 images cannot be read" in kept.rerun.log_text
    )


@pytest.mark.slow
def test_the_whole_way_with_nothing_pretended(
    kaggle: StandIn, competition: StandInCompetition, trained: Path
) -> None:
    """Trained in a kernel, too; everything is attached in the folders of newer Kaggle."""
    kaggle.nested_input = True
    push("tiny")
    push_predict(Kernel("tiny", predicts=True), wait=True, poll_seconds=POLL)
    public = kaggle.kernels[REF].last.outputs["submission.csv"].read_bytes()
    assert public == (trained / "submissions" / "tiny.csv").read_bytes()
    submitted = submit_kernel(Kernel("tiny", predicts=True), wait=True, poll_seconds=POLL)
    assert float(submitted.public_score) >= 0
    assert len(competition.submissions[0].text.splitlines()) == 9


@pytest.mark.slow
def test_the_kernels_of_all_folds_are_joined_to_predict(
    kaggle: StandIn, competition: StandInCompetition, trained: Path
) -> None:
    train_there(kaggle, trained, "tiny", each_fold=True)
    push_predict(Kernel("tiny", predicts=True), wait=True, poll_seconds=POLL)
    session = kaggle.kernels[REF].last
    kernels = session.pushed["kernelDataSources"]
    assert kernels == [f"someone/podium-tiny-fold-{fold}" for fold in (0, 1)]
    public = session.outputs["submission.csv"].read_bytes()
    assert public == (trained / "submissions" / "tiny.csv").read_bytes()


@pytest.mark.slow
def test_a_blend_predicts_by_what_it_had_fitted(
    kaggle: StandIn, competition: StandInCompetition, trained: Path, tmp_path: Path
) -> None:
    recipe = RECIPE.format(competition="cars")
    write_entry(tmp_path, "twin", recipe, competition_sources=[CARS])
    write_entry(
        tmp_path,
        "both",
        'competition = "cars"\nruns = ["tiny", "twin"]\n',
        command="blend",
        kernel_sources=["OWNER/podium-tiny", "OWNER/podium-twin"],
    )
    train_there(kaggle, trained, "tiny", "twin")
    push("both")
    fitted = (tmp_path / "submissions" / "both.csv").read_bytes()
    push_predict(Kernel("both", predicts=True), wait=True, poll_seconds=POLL)
    session = kaggle.kernels["someone/podium-both-predict"].last
    assert session.outputs["submission.csv"].read_bytes() == fitted
    submit_kernel(Kernel("both", predicts=True), wait=True, poll_seconds=POLL)
    [kept] = competition.submissions
    assert len(kept.text.splitlines()) == 9


def test_the_commands_do_the_same(
    kaggle: StandIn, competition: StandInCompetition, trained: Path, command: Command
) -> None:
    train_there(kaggle, trained, "tiny")
    # Each image is of class 0, as one of the eight is.
    sample = f"../input/{CARS}/sample-submission.csv"
    kaggle.run_instead = f"import shutil; shutil.copy({sample!r}, 'submission.csv')"
    code, out, err = command("push", "tiny", "--predict", "--hours", 4, "--wait", "--poll", POLL)
    assert (code, err) == (0, "")
    assert f"{REF}: COMPLETE\n" in out
    code, out, err = command("submit", "tiny", "--kernel", "--wait", "--poll", POLL, "-m", "a try")
    assert (code, err) == (0, "")
    assert "public      0.12500\n" in out
    assert competition.submissions[0].description == "a try"
    [kept] = read_leaderboard(CARS).submissions
    assert (kept.file, kept.public) == ("tiny.csv", 0.125), "podium runs has it beside its run"
    assert command("submit", "tiny")[0] == 2, "neither a CSV nor a kernel"


def test_a_notebook_predicts_as_a_notebook(kaggle: StandIn, tmp_path: Path) -> None:
    recipe = RECIPE.format(competition="cars")
    write_entry(tmp_path, "book", recipe, competition_sources=[CARS], kernel_type="notebook")
    built = build(Kernel("book", ["seed=1"], hours=20, predicts=True), "someone")
    notebook = nbformat.read(built.code, 4)
    nbformat.validate(notebook)
    assert notebook.cells[2].source.rstrip().endswith("begin()")
    assert [cell.cell_type for cell in notebook.cells].count("code") == 1
    assert built.metadata.id == "someone/podium-book-seed-1-predict"
    assert built.metadata.kernel_sources == ["someone/podium-book-seed-1"]
    assert not built.metadata.enable_internet


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        # It needs the training images, or keeps the rows of the public test set, or forgets.
        ("open('/kaggle/input/train.csv')", "Notebook Threw Exception"),
        ("import csv", "Submission CSV Not Found"),
        ("", "Submission must have 8 rows; it has 5"),
    ],
)
def test_a_kernel_that_is_made_for_the_public_images_fails(
    kaggle: StandIn, competition: StandInCompetition, trained: Path, code: str, reason: str
) -> None:
    train_there(kaggle, trained, "tiny")
    text = (trained / "submissions" / "tiny.csv").read_text()
    write = f"open('submission.csv', 'w').write({text!r})"
    kaggle.run_instead = write
    push_predict(Kernel("tiny", predicts=True), wait=True, poll_seconds=POLL)
    kaggle.run_instead = code or write
    with pytest.raises(KaggleError, match=reason):
        submit_kernel(Kernel("tiny", predicts=True), wait=True, poll_seconds=POLL)
    assert competition.submissions[0].status == "ERROR"


def test_what_has_not_run_is_not_submitted(
    kaggle: StandIn, competition: StandInCompetition, trained: Path
) -> None:
    train_there(kaggle, trained, "tiny")
    kaggle.run_instead = "raise SystemExit('out of luck')"
    with pytest.raises(KernelFailed, match=f"{REF} ended as ERROR"):
        push_predict(Kernel("tiny", predicts=True), wait=True, poll_seconds=POLL)
    with pytest.raises(KernelFailed, match="Only a version that has run can be submitted"):
        submit_kernel(Kernel("tiny", predicts=True), poll_seconds=POLL)
    kaggle.run_instead = "open('submission.csv', 'w')"
    push_predict(Kernel("tiny", predicts=True), wait=True, poll_seconds=POLL)
    competition.hidden = None
    with pytest.raises(KaggleError, match="does not accept Notebook submissions"):
        submit_kernel(Kernel("tiny", predicts=True), poll_seconds=POLL)
    assert competition.submissions == []
