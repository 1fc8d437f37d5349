"""What a network is asked about an image: one class, several labels, or an ordered grade."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

SEPARATOR = " "  # between the class numbers of an image in a table's `label`


@dataclass(frozen=True)
class Task:
    """One class an image: a softmax over the classes, its labels class numbers.

    `labels` are a column of the table of a run, `predicted` is float (images, outputs). The truth
    that metrics take is int (images,).
    """

    name: str = "classes"
    activation: str = "softmax"  # of the network's outputs
    ordered: bool = False
    several: bool = False  # labels an image

    @property
    def sums_to_one(self) -> bool:
        """Whether the outputs of an image are shares of one probability."""
        return self.activation == "softmax"

    def are_probabilities(self, values: np.ndarray) -> bool:
        """Whether these (images, outputs) are 0 to 1 and, where they share one, sum to 1."""
        ends = (values >= 0).all() and (values <= 1 + 1e-3).all()  # NaN is neither
        shared = not self.sums_to_one or np.allclose(values.sum(axis=1), 1, atol=1e-3)
        return bool(ends and shared)

    def outputs(self, classes: Sequence[str]) -> list[str]:
        """What the network's outputs are: the columns of stored probabilities."""
        return list(classes)

    def members(self, labels: pd.Series, classes: int) -> np.ndarray:
        """Which classes each image is of: uint8 (images, classes)."""
        return np.eye(classes, dtype=np.uint8)[self.truth(labels, classes)]

    def targets(self, labels: pd.Series, classes: int) -> np.ndarray:
        """What the network is to say: float32 (images, outputs)."""
        return self.members(labels, classes).astype(np.float32)

    def truth(self, labels: pd.Series, classes: int) -> np.ndarray:
        """What metrics compare predictions with."""
        return labels.to_numpy().astype(np.int64)

    def decide(self, predicted: np.ndarray, thresholds: np.ndarray | None = None) -> np.ndarray:
        """The answers, in the form of the truth: here the likeliest class.

        Args:
            thresholds: of labels a probability each, of grades the cut points of the expected
                grade (grades - 1,); without them 0.5, and halfway between grades.
        """
        return predicted.argmax(axis=1).astype(np.int64)

    def by_class(self, predicted: np.ndarray) -> np.ndarray:
        """The probability of each class: float (images, classes)."""
        return predicted

    def said(
        self, predicted: np.ndarray, classes: Sequence[str], thresholds: np.ndarray | None = None
    ) -> list[list[tuple[str, float]]]:
        """What is said of each image, with its probability: one class, or none to several labels.

        The likeliest comes first.
        """
        answers, values = self.decide(predicted, thresholds), self.by_class(predicted)
        several = [
            np.flatnonzero(one) if self.several else np.array([one], np.int64) for one in answers
        ]
        return [
            [(classes[number], float(row[number])) for number in chosen[np.argsort(-row[chosen])]]
            for row, chosen in zip(values, several, strict=True)
        ]

    def prior(self, labels: pd.Series, classes: int) -> np.ndarray:
        """What is predicted of an image that cannot be read: float32 (outputs,)."""
        total = self.targets(labels, classes).sum(axis=0, dtype=np.float64)
        return (total / len(labels)).astype(np.float32)

    def names(
        self, answers: np.ndarray, classes: Sequence[str], separator: str = SEPARATOR
    ) -> list[str]:
        """Answers, or a truth, in words; several labels with the separator between them."""
        return [classes[number] for number in answers]


class _Labels(Task):
    """Any number of labels an image: a sigmoid each; the truth is uint8 (images, labels).

    A table's `label` is a string of class numbers, "0 3", or "" for none.
    """

    def members(self, labels: pd.Series, classes: int) -> np.ndarray:
        found = np.zeros((len(labels), classes), np.uint8)
        for row, numbers in enumerate(labels.astype(str)):
            found[row, [int(number) for number in numbers.split()]] = 1
        return found

    truth = members

    def decide(self, predicted: np.ndarray, thresholds: np.ndarray | None = None) -> np.ndarray:
        return (predicted >= (0.5 if thresholds is None else thresholds)).astype(np.uint8)

    def names(
        self, answers: np.ndarray, classes: Sequence[str], separator: str = SEPARATOR
    ) -> list[str]:
        return [
            separator.join(classes[number] for number in np.flatnonzero(row)) for row in answers
        ]


class _Grades(Task):
    """An ordered class an image: a sigmoid for each grade above the first, "at least this one".

    After Frank and Hall (2001), A Simple Approach to Ordinal Classification, in one network as of
    arXiv:1901.07884. The sum of the outputs is the expected grade.
    """

    def outputs(self, classes: Sequence[str]) -> list[str]:
        return [f"at least {name}" for name in classes[1:]]

    def targets(self, labels: pd.Series, classes: int) -> np.ndarray:
        reached = self.truth(labels, classes)[:, np.newaxis] >= np.arange(1, classes)
        return reached.astype(np.float32)

    def decide(self, predicted: np.ndarray, thresholds: np.ndarray | None = None) -> np.ndarray:
        if thresholds is None:
            thresholds = np.arange(predicted.shape[1]) + 0.5
        return np.searchsorted(thresholds, predicted.sum(axis=1), side="right").astype(np.int64)

    def by_class(self, predicted: np.ndarray) -> np.ndarray:
        """Differences of neighbors; where a higher grade is likelier than a lower, none of it."""
        steps = -np.diff(np.minimum.accumulate(predicted, axis=1), axis=1, prepend=1, append=0)
        return steps / steps.sum(axis=1, keepdims=True)


CLASSES = Task()
LABELS = _Labels("labels", "sigmoid", several=True)
GRADES = _Grades("grades", "sigmoid", ordered=True)
TASKS: dict[str, Task] = {task.name: task for task in (CLASSES, LABELS, GRADES)}


def joined(numbers: Sequence[int]) -> str:
    """The `label` of an image of several labels in a table."""
    return SEPARATOR.join(map(str, sorted(set(numbers))))
