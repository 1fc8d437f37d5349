"""What watches a training: its rates, keeping its state and best weights, stopping it in time."""

import time

import keras
import numpy as np

from podium.models.backend import set_rates
from podium.recipes.recipe import Recipe
from podium.recipes.tables import OneCycle
from podium.runs.fold_folder import FoldFolder, Row
from podium.system import peak_memory_gb
from podium.training.one_cycle import one_cycle
from podium.training.resume import ResumeState
from podium.training.time_plan import TimePlan

SAID = 60.0  # seconds at the least between two lines on the time that is left


class CheckpointCallback(keras.callbacks.Callback):
    """After each epoch, in this order: best weights, checkpoints, history, resumable state.

    Keras' own callbacks for these write in place and apart from each other, so that a kill can
    leave half a file, or a row of history twice. Here the state is the last thing written and
    holds the history: what was written after it is written again in the same way.

    Args:
        state: read to know what is best so far, and added to.
        whole_model: the network whose weights are kept, also while only its head is trained.
        recipe: says by `keep`, `patience` and `checkpoints` what is kept, and when a stage ends.
        pause: seconds without a writing, for epochs that take less than their files.
        averages: puts the averaged weights into the model to validate, where the recipe has them.
    """

    def __init__(
        self,
        state: ResumeState,
        whole_model: keras.Model,
        folder: FoldFolder,
        recipe: Recipe,
        pause: float = 0.0,
        averages: keras.callbacks.SwapEMAWeights | None = None,
    ):
        super().__init__()
        self.state, self.whole_model, self.folder = state, whole_model, folder
        self.keep, self.patience = recipe.keep, recipe.patience
        self.pause, self.averages = pause, averages
        is_last = state.stage == len(recipe.stages) - 1
        self.checkpoints = recipe.checkpoints if is_last else 0
        self.diverged = False
        # That are not written yet; the checkpoints by their epoch, counted from 1.
        self._best: list[np.ndarray] | None = None
        self._last: dict[int, list[np.ndarray]] = {}
        self._written = time.monotonic()

    def on_epoch_begin(self, epoch, logs=None):
        self._began = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        row: Row = {"stage": self.state.stage, "epoch": epoch, **_columns(logs or {})}
        row["learning_rate"] = float(self.model.optimizer.learning_rate.numpy())
        row["seconds"] = round(time.monotonic() - self._began, 3)
        row["peak_memory_gb"] = peak_memory_gb()  # of the process so far
        if not np.isfinite([row["loss"], row["val_loss"]]).all():
            self.diverged = True  # the last good epoch stays what it is
            self.model.stop_training = True
            return
        self.state.history.append(row)
        is_kept = self.keep == "last" or self.state.best is row
        if is_kept or self.checkpoints:
            if self.averages:
                self.averages.on_test_begin()
            values = self.model.get_weights()
            if self.averages:
                self.averages.on_test_end()
            self._best = values if is_kept else self._best
            if self.checkpoints:
                self._last[epoch + 1] = values
                self._last.pop(epoch + 1 - self.checkpoints, None)
        last = epoch + 1 == self.params["epochs"] or self.model.stop_training
        if self.patience is not None and self.state.epochs_since_best() >= self.patience:
            print(f"no better validation loss in {self.patience} epochs: the stage ends here")
            self.model.stop_training = last = True
        self.state.stage_finished |= last
        # The end of a stage is written once Keras has put the averages into the model for good.
        if not last and time.monotonic() - self._written >= self.pause:
            self._write()

    def on_train_end(self, logs=None):
        if self.state.history and not self.diverged:
            self._write()

    def _write(self) -> None:
        if self._best is not None or self._last:
            now = self.model.get_weights()
            if self._best is not None:
                self.model.set_weights(self._best)
                self.folder.write_weights(self.whole_model, self.state.stage)
            for epoch, values in self._last.items():
                self.model.set_weights(values)
                self.folder.write_checkpoint(self.whole_model, epoch, self.state.stage)
            if self.checkpoints:
                self.folder.delete_checkpoints(but_last=self.checkpoints)
            self.model.set_weights(now)
            self._best, self._last = None, {}
        self.folder.write_history(self.state.history)
        self.state.write(self.folder, self.whole_model, self.model.optimizer)
        self._written = time.monotonic()


def _columns(logs: dict[str, float]) -> dict[str, float]:
    """Keras' names, but for the metrics of the classes, which differ beside a box head."""
    renamed = {"head_accuracy": "accuracy", "head_log_loss": "log_loss"}
    renamed |= {f"val_{theirs}": f"val_{ours}" for theirs, ours in renamed.items()}
    return {renamed.get(name, name): value for name, value in logs.items()}


class OneCycleSchedule(keras.callbacks.Callback):
    """Sets the learning rate and momentum before each step, by the plan's position."""

    def __init__(self, peak: float, cycle: OneCycle, plan: TimePlan):
        super().__init__()
        self.peak, self.cycle, self.plan = peak, cycle, plan

    def on_train_batch_begin(self, batch, logs=None):
        steps = self.plan.work.all_steps
        rate, momentum = one_cycle(self.plan.position, steps, self.peak, self.cycle)
        set_rates(self, rate, momentum)


class TimeKeeper(keras.callbacks.Callback):
    """Times steps and validations for the plan, and ends the stage where its cycle ends.

    It comes before the callback that writes the state.
    """

    def __init__(self, plan: TimePlan, state: ResumeState, batch_size: int, validated: int):
        super().__init__()
        self.plan, self.state = plan, state
        self.batch_size, self.validated = batch_size, validated  # images
        self._said = time.monotonic()
        self._timed = 0

    def on_train_begin(self, logs=None):
        self._last = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        now, stage, speeds = time.monotonic(), self.plan.stage, self.plan.speeds
        took, self._last = now - self._last, now
        if not self.plan.stepping:
            speeds.starts[stage] = took
            self.plan.stepping = True
        elif batch == 0 and self.plan.work.steps > 1:  # after a validation
            seconds = max(took - speeds.steps.get(stage, took), 0.0)
            speeds.checked(stage, self.plan.work, seconds)
        else:
            self._timed += 1
            speeds.stepped(stage, self.plan.work, took, self._timed)
        self.plan.advance()
        if self.plan.stage_is_done:
            self.model.stop_training = True

    def on_test_batch_end(self, batch, logs=None):
        if batch == 0:  # which also traces
            self._test_began = time.monotonic()

    def on_test_end(self, logs=None):
        images = self.validated - self.batch_size
        pixels = self.plan.work.validation // max(self.validated, 1) * images
        if pixels > 0:
            self.plan.speeds.predicted(time.monotonic() - self._test_began, pixels)

    def on_epoch_end(self, epoch, logs=None):
        self.state.plan = self.plan.progress()
        if time.monotonic() - self._said >= SAID and not self.plan.stage_is_done:
            print(self.plan, flush=True)
            self._said = time.monotonic()
