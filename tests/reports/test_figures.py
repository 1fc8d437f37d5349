"""The figures of a run show what is in its files."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from podium.predictions.combine import assemble
from podium.reports.figures import confusion_matrix, figures_of, learning_curves, png
from podium.run_folder import RunFolder
from podium.table import stored_table
from podium.whole_files import write_json
from small_runs import write_run

HISTORY = [
    {"stage": 0, "loss": 0.9, "val_loss": 1.0, "accuracy": 0.5, "val_accuracy": 0.4},
    {"stage": 0, "loss": 0.7, "val_loss": 0.8, "accuracy": 0.6, "val_accuracy": 0.5},
    {"stage": 1, "loss": 0.5, "val_loss": 0.6, "accuracy": 0.7, "val_accuracy": 0.9},
]


def run(tmp_path: Path) -> RunFolder:
    folder = write_run(tmp_path / "weights" / "a")
    for fold in (0, 1):
        folder.fold(fold).write_history(HISTORY)
    assemble(folder)
    return folder


def test_the_curves_are_the_history_of_each_fold(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    loss, accuracy = learning_curves(run(tmp_path)).axes
    curves = [line for line in loss.lines if len(line.get_xdata()) == 3]
    assert len(curves) == 4  # validation and training of two folds
    assert list(curves[0].get_ydata()) == [1.0, 0.8, 0.6]
    assert list(curves[1].get_ydata()) == [0.9, 0.7, 0.5]
    assert [text.get_text() for text in accuracy.get_legend().texts] == ["fold 0", "fold 1"]
    (boundary,) = [line for line in loss.lines if len(line.get_xdata()) == 2]
    assert list(boundary.get_xdata()) == [2.5, 2.5]


def test_the_confusion_is_that_of_the_out_of_fold_predictions(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = run(tmp_path)
    (axis,) = confusion_matrix(folder).axes
    probabilities = folder.read_probabilities("out_of_fold")
    labels = stored_table(folder).train["label"].reindex(probabilities.index).to_numpy()
    said = probabilities.to_numpy().argmax(axis=1)
    shares = [[np.mean(said[labels == true] == other) for other in (0, 1)] for true in (0, 1)]
    np.testing.assert_allclose(axis.images[0].get_array(), shares)
    assert [text.get_text() for text in axis.get_yticklabels()] == ["clock", "crocodile"]


def test_figures_become_pictures(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    pictures = [Image.open(io.BytesIO(png(figure))) for figure in figures_of(run(tmp_path))]
    assert [picture.format for picture in pictures] == ["PNG", "PNG"]
    assert min(pictures[0].size) > 300


def test_a_blend_has_no_history_to_draw(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "blend")
    write_json(folder.path / "run.json", {"runs": ["a", "b"], "competition": "clocks-or-crocs"})
    assert list(figures_of(folder)) == []
