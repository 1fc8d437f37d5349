"""The metrics that competitions are scored by: means over images, and those that are none."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from podium.competitions.tasks import CLASSES, Task
from podium.text import did_you_mean

# The value where each image counts so many times, an int or uint8 (images,); None: each once.
Value = Callable[[np.ndarray | None], float]


class Metric(Protocol):
    """A metric of predictions of images; a truth is (n,) or (n, labels)."""

    name: str
    task: Task  # boxes have none
    higher_is_better: bool = True

    def of(self, truth: np.ndarray, predicted: np.ndarray) -> Value:
        """The metric, as a function of how often each image counts.

        What is slow is done once: a bootstrap asks for thousands of values.
        """
        ...


class MeanMetric(Metric):
    """The mean of a value per image."""

    def per_image(self, labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        """A value for each image: float64 (n,)."""
        raise NotImplementedError

    def of(self, truth: np.ndarray, predicted: np.ndarray) -> Value:
        values = self.per_image(truth, predicted)

        def mean(times: np.ndarray | None = None) -> float:
            return float(values.mean() if times is None else times @ values / times.sum(dtype=int))

        return mean


@dataclass(frozen=True)
class Accuracy(MeanMetric):
    """Share of images whose answer is right: the likeliest class, the grade, or all labels."""

    task: Task = CLASSES
    name: str = "accuracy"

    def per_image(self, labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        right = self.task.decide(probabilities) == labels
        return (right.all(axis=1) if right.ndim > 1 else right).astype(np.float64)


@dataclass(frozen=True)
class LogLoss(MeanMetric):
    """Minus the log of the probability of the right class, clipped as the submission is.

    Of labels and grades the mean of that of each output, which is or is not there.
    """

    clip: float = 1e-4
    task: Task = CLASSES
    name: str = "log loss"
    higher_is_better: bool = False

    def per_image(self, labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        if self.task.sums_to_one:
            right = probabilities[np.arange(len(labels)), labels].astype(np.float64)
            return -np.log(right.clip(self.clip, 1 - self.clip))
        there = labels if labels.ndim > 1 else labels[:, None] > np.arange(probabilities.shape[1])
        right = np.where(there, probabilities, 1 - probabilities).astype(np.float64)
        return -np.log(right.clip(self.clip, 1 - self.clip)).mean(axis=1)


@dataclass(frozen=True)
class TopK(MeanMetric):
    """Share of images whose class is among the k likeliest; `by_rank`, each counts 1/rank.

    With ranks it is the mean average precision at k of images that have one class.
    """

    k: int
    by_rank: bool = False
    task: Task = CLASSES

    @property
    def name(self) -> str:
        return f"MAP@{self.k}" if self.by_rank else f"top-{self.k} accuracy"

    def per_image(self, labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, : self.k]
        hits = order == labels[:, None]
        return (hits / np.arange(1, hits.shape[1] + 1) if self.by_rank else hits).sum(axis=1)


@dataclass(frozen=True)
class OfConfusion(Metric):
    """A metric of the answers' confusion matrix; see `CONFUSIONS`."""

    name: str
    of_matrix: Callable[[np.ndarray], float]
    task: Task = CLASSES

    def of(self, truth: np.ndarray, predicted: np.ndarray) -> Value:
        classes = predicted.shape[1] + (1 if self.task.ordered else 0)
        cell = truth * classes + self.task.decide(predicted)

        def value(times: np.ndarray | None = None) -> float:
            counts = np.bincount(cell, times, minlength=classes**2)
            return self.of_matrix(counts.reshape(classes, classes))

        return value


def _balanced(matrix: np.ndarray) -> float:
    there = matrix.sum(axis=1) > 0
    return float((np.diag(matrix)[there] / matrix.sum(axis=1)[there]).mean())


def _macro_f1(matrix: np.ndarray) -> float:
    """Of classes that are neither there nor found there is none, as scikit-learn has it."""
    either = matrix.sum(axis=0) + matrix.sum(axis=1)
    return float((2 * np.diag(matrix)[either > 0] / either[either > 0]).mean())


def _kappa(matrix: np.ndarray) -> float:
    """Cohen's kappa with quadratic weights (Cohen 1968, Psychological Bulletin 70)."""
    grades = np.arange(len(matrix))
    apart = (grades[:, None] - grades) ** 2
    by_chance = np.outer(matrix.sum(axis=1), matrix.sum(axis=0)) / matrix.sum()
    expected = (apart * by_chance).sum()
    return float(1 - (apart * matrix).sum() / expected) if expected else 1.0


@dataclass(frozen=True)
class LabelF1(Metric):
    """F1 of several labels an image: the mean over labels, or of all their answers at once."""

    name: str
    micro: bool
    task: Task

    def of(self, truth: np.ndarray, predicted: np.ndarray) -> Value:
        answers = self.task.decide(predicted)
        hits = (truth & answers).astype(np.float64)
        both = truth.astype(np.float64) + answers

        def value(times: np.ndarray | None = None) -> float:
            found = [one.sum(axis=0) if times is None else times @ one for one in (hits, both)]
            if self.micro:
                found = [one.sum(keepdims=True) for one in found]
            # Where a label is neither there nor found, its F1 is 0, as scikit-learn has it.
            return float((2 * found[0] / np.maximum(found[1], 1e-9)).mean())

        return value


@dataclass(frozen=True)
class RocAuc(Metric):
    """Area under the ROC curve: of the second of two classes, else the mean over outputs.

    An output of which a draw has only one kind of images is left out of that mean.
    """

    task: Task = CLASSES
    name: str = "ROC AUC"

    def of(self, truth: np.ndarray, predicted: np.ndarray) -> Value:
        outputs = predicted.shape[1]
        there = truth if truth.ndim > 1 else truth[:, None] == np.arange(outputs)
        if self.task.ordered:
            there = truth[:, None] > np.arange(outputs)
        columns = [outputs - 1] if self.task.sums_to_one and outputs == 2 else range(outputs)
        ranked = [
            (np.unique(predicted[:, column], return_inverse=True)[1], there[:, column])
            for column in columns
        ]

        def value(times: np.ndarray | None = None) -> float:
            weight = np.ones(len(truth)) if times is None else times
            areas = []
            for rank, right in ranked:
                yes = np.bincount(rank, weight * right)
                no = np.bincount(rank, weight) - yes
                pairs = yes.sum() * no.sum()
                if pairs:
                    below = np.cumsum(no) - no
                    areas.append((yes * (below + no / 2)).sum() / pairs)
            return float(np.mean(areas)) if areas else 0.5

        return value


CONFUSIONS = {
    "balanced-accuracy": ("balanced accuracy", _balanced),
    "macro-f1": ("macro F1", _macro_f1),
    "kappa": ("quadratic weighted kappa", _kappa),
}
KEYS = ("accuracy", "log-loss", "roc-auc", "micro-f1", *CONFUSIONS, "map-at-5", "top-3")


def get_metric(key: str, task: Task = CLASSES) -> Metric:
    """The metric of that key for answers of a task.

    Args:
        key: one of `KEYS`; the k of map-at-k and top-k is any number.

    Raises:
        ValueError: there is none, or it says nothing of such answers.
    """
    ranked = re.fullmatch(r"(map-at|top)-([1-9]\d*)", key)
    if key not in KEYS and not ranked:
        listed = ", ".join(KEYS)
        raise ValueError(f"no metric {key!r}; there are: {listed}{did_you_mean(key, KEYS)}")
    if task.several and key in ("macro-f1", "micro-f1"):
        return LabelF1(key.replace("-f1", " F1"), key == "micro-f1", task)
    if (ranked and not task.sums_to_one) or (task.several and key in CONFUSIONS):
        raise ValueError(f'metric {key!r} does not fit task = "{task.name}"')
    if ranked:
        return TopK(int(ranked[2]), by_rank=ranked[1] == "map-at")
    if key in CONFUSIONS:
        return OfConfusion(*CONFUSIONS[key], task)
    if key == "log-loss":
        return LogLoss(task=task)
    # Of one class an image, all of micro-F1's counts are those of the accuracy.
    return RocAuc(task) if key == "roc-auc" else Accuracy(task)
