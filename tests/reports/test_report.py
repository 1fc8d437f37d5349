"""`podium report` of runs whose images are elsewhere: what it says, leaves out and refuses."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from PIL import Image
from test_page import Read

from podium.competitions import get_competition
from podium.files.atomic_write import write_json
from podium.predictions.blend import blend
from podium.predictions.combine import assemble
from podium.reports import report as module
from podium.reports.report import figures_of, report, report_after_training
from podium.runs.fold_folder import RunError
from podium.runs.run_folder import RunFolder
from small_runs import TRAIN, files, write_run

HISTORY = [
    {
        "stage": 0,
        "epoch": epoch,
        "loss": 0.9 - 0.1 * epoch,
        "val_loss": 1.0 - 0.1 * epoch,
        "accuracy": 0.5,
        "val_accuracy": 0.5 + 0.1 * epoch,
        "learning_rate": 1e-3,
        "seconds": 2.0,
        "peak_memory_gb": 1.5 + epoch,
    }
    for epoch in range(3)
]
STAGES = [{"unfreeze": "all", "epochs": 3, "learning_rate": 1e-3}]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without images; the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kernels").mkdir()
    return tmp_path


def a_run(name: str = "a", joined: bool = True, **changes: object) -> RunFolder:
    folder = write_run(Path("weights", name).resolve(), stages=STAGES, **changes)
    for fold in (0, 1):
        folder.fold(fold).write_history(HISTORY)
    if joined:
        assemble(folder)
    return folder


def read(path: Path) -> Read:
    return Read(path.read_text(encoding="utf-8"))


def words(page: Read) -> str:
    """The text in one line."""
    return re.sub(r"\s+", " ", page.text)


# --- One run


def test_the_report_says_what_the_run_is_and_did() -> None:
    folder = a_run()
    made = report(["a"])
    assert made.path == folder.path / "report.html"
    page = read(made.path)
    score = folder.read_score()["score"]
    headline = f"accuracy {score['value']:.4f} (95 % interval {score['low']:.4f} to"
    said = words(page)
    assert headline in said and "Report of a" in said
    for part in (
        *("16 out-of-fold images of clocks-or-crocs", "2 of 2 folds", "resnet-small"),
        *("commit of we", "x86_64", "Precision, recall and F1", "Most confused"),
        *("Expected calibration error", "Most confident mistakes"),
    ):
        assert part in said, part
    titles = [
        *("Score", "Images", "Recipe", "Data", "Cost and origin", "Learning", "Classes"),
        *("Calibration", "As the network sees them", "Grad-CAM", "Views"),
    ]
    anchors = [title.lower().replace(" ", "-") for title in titles]
    assert [one["id"] for one in page.all("h2")] == anchors


def test_time_and_memory_by_stage_are_those_of_the_history() -> None:
    a_run()
    said = words(read(report(["a"]).path))
    # Two folds of three epochs of 2 s, whose last had 3.5 GB; 60 and 61 s in all.
    assert "1: all layers 3 12 s 6.0 s 3.50 GB" in said
    assert "2 min in all, with cached features" in said


def test_a_stage_that_the_time_cut_short_shows_what_each_fold_did() -> None:
    folder = a_run()
    said = words(read(report(["a"]).path))
    assert "epochs done learning rate px batch 1 all layers 3 3 0.001" in said
    folder.fold(1).write_history(HISTORY[:2])
    said = words(read(report(["a"]).path))
    assert "1 all layers 3 3 in fold 0, 2 in fold 1 0.001" in said


def test_the_origin_is_told_in_a_reader_s_time() -> None:
    folder = a_run()
    folder.write_run({**folder.read_run(), "started": "2026-11-29T01:58:12+02:00"})
    assert "28 November 2026, 23:58 UTC" in words(read(report(["a"]).path))


def test_a_single_split_is_called_validation() -> None:
    folder = write_run(Path("weights", "a").resolve(), [0], shares=[0.5, 0.5], stages=STAGES)
    assemble(folder)
    said = words(read(report(["a"]).path))
    assert "8 validation images of clocks-or-crocs" in said and "out-of-fold" not in said


def test_images_have_addresses_and_the_confused_classes_are_shown() -> None:
    folder = a_run()
    page = read(report(["a"]).path)
    assert "Taken for each other: clock and crocodile" in words(page)
    anchors = [one["id"] for one in page.all("a") if "id" in one]
    assert len(anchors) == len(set(anchors))
    links = {one["href"].removeprefix("#") for one in page.all("a") if one.get("class") == "name"}
    assert links == set(anchors)
    judged = set(folder.read_probabilities("out_of_fold").index)
    assert {unquote(one).removeprefix("image-") for one in anchors} <= judged and anchors


def test_the_figures_lie_beside_the_page_and_in_it() -> None:
    made = report([a_run().name])
    names = {path.name for path in made.figures}
    assert names == {
        *("curve-loss.png", "curve-accuracy.png", "learning-rate.png"),
        *("confusion.png", "reliability.png"),
    }
    for path in made.figures:
        assert path.parent == made.path.with_suffix("")
        with Image.open(path) as image:
            assert image.format == "PNG" and min(image.size) > 300
    page = read(made.path)
    assert len(page.all("img")) == len(made.figures), "there are no images here"
    assert made.path.stat().st_size < 2e6
    assert len(str(made).splitlines()) == 2 + len(made.left_out)


def test_what_is_not_here_is_said_in_a_line_and_names_no_folder(place: Path) -> None:
    made = report([a_run().name])
    why = "the images of clocks-or-crocs are not on the machine that made this"
    for title in ("Images", "As the network sees them", "Grad-CAM"):
        assert any(one.startswith(title) and why in one for one in made.left_out), title
    assert str(place) not in made.path.read_text(encoding="utf-8")
    said = words(read(made.path))
    assert any(name in said for name in TRAIN), "the names of the images are told"


def test_names_of_images_are_escaped(place: Path) -> None:
    folder = a_run(joined=False)
    evil = "clock/<script>alert(1)</script><b onclick=x>$\\frac{"
    for path in folder.path.rglob("*.csv"):
        path.write_text(path.read_text().replace("clock/0", evil))
    assemble(folder)
    page = read(report(["a"]).path)
    assert evil in page.text
    assert not page.all("script") and not page.all("b")


def test_what_was_left_out_of_the_training_is_told_with_its_reason(place: Path) -> None:
    folder = a_run(joined=False)
    images = folder.read_images()
    broken = {"part": "dropped", "label": 1, "problem": "/secret/x.png: broken (bad header)"}
    table = pd.concat([images, pd.DataFrame([broken], ["crocodile/x"])]).rename_axis("id")
    folder.write_images(table.reset_index().set_index(["part", "id"]))
    page = report(["a"]).path.read_text()
    assert "crocodile/x" in page and "broken (bad header)" in page and "/secret" not in page


def test_a_run_that_stopped_at_its_score_is_reported_and_not_changed() -> None:
    folder = a_run(joined=False)
    for fold in (0, 1):
        (folder.fold(fold).path / "test.csv").unlink()
    before = files(folder.path)
    made = report(["a"])
    after = files(folder.path)
    assert {path: after[path] for path in before} == before
    assert all(path.startswith("report") for path in after.keys() - before.keys())
    assert "16 out-of-fold images" in words(read(made.path))


def test_a_score_that_is_too_good_is_said() -> None:
    folder = a_run(joined=False)
    row = {"stage": 0, "labels": {"10": "clock"}, "knows_the_fold": "b has another split"}
    folder.fold(1).write_pseudo({"stages": [row]})
    assemble(folder)
    said = words(read(report(["a"]).path))
    assert "The score of fold 1 leaks: b has another split." in said


def test_a_run_put_together_of_parts_names_the_machine_of_each_fold() -> None:
    folder = a_run()
    parts = [{"fold": 0, "machine": "one"}, {"fold": 1, "machine": "other", "commit": "f" * 40}]
    folder.write_run({**folder.read_run(), "parts": parts})
    said = words(read(report(["a"]).path))
    assert "0 one" in said and "1 other ffffffffffff" in said


def test_a_notebook_gets_each_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(list(figures_of(a_run()))) == 5
    assert "no gallery: the images of a are not here" in capsys.readouterr().out


# --- At the end of a training


def test_a_report_that_fails_costs_no_run_and_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = a_run()

    def fail(*_: object) -> None:
        raise KeyError("a bug\nin two lines")

    monkeypatch.setattr(module, "classes_section", fail)
    before = files(folder.path)
    assert report_after_training(folder) is None
    said = capsys.readouterr().err
    assert said.startswith("podium: no report of a (KeyError: ") and said.count("\n") == 1
    assert "`podium report a` tries again" in said
    assert files(folder.path) == before
    with pytest.raises(KeyError):
        report(["a"])


def test_without_a_network_the_page_says_which_command_adds_it() -> None:
    folder = a_run()
    path = report_after_training(folder)
    assert path == folder.path / "report.html"
    assert "`podium report a` adds them" in words(read(path))


# --- A blend, and several runs


def test_a_blend_shows_its_runs_with_their_weights() -> None:
    a_run("a", seed=0)
    a_run("b", seed=0, image_size=64)
    blended = blend(["a", "b"])
    made = report([blended.folder.name])
    said = words(read(made.path))
    for row in blended.folder.read_score()["runs"]:
        assert f"{row['run']} {row['weight']:.3f}" in said
    assert "A blend of a, b" in said and "Ways to blend them" in said
    assert any("a blend has no network of its own" in one for one in made.left_out)


def test_two_runs_stand_side_by_side() -> None:
    first, second = a_run("a", seed=0), a_run("b", seed=1, image_size=64)
    made = report(["a", "b"])
    assert made.path == first.path / "report-with-b.html"
    assert {path.name for path in made.figures} == {"curve-loss.png", "curve-accuracy.png"}
    said = words(read(made.path))
    for run in (first, second):
        assert f"{run.name} {run.read_score()['score']['value']:.4f}" in said
    assert "seed 0 1" in said and "image_size 224 64" in said
    assert "backbone resnet-small resnet-small" not in said, "only what differs"
    for part in ("better by", "F1 by class", "only a", "only b", "both are right"):
        assert part in said, part


def test_the_paired_difference_is_of_the_images_of_both() -> None:
    first, second = (a_run(name, seed=seed) for name, seed in (("a", 0), ("b", 1)))
    right = []
    for run in (first, second):
        table = run.read_probabilities("out_of_fold").sort_index()
        said = table.columns[table.to_numpy().argmax(axis=1)]
        right.append(
            [one == name.split("/")[0] for one, name in zip(said, table.index, strict=True)]
        )
    difference = (sum(right[1]) - sum(right[0])) / 16
    only = sum(one and not other for one, other in zip(*right, strict=True))
    said = words(read(report(["a", "b"]).path))
    assert f"{difference:+.4f} (95 % interval" in said
    assert f"only a {only}" in said


def test_another_place_for_the_page(place: Path) -> None:
    a_run()
    made = report(["a"], place / "some" / "page.html")
    assert made.path.is_file()
    assert {path.parent for path in made.figures} == {place / "some" / "page"}


# --- What is refused

Podium = Callable[..., tuple[int, str, str]]


@pytest.fixture
def podium(command: Podium) -> Podium:
    return partial(command, "report")


def test_the_command_says_where_it_is(podium: Podium) -> None:
    folder = a_run()
    code, out, err = podium("a")
    assert (code, err) == (0, "")
    assert f"report      {folder.path / 'report.html'} (" in out
    assert "note        Grad-CAM: Left out" in out


@pytest.mark.parametrize(
    ("runs", "part"),
    [
        (["gone"], "no run 'gone'"),
        (["a", "cars"], "these runs are of several competitions: cars, clocks-or-crocs"),
        (["a", "--to", "a.txt"], "--to a.txt: give the name of a file that ends in .html"),
        (["a", "--to", "."], "--to .: give the name of a file that ends in .html"),
        (["new"], "has no trained fold yet: train it to its end first"),
    ],
)
def test_mistakes_are_one_line(podium: Podium, place: Path, runs: list[str], part: str) -> None:
    a_run()
    write_run(place / "weights" / "new", folds=())
    _write_blend(RunFolder(place / "weights" / "cars"))
    code, _, err = podium(*runs)
    assert code == 1 and part in err and err.count("\n") == 1


def _write_blend(folder: RunFolder) -> None:
    """One of cars, with a single image."""
    write_json(folder.path / "run.json", {"runs": ["x", "y"], "competition": "cars"})
    ids = pd.Index(["one"], name="id")
    folder.write_images(pd.concat({"train": pd.DataFrame({"label": 0}, ids)}, names=["part"]))
    classes = list(get_competition("cars").classes)
    folder.write_probabilities("out_of_fold", pd.DataFrame(0.1, ids, classes))
    score = {"metric": "accuracy", "value": 0.5, "low": 0.1, "high": 0.9, "images": 1}
    folder.write_score({"score": score})


def test_runs_without_a_common_image_cannot_be_compared() -> None:
    a_run("a").fold(1).forget_cost()
    a_run("b").fold(0).forget_cost()
    with pytest.raises(ValueError, match="a and b were judged on different images"):
        report(["a", "b"])


def test_a_damaged_table_is_named() -> None:
    folder = a_run()
    (folder.path / "pictures.csv").write_text("part,id\n")
    with pytest.raises(RunError, match="is not as Podium writes it"):
        report(["a"])
