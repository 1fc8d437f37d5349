"""Out-of-distribution images: how far an image is from those that a network was trained on.

A fold's network scores images that it was not trained on. An image that scores above all but a few
of these is out-of-distribution, OOD (split conformal prediction: Vovk, Gammerman and Shafer 2005).
"""

import sys
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist
from scipy.stats import beta
from sklearn.preprocessing import normalize
from tqdm import tqdm

from podium.competitions.base import MissingData
from podium.data.splits import rarest
from podium.data.table import read_table
from podium.files.image_io import UnreadableImage, read_image, shrink
from podium.predictions.predictor import Predictor
from podium.predictions.tta import VIEWS
from podium.runs.fold_folder import RunError
from podium.runs.run import Run
from podium.runs.table import HELD_OUT

FALSE_ALARM_RATE = 0.05  # share of images like the training ones that may be called OOD
SHRINKAGE = 0.1  # of the covariance, towards the same variance in all directions
NEGLIGIBLE = 1e-6  # variance of a direction, relative to the largest
MAX_TRAINING = 1000  # training images that distances are measured from
MAX_UNSEEN = 600  # images out of fold: the interval of 5 % is then 3.4 to 6.9 %
AT_ONCE = 128  # images in memory


@dataclass(frozen=True)
class MahalanobisScore:
    """The Mahalanobis distance of features from the nearest class, about 1 for a training image.

    All classes share a covariance (arXiv:1807.03888); features have unit length (arXiv:2505.18032).
    """

    means: np.ndarray  # float32 (classes, channels)
    directions: np.ndarray  # float32 (channels, rank), orthonormal
    variances: np.ndarray  # float32 (rank,), along the directions
    rest: float  # variance along any other

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Return the scores, float64 (images,), of features (images, channels)."""
        scaled = normalize(features.astype(np.float64))
        pair = scaled @ self._directions, self._projected_means
        beyond = cdist(scaled, self.means, "sqeuclidean") - cdist(*pair, "sqeuclidean")
        along = cdist(*pair, "seuclidean", V=self.variances) ** 2
        squared = along + beyond.clip(0) / self.rest
        return np.sqrt(squared.min(axis=1) / features.shape[1])

    @cached_property  # by a server, which asks for one image at a time
    def _projected_means(self) -> np.ndarray:
        return self.means.astype(np.float64) @ self._directions

    @cached_property  # float32 as long as it is a file's
    def _directions(self) -> np.ndarray:
        return self.directions.astype(np.float64)


def fit_mahalanobis(features: np.ndarray, labels: np.ndarray) -> MahalanobisScore:
    """Fit the distance to training images, which may be fewer than channels.

    Args:
        features: (images, channels).
        labels: class numbers (images,).
    """
    scaled = normalize(features.astype(np.float64))
    classes, numbers = np.unique(labels, return_inverse=True)
    means = np.stack([scaled[numbers == number].mean(axis=0) for number in range(len(classes))])
    offset = scaled - means[numbers]
    _, lengths, directions = np.linalg.svd(offset, full_matrices=False)
    variances = lengths**2 / len(offset)
    # Identical images have no variance, and anything else is far from them.
    even = max(variances.sum() / features.shape[1], 1e-12)
    kept = variances > NEGLIGIBLE * variances.max()
    shrunk = (1 - SHRINKAGE) * variances[kept] + SHRINKAGE * even
    arrays = (array.astype(np.float32) for array in (means, directions[kept].T, shrunk))
    return MahalanobisScore(*arrays, rest=float(SHRINKAGE * even))


def uncertainty(probabilities: np.ndarray, exclusive: bool = True) -> np.ndarray:
    """Return 1 - the highest probability: float64 (images,) of (images, classes).

    Args:
        exclusive: else each stands alone, and the least sure one counts.
    """
    values = probabilities.astype(np.float64)
    return 1 - (values.max(axis=1) if exclusive else np.maximum(values, 1 - values).min(axis=1))


@dataclass(frozen=True)
class OODDetector:
    """The score of an image, and the limit above which it is out-of-distribution.

    One network decides and not the mean over several: an image out of fold is unseen by one alone,
    and the mean of five is so much steadier that its limit would be too high.

    Args:
        known: scores of images that the fold's network was not trained on.
        distance: of features; None: the score is `uncertainty`.
        remark: why the score is not the distance.
        exclusive: as of `uncertainty`.
    """

    fold: int
    known: np.ndarray
    distance: MahalanobisScore | None = None
    remark: str = ""
    exclusive: bool = True

    def scores(self, features: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        """Return float64 (images,) from the outputs of the fold's network for the plain view."""
        if self.distance is None:
            return uncertainty(probabilities, self.exclusive)
        return self.distance(features)

    def p_value(self, score: float) -> float:
        """Return the share of known images, and the new one, that score as high or higher."""
        return float((np.sum(self.known >= score) + 1) / (len(self.known) + 1))

    @property
    def _places(self) -> int:
        """How many of the places that the known scores leave a new one are above the limit."""
        return int(FALSE_ALARM_RATE * (len(self.known) + 1) + 1e-9)

    @property
    def limit(self) -> float:
        """The score that an OOD image exceeds; infinite where too few images are known."""
        return float(np.sort(self.known)[-self._places]) if self._places else np.inf

    @property
    def rate(self) -> float:
        """The expected share of new images like the training ones that are called OOD."""
        return self._places / (len(self.known) + 1)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of that share, known images being a sample (Vovk 2012, section 3)."""
        if not self._places:
            return 0.0, 0.0
        low, high = beta(self._places, len(self.known) + 1 - self._places).ppf([0.025, 0.975])
        return float(low), float(high)

    @property
    def kind(self) -> str:
        return "uncertainty" if self.distance is None else "distance"

    def as_dict(self) -> dict[str, Any]:
        """Return all of it for JSON, where an infinite limit is None."""
        return {
            "kind": self.kind,
            "remark": self.remark or None,
            "fold": self.fold,
            "limit": self.limit if np.isfinite(self.limit) else None,
            "false_alarm_rate": self.rate,
            "interval": list(self.interval),
            "known_images": len(self.known),
        }

    def __str__(self) -> str:
        remark = f" ({self.remark})" if self.remark else ""
        judged = f"{self.kind}, by the network of fold {self.fold}{remark}"
        if not self._places:
            return f"{judged}; {len(self.known)} known images are too few to set a limit"
        low, high = self.interval
        return (
            f"{judged}; {100 * self.rate:.1f} % of known images score above {self.limit:.3g} "
            f"(95 % interval {100 * low:.1f} to {100 * high:.1f} %, from {len(self.known)} that it "
            "was not trained on)"
        )


def load_or_fit_detector(predictor: Predictor, fold: int) -> OODDetector:
    """Read the detector of a fold's network, or fit it now and keep it.

    Warnings go to the error stream: the other one may be a CSV.

    Args:
        predictor: with the weights of this fold.
    """
    run, folder = predictor.run, predictor.run.folder.fold(fold)
    if run.recipe.head.centers:
        # Measured: features that were not learned hardly tell OOD images from others.
        return _by_uncertainty(run, fold, "its features are not learned")
    try:
        stored = folder.read_ood()
    except ValueError as error:
        print(f"warning: {error}: it is fitted again", file=sys.stderr)
        stored = None
    if stored is not None:
        known, rest = stored.pop("known"), float(stored.pop("rest"))
        return OODDetector(fold, known, MahalanobisScore(**stored, rest=rest))
    try:
        known, distance = _fit_and_score(predictor, fold)
    except (MissingData, RunError, UnreadableImage) as error:
        return _by_uncertainty(run, fold, f"the training images are not at hand: {error}")
    try:
        folder.write_ood({"known": known, **asdict(distance)})
    except OSError as error:  # a run may be attached to a kernel, where nothing can be written
        print(f"warning: {error}: the next call fits the OOD detector again", file=sys.stderr)
    return OODDetector(fold, known, distance)


def _by_uncertainty(run: Run, fold: int, remark: str) -> OODDetector:
    """Take the known scores from the stored predictions, which needs no image."""
    plain = run.folder.fold(fold).read_predictions("validation").xs(VIEWS[0].name, level="view")
    exclusive = run.competition.task.sums_to_one
    known = uncertainty(plain.to_numpy(), exclusive)
    return OODDetector(fold, known, remark=remark, exclusive=exclusive)


def _fit_and_score(predictor: Predictor, fold: int) -> tuple[np.ndarray, MahalanobisScore]:
    """Fit the distance to training images, and score others that the network has not seen."""
    train = read_table(predictor.run.competition, predictor.run.folder).train
    is_unseen = train["fold"].isin([fold, HELD_OUT]).to_numpy()
    seen = _evenly_chosen(np.flatnonzero(~is_unseen), MAX_TRAINING)
    unseen = _evenly_chosen(np.flatnonzero(is_unseen), MAX_UNSEEN)
    paths = train["path"].iloc[[*seen, *unseen]].to_numpy()
    side = predictor.run.recipe.cache_size
    features = []
    for start in tqdm(range(0, len(paths), AT_ONCE), "fitting OOD, once", delay=2, leave=False):
        part = paths[start : start + AT_ONCE]
        images = [shrink(read_image(path, side), side) for path in part]
        features.append(predictor.predict(images, VIEWS[:1]).features)
    of_seen, of_unseen = np.split(np.concatenate(features), [len(seen)])
    truth = predictor.run.competition.truth(train["label"]).iloc[seen]
    # An image is near one mean: of several labels that of its rarest.
    labels = rarest(truth) if isinstance(truth, pd.DataFrame) else truth
    distance = fit_mahalanobis(of_seen, labels.to_numpy())
    return distance(of_unseen), distance


def _evenly_chosen(positions: np.ndarray, most: int) -> np.ndarray:
    """Up to `most` of them: the table is in the order of ids, often by class."""
    chosen = np.linspace(0, len(positions) - 1, min(most, len(positions)))
    return positions[chosen.round().astype(int)]
