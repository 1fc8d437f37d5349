"""Images whose label is likely wrong, from what networks say that have not seen them.

Confident learning (Northcutt, Jiang and Chuang 2021, arXiv:1911.00068, section 3.1), in NumPy: a
kernel on Kaggle writes a report as well, and has no cleanlab. Both find the same images.
"""

import numpy as np
import pandas as pd


def likely_label_errors(labels: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """Images that are confidently counted to another class than their label's.

    An image counts to a class if it is as sure of it as images of that label are in the mean; of
    several such classes to the most likely one. One whose label is predicted is in no doubt.

    Args:
        labels: class numbers (images,).
        probabilities: float (images, classes), out of fold.

    Returns:
        row, and class number suggested, the likeliest error first: by how much more the network
        believes in another class than in the label.
    """
    rows = np.arange(len(labels))
    values = probabilities.astype(np.float64)
    present = np.unique(labels)
    # A class without images has no such bound, and nothing counts to it.
    bounds = np.full(values.shape[1], np.inf)
    bounds[present] = [values[labels == number, number].mean() for number in present]
    reached = np.where(values >= bounds - 1e-6, values, -1.0)
    suggested = reached.argmax(axis=1)
    elsewhere = (reached.max(axis=1) >= 0) & (suggested != labels)
    doubted = np.flatnonzero(elsewhere & (values.argmax(axis=1) != labels))
    others = values.copy()
    others[rows, labels] = -1
    margin = values[rows, labels] - others.max(axis=1)
    ordered = doubted[np.argsort(margin[doubted], kind="stable")]
    return pd.DataFrame({"row": ordered, "suggested": suggested[ordered]})
