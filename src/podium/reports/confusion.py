"""Which classes are taken for which: the matrix, precision and recall, the pairs most confused."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from podium.reports.figures import canvas, plain

WRITTEN = 20  # classes up to which each cell has its number
NAMED = 60  # and each class its name


def confusion_figure(labels: np.ndarray, said: np.ndarray, classes: list[str]) -> Figure:
    """Share of each true class that is taken for each class.

    Args:
        labels, said: class numbers (images,).
    """
    counts = confusion_matrix(labels, said, labels=range(len(classes)))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(2.3 + 0.45 * len(classes), 9.5)
    figure, axis = canvas(side + 0.4, side)
    axis.grid(visible=False)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    every = 1 if len(classes) <= NAMED else -(-len(classes) // NAMED)
    ticks = range(0, len(classes), every)
    letters = 9 if len(classes) <= WRITTEN else 6
    names = [plain(classes[number]) for number in ticks]
    axis.set_xticks(ticks, names, rotation="vertical", fontsize=letters)
    axis.set_yticks(ticks, names, fontsize=letters)
    if len(classes) <= WRITTEN:
        for row, column in np.ndindex(*shares.shape):
            if counts[row, column]:
                ink = "white" if shares[row, column] > 0.5 else "black"
                text = f"{shares[row, column]:.2f}"
                axis.text(column, row, text, ha="center", va="center", color=ink, fontsize=8)
    axis.set(xlabel="predicted", ylabel="true", title="confusion (rows sum to 1)")
    return figure


def by_class(labels: np.ndarray, said: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """Precision, recall, F1 and support by class; NaN where one was never said, or is absent."""
    values = precision_recall_fscore_support(
        labels, said, labels=range(len(classes)), zero_division=np.nan
    )
    columns = ["precision", "recall", "f1", "support"]
    return pd.DataFrame(dict(zip(columns, values, strict=True)), index=classes)


def most_confused(labels: np.ndarray, said: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """The pairs of true and predicted class by how often, with their share of the true class."""
    counts = confusion_matrix(labels, said, labels=range(len(classes)))
    rows = [
        (
            classes[true],
            classes[other],
            counts[true, other],
            counts[true, other] / sum(counts[true]),
        )
        for true, other in zip(*np.nonzero(counts), strict=True)
        if true != other
    ]
    table = pd.DataFrame(rows, columns=["true", "said", "count", "share"])
    return table.sort_values(["count", "share"], ascending=False, kind="stable")
