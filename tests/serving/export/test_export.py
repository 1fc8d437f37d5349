"""An exported run gives its probabilities in a process that has no Podium."""

import json
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

if keras.config.backend() != "tensorflow":
    pytest.skip("TensorFlow exports a run", allow_module_level=True)

from podium.predictions.predictor import Predictor
from podium.predictions.tta import VIEWS
from podium.runs.run import Run
from podium.runs.run_folder import RunFolder
from podium.serving.export import export as module
from podium.serving.export.export import export
from podium.serving.export.formats import FORMATS
from small_competitions import RECIPE, enter_copy, make_project
from small_tasks import add_competitions, make_task_project

PACKAGES = {"onnx": "tf2onnx", "litert": "ai_edge_litert"}
# Saves what an export's own example predicts of stored arrays, and what it reads and says.
FRESH = """
import sys
from pathlib import Path

class Refusal:
    def find_spec(self, name, *_):
        if name.split(".")[0] in ("podium", "efficientnet"):
            raise ImportError(name)

sys.meta_path.insert(0, Refusal())
sys.path.insert(0, sys.argv[1])
import numpy as np
import example

outputs = example.predict(np.load("images.npy"))
np.savez("outputs.npz", **outputs)
"""


def outside(folder: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    """What an export predicts in a process that can import neither Podium nor efficientnet."""
    np.save("images.npy", images)
    words = [sys.executable, "-c", FRESH, str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    with np.load("outputs.npz") as outputs:
        return dict(outputs)


def validation_of(run: Run, fold: int) -> tuple[np.ndarray, np.ndarray]:
    """The images of a fold as its network saw them, and the probabilities that the run stored."""
    from podium.data.table import read_table

    train = read_table(run.competition, run.folder).train
    train = train[train["fold"] == fold]
    stored = run.folder.fold(fold).read_predictions("validation").xs("plain", level="view")
    squares = module._squares(run, train, run.image_size(fold))
    return squares, stored.loc[train.index].to_numpy()


@pytest.mark.parametrize("to", FORMATS)
def test_a_fresh_process_gets_the_probabilities_that_the_run_stored(
    trained_copy: Path, command, to: str
) -> None:
    pytest.importorskip(PACKAGES.get(to, "numpy"))
    code, printed, errors = command("export", "tiny", "--to", to)
    assert code == 0, errors
    folder = trained_copy / "weights" / "tiny" / "export" / to
    assert f"export      {folder}" in printed and "agreement   largest difference" in printed
    images, stored = validation_of(Run.open(RunFolder(trained_copy / "weights" / "tiny")), 0)
    found = outside(folder, images)
    assert list(found) == ["probabilities"]
    np.testing.assert_allclose(found["probabilities"], stored, rtol=0, atol=1e-3)
    agreement = json.loads((folder / "agreement.json").read_text())
    assert agreement["images"] == 12 and agreement["file"]["largest"] < 1e-5
    assert 0 < agreement["reading"]["largest"] < 0.2
    card = (folder / "README.md").read_text()
    assert "pipeline_tag: image-classification" in card and "95 % interval" in card


@pytest.fixture(scope="module")
def trained_b0(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """An EfficientNet whose statistics are those of its images, so that these differ to it."""
    from podium.training.train import train

    project = tmp_path_factory.mktemp("b0")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        make_project(project, "sample", RECIPE.replace("resnet-8", "efficientnet-b0"))
        learns = ["batchnorm_momentum=0.1", "stages.0.epochs=6", "stages.0.learning_rate=0.01"]
        return train("tiny", [*learns, "image_size=64"], [0]).folder


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.slow
def test_so_does_one_of_efficientnet(trained_b0: RunFolder, monkeypatch, to: str) -> None:
    pytest.importorskip(PACKAGES.get(to, "numpy"))
    monkeypatch.chdir(trained_b0.path.parents[1])
    exported = export(trained_b0, to).folder
    images, stored = validation_of(Run.open(trained_b0), 0)
    found = outside(exported, images)["probabilities"]
    np.testing.assert_allclose(found, stored, rtol=0, atol=1e-3)
    assert stored.std(axis=0).max() > 1e-3


def test_all_folds_are_their_mean_and_their_boxes_go_along(
    trained_pets: Path, tmp_path: Path, monkeypatch
) -> None:
    project = enter_copy(trained_pets, tmp_path, monkeypatch)
    folder = RunFolder(project / "weights" / "tiny")
    exported = export(folder, "saved_model", "all")
    predictor = Predictor(folder)
    images, _ = validation_of(predictor.run, 1)
    found, expected = outside(exported.folder, images), []
    for fold in (0, 1):
        predictor.load(fold)
        expected.append(predictor.predict(images, VIEWS[:1]))
    both = [one.probabilities[:, 0] for one in expected]
    np.testing.assert_allclose(found["probabilities"], np.mean(both, axis=0), atol=1e-5)
    assert np.abs(both[0] - both[1]).max() > 1e-3
    boxes = np.mean([one.boxes[:, 0] for one in expected], axis=0)
    np.testing.assert_allclose(found["boxes"], boxes, atol=1e-5)
    assert json.loads((exported.folder / "labels.json").read_text())["folds"] == [0, 1]


def test_onnx_takes_batches_and_sides_of_any_size(trained_copy: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    exported = export(RunFolder(trained_copy / "weights" / "tiny"), "onnx").folder
    session = onnxruntime.InferenceSession(exported / "model.onnx")
    for shape in ((1, 16, 16, 3), (3, 24, 40, 3)):
        (found,) = session.run(["probabilities"], {"images": np.full(shape, 200, np.uint8)})
        assert found.shape == (shape[0], 6)
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def test_what_quantizing_costs_is_said(trained_copy: Path, command) -> None:
    pytest.importorskip("ai_edge_litert")
    code, printed, errors = command("export", "tiny", "--to", "litert", "--quantize")
    assert code == 0, errors
    assert "8-bit       gain in the metric" in printed
    folder = trained_copy / "weights" / "tiny" / "export" / "litert-int8"
    agreement = json.loads((folder / "agreement.json").read_text())
    assert agreement["limit"] is None and agreement["quantized_gain"]["images"] == 12
    assert agreement["file"]["largest"] < 0.5
    assert "In 8-bit integers the metric gains" in (folder / "README.md").read_text()


def test_a_file_that_is_another_network_is_refused(trained_copy: Path, monkeypatch) -> None:
    folder = RunFolder(trained_copy / "weights" / "tiny")
    before = (export(folder, "keras").folder / "model.keras").read_bytes()
    right = FORMATS["keras"]

    def spoiled(model, size, path) -> None:
        model.set_weights([1.3 * array for array in model.get_weights()])
        right.write(model, size, path)

    monkeypatch.setitem(FORMATS, "keras", replace(right, write=spoiled))
    with pytest.raises(ValueError, match=r"is not the run's network.*at most 0\.001"):
        export(folder, "keras")
    left = [path.name for path in (folder.path / "export").iterdir()]
    assert left == ["keras"]
    assert (folder.path / "export" / "keras" / "model.keras").read_bytes() == before


def test_the_example_says_the_class_of_a_file(trained_copy: Path) -> None:
    exported = export(RunFolder(trained_copy / "weights" / "tiny"), "keras", "1").folder
    example = runpy.run_path(str(exported / "example.py"))
    image = next((trained_copy / "input").rglob("*.jpg"))
    square = example["read_image"](image)
    assert square.shape == (16, 16, 3) and square.dtype == np.uint8
    values = example["predict"](square[np.newaxis])["probabilities"][0]
    labels = json.loads((exported / "labels.json").read_text())
    assert example["answer"](values) == labels["classes"][values.argmax()]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--to", "onyx"], "--to onyx: expected one of keras, saved_model, onnx, litert"),
        (["--to", "onnx", "--quantize"], "--quantize goes with --to litert"),
        (
            ["--to", "keras", "--folds", "7"],
            "--folds 7: expected all, or one of the trained folds: 0, 1",
        ),
    ],
)
def test_mistakes_are_a_line(trained_copy: Path, command, words: list[str], told: str) -> None:
    code, _, errors = command("export", "tiny", *words)
    assert code == 1 and told in errors and "Traceback" not in errors


def test_missing_packages_are_named(trained_copy: Path, command, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    code, _, errors = command("export", "tiny", "--to", "onnx")
    assert code == 1 and "tf2onnx missing: pip install 'podium[export]'" in errors


def test_a_run_of_jax_is_exported_by_tensorflow_which_is_said(trained_copy: Path, command) -> None:
    folder = RunFolder(trained_copy / "weights" / "tiny")
    folder.write_run(folder.read_run() | {"backend": "jax"})
    code, printed, errors = command("export", "tiny", "--to", "keras")
    assert code == 0, errors
    assert "made by TensorFlow, also of a run that was trained under JAX" in printed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "thresholds"), [("shapes", [0.3, 0.5, 0.7]), ("stripes", [0.9, 1.5, 2.1])]
)
def test_labels_and_grades_are_answered_by_the_runs_thresholds(
    tmp_path: Path, monkeypatch, task: str, thresholds: list[float]
) -> None:
    from podium.training.train import train

    monkeypatch.chdir(tmp_path)
    add_competitions(monkeypatch)
    make_task_project(tmp_path, task, images=32)
    folder = train("tiny").folder
    folder.write_score(folder.read_score() | {"thresholds": thresholds})
    exported = export(folder, "saved_model").folder
    competition = Run.open(folder).competition
    example = runpy.run_path(str(exported / "example.py"))
    values = np.random.default_rng(0).uniform(0, 1, (20, len(competition.outputs)))
    answers = competition.task.decide(values, np.array(thresholds))
    named = competition.task.names(answers, competition.classes)
    found = [example["answer"](row) for row in values]
    assert [one if isinstance(one, str) else " ".join(one) for one in found] == named
    assert len(set(named)) > 2
