"""Scores of predictions with their confidence intervals, and the time that predicting takes."""

import timeit
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from podium.competitions.boxes import IoUOver, are_boxes, has_box
from podium.competitions.csv_files import read_csv, read_rows, wrong_header
from podium.competitions.metrics import Accuracy, LogLoss, MeanMetric, Metric, RocAuc, Value
from podium.text import id_difference

RESAMPLES = 2000
TIE = 1e-6  # weight of the log loss, which decides between equal accuracies only
PARTS = 5
SINGLES, BATCHES = 30, 4  # predictions that are timed


@dataclass(frozen=True)
class Score:
    """A metric's value with its 95 % bootstrap interval over groups of images."""

    metric: str
    value: float
    low: float
    high: float
    images: int

    def __str__(self) -> str:
        value, ends = self.cells
        return f"{self.metric} {value} (95 % interval {ends}, {self.images} images)"

    @property
    def cells(self) -> tuple[str, str]:
        """Value and interval, as tables have them."""
        return f"{self.value:.4f}", f"{self.low:.4f} to {self.high:.4f}"

    @property
    def row(self) -> tuple[str, str, str]:
        """Value, interval and images: three cells of a table."""
        return *self.cells, f"{self.images:,}"

    @property
    def as_gain(self) -> str:
        """A paired difference, and whether it is more than noise."""
        noise = ", within noise" if self.low <= 0 <= self.high else ""
        return f"{self.value:+.4f} (95 % interval {self.low:+.4f} to {self.high:+.4f}{noise})"

    def widened(self, factor: float) -> "Score":
        """The same with an interval so many times as wide; none of the metrics is below 0."""
        low = max(self.value - factor * (self.value - self.low), 0.0)
        high = self.value + factor * (self.high - self.value)
        unbounded = self.metric == LogLoss.name or self.value > 1
        return replace(self, low=low, high=high if unbounded else min(high, 1.0))

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> "Score":
        """Read what `as_dict` gave; an older Podium counted `pictures`."""
        images = row["images"] if "images" in row else row["pictures"]
        return cls(row["metric"], row["value"], row["low"], row["high"], images)


def score(
    metric: Metric,
    truth: pd.Series | pd.DataFrame,
    predicted: pd.DataFrame,
    groups: pd.Series | None = None,
) -> Score:
    """Score predictions by id: probabilities of images, or boxes of those that have one.

    Args:
        truth: class numbers, or `BOX_COLUMNS`, NaN where an image has no box.
        groups: by id, the images that err together; without them each stands alone.

    Raises:
        ValueError: none of the images has a box.
    """
    right, found = truth.loc[predicted.index].to_numpy(), predicted.to_numpy()
    together = np.arange(len(right)) if groups is None else groups.loc[predicted.index].to_numpy()
    if are_boxes(truth):
        annotated = has_box(right)
        if not annotated.any():
            raise ValueError(f"none of the {len(predicted)} images has a box to score against")
        right, found, together = right[annotated], found[annotated], together[annotated]
    if isinstance(metric, MeanMetric):
        share = isinstance(metric, Accuracy | IoUOver)
        return with_interval(metric.name, metric.per_image(right, found), together, share)
    value = metric.of(right, found)
    return Score(metric.name, value(None), *interval(value, together), len(right))


def paired_gain(
    metric: Metric,
    truth: np.ndarray,
    ours: np.ndarray,
    theirs: np.ndarray,
    groups: np.ndarray | pd.Series | None = None,
) -> Score:
    """How much better predictions of the same images are, both of the same draws."""
    sign = direction(metric)
    groups = np.arange(len(truth)) if groups is None else groups
    better, other = (metric.of(truth, one) for one in (ours, theirs))

    def gain(times: np.ndarray | None) -> float:
        return sign * (better(times) - other(times))

    return Score("gain", gain(None), *interval(gain, groups), len(truth))


def with_interval(
    name: str, values: np.ndarray, groups: np.ndarray | pd.Series | None = None, share: bool = False
) -> Score:
    """The mean of a value per image, with its bootstrap interval over groups of images.

    Args:
        values: float (images,).
        groups: (images,), the same for images that err together, such as near-copies.
        share: each value is 1 for right or 0 for wrong. Where all are equal, the bootstrap has no
            interval, and the exact one of a share is taken (Clopper and Pearson 1934).
    """
    groups = np.arange(len(values)) if groups is None else groups
    mean = float(values.mean())
    number = len(np.unique(groups))
    if share and np.ptp(values) == 0:
        exact = binomtest(int(mean) * number, number).proportion_ci()
        low, high = exact.low, exact.high
    elif number < 2 or np.ptp(values) == 0:
        low = high = mean
    else:
        low, high = interval(lambda times: times @ values / times.sum(dtype=int), groups)
    return Score(name, mean, float(low), float(high), len(values))


def interval(value: Callable[[np.ndarray], float], groups: np.ndarray) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of anything that is computed of images.

    Whole groups are drawn (Davison and Hinkley 1997, ch. 3.8), and the value is computed again of
    each draw: it may be a mean over images, or none, such as an area under a curve.

    Args:
        value: of how often each image was drawn, uint8 (images,).
        groups: (images,), the same for images that err together.
    """
    _, group = np.unique(groups, return_inverse=True)
    values = [value(times) for times in _draws(group.tobytes())]
    return tuple(np.percentile(values, [2.5, 97.5]).tolist())


@lru_cache(maxsize=2)
def _draws(group: bytes) -> np.ndarray:
    """How often each image is drawn: uint8 (`RESAMPLES`, images); the same for all scores of them.

    `group` has the bytes of their groups, int64 (images,) from 0.
    """
    of_image, random = np.frombuffer(group, np.int64), np.random.default_rng(0)
    number = of_image.max() + 1
    draws = np.empty((RESAMPLES, len(of_image)), np.uint8)
    for times in draws:
        times[:] = np.bincount(random.integers(number, size=number), minlength=number)[of_image]
    return draws


def widening(scored: int, folds: int) -> float:
    """How many times as wide the interval of an out-of-fold score is as that of single networks.

    The folds' networks share most of their training images, so that they err together, which a
    bootstrap over what they score does not see. The variance of a mean over folds is corrected for
    that by Nadeau and Bengio (2003, Inference for the Generalization Error, Machine Learning 52).

    Args:
        scored: folds that the score is of; one is a network on images that it has not seen.
        folds: into which the images were divided.
    """
    return float(np.sqrt(1 + scored / (folds - 1))) if scored > 1 else 1.0


def direction(metric: Metric) -> int:
    """1 where a higher value of the metric is better, -1 where a lower one is."""
    return 1 if metric.higher_is_better else -1


def image_scores(metric: MeanMetric, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Values per image, higher being better; the log loss decides between equal accuracies.

    Args:
        truth: class numbers (images,), or boxes (images, 4).
        predicted: probabilities (images, classes), or boxes.
    """
    values = direction(metric) * metric.per_image(truth, predicted)
    if not isinstance(metric, Accuracy):
        return values
    return values - TIE * LogLoss(task=metric.task).per_image(truth, predicted)


def quality(metric: Metric, truth: np.ndarray, predicted: np.ndarray) -> float:
    """The metric as `image_scores` has it: higher is better."""
    return quality_of(metric, truth, predicted)(None)


def quality_of(metric: Metric, truth: np.ndarray, predicted: np.ndarray) -> Value:
    """The same as a function of how often each image counts; what is slow is done once.

    Also of a metric that is no mean, in which the log loss decides between equals, too.
    """
    value, sign = metric.of(truth, predicted), direction(metric)
    if isinstance(metric, RocAuc | MeanMetric) and not isinstance(metric, Accuracy):
        return lambda times: sign * value(times)
    tie = LogLoss(task=metric.task).of(truth, predicted)
    return lambda times: sign * value(times) - TIE * tie(times)


def k_fold_parts(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """Deal images into `PARTS` stratified parts: int (images,).

    A choice is made on four parts and judged on the fifth. Near-duplicates may come apart: what
    is chosen are a few weights, which remember no image.

    Args:
        labels: class numbers (images,), in an order that is always the same; the parts of
            several labels an image (images, labels) are not stratified.
    """
    labels = labels if labels.ndim == 1 else np.zeros(len(labels), np.int64)
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]  # class after class, each shuffled
    part = np.empty(len(labels), np.int64)
    part[order] = np.arange(len(labels)) % PARTS
    return part


def time_predictions(
    predict: Callable[[np.ndarray], Any], images: Sequence[np.ndarray], batch_size: int
) -> dict[str, list[float]]:
    """Time a network on a single image and on a full batch, in milliseconds an image.

    Args:
        predict: takes uint8 (batch, height, width, 3).
        images: one size, at least one image; repeated where they are too few.
    """
    batch = np.stack([images[number % len(images)] for number in range(batch_size)])

    def milliseconds(part: np.ndarray, repeat: int) -> list[float]:
        predict(part)  # the first call also traces
        seconds = timeit.repeat(lambda: predict(part), number=1, repeat=repeat)
        return [round(1000 * each / len(part), 3) for each in seconds]

    return {"single": milliseconds(batch[:1], SINGLES), "batch": milliseconds(batch, BATCHES)}


def speeds(times: Sequence[Mapping[str, list[float]]]) -> dict[str, Score]:
    """The mean of all times that were taken, by kind, with its interval."""
    return {
        kind: with_interval("ms an image", np.concatenate([each[kind] for each in times]))
        for kind in (times[0] if times else ())
    }


def score_files(submission: Path, truth: Path) -> Score:
    """The accuracy of a submission of classes against a CSV of the same form with the truth.

    Raises:
        ValueError: a file is no CSV of ids and answers, or the columns or ids differ.
    """
    rows = read_rows(submission)
    columns = rows[0][1] if rows else []
    if len(columns) != 2:
        expected = "two columns, id and answer"
        raise wrong_header(submission, expected, columns, "give it these two")
    submitted, right = (
        read_csv(path, columns).set_index(columns[0])[columns[1]] for path in (submission, truth)
    )
    if told := id_difference(submitted.index, str(submission), right.index, str(truth)):
        raise ValueError(f"other ids: {told}; take two files of one competition")
    hits = (submitted == right.loc[submitted.index]).to_numpy(np.float64)
    return with_interval("accuracy", hits, share=True)
