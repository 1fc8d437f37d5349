"""The networks of a run, ready to answer: classes, heat maps, boxes and unlikeness in one pass."""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from threadpoolctl import threadpool_limits

from podium.competitions import Competition
from podium.competitions.boxes import tidy
from podium.models.grad_cam import GradCam, NoHeatMap
from podium.models.network import build_network
from podium.predictions.classify import open_run
from podium.predictions.ood import OODDetector
from podium.predictions.ood_fitting import load_or_fit_detector
from podium.recipes.recipe import Recipe
from podium.runs.run_folder import RunFolder

HEATED = 3  # of the likeliest classes, that get a heat map


@dataclass(frozen=True)
class Seen:
    """What the networks say of one image."""

    probabilities: np.ndarray  # float32 (classes,)
    top: np.ndarray  # the likeliest classes, the first one first
    heat: np.ndarray | None  # float32 (top, rows, columns), 0 to 1; None: no heat maps
    box: np.ndarray | None  # float32 (4,), in shares of the image; None: no box head
    score: float  # of unlikeness
    beyond: float  # share of known images that are as unlike or more


class Engine:
    """Built once; `see` is called by one thread.

    Args:
        networks: how many folds' networks are averaged. Each takes as long as the first one.

    Raises:
        RunError: no trained network, or a blend, which has none of its own.
    """

    def __init__(self, folder: RunFolder, networks: int = 1) -> None:
        looker, folds = open_run(folder)
        self.folder, self.folds = folder, folds[:networks]
        self.recipe: Recipe = looker.recipe
        self.competition: Competition = looker.competition
        self.side, self.size = looker.side, self.recipe.final_image_size
        self.most = self.recipe.batch_size  # images at once: what fits a training fits here
        looker.open(folds[0])
        self.ood_detector: OODDetector = load_or_fit_detector(
            folder, self.competition, looker, folds[0]
        )
        self._known = np.sort(self.ood_detector.known)
        # NumPy's threads would wait for cores that TensorFlow's use, for products that take 1 ms.
        self._one_thread = threadpool_limits(1, "blas")
        one = [_Network(folder, self.recipe, self.classes, fold) for fold in self.folds]
        self.no_heat = one[0].no_heat
        self._function = _together(one, self.size, min(HEATED, len(self.classes)))

    @property
    def classes(self) -> list[str]:
        return list(self.competition.classes)

    @property
    def finds_boxes(self) -> bool:
        return self.recipe.box is not None

    def warm_up(self) -> None:
        """Trace, and meet some sizes of batches, so that no request has to wait for it."""
        count = 1
        while True:
            self.see(np.zeros((count, self.size, self.size, 3), np.uint8))
            if count == self.most:
                break
            count = min(2 * count, self.most)

    def see(self, images: np.ndarray) -> list[Seen]:
        """Of uint8 (images, size, size, 3), each."""
        found = {name: value.numpy() for name, value in self._function(images).items()}
        scores = self.ood_detector.scores(found["features"], found["plain"])
        return [
            Seen(
                found["probabilities"][number],
                found["top"][number],
                found["heat"][number] if "heat" in found else None,
                tidy(found["boxes"][number]).mean(axis=0) if "boxes" in found else None,
                float(score),
                self._beyond(score),
            )
            for number, score in enumerate(scores)
        ]

    def _beyond(self, score: float) -> float:
        as_far = len(self._known) - np.searchsorted(self._known, score, side="left")
        return float((as_far + 1) / (len(self._known) + 1))


class _Network:
    """One fold's: from images to all that is wanted, the backbone passed once."""

    def __init__(self, folder: RunFolder, recipe: Recipe, classes: list[str], fold: int) -> None:
        network = build_network(recipe, len(classes), pretrained=False)
        folder.fold(fold).read_weights(network.model)
        self.cam, self.no_heat = None, ""
        try:
            self.cam = GradCam(network)
        except NoHeatMap as error:
            self.no_heat = str(error)
        maps = self.cam.maps.outputs if self.cam else []
        self._maps = len(maps)
        outputs = [*maps, network.features.output, *network.model.outputs]
        self._model = keras.Model(network.model.input, outputs)

    def __call__(self, images: tf.Tensor) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Maps; features, probabilities and, where there is a box head, boxes."""
        outputs = self._model(images, training=False)
        return outputs[: self._maps], outputs[self._maps :]


def _together(networks: list[_Network], size: int, heated: int) -> Callable:
    """All networks in one graph that takes batches of any size: the mean of what they say."""

    @tf.function(input_signature=[tf.TensorSpec((None, size, size, 3), tf.uint8)])
    def see(images: tf.Tensor) -> dict[str, tf.Tensor]:
        seen = [network(images) for network in networks]
        features, plain = seen[0][1][:2]
        probabilities = _mean([parts[1] for _, parts in seen])
        top = tf.math.top_k(probabilities, heated).indices
        found = {
            "features": tf.cast(features, tf.float32),
            "plain": plain,
            "probabilities": probabilities,
            "top": top,
        }
        if networks[0].cam:
            pairs = zip(networks, seen, strict=True)
            heat = _mean([network.cam.heat(maps, top) for network, (maps, _) in pairs])
            highest = tf.reduce_max(heat, axis=(2, 3), keepdims=True)
            found["heat"] = tf.math.divide_no_nan(heat, highest)
        if len(seen[0][1]) > 2:
            found["boxes"] = tf.stack([parts[2] for _, parts in seen], axis=1)
        return found

    return see


def _mean(values: list[tf.Tensor]) -> tf.Tensor:
    return tf.add_n(values) / len(values)
