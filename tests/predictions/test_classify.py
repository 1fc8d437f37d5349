"""`podium classify` on images from anywhere, with two networks that were really trained."""

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from podium.predictions.classify import answer, classify
from podium.runs.fold_folder import RunError
from podium.runs.run_folder import RunFolder
from podium.training.train import train
from small_competitions import break_image, draw_image, enter_copy, make_project
from small_runs import files

MORE = 50  # training images of each class, beside those of the competition: a fold must hold 19


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    project = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PODIUM_INPUT", raising=False)
        patch.chdir(project)
        data = make_project(project, "clocks-or-crocs")
        for label, name in enumerate(("clock", "crocodile")):
            for number in range(100, 100 + MORE):
                draw_image(data / "train" / name / f"{name}-{number}.png", label)
        train("tiny", ["stages.0.epochs=3", "stages.0.learning_rate=0.003"], run="tiny")
        answer(RunFolder(project / "weights" / "tiny"), [data / "test" / "test-0.png"])
        yield project


@pytest.fixture
def project(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, to do with as the test likes; the current folder."""
    return enter_copy(trained, tmp_path, monkeypatch)


@pytest.fixture
def run(project: Path) -> RunFolder:
    return RunFolder(project / "weights" / "tiny")


@pytest.fixture
def tests(project: Path) -> Path:
    """The folder of the six test images."""
    return project / "input" / "clocks-or-crocs" / "test"


Podium = Callable[..., tuple[int, str, str]]


@pytest.fixture
def podium(project: Path, command: Podium) -> Podium:
    return partial(command, "classify", "tiny")


def unlike_any(path: Path) -> Path:
    """An image such as none in training: hard stripes, where those are smooth and colored."""
    stripes = np.indices((20, 20))[1] // 2 % 2 * 255
    Image.fromarray(stripes.astype(np.uint8)).save(path)
    return path


# --- Images of any kind


def test_any_size_mode_and_format(project: Path, podium: Podium, tests: Path) -> None:
    with Image.open(tests / "test-0.png") as known:
        image = known.convert("RGB")
    odd = project / "odd"
    odd.mkdir()
    image.convert("RGBA").save(odd / "clear.png")
    image.convert("CMYK").save(odd / "print.jpg")
    image.convert("P").save(odd / "few.gif")
    image.convert("1").save(odd / "ink.tif")
    image.convert("I;16").save(odd / "deep.png")
    image.resize((1, 1)).save(odd / "point.bmp")
    image.resize((3000, 7)).save(odd / "wide.webp")
    code, out, err = podium(odd)
    assert (code, err) == (0, "")
    named = [line.split(":")[0] for line in out.splitlines()]
    names = "few.gif", "ink.tif", "deep.png", "wide.webp", "clear.png", "point.bmp", "print.jpg"
    assert named[:-1] == [str(odd / name) for name in names]
    assert named[-1] == "unlikeness"


def test_lines_tell_class_and_probability_as_classify_has_them(
    run: RunFolder, podium: Podium, tests: Path
) -> None:
    image = tests / "test-3.png"
    code, out, _ = podium(image)
    (probabilities,) = classify(run, [image]).to_dict("records")
    first, second = sorted(probabilities.items(), key=lambda item: -item[1])
    said = f"{image}: {first[0]} {first[1]:.3f}, {second[0]} {second[1]:.3f}"
    assert code == 0 and out.startswith(said)


def test_many_images_are_answered_for_in_parts(
    run: RunFolder, tests: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_image(tests / "test-4.png")
    words = [tests, "gone.png", tests / "test-1.png"]
    at_once = answer(run, words).images
    monkeypatch.setattr("podium.predictions.classify.AT_ONCE", 3)
    in_parts = answer(run, words).images
    assert [one.file for one in in_parts] == [one.file for one in at_once] and len(in_parts) == 8
    assert [one.problem for one in in_parts] == [one.problem for one in at_once]
    for mine, other in zip(in_parts, at_once, strict=True):
        assert mine.probabilities == pytest.approx(other.probabilities, abs=1e-5)


# --- Images that cannot be read


def test_an_unreadable_image_is_named_and_hides_no_other(podium: Podium, tests: Path) -> None:
    break_image(tests / "test-2.png")
    code, out, err = podium(tests, "gone.png", "file:///etc/hostname")
    assert code == 1
    read = [line for line in out.splitlines() if line.startswith(str(tests))]
    assert len(read) == 5 and not any("test-2" in line for line in read)
    lines = err.splitlines()
    assert len(lines) == 3 and "Traceback" not in err
    assert lines[0].startswith(f"podium: {tests / 'test-2.png'}: ")
    assert lines[1] == "podium: gone.png: there is no such file"
    assert "file:///etc/hostname: only http:// and https://" in lines[2]


def test_no_image_at_all_says_why_and_nothing_else(podium: Podium) -> None:
    code, out, err = podium("gone.png")
    assert (code, out, err) == (1, "", "podium: gone.png: there is no such file\n")


def test_an_address_is_classified_as_the_file_is(podium: Podium, tests: Path) -> None:
    handler = partial(Quiet, directory=str(tests))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        code, out, err = podium(tests / "test-1.png", f"{url}/test-1.png", f"{url}/", f"{url}/no")
        server.shutdown()
    file, address, _ = out.splitlines()
    assert file.removeprefix(str(tests)) == address.removeprefix(url)
    page, missing = err.splitlines()
    assert code == 1 and "a web page (text/html) came in place" in page
    assert "the server answers 404" in missing


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


# --- CSV and JSON


def test_csv_and_json_hold_all(project: Path, podium: Podium, tests: Path, run: RunFolder) -> None:
    odd = unlike_any(project / "stripes.png")
    code, out, _ = podium(tests, odd, "gone.png", "--csv", "a/b.csv", "--json", "c.json")
    assert code == 1 and len(out.splitlines()) == 8
    table = pd.read_csv("a/b.csv").set_index("file")
    known = sorted(tests.iterdir())
    assert table.index.tolist() == [*map(str, known), str(odd), "gone.png"]
    expected = classify(run, [*known, odd])
    found = table.iloc[:-1]
    np.testing.assert_allclose(found[["p_clock", "p_crocodile"]], expected, atol=1e-6)
    assert found["class"].tolist() == expected.idxmax(axis=1).tolist()
    np.testing.assert_allclose(found["probability"], expected.max(axis=1), atol=1e-6)
    assert table.loc["gone.png", "problem"] == "gone.png: there is no such file"
    assert table.loc["gone.png"].drop("problem").isna().all() and found["problem"].isna().all()

    written = json.loads(Path("c.json").read_text())
    assert [one["file"] for one in written["images"]] == table.index.tolist()
    assert written["run"] == "tiny" and written["folds"] == [0, 1]
    last, gone = written["images"][-2:]
    assert last["unlike"] is True and last["score"] > written["unlikeness"]["limit"]
    assert set(last["probabilities"]) == {"clock", "crocodile"}
    assert gone["class"] is gone["score"] is gone["unlike"] is gone["probabilities"] is None


def test_what_is_printed_for_a_program_is_printed_alone(podium: Podium, tests: Path) -> None:
    code, out, _ = podium(tests, "--csv", "-", "--json", "c.json")
    header, *rows = out.splitlines()
    assert code == 0 and len(rows) == 6
    assert header == "file,class,probability,unlike,score,problem,p_clock,p_crocodile"
    _, out, _ = podium(tests, "--json", "-")
    assert json.loads(out) == json.loads(Path("c.json").read_text())


def test_two_outputs_need_two_places(podium: Podium, tests: Path) -> None:
    for words in (("--csv", "-", "--json", "-"), ("--csv", "x", "--json", "x")):
        code, out, err = podium(tests, *words)
        assert code == 1 and out == "" and "overwrite each other" in err
    assert "is a folder" in podium(tests, "--csv", ".")[2]


# --- Unlike anything in training


def test_only_what_is_unlike_is_called_so(project: Path, podium: Podium, tests: Path) -> None:
    odd = unlike_any(project / "stripes.png")
    code, out, _ = podium(odd, tests)
    stripes, *known, how = out.splitlines()
    assert code == 0
    assert "; unlike anything in training (score " in stripes
    assert "5 % of known images are beyond " in stripes
    assert sum("; unlike" in line for line in known) <= 1
    assert how.startswith("unlikeness: distance, by the network of fold 0; beyond ")
    assert "from 60 that it has not seen)" in how


def test_the_false_alarms_out_of_fold_are_as_stated(run: RunFolder, project: Path) -> None:
    images = run.read_images().query("part == 'train'")
    unseen = images.index[images["fold"].astype(int) == 0]
    paths = [project / "input" / "clocks-or-crocs" / "train" / name for name in unseen]
    assert all(path.is_file() for path in paths)
    answers = answer(run, paths)
    called = sum(one.unlike for one in answers.images)
    places = len(paths) + 1
    assert called == int(0.05 * places) - 1 and answers.ood_detector.rate == (called + 1) / places
    scores = sorted(one.score for one in answers.images)
    np.testing.assert_allclose(scores, np.sort(answers.ood_detector.known), rtol=1e-3)


def test_it_is_fitted_once_and_needs_the_data_no_more(
    project: Path, run: RunFolder, podium: Podium, tests: Path
) -> None:
    shutil.move(tests, "known")
    shutil.rmtree("input")
    before = files(run.path)
    _, out, _ = podium("known")
    assert "unlikeness: distance, by the network of fold 0; beyond" in out
    assert files(run.path) == before and "fold-0/unlikeness.npz" in before
    assert "fold-1/unlikeness.npz" not in before


def test_without_the_data_it_falls_back_to_doubt_and_says_so(
    run: RunFolder, podium: Podium, tests: Path
) -> None:
    (run.fold(0).path / "unlikeness.npz").unlink()
    shutil.move(tests, "known")
    shutil.rmtree("input")
    code, out, _ = podium("known")
    how = out.splitlines()[-1]
    assert code == 0 and how.startswith("unlikeness: doubt, by the network of fold 0 (the training")
    assert "not at hand: no data of clocks-or-crocs" in how and "from 60 that it" in how
    assert not (run.fold(0).path / "unlikeness.npz").exists(), "the data may come back"


def test_what_was_kept_of_other_weights_or_is_damaged_is_fitted_again(
    run: RunFolder, tests: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = run.fold(0).path / "unlikeness.npz"
    limit = answer(run, [tests]).ood_detector.limit
    kept = place.read_bytes()
    place.write_bytes(kept[: len(kept) // 2])
    assert answer(run, [tests]).ood_detector.limit == pytest.approx(limit)
    assert f"{place} is damaged" in capsys.readouterr().err
    assert answer(run, [tests]).ood_detector.distance is not None
    assert "damaged" not in capsys.readouterr().err, "it was kept again"

    shutil.copy(run.fold(1).weights, run.fold(0).weights)
    assert answer(run, [tests]).ood_detector.limit != pytest.approx(limit)
    assert place.read_bytes() != kept


def test_too_few_images_out_of_fold_call_nothing_unlike(
    project: Path, run: RunFolder, podium: Podium
) -> None:
    (run.fold(0).path / "unlikeness.npz").unlink()
    shutil.rmtree("input")
    predicted = run.fold(0).read_predictions("validation")
    run.fold(0).write_predictions("validation", predicted.iloc[:10])
    code, out, _ = podium(unlike_any(project / "stripes.png"))
    image, how = out.splitlines()
    assert code == 0 and "; unlike" not in image
    assert "10 known images are too few to call any unlike" in how


# --- Runs


def test_a_run_that_is_scored_and_has_predicted_no_test_images_will_do(
    run: RunFolder, tests: Path
) -> None:
    expected = classify(run, sorted(tests.iterdir()))
    for fold in (0, 1):
        (run.fold(fold).path / "test.csv").unlink()
    pd.testing.assert_frame_equal(classify(run, sorted(tests.iterdir())), expected)


def test_folds_without_weights_are_left_out(run: RunFolder, tests: Path) -> None:
    run.fold(0).delete_weights()
    assert answer(run, [tests]).folds == [1]
    run.fold(1).delete_weights()
    with pytest.raises(RunError, match="no trained fold yet, or none whose weights were kept"):
        answer(run, [tests])


def test_a_blend_names_the_runs_to_take(project: Path, podium: Podium, tests: Path) -> None:
    run = project / "weights" / "tiny" / "run.json"
    run.write_text(json.dumps({"runs": ["one", "other"], "competition": "clocks-or-crocs"}))
    code, out, err = podium(tests)
    assert code == 1 and out == ""
    assert err.count("\n") == 1 and "is a blend of one, other, not a training run" in err


def test_features_that_were_not_learned_are_judged_by_doubt(project: Path, tests: Path) -> None:
    stage = 'stages=[{unfreeze = "head", epochs = 1, learning_rate = 1.0, solver = "kernel"}]'
    augmentation = "augmentation={mirror = false, crop = 1.0, rotate = 0.0}"
    head = "head={width = 0, dropout = 0.0, centers = 60}"
    train(
        "tiny",
        ["backbone=patches", "cached_views=1", head, augmentation, stage],
        run="kernels",
        folds=[0],
    )
    answers = answer(RunFolder(project / "weights" / "kernels"), [tests])
    assert answers.ood_detector.kind == "doubt" and len(answers.ood_detector.known) == 60
    assert "its features are not learned" in str(answers.ood_detector)
    assert answers.folds == [0]
