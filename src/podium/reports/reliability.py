"""The reliability diagram: how often right, by how sure."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve

from podium.reports.figures import GRAY, PALETTE, WIDTH, tidy

BINS = 10
SMALLEST = 1e-9  # probability, before its logarithm is taken


def draw_reliability(labels: np.ndarray, predictions: dict[str, np.ndarray]) -> Figure:
    """A panel for each of several predictions of the same images, with its histogram below.

    Args:
        labels: class numbers (images,).
        predictions: by title, float (images, classes). Each class counts as a yes or no; of two
            classes the second alone.
    """
    figure = Figure(figsize=(5 * len(predictions), 5.5), layout="constrained")
    axes = figure.subplots(2, len(predictions), squeeze=False, height_ratios=(3, 1), sharex=True)
    for (curve, histogram), (title, probabilities) in zip(axes.T, predictions.items(), strict=True):
        classes = np.arange(probabilities.shape[1])
        right = probabilities[np.arange(len(labels)), labels]
        loss = -np.log(right.clip(SMALLEST)).mean()
        asked = classes[1:] if len(classes) == 2 else classes
        said = probabilities[:, asked].clip(0, 1).ravel()
        happened = (labels[:, None] == asked).ravel()
        share, sure = calibration_curve(happened, said, n_bins=BINS)
        curve.plot([0, 1], [0, 1], color="gray", linewidth=0.8, linestyle=":")
        curve.plot(sure, share, marker="o")
        curve.set(title=f"{title}: log loss {loss:.4f}", ylabel="share that is of the class")
        histogram.hist(said, bins=BINS, range=(0, 1), color="C0")
        histogram.set(xlabel="predicted probability", ylabel="images", yscale="log")
    return figure


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
