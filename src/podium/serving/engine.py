"""The networks of a run in one graph: classes, heat maps, box and OOD score in one pass."""

from collections.abc import Callable
from itertools import zip_longest
from typing import Any

import keras
import numpy as np
from keras import ops
from threadpoolctl import threadpool_limits

from podium.competitions.boxes import BOX_COLUMNS, tidy
from podium.models.backend import compile_network, compiled
from podium.models.grad_cam import GradCam, NoHeatMap
from podium.models.network import Network
from podium.predictions.ood import load_or_fit_detector
from podium.predictions.predictor import Predictor, open_network
from podium.runs.run_folder import RunFolder
from podium.serving.schema import ClassScore, Prediction

HEATED = 3  # of the likeliest classes, that get a heat map


class Engine:
    """Built once; `predict` is called by one thread.

    Args:
        networks: how many folds' networks are averaged. Each takes as long as the first one.

    Raises:
        RunError: no trained network, or a blend, which has none of its own.
    """

    def __init__(self, folder: RunFolder, networks: int = 1) -> None:
        predictor = Predictor(folder)
        self.run, self.trained_folds = predictor.run, predictor.folds
        self.size = self.run.image_size(predictor.folds[0])
        # One graph takes images of one size: a fold whose training ended early may have another.
        alike = [fold for fold in predictor.folds if self.run.image_size(fold) == self.size]
        self.folds = alike[:networks]
        self.classes = self.run.competition.outputs
        self.thresholds = folder.read_thresholds()
        self.batch_size = self.run.recipe.batch_size  # what fits a training fits here
        predictor.load(self.folds[0])
        self.ood_detector = load_or_fit_detector(predictor, self.folds[0])
        # BLAS' threads would wait for cores that TensorFlow's use, for products that take 1 ms.
        self._one_thread = threadpool_limits(1, "blas")
        opened = [open_network(self.run, fold) for fold in self.folds]
        self.no_heat: str | None = None
        try:
            cams = [GradCam(network) for network in opened]
        except NoHeatMap as error:
            cams, self.no_heat = [], str(error)
        heated = min(HEATED, len(self.classes))
        self._graph = _one_graph(opened, cams, self.size, self.batch_size, heated)

    def warm_up(self) -> None:
        """Trace the graph with the smallest and largest batch, so that no request waits for it."""
        for count in (1, self.batch_size):
            self.predict(np.zeros((count, self.size, self.size, 3), np.uint8))

    def predict(self, images: np.ndarray) -> list[Prediction]:
        """Predict images, uint8 (images, size, size, 3)."""
        outputs = {name: np.asarray(values) for name, values in self._graph(images).items()}
        scores = self.ood_detector.scores(outputs["features"], outputs["plain"])
        return [
            self._describe({name: values[number] for name, values in outputs.items()}, float(score))
            for number, score in enumerate(scores)
        ]

    def _describe(self, outputs: dict[str, np.ndarray], ood_score: float) -> Prediction:
        """Round the outputs for one image, and give them their names."""
        probabilities = outputs["probabilities"].astype(float).round(6).clip(0, 1).tolist()
        ranking = np.argsort(-outputs["probabilities"], kind="stable").tolist()
        heat = outputs["heat"].astype(float).round(3).tolist() if "heat" in outputs else []
        box = None
        if "boxes" in outputs:
            edges = tidy(outputs["boxes"]).mean(axis=0).astype(float).round(4).tolist()
            box = dict(zip(BOX_COLUMNS, edges, strict=True))
        detector = self.ood_detector
        competition = self.run.competition
        row = outputs["probabilities"][np.newaxis]
        (said,) = competition.task.said(row, competition.classes, self.thresholds)
        return Prediction(
            said=[name for name, _ in said],
            classes=[
                ClassScore(name=self.classes[number], probability=probabilities[number], heat=rows)
                for number, rows in zip_longest(ranking, heat)
            ],
            box=box,
            ood=ood_score > detector.limit,
            ood_score=round(ood_score, 4),
            ood_limit=round(detector.limit, 4) if np.isfinite(detector.limit) else None,
            ood_p_value=round(detector.p_value(ood_score), 4),
        )


def _one_graph(
    networks: list[Network], cams: list[GradCam], size: int, batch_size: int, heated: int
) -> Callable[[np.ndarray], dict[str, Any]]:
    """Join all networks for batches of any size, each backbone passed once.

    Where predictions have an engine of their own, it gives the maps, and Keras' backend the heat.
    """
    models = []
    for number, network in enumerate(networks):
        maps = cams[number].maps.outputs if cams else []
        outputs = [network.features.output, *network.model.outputs, *maps]
        models.append(keras.Model(network.model.input, outputs))
    first_map = 1 + len(networks[0].model.outputs)

    def join(outputs: list[list[Any]]) -> dict[str, Any]:
        probabilities = ops.mean(ops.stack([parts[1] for parts in outputs]), axis=0)
        found = {
            "features": ops.cast(outputs[0][0], "float32"),
            "plain": outputs[0][1],
            "probabilities": probabilities,
        }
        if cams:
            top = ops.top_k(probabilities, heated)[1]
            pairs = zip(cams, outputs, strict=True)
            heat = [cam.heat(parts[first_map:], top) for cam, parts in pairs]
            heat = ops.mean(ops.stack(heat), axis=0)
            highest = ops.max(heat, axis=(2, 3), keepdims=True)
            found["heat"] = ops.divide_no_nan(heat, highest)
        if first_map > 2:
            found["boxes"] = ops.stack([parts[2] for parts in outputs], axis=1)
        return found

    variables = [variable for model in models for variable in model.variables]
    image = (size, size, 3)
    row = np.dtype((np.uint8, image))
    engines = [compile_network(model, row, serves=True) for model in models]
    if all(engines):
        joined = compiled(join, variables)
        return lambda images: joined([engine(images) for engine in engines])
    return compiled(
        lambda images: join([model(images, training=False) for model in models]),
        variables,
        batch_sizes=(1, batch_size),
        image=image,
    )
