"""Part a: `podium train` on two folds, and how well its batches keep the device busy."""

import time
from dataclasses import replace
from typing import Any

from benchmarks.gpu.device import about_device, compilations, peak_gb
from benchmarks.gpu.fitting import fit, from_memory, prepared
from benchmarks.gpu.parts import Found, Sizes
from benchmarks.measuring import in_turns
from podium.data.batches import ImageCache
from podium.training.fold_runner import FoldRunner
from podium.training.train import train

RUN = "benchmark-gpu"
FOLDS = (0, 1)
COMPARED = 120.0  # seconds that the comparison of `fit` takes, its step being compiled


def measure(found: Found, sizes: Sizes) -> None:
    entry, changes = sizes.small
    found.add(**about_device(), entry=entry, changes=list(changes))
    folds: dict[str, Any] = {}
    for fold in FOLDS:  # one by one, so that the first counts where the second is cut off
        began = time.monotonic()
        with compilations() as compiled:
            result = train(entry, changes, [fold], RUN, fresh=fold == FOLDS[0])
        seconds = time.monotonic() - began
        about = {"seconds": round(seconds, 1), "compiled": compiled}
        folds[str(fold)] = {**_of_fold(result.runner, fold), **about}
        found.add(folds=folds, score=result.combined.score.as_dict(), scored=str(result.combined))
    found.add(peak_memory_gb=peak_gb())
    if found.left > COMPARED:
        found.add(fit=fed(result.runner, sizes))


def _of_fold(runner: FoldRunner, fold: int) -> dict[str, Any]:
    """Seconds of training and scoring, and images a second of its last stage's epochs."""
    folder = runner.folder.fold(fold)
    history = folder.read_history()
    epochs = history[history["stage"] == history["stage"].max()]["seconds"]
    images = len(runner.table.train) - len(runner.scored(fold))
    return {
        "trained_and_scored_seconds": folder.read_cost()["seconds"],
        "first_epoch_seconds": float(epochs.iloc[0]),  # the step is compiled in it
        "images_a_second": round(images / float(epochs.iloc[1:].median()), 1),  # and validation
    }


def fed(runner: FoldRunner, sizes: Sizes) -> dict[str, Any]:
    """Images a second of `fit` in the last stage, by what feeds it."""
    trainer = runner._training(FOLDS[-1], deadline=None)
    number, steps = len(runner.recipe.stages) - 1, sizes.fed
    model, batches = prepared(trainer, number, steps)
    undecoded = ImageCache(list(runner._paths), runner.recipe.cache_size, memory_share=0.0)
    _, decoding = prepared(
        replace(trainer, images=replace(trainer.images, cache=undecoded)), number, steps
    )
    fit(model, batches, 2, runner.recipe, number)  # compiles the step
    images = steps * batches.batch_size
    contenders = {
        "from memory": from_memory(batches, sizes.held, steps),
        "by Podium": batches,
        "by Podium, each image decoded": decoding,
    }
    measured = in_turns(
        {
            name: lambda one=one: images / fit(model, one, steps, runner.recipe, number)
            for name, one in contenders.items()
        },
        sizes.turns,
    )
    return {name: [round(one, 1) for one in speeds] for name, speeds in measured.items()}
