"""The head on a frozen backbone: its cached features, the linear probe on them, solved weights."""

from dataclasses import dataclass

from podium.models.network import Network
from podium.recipes.recipe import Recipe
from podium.recipes.tables import Stage
from podium.runs.fold_folder import FoldFolder
from podium.system import free_memory
from podium.training.cached_features import Features, cache_features
from podium.training.datasets import FoldDataset, stage_batch_size, stage_size
from podium.training.solvers import (
    LARGEST,
    KernelFit,
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
        return self._probe()[0]

    def solve(self) -> tuple[Score, Score]:
        """Give the head the weights of a regression: its scores in training and validation."""
        if self.stage.solver == "logistic":
            return self._solve_logistic()
        return self._solve_kernel()

    def _solve_logistic(self) -> tuple[Score, Score]:
        features, logistic = self._probe()
        self.network.head.get_layer("logits").set_weights([logistic.weights, logistic.bias])
        return (
            logistic.score(features.train[0], self.images.train_labels),
            logistic.score(features.validation, self.images.validation_labels),
        )

    def _solve_kernel(self) -> tuple[Score, Score]:
        """Kernel regression; the training images are scored by what is solved without each."""
        features, layer = self._cache(), self.network.head.get_layer("logits")
        labels, labeled = self.images.train_labels, self.images.labeled
        kernel = fit_kernel(features.train[0], labels, layer.channels, layer.count, labeled)
        layer.set(kernel.mean, kernel.scale, kernel.centers, kernel.dual)
        own = kernel.rows < labeled
        train = score_logits(kernel.left_out[own], labels[kernel.rows[own]])
        validation = score_logits(
            predict_logits(layer, features.validation), self.images.validation_labels
        )
        print(
            f"kernel regression on {self._centers(kernel)}: validation accuracy "
            f"{validation['accuracy']:.4f}, log loss {validation['log_loss']:.4f} (leave-one-out "
            f"on the training images: {train['accuracy']:.4f}, {train['log_loss']:.4f})",
            flush=True,
        )
        return train, validation

    def _centers(self, kernel: KernelFit) -> str:
        """How many images the kernels are around, and which found no place."""
        count, joining = f"{len(kernel.rows)} images", self.images.pseudo_labeled
        if not joining:
            return count
        joined = int((kernel.rows >= self.images.labeled).sum())
        left = joining - joined
        more = f" ({left} more with a larger head.centers)" if left else ""
        return f"{count}, {joined} of them pseudo-labeled{more}"

    def _probe(self) -> tuple[Features, Logistic]:
        """The features and logistic regression on them: a head below it is a mistake."""
        features, images = self._cache(), self.images
        half = self.plan.left() / 2  # the head is to be trained as well
        solves = self.stage.solver == "logistic"  # then it is no probe: all that memory holds
        most = max(LARGEST, free_memory() // 2 // features.train.itemsize) if solves else LARGEST
        logistic = fit_logistic(features.train, images.train_labels, images.labeled, half, most)
        score = logistic.score(features.validation, images.validation_labels)
        print(
            f"linear probe: validation accuracy {score['accuracy']:.4f}, log loss "
            f"{score['log_loss']:.4f} (C = {logistic.strength}, {logistic.seconds:.0f} s"
            + self._left_out(logistic, features)
            + ")",
            flush=True,
        )
        kept = {**score, "strength": logistic.strength, "rows": logistic.rows}
        self.folder.write_linear_probe(kept)
        return features, logistic

    @staticmethod
    def _left_out(logistic: Logistic, features: Features) -> str:
        """What the regression did not see of the training images' views, if it is something."""
        views, images = features.train.shape[:2]
        left = views * images - logistic.rows
        if not left:
            return ""
        return f"; {left:,} of {views * images:,} views of {images:,} images are left out of it"

    def _cache(self) -> Features:
        size = stage_size(self.recipe, self.stage)
        features = cache_features(
            self.network.trunk,
            self.images,
            self.recipe,
            size,
            stage_batch_size(self.recipe, self.stage),
            self.folder.path,
            self.plan,
        )
        self.plan.speeds.predicted(features.seconds_per_image, size**2)
        return features
