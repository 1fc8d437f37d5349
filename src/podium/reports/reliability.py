"""The reliability diagram: how often right, by how sure."""

import numpy as np
from matplotlib.figure import Figure
from sklearn.calibration import calibration_curve

BINS = 10
SMALLEST = 1e-9  # probability, before its logarithm is taken


def draw_reliability(labels: np.ndarray, predictions: dict[str, np.ndarray]) -> Figure:
    """A panel for each of several predictions of the same pictures, with its histogram below.

    Args:
        labels: class numbers (pictures,).
        predictions: by title, float (pictures, classes). Each class counts as a yes or no; of two
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
        curve.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":")
        curve.plot(sure, share, marker="o")
        curve.set(title=f"{title}: log loss {loss:.4f}", ylabel="share that is of the class")
        histogram.hist(said, bins=BINS, range=(0, 1), color="C0")
        histogram.set(xlabel="predicted probability", ylabel="pictures", yscale="log")
    return figure
