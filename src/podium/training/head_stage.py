"""The head on a frozen backbone: its cached features, the linear probe on them, solved weights."""

from dataclasses import dataclass

from podium.models.kernel_head import KernelRegression
from podium.models.network import Network
from podium.recipes.recipe import Recipe
from podium.recipes.tables import Stage
from podium.runs.fold_folder import FoldFolder
from podium.system import free_memory
from podium.training.cached_features import Features, cache_features
from podium.training.datasets import FoldDataset
from podium.training.solvers import (
    LARGEST,
    Logistic,
    fit_kernel,
    fit_logistic,
    predict_logits,
    score_logits,
)
from podium.training.time_plan import TimePlan

Score = dict[str, float]  # accuracy and log_loss


@dataclass(frozen=True)
class HeadStage:
    """A stage that trains or solves the head alone."""

    network: Network
    images: FoldDataset
    recipe: Recipe
    stage: Stage
    folder: FoldFolder
    plan: TimePlan

    def features(self) -> Features:
        """The features that the head learns from, and the linear probe printed beside them."""
        features = self._cache()
        self._probe(features)
        return features

    def solve(self) -> tuple[Score, Score]:
        """Give the head the weights of a regression: its scores in training and validation."""
        features, logits = self._cache(), self.network.head.get_layer("logits")
        if self.stage.solver == "kernel":
            return self._solve_kernel(features, logits)
        logistic = self._probe(features)
        logits.set_weights([logistic.weights, logistic.bias])
        return (
            logistic.score(features.train[0][0], self.images.train_labels),
            logistic.score(features.validation[0], self.images.validation_labels),
        )

    def _solve_kernel(self, features: Features, layer: KernelRegression) -> tuple[Score, Score]:
        """Kernel regression; the training images are scored by what is solved without each."""
        labels, labeled = self.images.train_labels, self.images.labeled
        exclusive = self.network.is_exclusive
        kernel = fit_kernel(
            features.train[0][0], labels, layer.channels, layer.count, labeled, exclusive
        )
        layer.set(kernel.mean, kernel.scale, kernel.centers, kernel.dual)
        own = kernel.rows < labeled
        train = score_logits(kernel.left_out[own], labels[kernel.rows[own]], exclusive)
        predicted = predict_logits(layer, features.validation[0])
        validation = score_logits(predicted, self.images.validation_labels, exclusive)
        print(
            f"kernel regression on {len(kernel.rows):,} of {len(labels):,} images: validation "
            f"accuracy {validation['accuracy']:.4f}, log loss {validation['log_loss']:.4f} "
            f"(leave-one-out on the training images: {train['accuracy']:.4f}, "
            f"{train['log_loss']:.4f})",
            flush=True,
        )
        return train, validation

    def _probe(self, features: Features) -> Logistic:
        """Logistic regression on the features: a head below it is a mistake."""
        pooled, images = features.train[0], self.images
        half = self.plan.left() / 2  # the head is to be trained as well
        solves = self.stage.solver == "logistic"  # then it is no probe: all that memory holds
        most = max(LARGEST, free_memory() // 2 // pooled.itemsize) if solves else LARGEST
        exclusive, balanced = self.network.is_exclusive, self.recipe.class_weight == "balanced"
        labels = images.train_labels
        logistic = fit_logistic(pooled, labels, images.labeled, half, most, exclusive, balanced)
        score = logistic.score(features.validation[0], images.validation_labels)
        views = pooled.shape[0] * pooled.shape[1]
        print(
            f"linear probe: validation accuracy {score['accuracy']:.4f}, log loss "
            f"{score['log_loss']:.4f} (C = {logistic.strength}, on {logistic.rows:,} of {views:,} "
            f"views, {logistic.seconds:.0f} s)",
            flush=True,
        )
        kept = {**score, "strength": logistic.strength, "rows": logistic.rows}
        self.folder.write_linear_probe(kept)
        return logistic

    def _cache(self) -> Features:
        trunk, folder = self.network.trunk, self.folder.path
        return cache_features(trunk, self.images, self.recipe, self.stage, folder, self.plan)
