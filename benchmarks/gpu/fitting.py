"""Steps of `fit`: a stage prepared as Podium trains it, fed by its pipeline or from memory."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path

import keras

from benchmarks.measuring import seconds
from podium.data.batches import Batches
from podium.data.table import prepare_run
from podium.models.backend import Devices, feed, set_rates
from podium.recipes.recipe import Recipe, steps_per_epoch
from podium.runs.run_folder import RunFolder
from podium.system import about_this_run
from podium.training.fold_runner import FoldRunner
from podium.training.one_cycle import one_cycle
from podium.training.resume import ResumeState
from podium.training.trainer import Trainer


@contextmanager
def opened(entry: str, recipe: Recipe, devices: Devices) -> Iterator[FoldRunner]:
    """A run in a folder that goes afterwards: its images are read and split, nothing is trained."""
    with tempfile.TemporaryDirectory() as place:
        folder = RunFolder(Path(place) / entry)
        folder.begin(recipe, {"entry": entry, **about_this_run()}, fresh=False)
        yield FoldRunner(prepare_run(folder, recipe), devices)


def prepared(trainer: Trainer, number: int, steps: int) -> tuple[keras.Model, Batches]:
    """What a stage trains, compiled as Podium does, and batches for so many steps."""
    stage, batch_size = trainer.recipe.stages[number], trainer.recipe.batch_size
    of_epoch = steps_per_epoch(len(trainer.images.train), stage.batch_size or batch_size)
    stage = stage.model_copy(update={"epochs": -(-steps // of_epoch), "calm_epochs": 0})
    model, (batches, _) = trainer._prepare(ResumeState(stage=number), stage)
    return model, batches


def from_memory(batches: Batches, held: int, steps: int) -> Batches:
    """The first batches, held in memory, over and over."""
    first = list(islice(batches, held))
    return replace(
        batches,
        make=lambda step: first[step % held],
        tasks=lambda: range(steps),
        rows=steps * batches.batch_size,
        threads=0,
    )


class OneCycle(keras.callbacks.Callback):
    """The recipe's cycle over so many steps."""

    def __init__(self, peak: float, steps: int, recipe: Recipe):
        super().__init__()
        self.peak, self.steps, self.recipe, self.step = peak, steps, recipe, 0

    def on_train_batch_begin(self, batch, logs=None):
        set_rates(self, *one_cycle(self.step, self.steps, self.peak, self.recipe.one_cycle))
        self.step += 1


def fit(model: keras.Model, batches: Batches, steps: int, recipe: Recipe, number: int) -> float:
    """Seconds of so many steps of a stage, its rates set before each."""
    cycle = OneCycle(recipe.stages[number].learning_rate, steps, recipe)
    return seconds(
        lambda: model.fit(
            feed(batches), steps_per_epoch=steps, shuffle=False, callbacks=[cycle], verbose=0
        )
    )
