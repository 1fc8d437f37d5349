"""How a run does by class, and whether it is as sure as it is right."""

import numpy as np

from podium.reports.blocks import Block, Chart, Charts, Section, TableBlock, Words
from podium.reports.confusion import by_class, confusion_figure, most_confused
from podium.reports.numbers import share
from podium.reports.reliability import calibration_bins, calibration_error, draw_calibration
from podium.reports.run_data import RunData

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
        titles = ["is", "was said to be", "images", "of the true class"]
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
    text += f" Right are {hits:,} of {len(one.judged):,} ({share(hits, len(one.judged))})."
    return Section("Calibration", [Words(text), Charts([Chart("reliability", figure, alt)])])
