"""Which way to blend: compared by cross-validation, and the whole of it judged by another one."""

from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from podium.competitions.metrics import LogLoss, Metric
from podium.predictions.blend_methods import METHODS, Method, Rule
from podium.predictions.blend_preparation import Preparation, prepare
from podium.predictions.calibration import Calibration, cross_fitted, fit_calibration
from podium.predictions.cross_fitting import k_fold_parts
from podium.predictions.score import per_image_score


@dataclass(frozen=True)
class Tried:
    """A method as it does on images that it was not fitted on."""

    blended: np.ndarray  # float64 (images, classes)
    calibrated: np.ndarray | None  # where the metric is log loss
    gains: bool = False  # by its calibration

    @property
    def best(self) -> np.ndarray:
        return self.blended if self.calibrated is None or not self.gains else self.calibrated


@dataclass(frozen=True)
class BlendChoice:
    """A blend as it was chosen: runs' predictions (runs, images, classes) to one."""

    preparation: Preparation
    method: str
    rule: Rule  # for the runs that take part
    calibration: Calibration | None
    tried: dict[str, Tried]  # by method

    @property
    def weights(self) -> np.ndarray:
        """Of all runs; they sum to 1."""
        return self.preparation.spread(self.rule.weights)

    def __call__(self, predictions: np.ndarray) -> np.ndarray:
        prepared = self.preparation(predictions)
        blended = self.rule(METHODS[self.method].into(prepared))
        return self.calibration(blended) if self.calibration else blended


def choose(predictions: np.ndarray, labels: np.ndarray, metric: Metric) -> BlendChoice:
    """Try each method on images that it was not fitted on, and take the simplest good one.

    Good is what is not worse than the best by more than the standard error of their difference
    (the rule of Breiman et al. 1984, 3.4.3).

    Args:
        predictions: float (runs, images, classes), all out of fold.
        labels: class numbers (images,).
    """
    part, preparation = k_fold_parts(labels), prepare(predictions, labels)
    prepared = preparation(predictions)
    tried = {name: _try(one, prepared, labels, metric, part) for name, one in METHODS.items()}
    method = _simplest({name: one.best for name, one in tried.items()}, labels, metric)
    taken, way = tried[method], METHODS[method]
    return BlendChoice(
        preparation,
        method,
        way.fit(way.into(prepared), labels, metric),
        fit_calibration(taken.blended, labels) if taken.gains else None,
        tried,
    )


def _try(
    method: Method, predictions: np.ndarray, labels: np.ndarray, metric: Metric, part: np.ndarray
) -> Tried:
    """Cross-validate a method."""
    transformed = method.into(predictions)
    blended = np.empty(predictions.shape[1:])
    for number in np.unique(part):
        mine = part == number
        rule = method.fit(transformed[:, ~mine], labels[~mine], metric)
        blended[mine] = rule(transformed[:, mine])
    if not isinstance(metric, LogLoss):
        return Tried(blended, None)
    calibrated = cross_fitted(blended, labels, part)
    before, after = (metric.per_image(labels, one).mean() for one in (blended, calibrated))
    return Tried(blended, calibrated, after < before)


def nested(predictions: np.ndarray, labels: np.ndarray, metric: Metric) -> np.ndarray:
    """What the whole procedure gives on images that had no part in any of its choices.

    Returns:
        float64 (images, classes): each part by the choice on the others.
    """
    part = k_fold_parts(labels, seed=1)  # other parts than the choice makes
    blended = np.empty(predictions.shape[1:])
    for number in tqdm(np.unique(part), "judging", unit=" parts", delay=2, leave=False):
        mine = part == number
        choice = choose(predictions[:, ~mine], labels[~mine], metric)
        blended[mine] = choice(predictions[:, mine])
    return blended


def _simplest(tried: dict[str, np.ndarray], labels: np.ndarray, metric: Metric) -> str:
    """The first method that is within noise of the best."""
    best = max(tried, key=lambda name: per_image_score(metric, labels, tried[name]).mean())
    values = {name: metric.per_image(labels, blended) for name, blended in tried.items()}
    sign = 1 if metric.per_image_score else -1

    def is_level(name: str) -> bool:
        worse_by = sign * (values[best] - values[name])
        return worse_by.mean() <= worse_by.std() / np.sqrt(len(worse_by))

    return next(filter(is_level, tried))
