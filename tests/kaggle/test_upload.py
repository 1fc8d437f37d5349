"""Runs and weights uploaded by the real client, attached, and predicted with by a kernel."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest
from trained_run import CARS

from kaggle_stand_in import StandIn
from podium.kaggle.build import build
from podium.kaggle.code_competition import push_predict
from podium.kaggle.kernel import Kernel
from podium.kaggle.upload import upload_pretrained, upload_run
from podium.models.pretrained import MissingWeights
from podium.predictions.blend import blend
from podium.runs.fold_folder import RunError
from small_competitions import RECIPE, write_entry

POLL = 0.01  # seconds
REF = "someone/podium-run-tiny"


@pytest.fixture
def run(kaggle: StandIn, trained: Path, tmp_path: Path) -> Path:
    """The run that was trained once, here too."""
    return Path(shutil.copytree(trained / "weights" / "tiny", tmp_path / "weights" / "tiny"))


def sources(entry: str) -> list[str]:
    about = json.loads(Path("kernels", entry, "kernel-metadata.json").read_text())
    return about.get("dataset_sources", [])


def names_in(kaggle: StandIn, ref: str) -> set[str]:
    with zipfile.ZipFile(kaggle.datasets[ref]) as archive:
        return set(archive.namelist())


def test_a_run_is_uploaded_without_what_predicting_does_not_need(
    kaggle: StandIn, run: Path
) -> None:
    uploaded = upload_run("tiny", POLL)
    names = {"run.json", "pictures.csv", "score.json"}
    names |= {f"fold-{fold}/{name}" for fold in (0, 1) for name in ("best.weights.h5", "cost.json")}
    assert names_in(kaggle, REF) == {f"tiny/{name}" for name in names}
    assert kaggle.datasets.created[REF]["isPrivate"]
    assert sources("tiny") == ["OWNER/podium-run-tiny"]
    told = f"dataset     https://www.kaggle.com/datasets/{REF}\n            attached to tiny"
    assert uploaded == told

    upload_run(str(run), POLL)
    assert kaggle.datasets.versions[REF] == 2
    assert sources("tiny") == ["OWNER/podium-run-tiny"]


@pytest.mark.slow
def test_an_uploaded_run_predicts_in_a_kernel(kaggle: StandIn, trained: Path, run: Path) -> None:
    upload_run("tiny", POLL)
    push_predict(Kernel("tiny", predicts=True), wait=True, poll_seconds=0.1)
    session = kaggle.kernels["someone/podium-tiny-predict"].last
    assert session.pushed["datasetDataSources"] == [REF]
    assert not session.pushed.get("kernelDataSources")
    public = session.outputs["submission.csv"].read_bytes()
    assert public == (trained / "submissions" / "tiny.csv").read_bytes()


def test_ensembles_get_the_runs_that_they_blend_and_blend_without_them(
    kaggle: StandIn, run: Path, tmp_path: Path
) -> None:
    kernels = ["OWNER/podium-tiny", "OWNER/podium-twin-fold-0", "OWNER/podium-twin-fold-1"]
    recipe = 'competition = "cars"\nruns = ["tiny", "twin"]\n'
    write_entry(tmp_path, "both", recipe, command="blend", kernel_sources=kernels)
    upload_run("tiny", POLL)
    assert sources("both") == ["OWNER/podium-run-tiny"]
    predicting = build(Kernel("both", predicts=True), "someone").metadata
    assert predicting.dataset_sources == [REF]
    rest = [f"someone/podium-{name}" for name in ("twin-fold-0", "twin-fold-1", "both")]
    assert predicting.kernel_sources == rest
    assert predicting.competition_sources == [CARS]
    blending = build(Kernel("both"), "someone").metadata
    assert (blending.dataset_sources, blending.kernel_sources[0]) == ([], "someone/podium-tiny")


def test_a_blend_is_uploaded_as_it_was_fitted(kaggle: StandIn, run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, run.with_name("twin"))
    kernels = ["OWNER/podium-tiny", "OWNER/podium-twin"]
    recipe = 'competition = "cars"\nruns = ["tiny", "twin"]\n'
    write_entry(tmp_path, "both", recipe, command="blend", kernel_sources=kernels)
    blend(["both"])
    upload_run("both", POLL)
    names = {f"both/{name}" for name in ("run.json", "pictures.csv", "score.json")}
    assert names_in(kaggle, "someone/podium-run-both") == names
    predicting = build(Kernel("both", predicts=True), "someone").metadata
    assert predicting.dataset_sources == ["someone/podium-run-both"]
    assert predicting.kernel_sources == ["someone/podium-tiny", "someone/podium-twin"]


def test_a_run_under_another_name_predicts_for_its_entry(
    kaggle: StandIn, run: Path, tmp_path: Path
) -> None:
    run.rename(run.with_name("tiny-quick"))
    upload_run("tiny-quick", POLL)
    assert sources("tiny") == ["OWNER/podium-run-tiny-quick"]
    built = build(Kernel("tiny", predicts=True, other_run="tiny-quick"), "someone")
    assert built.metadata.id == "someone/podium-tiny-quick-predict"
    assert built.metadata.kernel_sources == []


def test_pretrained_weights_keep_those_that_are_there(
    kaggle: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (0, 1):
        recipe = RECIPE.format(competition="cars").replace("resnet-8", f"efficientnet-b{number}")
        recipe = recipe.replace('weights = "none"', 'weights = "noisy-student"')
        write_entry(tmp_path, f"b{number}", recipe, competition_sources=[CARS])
    monkeypatch.setenv("PODIUM_PRETRAINED", str(tmp_path / "files"))
    with pytest.raises(MissingWeights, match=r"b0_noisy-student_notop\.h5: not on this"):
        upload_pretrained("b0", POLL)
    names = [f"efficientnet-b{number}_noisy-student_notop.h5" for number in (0, 1)]
    (tmp_path / "files").mkdir()
    for name in names:
        (tmp_path / "files" / name).write_text(name)
    upload_pretrained("b0", POLL)
    ref = "someone/podium-pretrained"
    assert names_in(kaggle, ref) == {names[0]}
    assert (sources("b0"), sources("b1")) == (["OWNER/podium-pretrained"], [])
    assert build(Kernel("b0"), "someone").metadata.dataset_sources == [ref]
    assert build(Kernel("b0", predicts=True), "someone").metadata.dataset_sources == [], (
        "nothing is trained"
    )
    upload_pretrained("b1", POLL)
    assert names_in(kaggle, ref) == set(names)
    (tmp_path / "files" / names[0]).unlink()
    with pytest.raises(MissingWeights, match="needs all of its files"):
        upload_pretrained("b1", POLL)
    with pytest.raises(MissingWeights, match="tiny starts with no pretrained weights"):
        upload_pretrained("tiny", POLL)


def test_what_did_not_arrive_makes_no_dataset(kaggle: StandIn, run: Path) -> None:
    kaggle.fail_upload = 400
    with pytest.raises(ValueError, match=r"Upload unsuccessful: tiny\.zip"):
        upload_run("tiny", POLL)
    assert REF not in kaggle.datasets
    assert sources("tiny") == []
    with pytest.raises(RunError, match="no run 'none'"):
        upload_run("none", POLL)
