"""The score of out-of-fold predictions, and how sure it is."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest, bootstrap

from podium.competitions.boxes import BOX_COLUMNS, BOX_METRICS, IoUOver, has_box
from podium.competitions.csv_files import (
    WrongTable,
    likely_mistake,
    other_separator,
    read_csv,
    read_rows,
    shown,
)
from podium.competitions.metrics import Accuracy, LogLoss, Metric
from podium.text import summarize

RESAMPLES = 2000
# Of the log loss that is taken from an accuracy: decides only between equal ones.
TIE = 1e-6


@dataclass(frozen=True)
class Score:
    """A metric's value with its 95 % bootstrap interval over images."""

    metric: str
    value: float
    low: float
    high: float
    images: int

    def __str__(self) -> str:
        return (
            f"{self.metric} {self.value:.4f} (95 % interval {self.low:.4f} to {self.high:.4f}, "
            f"{self.images} images)"
        )

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> "Score":
        """What `as_dict` gave, also of a score.json that counts `pictures`."""
        images = row["images"] if "images" in row else row["pictures"]
        return cls(row["metric"], row["value"], row["low"], row["high"], images)


def score(metric: Metric, labels: pd.Series, probabilities: pd.DataFrame) -> Score:
    """Score the images that have a label; both are joined by id.

    The interval is the percentile bootstrap over images (Efron and Tibshirani 1993, ch. 13).

    Raises:
        ValueError: a prediction has no label.
    """
    labels = labels.reindex(probabilities.index)
    if labels.isna().any():
        raise ValueError(f"{int(labels.isna().sum())} predictions have no label to score against")
    values = metric.per_image(labels.to_numpy(np.int64), probabilities.to_numpy())
    return with_interval(metric.name, values, share=isinstance(metric, Accuracy))


def score_boxes(truth: pd.DataFrame, predicted: pd.DataFrame) -> list[Score]:
    """Score the predicted boxes of the images that have a box, by each of `BOX_METRICS`.

    Args:
        truth: `boxes.BOX_COLUMNS` by id, NaN where an image has no box.
        predicted: the same columns by id; both are joined by id.

    Raises:
        ValueError: a prediction is no training image's, or is missing its numbers; or none of
            the images has a box.
    """
    unknown = predicted.index.difference(truth.index)
    if len(unknown):
        raise ValueError(
            f"{len(unknown)} predicted boxes are of images without a truth to score against, "
            f"such as {unknown[0]}"
        )
    columns = list(BOX_COLUMNS)
    right = truth.loc[predicted.index, columns].to_numpy(np.float64)
    found = predicted[columns].to_numpy(np.float64)
    scored = has_box(right)
    if not scored.any():
        raise ValueError(f"none of the {len(predicted)} images has a box to score against")
    empty = predicted.index[scored & ~np.isfinite(found).all(axis=1)]
    if len(empty):
        raise ValueError(f"{len(empty)} images have no predicted box, such as {empty[0]}")
    return [
        with_interval(
            metric.name,
            metric.per_image(right[scored], found[scored]),
            share=isinstance(metric, IoUOver),
        )
        for metric in BOX_METRICS
    ]


def per_image_score(metric: Metric, labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The metric's value per image, higher being better, ties settled by the log loss.

    Args:
        labels: class numbers (images,).
        probabilities: float (images, classes).

    Returns:
        float64 (images,).
    """
    values = metric.per_image(labels, probabilities)
    if isinstance(metric, LogLoss):
        return -values
    sign = 1 if metric.per_image_score else -1
    return sign * values - TIE * LogLoss().per_image(labels, probabilities)


def is_better(metric: Metric, first: Score, second: Score) -> bool:
    """Whether the first score is strictly the better one."""
    return (first.value > second.value) == metric.per_image_score and first.value != second.value


def with_interval(name: str, values: np.ndarray, share: bool = False) -> Score:
    """The mean of a value per image, with its interval.

    Args:
        share: each value is 1 for right or 0 for wrong. Where all are alike, of which the bootstrap
            knows no doubt, it is the exact interval of a share (Clopper and Pearson 1934).
    """
    if share and np.ptp(values) == 0:
        of_share = binomtest(int(values.sum()), len(values)).proportion_ci()
        low, high = of_share.low, of_share.high
    elif len(values) < 2 or np.ptp(values) == 0:
        low = high = values.mean()
    else:
        interval = bootstrap(
            (values,),
            np.mean,
            n_resamples=RESAMPLES,
            method="percentile",
            batch=max(1, 10_000_000 // len(values)),
            rng=np.random.default_rng(0),
        ).confidence_interval
        low, high = interval
    return Score(name, float(values.mean()), float(low), float(high), len(values))


def score_files(submission: Path, truth: Path) -> Score:
    """The accuracy of a submission of classes against a CSV of the same form with the truth.

    Raises:
        ValueError: no such form, or other columns or ids in the two.
    """
    submitted, right = (_read_answers(path) for path in (submission, truth))
    if list(submitted.columns) != list(right.columns):
        raise ValueError(
            f"{truth}: expected the columns of {submission}, {shown(list(submitted))}, came "
            f"{shown(list(right))}; give both the same ones"
        )
    ids, answer = right.columns
    two = right, submitted
    absent, extra = (sorted(set(a[ids]) - set(b[ids])) for a, b in (two, two[::-1]))
    if absent or extra:
        what_to_do = likely_mistake(extra, absent) or "take two files of one competition"
        raise ValueError(
            f"{submission} and {truth} have other ids: the first lacks {len(absent)} "
            f"({summarize(absent)}), the second {len(extra)} ({summarize(extra)}); {what_to_do}"
        )
    joined = submitted.merge(right, on=ids, suffixes=("", " of truth"))
    hits = (joined[answer] == joined[f"{answer} of truth"]).to_numpy(np.float64)
    return with_interval("accuracy", hits, share=True)


def _read_answers(path: Path) -> pd.DataFrame:
    """A CSV of two columns, id and answer, as text: an id may be 001 or NA."""
    if not path.is_file():
        raise ValueError(f"there is no file {path}: give a CSV of two columns, id and answer")
    rows = read_rows(path)
    header = rows[0][1] if rows else []
    if len(header) != 2:
        raise WrongTable(
            f"{path}: expected two columns, id and answer, came {shown(header)}"
            f"{other_separator(header) or '; give it these two'}"
        )
    if len(rows) == 1:
        raise WrongTable(f"{path} has no rows: write one for each image")
    return read_csv(path, header)
