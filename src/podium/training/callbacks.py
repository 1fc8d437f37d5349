"""What watches a training: its rates, keeping its state and best weights, stopping it in time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np

from podium.recipes.recipe import Recipe
from podium.recipes.tables import OneCycle
from podium.runs.fold_folder import FoldFolder, Row
from podium.system import cpu_load, peak_memory_gb
from podium.training.one_cycle import one_cycle
from podium.training.resume import ResumeState


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
        self.state.add(row)
        is_kept = self.keep == "last" or self.state.best is row
        if is_kept or self.checkpoints:
            with self._averaged():
                values = _values(self.model)
            self._best = values if is_kept else self._best
            if self.checkpoints:
                self._last[epoch + 1] = values
                self._last.pop(epoch + 1 - self.checkpoints, None)
        last = epoch + 1 == self.params["epochs"]
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
            now = _values(self.model)
            self._write_weights()
            _assign(self.model, now)
        self.folder.write_history(self.state.history)
        self.state.write(self.folder, self.whole_model, self.model.optimizer)
        self._written = time.monotonic()

    def _write_weights(self) -> None:
        if self._best is not None:
            _assign(self.model, self._best)
            self.folder.write_weights(self.whole_model, self.state.stage)
        for epoch, values in self._last.items():
            _assign(self.model, values)
            self.folder.write_checkpoint(self.whole_model, epoch, self.state.stage)
        if self.checkpoints:
            self.folder.delete_checkpoints(but_last=self.checkpoints)
        self._best, self._last = None, {}

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        if self.averages:
            self.averages.on_test_begin()
        yield
        if self.averages:
            self.averages.on_test_end()


def _columns(logs: dict[str, float]) -> dict[str, float]:
    """Keras' names, but for the metrics of the classes, which differ beside a box head."""
    renamed = {"head_accuracy": "accuracy", "head_log_loss": "log_loss"}
    renamed |= {f"val_{theirs}": f"val_{ours}" for theirs, ours in renamed.items()}
    return {renamed.get(name, name): value for name, value in logs.items()}


def _values(model: keras.Model) -> list[np.ndarray]:
    return [variable.numpy() for variable in model.variables]


def _assign(model: keras.Model, values: list[np.ndarray]) -> None:
    for variable, value in zip(model.variables, values, strict=True):
        variable.assign(value)


class OneCycleSchedule(keras.callbacks.Callback):
    """Sets the learning rate and momentum before each step.

    Counts by the optimizer's own steps, so that a resumed stage goes on where it was.

    Args:
        peak: the highest learning rate.
        steps: steps of the whole stage.
    """

    def __init__(self, peak: float, steps: int, cycle: OneCycle):
        super().__init__()
        self.peak, self.steps, self.cycle = peak, steps, cycle

    def on_train_batch_begin(self, batch, logs=None):
        # Mixed precision wraps the optimizer in one that scales the loss.
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        step = int(optimizer.iterations.numpy())
        rate, momentum = one_cycle(step, self.steps, self.peak, self.cycle)
        optimizer.learning_rate = rate
        if momentum is not None:
            optimizer.cycled_momentum.assign(momentum)


TRACING = 6.0  # seconds to trace a step of training, for each to trace a prediction


class TimeBudget(keras.callbacks.Callback):
    """Ends the training of a fold in time to still predict.

    Args:
        deadline: `time.monotonic()` at which the fold must be predicted; None: no limit.
        images: how many are to be predicted after the training, each view counted.
        size: side of those images, pixels.
    """

    MARGIN = 1.2  # of the predicted time, because machines are shared
    WRITING = 20.0  # seconds at the least, for files, the report, and the end of the process
    ENDING = 12.0  # seconds of the same on a machine that does nothing else

    def __init__(self, deadline: float | None, images: int, size: int):
        super().__init__()
        self.deadline, self.images, self.size = deadline, images, size
        self.seconds_per_pixel: float | None = None  # of prediction, as measured
        self.validation_images = 0
        self.exhausted = False
        self.predict_tracing = self.train_tracing = 0.0  # seconds of the longest first batch
        self._stage_size, self._batch_size = size, 1
        self._test_began: float | None = None

    def over(self, also: float = 0.0) -> bool:
        """Whether only what is reserved is left, and so many seconds besides."""
        return self.left() < also

    def left(self) -> float:
        """Seconds until only what is reserved is left; infinite without a limit."""
        if self.deadline is None:
            return np.inf
        return self.deadline - time.monotonic() - self.reserve()

    @property
    def tracing(self) -> float:
        """Seconds that the first step of a coming stage may take, going by what was traced."""
        return max(TRACING * self.predict_tracing, self.train_tracing)

    def views_that_fit(self, images: int, also: int, seconds: float) -> float:
        """How many times so many images can still be seen, and `also` others once.

        Args:
            seconds: that one takes.
        """
        return max(self.left() - also * seconds, 0.0) / max(images * seconds, 1e-9)

    def measure(self, seconds: float, images: int, size: int) -> None:
        """Take note of how long it took to predict so many images of this side."""
        self.seconds_per_pixel = seconds / max(images * size**2, 1)

    def watch(self, size: int, batch_size: int, validation_images: int) -> None:
        """Tell what the coming stage trains on."""
        self._stage_size, self._batch_size = size, batch_size
        self.validation_images = validation_images

    def reserve(self) -> float:
        """Seconds that validating once more, predicting and writing will take."""
        pixels = self.images * self.size**2 + self.validation_images * self._stage_size**2
        writing = max(self.WRITING, self.ENDING * cpu_load())
        return (self.seconds_per_pixel or 0.0) * pixels * self.MARGIN + writing

    def on_train_batch_begin(self, batch, logs=None):
        self._began = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        if self.seconds_per_pixel is None and batch > 0:  # the first batch also traces
            seconds = time.monotonic() - self._began
            self.measure(seconds, self._batch_size, self._stage_size)
        if batch == 0:
            self.train_tracing = max(self.train_tracing, time.monotonic() - self._began)
        if self.over():
            self.exhausted = True
            self.model.stop_training = True

    def on_test_begin(self, logs=None):
        self._test_began = None

    def on_test_batch_end(self, batch, logs=None):
        self._test_began = self._test_began or time.monotonic()  # the first batch also traces

    def on_test_end(self, logs=None):
        images = self.validation_images - self._batch_size
        # A head on cached features validates in no time: that says nothing about prediction.
        if images > 0 and self._test_began and len(self.model.inputs[0].shape) == 4:
            self.measure(time.monotonic() - self._test_began, images, self._stage_size)
