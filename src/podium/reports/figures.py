"""Figures of a finished run: how it learnt, which classes it takes for which, and some pictures."""

import io
from collections.abc import Iterator

import pandas as pd
from matplotlib.figure import Figure
from sklearn.metrics import ConfusionMatrixDisplay

from podium.competitions import MissingData, get_competition
from podium.fold_folder import RunError
from podium.images.reading import UnreadablePicture
from podium.reports.gallery import draw_gallery
from podium.reports.gallery_choice import choose_rows, read_judged
from podium.run_folder import RunFolder
from podium.table import stored_table


def png(figure: Figure) -> bytes:
    """The figure as a picture, for a page or a notebook."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def figures_of(folder: RunFolder) -> Iterator[Figure]:
    """Each figure that the run has the data for."""
    if folder.finished_folds():
        yield learning_curves(folder)
        yield confusion_matrix(folder)
        try:
            judged = read_judged(folder)
            gallery = draw_gallery(judged, choose_rows(judged))
        except (MissingData, RunError, UnreadablePicture) as error:  # trained on another machine
            print(f"no gallery: {error}")
        else:
            yield gallery


def learning_curves(folder: RunFolder) -> Figure:
    """Loss and accuracy by epoch: a line a fold, training dashed; stages are set apart."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    axes = figure.subplots(1, 2)
    histories = {number: folder.fold(number).read_history() for number in folder.finished_folds()}
    for axis, quantity in zip(axes, ("loss", "accuracy"), strict=True):
        for number, history in histories.items():
            epochs = range(1, len(history) + 1)
            colour = f"C{number}"
            axis.plot(epochs, history[f"val_{quantity}"], color=colour, label=f"fold {number}")
            axis.plot(epochs, history[quantity], color=colour, linestyle="--", alpha=0.6)
        for end in _stage_ends(next(iter(histories.values()))):
            axis.axvline(end, color="grey", linewidth=0.8, linestyle=":")
        axis.set(xlabel="epoch", ylabel=quantity, title=f"{quantity}: validation, training dashed")
        axis.legend()
    return figure


def confusion_matrix(folder: RunFolder) -> Figure:
    """Share of each true class that is taken for each class, out-of-fold."""
    classes = get_competition(folder.read_recipe().competition).classes
    probabilities = folder.read_probabilities("out_of_fold")
    labels = stored_table(folder).train["label"].reindex(probabilities.index)
    side = 2.5 + 0.5 * len(classes)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axis = figure.subplots()
    ConfusionMatrixDisplay.from_predictions(
        labels,
        probabilities.to_numpy().argmax(axis=1),
        labels=range(len(classes)),
        display_labels=list(classes),
        normalize="true",
        values_format=".2f",
        xticks_rotation="vertical",
        cmap="Blues",
        colorbar=False,
        ax=axis,
    )
    axis.set_title("confusion, out-of-fold (rows sum to 1)")
    return figure


def _stage_ends(history: pd.DataFrame) -> list[float]:
    """Between which epochs a new stage begins."""
    stages = history["stage"].to_numpy()
    return [epoch + 0.5 for epoch in range(1, len(stages)) if stages[epoch] != stages[epoch - 1]]
