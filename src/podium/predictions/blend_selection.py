"""The choice of how to blend: by cross-validation, and scored as a whole by another one."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from podium.competitions.metrics import LogLoss, MeanMetric, Metric
from podium.predictions.blend_methods import ALONE, METHODS, Method, Rule, fit_convex
from podium.predictions.calibration import Calibration, cross_fitted, fit_calibration
from podium.predictions.score import direction, k_fold_parts, paired_gain, quality


@dataclass(frozen=True)
class Candidate:
    """A method's probabilities (images, classes), each image's by a fit without it."""

    blended: np.ndarray
    calibrated: np.ndarray | None  # where the metric is log loss
    best: np.ndarray  # the calibrated ones only where they gain


@dataclass(frozen=True)
class BlendChoice:
    """A fitted blend, from the runs' predictions (runs, images, classes) to probabilities."""

    calibrations: list[Calibration]  # of each run
    used: np.ndarray  # positions of the runs that have something to add
    method: str
    rule: Rule  # for the runs that are used
    calibration: Calibration | None  # of the blend
    candidates: dict[str, Candidate]  # by method; none of a blend that was stored

    @property
    def weights(self) -> np.ndarray:
        """The weights of all runs; they sum to 1."""
        weights = np.zeros(len(self.calibrations))
        weights[self.used] = self.rule.weights
        return weights

    def __call__(self, predictions: np.ndarray) -> np.ndarray:
        if self.rule.shares:
            predictions = _calibrated(predictions, self.calibrations)
        prepared = predictions[self.used]
        blended = self.rule(METHODS[self.method].into(prepared))
        return self.calibration(blended) if self.calibration else blended

    def as_dict(self) -> dict[str, Any]:
        """All that was fitted, unrounded, as score.json keeps it."""
        return {
            "calibrations": [asdict(one) for one in self.calibrations],
            "used": self.used.tolist(),
            "method": self.method,
            "rule": self.rule.as_dict(),
            "calibration": self.calibration and asdict(self.calibration),
        }

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "BlendChoice":
        """The blend of what `as_dict` gave, `fitted` in score.json, to apply it to other images."""
        calibration = stored["calibration"]
        return cls(
            [Calibration(**one) for one in stored["calibrations"]],
            np.array(stored["used"], np.int64),
            stored["method"],
            METHODS[stored["method"]].fitted(stored["rule"]),
            calibration and Calibration(**calibration),
            {},
        )


def choose(predictions: np.ndarray, labels: np.ndarray, metric: Metric) -> BlendChoice:
    """Calibrate the runs, cross-validate each method, and take the simplest good one.

    An overconfident run would count too much in a mean: each gets a temperature. A run has
    nothing to add if the weights of the lowest log loss leave it out. A method is good if it is
    not worse than the best by more than the standard error of their difference (the rule of
    Breiman et al. 1984, 3.4.3). Of labels and grades, whose outputs stand alone, nothing is
    calibrated, and no run left out before.

    Args:
        predictions: float (runs, images, classes), all out of fold.
        labels: class numbers (images,), or the truth of labels or grades.
    """
    calibrations, used = [Calibration() for _ in predictions], np.arange(len(predictions))
    prepared, names = predictions, ALONE
    if metric.task.sums_to_one:
        calibrations = [fit_calibration(run, labels) for run in predictions]
        prepared, names = _calibrated(predictions, calibrations), METHODS
        used = np.flatnonzero(fit_convex(prepared, labels).weights)
        prepared = prepared[used]
    candidates = {name: _cross_validate(METHODS[name], prepared, labels, metric) for name in names}
    best = max(candidates, key=lambda name: quality(metric, labels, candidates[name].best))

    def is_good(name: str) -> bool:
        first, other = (candidates[one].best for one in (best, name))
        if not isinstance(metric, MeanMetric):  # the interval of 95 % is four standard errors wide
            worse_by = paired_gain(metric, labels, first, other)
            return worse_by.value <= (worse_by.high - worse_by.low) / 4
        first, other = (metric.per_image(labels, one) for one in (first, other))
        worse_by = direction(metric) * (first - other)
        return worse_by.mean() <= worse_by.std() / np.sqrt(len(labels))

    name = next(filter(is_good, candidates))
    method, taken = METHODS[name], candidates[name]
    rule = method.fit(method.into(prepared), labels, metric)
    gains = taken.best is taken.calibrated
    calibration = fit_calibration(taken.blended, labels) if gains else None
    return BlendChoice(calibrations, used, name, rule, calibration, candidates)


def nested(predictions: np.ndarray, labels: np.ndarray, metric: Metric) -> np.ndarray:
    """Blend each part of the images by a choice that was made on the others.

    Returns:
        float64 (images, classes), by which the whole procedure is scored.
    """
    part = k_fold_parts(labels, seed=1)  # other parts than the choice makes
    blended = np.empty(predictions.shape[1:])
    for number in tqdm(np.unique(part), "judging", unit=" parts", delay=2, leave=False):
        mine = part == number
        choice = choose(predictions[:, ~mine], labels[~mine], metric)
        blended[mine] = choice(predictions[:, mine])
    return blended


def _calibrated(predictions: np.ndarray, calibrations: list[Calibration]) -> np.ndarray:
    pairs = zip(calibrations, predictions, strict=True)
    return np.stack([calibration(run) for calibration, run in pairs]).astype(np.float32)


def _cross_validate(
    method: Method, predictions: np.ndarray, labels: np.ndarray, metric: Metric
) -> Candidate:
    part = k_fold_parts(labels)
    transformed = method.into(predictions)
    blended = np.empty(predictions.shape[1:])
    for number in np.unique(part):
        mine = part == number
        rule = method.fit(transformed[:, ~mine], labels[~mine], metric)
        blended[mine] = rule(transformed[:, mine])
    if not (isinstance(metric, LogLoss) and metric.task.sums_to_one):
        return Candidate(blended, None, blended)
    calibrated = cross_fitted(blended, labels, part)
    before, after = (metric.per_image(labels, one).mean() for one in (blended, calibrated))
    return Candidate(blended, calibrated, calibrated if after < before else blended)
