"""Training one fold: its stages one after another, going on where a killed run stopped."""

import time
from dataclasses import dataclass, replace
from typing import Any

import keras

from podium.data.batches import Batches
from podium.models.backend import COMPILES_ALL, Devices, feed, free_stage, tensorboard
from podium.models.network import Network
from podium.recipes.recipe import Recipe, steps_per_epoch
from podium.recipes.tables import Stage
from podium.runs.fold_folder import FoldFolder, Row
from podium.system import peak_memory_gb, verbosity
from podium.training.cached_features import of_features
from podium.training.callbacks import CheckpointCallback, OneCycleSchedule, TimeKeeper
from podium.training.datasets import FoldDataset, of_images, stage_seed
from podium.training.head_stage import HeadStage
from podium.training.losses import BoxLoss, MeanIoUMetric, make_loss
from podium.training.lr_finder import LRCurve, LRFinder
from podium.training.optimizers import make_optimizer
from podium.training.resume import ResumeState
from podium.training.time_plan import TimePlan

CACHED_PAUSE = 10.0  # seconds that a kill may cost a head, whose epochs take less than one
USED_UP = "the time is used up: training ends here, to still predict"


class TrainingDiverged(ValueError):
    """The loss became infinite or no number."""


@dataclass(frozen=True)
class Trainer:
    """The training of one fold; `run` goes through the stages."""

    network: Network
    images: FoldDataset
    recipe: Recipe
    devices: Devices
    folder: FoldFolder
    plan: TimePlan

    def run(self) -> None:
        """Train what is not trained yet; the weights to predict with are in the folder then.

        Raises:
            TrainingDiverged: the loss is no number.
        """
        state = ResumeState.read(self.folder)
        if state.history:
            print(f"going on after {len(state.history)} finished epochs")
            state.restore(self.folder, self.network.model, optimizer=None)
            self.plan.resume(state.stage, state.epoch, state.plan)
        else:
            self.folder.delete_checkpoints()  # of an earlier training of this fold
        first = state.stage + (1 if state.stage_finished else 0)
        for number in range(first, len(self.recipe.stages)):
            if state.out_of_time or (state.history and self._is_over(state, number)):
                break
            if number != state.stage:
                state.stage, state.stage_finished = number, False
                self.plan.begin_stage(number)
            stage = self.recipe.stages[number]
            on_its_images = replace(self, images=self.images.of_stage(number))
            print(on_its_images._title(state, stage), flush=True)
            if stage.solver == "gradient":
                on_its_images._train_stage(state, stage)
            else:
                on_its_images._solve_head(state, stage)
            free_stage()
        self.folder.read_weights(self.network.model)

    def _is_over(self, state: ResumeState, number: int) -> bool:
        """Whether there is no time to begin that stage, which is written down then."""
        if self.plan.left() >= self.plan.speeds.start(number):
            return False
        print(USED_UP)
        state.stage_finished = state.out_of_time = True
        state.write(self.folder, self.network.model, None)
        return True

    def lr_range_test(self, number: int, low: float, high: float, steps: int) -> LRCurve:
        """Train the stages before one, then try learning rates in it; the network is spent then."""
        if number > 0:
            changes = {"stages": self.recipe.stages[:number], "checkpoints": 0}
            replace(self, recipe=self.recipe.model_copy(update=changes)).run()
        state = ResumeState(stage=number)
        stage = self.recipe.stages[number]
        on_its_images = replace(self, images=self.images.of_stage(number))
        batch_size = stage.batch_size or self.recipe.batch_size
        epochs = -(-steps // steps_per_epoch(len(on_its_images.images.train), batch_size))
        stage = stage.model_copy(update={"epochs": epochs, "calm_epochs": 0})
        model, (batches, _) = on_its_images._prepare(state, stage)
        sweep = LRFinder(low, high, steps)
        print(f"{steps} steps, learning rate {low:g} to {high:g}:", flush=True)
        model.fit(
            feed(batches),
            steps_per_epoch=steps,
            shuffle=False,
            callbacks=[sweep],
            verbose=verbosity(),
        )
        return sweep.curve

    def _train_stage(self, state: ResumeState, stage: Stage) -> None:
        model, (batches, validation) = self._prepare(state, stage)
        batch_size = stage.batch_size or self.recipe.batch_size
        steps = steps_per_epoch(len(self.images.train), batch_size)
        if self.recipe.accumulate > steps * stage.epochs:
            raise ValueError(
                f"accumulate = {self.recipe.accumulate}: stage {state.stage + 1} has "
                f"{steps * stage.epochs} batches, and would never take a step"
            )
        averages = keras.callbacks.SwapEMAWeights() if self.recipe.ema else None
        whole = self.network.model
        pause = 0.0 if model is whole else CACHED_PAUSE
        keeper = CheckpointCallback(state, whole, self.folder, self.recipe, pause, averages)
        model.fit(
            feed(batches),
            validation_data=feed(validation),
            steps_per_epoch=steps,
            epochs=stage.epochs,
            initial_epoch=state.epoch,
            shuffle=False,  # the batches come in the order of their epoch
            callbacks=[
                OneCycleSchedule(stage.learning_rate, self.recipe.one_cycle, self.plan),
                keras.callbacks.TerminateOnNaN(),
                *([averages] if averages else []),
                TimeKeeper(self.plan, state, batch_size, len(self.images.validation)),
                keeper,
                *self._tensorboard(state),
            ],
            verbose=verbosity(),
        )
        if keeper.diverged:
            raise TrainingDiverged(
                f"the loss is no longer a number in stage {state.stage + 1}, epoch "
                f"{state.epoch + 1}: lower its learning_rate ({stage.learning_rate:g}) or set "
                f"clip_norm = 1.0{_about_float16()}"
            )

    def _tensorboard(self, state: ResumeState) -> list[keras.callbacks.Callback]:
        logs = self.folder.path / "tensorboard" / f"stage-{state.stage + 1}"
        return tensorboard(logs) if self.recipe.tensorboard else []

    def _solve_head(self, state: ResumeState, stage: Stage) -> None:
        """Give the head the weights of a regression in place of training it."""
        began = time.monotonic()
        self.network.unfreeze("head", train_batchnorm=False)
        row: Row = {"stage": state.stage, "epoch": 0}
        for prefix, score in zip(("", "val_"), self._head(stage).solve(), strict=True):
            row |= {f"{prefix}accuracy": score["accuracy"], f"{prefix}loss": score["log_loss"]}
        row |= {"learning_rate": 0.0, "seconds": round(time.monotonic() - began, 3)}
        state.history.append({**row, "peak_memory_gb": peak_memory_gb()})
        if self.recipe.keep == "last" or state.best is state.history[-1]:
            self.folder.write_weights(self.network.model, state.stage)
        self.folder.write_history(state.history)
        state.stage_finished = True
        state.write(self.folder, self.network.model, None)  # no optimizer

    def _prepare(
        self, state: ResumeState, stage: Stage
    ) -> tuple[keras.Model, tuple[Batches, Batches]]:
        """What the stage trains, compiled, and on what: a head alone learns from features."""
        self.network.unfreeze(stage.unfreeze, self.recipe.train_batchnorm)
        seed = stage_seed(self.recipe, state.stage)
        if stage.unfreeze == "head" and self.recipe.cached_views > 0:
            model, features = self._heads_alone(), self._head(stage).features()
            batches = of_features(features, self.images, self.recipe, stage, seed, state.epoch)
        else:
            model = self.network.model
            batches = of_images(self.images, self.recipe, stage, seed, state.epoch, self.plan)
        self._compile(model, state, stage)
        return model, batches

    def _heads_alone(self) -> keras.Model:
        """The same layers once more: Keras saves with a network the optimizers of its parts."""
        heads = self.network.heads
        with self.devices.scope():
            return keras.Model(heads.input, heads.output)

    def _compile(self, model: keras.Model, state: ResumeState, stage: Stage) -> None:
        """Make the stage's optimizer, in the state where a killed stage left it."""
        loss, metrics = make_loss(self.recipe, self.network.is_exclusive)
        # Weighted: what fills up a batch, as JAX needs it, counts nothing.
        aims: dict[str, Any] = {"loss": loss, "weighted_metrics": metrics}
        whole = model is self.network.model
        scales = self.network.rate_scales(self.recipe.layer_decay) if whole else []
        with self.devices.scope():
            if len(model.outputs) > 1:  # the box head's besides
                aims = {
                    "loss": [loss, BoxLoss()],
                    "loss_weights": [1.0, self.recipe.box.loss_weight],
                    "weighted_metrics": [metrics, [MeanIoUMetric(name="mean_iou")]],
                }
            model.compile(
                make_optimizer(self.recipe, stage.learning_rate, scales),
                **aims,
                jit_compile=self.devices.jit_compile,
            )
            model.optimizer.build(model.trainable_variables)
            if COMPILES_ALL or self.devices.count == 1:  # else they take in no value here
                _build_metrics(model)
            model.make_train_function()
            model.jit_compile = COMPILES_ALL  # validation and prediction too, as in `Network`
            if state.epoch > 0:
                state.restore(self.folder, self.network.model, model.optimizer)

    def _head(self, stage: Stage) -> HeadStage:
        return HeadStage(self.network, self.images, self.recipe, stage, self.folder, self.plan)

    def _title(self, state: ResumeState, stage: Stage) -> str:
        size = stage.image_size or self.recipe.image_size
        title = f"stage {state.stage + 1} of {len(self.recipe.stages)}: "
        joining = self.images.pseudo_labeled
        also = f", {joining} test images join" if joining else ""
        if stage.solver != "gradient":
            return f"{title}the head by {stage.solver} regression, {size} px{also}"
        what = {"head": "the head", "half": "the upper half", "all": "all layers"}.get(
            str(stage.unfreeze), f"the last {stage.unfreeze} blocks"
        )
        rate = f"learning rate {stage.learning_rate:g}"
        return f"{title}{what}, {stage.epochs} epochs, {rate}, {size} px{also}"


def _about_float16() -> str:
    """What else helps there; too large gradients do not end a training, they skip a step."""
    if keras.config.dtype_policy().compute_dtype != "float16":
        return ""
    return ", or mixed_precision = false: activations above 65504 are infinite in float16"


def _build_metrics(model: keras.Model) -> None:
    """Make the metrics' variables, which Keras would make while it traces its first step.

    TensorFlow traces a function again that has made variables, which takes as long once more.
    """
    nothing = [keras.ops.zeros((1, *output.shape[1:])) for output in model.outputs]
    model.compute_metrics(None, nothing, nothing)
    model.reset_metrics()
