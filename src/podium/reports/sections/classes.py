"""How a run does by class, and whether it is as sure as it is right."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from podium.reports.blocks import Block, Chart, Charts, Section, TableBlock, Words, share
from podium.reports.figures import GRAY, PALETTE, WIDTH, canvas, plain, tidy
from podium.reports.run_data import RunData

WRITTEN = 20  # classes up to which each cell of the matrix has its number
NAMED = 60  # and each class its name
PAIRS = 12
FOLDED = 30  # classes from which the table is folded, the weakest stand before it
WEAKEST = 10
TITLES = ["class", "precision", "recall", "F1", "support"]


def classes_section(one: RunData) -> Section:
    labels, said = (one.judged[name].to_numpy() for name in ("label", "said"))
    pairs = most_confused(labels, said, one.classes)
    worst = (
        f"; most often {pairs.iloc[0]['true']} for {pairs.iloc[0]['said']}" if len(pairs) else ""
    )
    wrong = int((labels != said).sum())
    chart = Chart(
        "confusion",
        confusion_figure(labels, said, one.classes),
        f"confusion matrix: {wrong:,} of {len(labels):,} images are taken for another class{worst}",
        wide=len(one.classes) > 6,
    )
    rows = _rows(one, labels, said)
    blocks: list[Block] = [Charts([chart])]
    if len(rows) > FOLDED:
        weakest = sorted(rows[:-1], key=lambda row: row[3])[:WEAKEST]
        blocks.append(TableBlock(f"The {WEAKEST} weakest classes by F1", TITLES, weakest))
    title = f"Precision, recall and F1 of all {len(one.classes)} classes"
    blocks.append(TableBlock(title, TITLES, rows, folded=len(rows) > FOLDED))
    if len(pairs):
        rows = [
            (row["true"], row["said"], f"{row['count']:,}", f"{100 * row['share']:.1f} %")
            for _, row in pairs[:PAIRS].iterrows()
        ]
        titles = ["true class", "predicted", "images", "of the true class"]
        blocks.append(TableBlock("Most confused", titles, rows))
    else:
        blocks.append(Words("No image is taken for another class."))
    return Section("Classes", blocks)


def _rows(one: RunData, labels: np.ndarray, said: np.ndarray) -> list[tuple[str, ...]]:
    table = by_class(labels, said, one.classes)
    rows = [
        (
            name,
            *(_number(row[key]) for key in ("precision", "recall", "f1")),
            f"{row['support']:,.0f}",
        )
        for name, row in table.iterrows()
    ]
    means = [_number(table[key].mean()) for key in ("precision", "recall", "f1")]
    return [*rows, ("mean of the classes", *means, f"{len(labels):,}")]


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"


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


def calibration_section(one: RunData) -> Section:
    bins = calibration_bins(one.judged["label"].to_numpy(), one.judged_probabilities)
    error = calibration_error(bins)
    sure, right = (np.average(bins[name], weights=bins["images"]) for name in ("sure", "right"))
    which = "surer than it is right" if sure > right else "less sure than it is right"
    alt = f"reliability diagram: expected calibration error {error:.4f}"
    figure = draw_calibration(bins, f"reliability: ECE {error:.4f}")
    text = (
        f"Expected calibration error (ECE, 15 bins) {error:.4f}. In the mean the run is {which}: "
        f"probability {sure:.3f}, right {right:.3f}."
    )
    hits = int((one.judged["said"] == one.judged["label"]).sum())
    text += f" {hits:,} of {len(one.judged):,} correct ({share(hits, len(one.judged))})."
    return Section("Calibration", [Words(text), Charts([Chart("reliability", figure, alt)])])


def calibration_bins(labels: np.ndarray, probabilities: np.ndarray, bins: int = 15) -> pd.DataFrame:
    """How often the most likely class is right, by how likely it is (Guo et al. 2017, 1706.04599).

    Args:
        labels: class numbers (images,).
        probabilities: float (images, classes).

    Returns:
        A row for each bin of the same width that has images: images, sure and right, the means.
    """
    sure = probabilities.max(axis=1).clip(0, 1)
    right = probabilities.argmax(axis=1) == labels
    place = np.minimum((sure * bins).astype(int), bins - 1)
    table = pd.DataFrame({"bin": place, "sure": sure.astype(np.float64), "right": right})
    grouped = table.groupby("bin")
    return grouped[["sure", "right"]].mean().assign(images=grouped.size())


def calibration_error(bins: pd.DataFrame) -> float:
    """The expected calibration error (ECE): the mean gap of `calibration_bins`, by images."""
    gaps = (bins["sure"] - bins["right"]).abs()
    return float((gaps * bins["images"]).sum() / bins["images"].sum())


def draw_calibration(bins: pd.DataFrame, title: str) -> Figure:
    """How often right by how sure, with the 95 % interval of each bin, and how many are in it."""
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    curve, histogram = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    tidy(curve)
    tidy(histogram)
    intervals = [
        binomtest(round(row["right"] * row["images"]), int(row["images"])).proportion_ci()
        for _, row in bins.iterrows()
    ]
    below = bins["right"] - [one.low for one in intervals]
    above = [one.high for one in intervals] - bins["right"]
    curve.plot([0, 1], [0, 1], color=GRAY, linewidth=1, linestyle=":", label="as sure as right")
    curve.errorbar(
        bins["sure"],
        bins["right"],
        [below.clip(0), above.clip(0)],
        fmt="o-",
        color=PALETTE[0],
        capsize=3,
        linewidth=1.2,
        label="images like these, 95 % interval",
    )
    curve.set(title=title, ylabel="share that is right", ylim=(0, 1.03), xlim=(0, 1))
    curve.legend(fontsize=8, loc="lower right")
    histogram.bar(bins["sure"], bins["images"], width=0.04, color=PALETTE[1])
    histogram.set(xlabel="probability of the predicted class", ylabel="images", yscale="log")
    return figure
