"""Thresholds of labels and cut points of grades, fitted to what the networks have not seen."""

import numpy as np

from podium.competitions.metrics import LogLoss, Metric, RocAuc
from podium.competitions.tasks import Task
from podium.predictions.score import k_fold_parts, quality

TRIED = 40  # values of each threshold, as many images apart
ROUNDS = 2  # through all of them, as each depends on the others


def decided(task: Task, predicted: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """The answers by these thresholds, in the place of predictions: 0 and 1, float32 (n, outputs).

    Where there are none, the same answers follow.
    """
    answers = task.decide(predicted, thresholds)
    if task.ordered:
        answers = answers[:, np.newaxis] > np.arange(predicted.shape[1])
    return answers.astype(np.float32)


def fit_thresholds(
    metric: Metric, task: Task, truth: np.ndarray, predicted: np.ndarray
) -> np.ndarray:
    """The thresholds of the best score, found one after another by trying quantiles.

    Args:
        truth, predicted: as the metric takes them.

    Returns:
        As `Task.decide` takes them: of labels a probability each, of grades the cut points.
    """
    outputs = predicted.shape[1]
    seen = predicted.sum(axis=1, keepdims=True) if task.ordered else predicted
    thresholds = np.arange(outputs) + 0.5 if task.ordered else np.full(outputs, 0.5)
    shares = np.linspace(0, 1, TRIED + 2)[1:-1]

    def value(number: int, threshold: float) -> float:
        changed = thresholds.copy()
        changed[number] = threshold
        return quality(metric, truth, decided(task, predicted, changed))

    for _ in range(ROUNDS):
        for number in range(outputs):
            tried = np.unique(np.quantile(seen[:, number % seen.shape[1]], shares))
            if task.ordered:  # cut points stay in their order
                low = thresholds[number - 1] if number else -np.inf
                high = thresholds[number + 1] if number + 1 < outputs else np.inf
                tried = tried[(tried > low) & (tried < high)]
            # The one that is there comes first: it stays where none is better.
            candidates = [thresholds[number], *tried]
            thresholds[number] = max(candidates, key=lambda one: value(number, one))
    return thresholds


def judge(
    metric: Metric, task: Task, truth: np.ndarray, predicted: np.ndarray
) -> tuple[np.ndarray, list[float]]:
    """What is scored, and the thresholds: none where these gain nothing, or nothing is decided.

    Each image is scored by thresholds that were fitted to others, as `decided` has it.
    """
    if task.sums_to_one or isinstance(metric, LogLoss | RocAuc):  # of probabilities, not answers
        return predicted, []
    part = k_fold_parts(truth)
    answers = np.empty_like(predicted, dtype=np.float32)
    for number in np.unique(part):
        mine = part == number
        thresholds = fit_thresholds(metric, task, truth[~mine], predicted[~mine])
        answers[mine] = decided(task, predicted[mine], thresholds)
    if not quality(metric, truth, answers) > quality(metric, truth, predicted):
        return predicted, []
    return answers, fit_thresholds(metric, task, truth, predicted).tolist()
