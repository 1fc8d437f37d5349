"""How a run does by class, and whether it is as sure as it is right."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import binomtest
from sklearn import metrics

from podium.competitions.tasks import LABELS
from podium.reports.blocks import Block, Chart, Charts, Section, TableBlock, Words
from podium.reports.figures import GRAY, PALETTE, canvas, plain
from podium.reports.run_data import RunData
from podium.reports.sections.mistakes import image_grid

WRITTEN = 20  # classes up to which each cell of the matrix has its number
NAMED = 60  # and each class its name
PAIRS = 12
FOLDED = 30  # classes from which the table is folded
BINS = 15  # of the calibration
TITLES = ["class", "precision", "recall", "F1", "support"]


def classes_section(one: RunData) -> Section:
    judged, count = one.judged, len(one.classes)
    wrong = int((judged["said"] != judged["label"]).sum())
    table = by_class(judged, one.classes).sort_values("f1", kind="stable")
    table.loc["mean of the classes"] = [*table.mean()[:3], len(judged)]
    rows = [
        (name, *map(three_digits, values), f"{support:,.0f}")
        for name, *values, support in table.itertuples()
    ]
    title = f"Precision, recall and F1 of all {count} classes, the weakest first"
    by_f1 = TableBlock(title, TITLES, rows, folded=count > FOLDED)
    if one.competition.task.several:
        share = f"{len(judged) - wrong:,} of {len(judged):,} images have exactly their labels."
        return Section("Labels", [Words(share), by_f1])
    alt = f"confusion matrix: {wrong:,} of {len(judged):,} images are taken for another class"
    chart = Chart("confusion", confusion_figure(judged, one.classes), alt, wide=count > 6)
    blocks: list[Block] = [Charts([chart]), by_f1]
    if wrong:
        rows = [
            (truth, answer, f"{images:,}", f"{100 * part:.1f} %")
            for truth, answer, images, part in most_confused(judged)[:PAIRS].itertuples(index=False)
        ]
        titles = ["true class", "predicted", "images", "of the true class"]
        blocks += [TableBlock("Most confused", titles, rows), _confused_pair(one)]
    else:
        blocks.append(Words("No image is taken for another class."))
    return Section("Classes", blocks)


def _confused_pair(one: RunData) -> Block:
    """The images of the two classes that are most often taken for each other."""
    wrong = one.judged[one.judged["said"] != one.judged["label"]]
    pairs = wrong[["truth", "answer"]].apply(frozenset, axis=1)
    pair = pairs.value_counts().index[0]
    mistakes = wrong[pairs == pair].sort_values(["truth", "sure"], ascending=[True, False])
    return image_grid(one, f"Taken for each other: {' and '.join(sorted(pair))}", mistakes)


def three_digits(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"


def confusion_figure(judged: pd.DataFrame, classes: list[str]) -> Figure:
    """Share of each true class that is taken for each class."""
    counts = metrics.confusion_matrix(judged["label"], judged["said"], labels=range(len(classes)))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(2.3 + 0.45 * len(classes), 9.5)
    figure, axis = canvas(side + 0.4, side)
    display = metrics.ConfusionMatrixDisplay(shares, display_labels=list(map(plain, classes)))
    display.plot(
        include_values=len(classes) <= WRITTEN,
        cmap="Blues",
        xticks_rotation="vertical",
        values_format=".2f",
        ax=axis,
        colorbar=False,
        im_kw={"vmin": 0, "vmax": 1},
    )
    for place in np.argwhere(counts == 0) if len(classes) <= WRITTEN else []:
        display.text_[tuple(place)].set_visible(False)
    axis.grid(visible=False)
    axis.tick_params(labelsize=9 if len(classes) <= WRITTEN else 6)
    if len(classes) > NAMED:
        axis.set(xticks=[], yticks=[])
    axis.set(xlabel="predicted", ylabel="true", title="confusion (rows sum to 1)")
    return figure


def by_class(judged: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """Precision, recall, F1 and support by class; NaN where one was never said, or is absent."""
    right, said = judged["label"], judged["said"]
    if not pd.api.types.is_numeric_dtype(right):  # several labels an image
        right, said = (LABELS.members(each, len(classes)) for each in (right, said))
    values = metrics.precision_recall_fscore_support(
        right, said, labels=range(len(classes)), zero_division=np.nan
    )
    return pd.DataFrame(np.transpose(values), classes, ["precision", "recall", "f1", "support"])


def most_confused(judged: pd.DataFrame) -> pd.DataFrame:
    """The pairs of truth and answer by how often, with their share of the true class."""
    wrong = judged[judged["said"] != judged["label"]]
    pairs = wrong[["truth", "answer"]].value_counts(sort=False).rename("images").reset_index()
    pairs["share"] = pairs["images"] / pairs["truth"].map(judged["truth"].value_counts())
    return pairs.sort_values(["images", "share"], ascending=False, kind="stable")


def calibration_section(one: RunData) -> Section:
    decided = one.decisions
    bins, error = calibration_bins(decided), calibration_error(decided)
    right = decided["said"] == decided["label"]
    sure = decided["sure"].mean()
    which = "surer than it is right" if sure > right.mean() else "less sure than it is right"
    text = (
        f"Expected calibration error (ECE, {BINS} bins) {error:.4f}. In the mean the run is "
        f"{which}: probability {sure:.3f}, right {right.mean():.3f} ({right.sum():,} of "
        f"{len(right):,} {'labels' if one.competition.task.several else 'images'})."
    )
    figure = draw_calibration(bins, f"reliability: ECE {error:.4f}")
    alt = f"reliability diagram: expected calibration error {error:.4f}"
    return Section("Calibration", [Words(text), Charts([Chart("reliability", figure, alt)])])


def calibration_bins(judged: pd.DataFrame) -> pd.DataFrame:
    """How often the most likely class is right, by how likely it is (Guo et al. 2017, 1706.04599).

    Args:
        judged: said and label, class numbers, and sure, the probability of said.

    Returns:
        A row for each bin of the same width that has images: images, sure and right, the means.
    """
    place = (judged["sure"] * BINS).astype(int).clip(upper=BINS - 1)
    table = judged[["sure"]].assign(right=judged["said"] == judged["label"])
    grouped = table.astype(np.float64).groupby(place)
    return grouped.mean().assign(images=grouped.size())


def calibration_error(judged: pd.DataFrame) -> float:
    """The expected calibration error (ECE): the mean gap of `calibration_bins`, by images."""
    bins = calibration_bins(judged)
    return float(np.average((bins["sure"] - bins["right"]).abs(), weights=bins["images"]))


def draw_calibration(bins: pd.DataFrame, title: str) -> Figure:
    """How often right by how sure, with the 95 % interval of each bin."""
    figure, axis = canvas()
    hits = (bins["right"] * bins["images"]).round().astype(int)
    intervals = np.array([
        binomtest(hit, count).proportion_ci()
        for hit, count in zip(hits, bins["images"], strict=True)
    ]).T  # fmt: skip
    reach = np.abs(intervals - bins["right"].to_numpy())
    axis.plot([0, 1], [0, 1], color=GRAY, linewidth=1, linestyle=":", label="as sure as right")
    style = {"fmt": "o", "color": PALETTE[0], "capsize": 3}
    label = "images like these, 95 % interval"
    axis.errorbar(bins["sure"], bins["right"], reach, label=label, **style)
    axis.set(xlabel="probability of the predicted class", ylabel="share that is right")
    axis.set(title=title, xlim=(0, 1), ylim=(0, 1.03))
    figure.legend(fontsize=8, loc="outside lower center", ncols=2)  # over no interval
    return figure
