"""Training one fold: its stages one after another, going on where a killed run stopped."""

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from podium.images.batches import PictureCache, steps_per_epoch, training_batches, view_batches
from podium.images.reading import resize
from podium.models.network import Network
from podium.recipe import Recipe, Stage
from podium.run_folder import FoldFolder
from podium.training.callbacks import KeepState, TimeBudget
from podium.training.devices import Devices
from podium.training.features import cache_features, feature_batches
from podium.training.one_cycle import OneCycleSchedule
from podium.training.optimizers import make_optimizer
from podium.training.progress import verbosity
from podium.training.state import TrainingState


class TrainingDiverged(ValueError):
    """The loss became infinite or no number."""


@dataclass(frozen=True)
class FoldPictures:
    """What a fold trains and validates on: indices into the cache, and one-hot labels."""

    cache: PictureCache
    train: np.ndarray  # int (pictures,)
    train_labels: np.ndarray  # float32 (pictures, classes)
    validation: np.ndarray
    validation_labels: np.ndarray


@dataclass(frozen=True)
class FoldTraining:
    """The training of one fold; `run` goes through the stages."""

    network: Network
    pictures: FoldPictures
    recipe: Recipe
    devices: Devices
    folder: FoldFolder
    budget: TimeBudget

    def run(self) -> None:
        """Train what is not trained yet; the weights to predict with are in the folder then.

        Raises:
            TrainingDiverged: the loss is no number.
        """
        state = TrainingState.read(self.folder)
        if state.history:
            print(f"going on after {len(state.history)} finished epochs")
            state.restore(self.folder, self.network.model, optimizer=None)
        first = state.stage + (1 if state.stage_finished else 0)
        for number in range(first, len(self.recipe.stages)):
            if state.out_of_time:
                break
            if number != state.stage:
                state.begin_stage(number)
            self._train_stage(state, self.recipe.stages[number])
        self.folder.read_weights(self.network.model)

    def _train_stage(self, state: TrainingState, stage: Stage) -> None:
        size = stage.image_size or self.recipe.image_size
        batch_size = stage.batch_size or self.recipe.batch_size
        print(self._title(state, stage, size), flush=True)
        self.network.unfreeze(stage.unfreeze, self.recipe.train_batchnorm)
        cached = stage.unfreeze == "head" and self.recipe.cached_views > 0
        model = self.network.head if cached else self.network.model
        make_batches = self._feature_batches if cached else self._picture_batches
        batches, validation = make_batches(state, stage, size, batch_size)
        steps = steps_per_epoch(len(self.pictures.train), batch_size)
        self._compile(model, state, stage)
        self.budget.watch(size, batch_size, len(self.pictures.validation))
        keeper = KeepState(
            state, self.network.model, self.folder, self.recipe.keep, self.recipe.patience
        )
        model.fit(
            batches,
            validation_data=validation,
            steps_per_epoch=steps,
            epochs=stage.epochs,
            initial_epoch=state.epoch,
            shuffle=False,  # the batches come in the order of their epoch
            callbacks=[
                OneCycleSchedule(stage.learning_rate, steps * stage.epochs, self.recipe.one_cycle),
                keras.callbacks.TerminateOnNaN(),
                keeper,
                self.budget,
                *self._tensorboard(state),
            ],
            verbose=verbosity(),
        )
        if keeper.diverged:
            raise TrainingDiverged(
                f"the loss is no longer a number in stage {state.stage + 1}, epoch "
                f"{state.epoch + 1}: lower its learning_rate ({stage.learning_rate:g}) or set "
                "clip_norm = 1.0"
            )
        if self.budget.exhausted:
            print("the time budget is used up: training ends here, to still predict in time")
            state.stage_finished = state.out_of_time = True
            state.write(self.folder, self.network.model, model.optimizer)

    def _compile(self, model: keras.Model, state: TrainingState, stage: Stage) -> None:
        """Make the stage's optimiser, in the state where a killed stage left it."""
        loss = keras.losses.CategoricalCrossentropy(label_smoothing=self.recipe.label_smoothing)
        with self.devices.scope():
            model.compile(
                make_optimizer(self.recipe, stage.learning_rate),
                loss=loss,
                metrics=["accuracy"],
                jit_compile=self.devices.jit_compile,
            )
            model.optimizer.build(model.trainable_variables)
            if state.epoch > 0:
                state.restore(self.folder, self.network.model, model.optimizer)

    def _tensorboard(self, state: TrainingState) -> list[keras.callbacks.Callback]:
        if not self.recipe.tensorboard:
            return []
        logs = self.folder.path / "tensorboard" / f"stage-{state.stage + 1}"
        return [keras.callbacks.TensorBoard(str(logs))]

    def _picture_batches(
        self, state: TrainingState, stage: Stage, size: int, batch_size: int
    ) -> tuple[tf.data.Dataset, tf.data.Dataset]:
        pictures, recipe = self.pictures, self.recipe
        batches = training_batches(
            pictures.cache,
            pictures.train,
            pictures.train_labels,
            size=size,
            batch_size=batch_size,
            augmentation=recipe.augmentation,
            seed=stage_seed(recipe, state.stage),
            first_epoch=state.epoch,
            epochs=stage.epochs,
        )
        plain = view_batches(
            pictures.cache,
            pictures.validation,
            size=size,
            batch_size=batch_size,
            view=lambda picture, size: resize(picture, size, size),
        )
        labels = tf.data.Dataset.from_tensor_slices(pictures.validation_labels).batch(batch_size)
        return batches, tf.data.Dataset.zip((plain, labels))

    def _feature_batches(
        self, state: TrainingState, stage: Stage, size: int, batch_size: int
    ) -> tuple[tf.data.Dataset, tf.data.Dataset]:
        pictures, recipe = self.pictures, self.recipe
        features = cache_features(
            self.network.features,
            pictures.cache,
            pictures.train,
            pictures.validation,
            recipe,
            size,
            batch_size,
        )
        self.budget.measure(features.seconds_per_picture, 1, size)
        batches = feature_batches(
            features.train,
            pictures.train_labels,
            batch_size,
            stage_seed(recipe, state.stage),
            state.epoch,
            stage.epochs,
        )
        validation = tf.data.Dataset.from_tensor_slices(
            (features.validation, pictures.validation_labels)
        )
        return batches, validation.batch(batch_size)

    def _title(self, state: TrainingState, stage: Stage, size: int) -> str:
        what = {"head": "the head", "half": "the upper half", "all": "all layers"}.get(
            str(stage.unfreeze), f"the last {stage.unfreeze} blocks"
        )
        return (
            f"stage {state.stage + 1} of {len(self.recipe.stages)}: {what}, {stage.epochs} epochs, "
            f"learning rate {stage.learning_rate:g}, {size} px"
        )


def stage_seed(recipe: Recipe, stage: int) -> int:
    """A seed for the pictures of a stage, so that no two stages see the same order."""
    return int(np.random.SeedSequence((recipe.seed, stage)).generate_state(1)[0])
