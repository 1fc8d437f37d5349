"""`podium train ENTRY --dry-run`: how long a run will take here, and how much memory."""

import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from podium.competitions import get_competition
from podium.data.table import prepare_run
from podium.files.image_io import read_image
from podium.recipes.recipe import Recipe
from podium.runs.run import Run
from podium.runs.run_folder import RunFolder
from podium.system import about_this_run, training_minutes
from podium.text import duration, format_table
from podium.training.preflight import check_recipe, read_recipe
from podium.training.time_plan import Speeds, StageWork, stage_works
from podium.training.train import start_runner
from podium.training.warm_start import resolve_backbone

TIMED = 3  # steps of each epoch
EPOCHS = 3  # of each stage: in the first a step is traced, and after it a validation
DECODED = 20  # images
SPARE = 8  # images, because groups of near-copies are not divided


@dataclass(frozen=True)
class StageTime:
    """How long a stage of one fold takes, and the memory of the process until its end."""

    what: str
    work: StageWork
    seconds_a_step: float
    seconds: float
    peak_memory_gb: float


@dataclass(frozen=True)
class DryRun:
    """The time of a run as its parts were measured; prints as a table."""

    stages: list[StageTime]
    reading: float  # seconds, once
    predicting: float  # seconds a fold: the images to score and to submit, in all views
    folds: int
    minutes: float | None  # that the run may take
    estimated: bool = False  # nothing was measured

    @property
    def fold_seconds(self) -> float:
        return sum(stage.seconds for stage in self.stages) + self.predicting

    @property
    def seconds(self) -> float:
        """Of the whole run, as the recipe has it."""
        return self.reading + self.folds * self.fold_seconds

    def __str__(self) -> str:
        rows = [("stage", "epochs", "steps", "a step", "time", "memory")]
        for number, one in enumerate(self.stages, start=1):
            steps = str(one.work.epochs), str(one.work.all_steps), f"{one.seconds_a_step:.3g} s"
            what = f"{number} {one.what}", *(steps if one.work.epochs else ("", "", ""))
            rows.append((*what, duration(one.seconds), f"{one.peak_memory_gb:.1f} GB"))
        rows.append(("prediction", "", "", "", duration(self.predicting), ""))
        lines = [*format_table(rows), *["estimated, not measured"] * self.estimated, ""]
        lines.append(f"a fold      {duration(self.fold_seconds)}")
        lines.append(
            f"the run     {duration(self.seconds)}: {self.folds} fold{'s' * (self.folds > 1)}, and "
            "reading the images"
        )
        if self.minutes is not None:
            share = (60 * self.minutes - self.reading) / (self.seconds - self.reading)
            fits = f"too short; the epochs would be scaled to about {max(share, 0):.0%}"
            fits = "it fits" if share >= 1 else fits
            lines.append(f"time budget {duration(60 * self.minutes)}: {fits}")
        return "\n".join(lines)


def dry_run(
    entry: str,
    overrides: Iterable[str] = (),
    folds: Iterable[int] = (),
    minutes: float | None = None,
    preset: str | None = None,
) -> DryRun:
    """Train each stage of an entry for some steps on a few images, and reckon up the whole run.

    Nothing is written but into a temporary folder.

    Args:
        folds: that would be trained; all if none is given.
        minutes: that the run may take; by default what its recipe says.
        preset: as `train` takes it.

    Raises:
        ValueError: a user's mistake, with what to do about it.
    """
    recipe = resolve_backbone(read_recipe(entry, list(overrides), preset))
    check_recipe(recipe)
    images = ImageCounts.of(recipe)
    short = _short(recipe, images)
    with tempfile.TemporaryDirectory() as place:
        began = time.monotonic()
        folder = RunFolder(Path(place) / entry)
        folder.begin(short, {"entry": entry, **about_this_run()}, fresh=False)
        run = prepare_run(folder, short)
        read = time.monotonic() - began
        decoding = _decoding(run, recipe.cache_size)
        runner = start_runner(run)
        runner.train(0)
        runner.score(0)
        history = folder.fold(0).read_history()
        network = runner.network(0)
    of_stage = history.groupby("stage")
    solved = of_stage["seconds"].sum() * images.all / len(run.table.train)
    each = decoding + read / (len(run.table.train) + images.test)
    costs = Costs(
        runner.speeds,
        network.unfrozen_share,
        list(of_stage["peak_memory_gb"].max()),
        reading=(images.all + images.test) * each,
        solved=solved.to_dict(),
    )
    return reckon(recipe, images, costs, len(set(folds)), minutes)


@dataclass(frozen=True)
class ImageCounts:
    """How many images a run has, and a fold of it."""

    all: int  # labeled
    train: int
    validation: int
    test: int

    @classmethod
    def of(cls, recipe: Recipe) -> "ImageCounts":
        """Raises MissingData where the competition's images are not here."""
        competition = get_competition(recipe.competition)
        labeled = min(len(competition.read_training()), recipe.limit or sys.maxsize)
        shares = recipe.shares or [1 - 1 / recipe.folds, 1 / recipe.folds]
        of_fold = [round(labeled * share) for share in shares[:2]]
        return cls(labeled, *of_fold, len(competition.read_test()))


@dataclass(frozen=True)
class Costs:
    """What the parts of a run take, measured or estimated."""

    speeds: Speeds
    unfrozen_share: Callable[[str | int], float]  # of the backbone, where a stage unfreezes so much
    memory: Sequence[float]  # by stage, GB
    reading: float  # seconds to read and split the images
    solved: Mapping[int, float] = field(default_factory=dict)  # by stage, its head with features
    estimated: bool = False


def reckon(
    recipe: Recipe, images: ImageCounts, costs: Costs, folds: int = 0, minutes: float | None = None
) -> DryRun:
    """The time of a run.

    Args:
        folds: to train; 0: all.
        minutes: that the run may take; by default what its recipe says.
    """
    train, speeds = [images.train] * len(recipe.stages), costs.speeds
    works = stage_works(recipe, train, images.validation, costs.unfrozen_share)
    stages = []
    for number, (work, stage) in enumerate(zip(works, recipe.stages, strict=True)):
        between = speeds.checks.get(number, 0.0)
        if work.validation:  # of more images than were just validated
            between = speeds.files + speeds.pixel * work.validation
        step = speeds.step(number, work)
        each = work.steps * step + between
        seconds = speeds.start(number) + work.epochs * each + work.features * speeds.pixel
        if not work.epochs:
            seconds = costs.solved.get(number, seconds)
        what = f"{stage.unfreeze} at {recipe.stage_size(number)} px"
        stages.append(StageTime(what, work, step, seconds, costs.memory[number]))
    predicted = (images.all - images.train + images.test) * recipe.views
    return DryRun(
        stages,
        costs.reading,
        predicted * recipe.stage_size() ** 2 * speeds.pixel,
        folds or len(recipe.fold_numbers),
        training_minutes(minutes or recipe.time_budget),
        costs.estimated,
    )


def _short(recipe: Recipe, images: ImageCounts) -> Recipe:
    """The recipe with a few epochs of a few steps in each stage."""
    batch_size = max(stage.batch_size or recipe.batch_size for stage in recipe.stages)
    training_share = images.train / images.all
    few = min(images.all, math.ceil(TIMED * batch_size / training_share) + SPARE)
    stages = [
        stage.model_copy(
            update={"epochs": min(stage.epochs, EPOCHS), "calm_epochs": 0, "pseudo": None}
        )
        for stage in recipe.stages
    ]
    shares = [training_share, 1 - training_share]  # folds need more images of each class
    changes = {"limit": few, "shares": shares, "stages": stages, "checkpoints": 0}
    return recipe.model_copy(update=changes)


def _decoding(run: Run, side: int) -> float:
    """Seconds that an image takes which is decoded to be kept, all cores at work."""
    paths = run.table.train["path"].iloc[:DECODED]
    began = time.monotonic()
    for path in paths:
        read_image(path, side)
    return (time.monotonic() - began) / len(paths) / (os.cpu_count() or 1)
