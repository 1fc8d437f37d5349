"""How long a fold takes, and how it fits into the time that there is.

Where there is less time than the recipe takes, the epochs of all stages that are left are scaled
in one proportion, so that each one-cycle still comes down to its low end: a schedule that is fitted
to the budget beats one that is cut off (Li et al. 2020, arXiv:1905.04753).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from podium.recipes.recipe import Recipe, steps_per_epoch
from podium.system import cpu_load
from podium.text import duration

MARGIN = 1.2  # of the time to predict, because machines are shared
WRITING = 20.0  # seconds at the least, for files, the report, and the end of the process
ENDING = 12.0  # seconds of the same on a machine that does nothing else
TRACING = 6.0  # seconds to trace a step of training, for each to trace a prediction
FEWEST = 5  # steps of a stage, however little time there is
RECENT = 50  # steps whose mean is the speed now


@dataclass(frozen=True)
class StageWork:
    """What a stage has to do, counted; speeds turn it into seconds."""

    epochs: int = 0  # of gradients; a solved head has none
    steps: int = 1  # of an epoch
    pixels: int = 0  # of a step's images; 0: their features are cached
    cost: float = 3.0  # of training on a pixel, relative to predicting it
    validation: int = 0  # pixels that each epoch validates; 0: cached as well
    features: int = 0  # pixels that pass the frozen backbone before the first epoch

    @property
    def all_steps(self) -> int:
        return self.epochs * self.steps


def stage_works(
    recipe: Recipe,
    train: Sequence[int],
    validation: int,
    unfrozen_share: Callable[[str | int], float],
) -> list[StageWork]:
    """What the stages of a fold have to do, by the number of images that each trains on.

    Args:
        unfrozen_share: the part of the backbone that is trained where a stage unfreezes so much.
    """
    works = []
    for number, stage in enumerate(recipe.stages):
        pixels, batch_size = recipe.stage_size(number) ** 2, stage.batch_size or recipe.batch_size
        cached = stage.unfreeze == "head" and recipe.cached_views > 0
        seen = train[number] * recipe.cached_views + validation
        works.append(
            StageWork(
                epochs=stage.epochs if stage.solver == "gradient" else 0,
                steps=steps_per_epoch(train[number], batch_size),
                pixels=0 if cached else min(batch_size, train[number]) * pixels,
                cost=1 + 2 * unfrozen_share(stage.unfreeze),  # forth, and back twice
                validation=0 if cached else validation * pixels,
                features=seen * pixels if cached else 0,
            )
        )
    return works


@dataclass
class Speeds:
    """Seconds as they were measured in this process; the folds of a run share them.

    By stage: `steps` of one step, `starts` until the first one is done, features aside, and
    `checks` between two epochs: validation, and files.
    """

    pixel: float = 0.0  # to predict one; 0: not timed yet
    trained: float = 0.0  # to train on one, as the last timed stage did, its cost aside
    traced: float = 0.0  # the longest first batch of predictions
    files: float = 0.0  # to write those of an epoch
    steps: dict[int, float] = field(default_factory=dict)
    starts: dict[int, float] = field(default_factory=dict)
    checks: dict[int, float] = field(default_factory=dict)

    def predicted(self, seconds: float, pixels: int) -> None:
        """Take note of how long it took to predict so many pixels."""
        self.pixel = seconds / max(pixels, 1)

    def stepped(self, stage: int, work: StageWork, seconds: float, timed: int) -> None:
        """Take note of how long a step took, the stage's so many-th that is timed."""
        before = self.steps.get(stage, seconds)
        self.steps[stage] = before + (seconds - before) / min(timed, RECENT)
        if work.pixels:
            self.trained = self.steps[stage] / work.pixels / work.cost
            self.pixel = self.pixel or self.trained

    def step(self, stage: int, work: StageWork) -> float:
        """Seconds of a step; where none was timed, by the network's speed elsewhere."""
        if stage in self.steps:
            return self.steps[stage]
        return (self.trained or self.pixel) * work.pixels * work.cost

    def check(self, stage: int, work: StageWork) -> float:
        """Seconds between two epochs; where none were timed, with the files of the stage before."""
        return self.checks.get(stage, self.files + self.pixel * work.validation)

    def checked(self, stage: int, work: StageWork, seconds: float) -> None:
        """Take note of how long it took between two epochs."""
        self.checks[stage] = seconds
        self.files = max(seconds - self.pixel * work.validation, 0.0)

    def start(self, stage: int) -> float:
        """Seconds until the first step of a stage is done, going by what was traced before."""
        return self.starts.get(stage, max([TRACING * self.traced, *self.starts.values()]))


@dataclass
class TimePlan:
    """The work of one fold, how far it is, and how fast it has to go.

    A stage's position counts the steps of the recipe that it has gone through. Where time is
    short, a step of training goes several of them further, and the cycle ends after fewer.

    Args:
        works: of the stages.
        predictions: pixels that the fold predicts at its end, each view counted.
        deadline: `time.monotonic()` at which the fold must be predicted; None: no limit.
    """

    works: list[StageWork]
    predictions: int = 0
    deadline: float | None = None
    speeds: Speeds = field(default_factory=Speeds)
    stage: int = 0
    position: float = 0.0
    trained: int = 0  # steps of this stage, in all starts
    most: float = 1.0  # the share of its work that the fold may do: the plan that it goes on with
    stepping: bool = False  # whether the stage's steps have begun
    rows: list[dict[str, Any]] = field(default_factory=list)  # a stage each, where time is limited
    _planned: float | None = None  # share of the stage's work, once its steps are timed

    # --- What is left

    @property
    def work(self) -> StageWork:
        return self.works[self.stage]

    def reserve(self) -> float:
        """Seconds that validating once more, predicting and writing will take."""
        pixels = self.predictions + self.work.validation
        return self.speeds.pixel * pixels * MARGIN + max(WRITING, ENDING * cpu_load())

    def left(self) -> float:
        """Seconds until only what is reserved is left; infinite without a limit."""
        if self.deadline is None:
            return float("inf")
        return self.deadline - time.monotonic() - self.reserve()

    def starting(self) -> float:
        """Seconds until all stages that are left have begun, which no plan can shorten."""
        coming = range(self.stage + 1 if self.stepping else self.stage, len(self.works))
        return sum(self.speeds.start(number) for number in coming if self.works[number].epochs)

    def training(self, features: int | None = None) -> float:
        """Seconds of all epochs and features that are left, as the recipe has them.

        Args:
            features: pixels of this stage's that are still to pass the backbone; all unless given.
        """
        seconds = 0.0
        for number in range(self.stage, len(self.works)):
            work, here = self.works[number], number == self.stage
            steps = work.all_steps - (self.position if here else 0)
            seconds += steps * self.speeds.step(number, work)
            seconds += steps / work.steps * self.speeds.check(number, work)
            pixels = work.features if features is None or not here else features
            seconds += pixels * self.speeds.pixel * (not (here and self.stepping))
        return seconds

    def share(self, features: int | None = None) -> float:
        """The part of all training that is left which there is time for, from 0 to 1."""
        needed = self.training(features)
        if not needed:  # nothing is timed yet
            return self.most
        return min(max((self.left() - self.starting()) / needed, 0.0), self.most)

    def __str__(self) -> str:
        # Until the fold is predicted, if it does the share of its work that it can.
        predicting = self.predictions * self.speeds.pixel
        seconds = self.starting() + self.share() * self.training() + predicting
        line = f"about {duration(seconds)} left of this fold"
        if self.deadline is not None:
            line += f", with {self.share():.0%} of the recipe's epochs that are left"
        return line

    # --- How far it is

    def progress(self) -> dict[str, Any]:
        """What a killed training needs of the plan to go on with it."""
        if self.trained and (self.deadline is not None or self.most < 1):
            others = [row for row in self.rows if row["stage"] != self.stage + 1]
            planned = 1.0 if self._planned is None else self._planned
            row = {
                "stage": self.stage + 1,
                "epochs": self.work.epochs,  # of the recipe
                "planned": round(planned * self.work.epochs, 2),  # once a step was timed
                "trained": round(self.trained / self.work.steps, 2),
            }
            self.rows = [*others, row]
        kept = {"position": self.position, "trained": self.trained, "rows": self.rows}
        return {**kept, "share": self.share()}

    def resume(self, stage: int, epoch: int, progress: dict[str, Any]) -> None:
        """Go on with the plan of a killed training, whose stage has done so many epochs."""
        self.most, self.rows = progress.get("share", 1.0), progress.get("rows", [])
        done = epoch * self.works[stage].steps
        self.begin_stage(stage, progress.get("position", done), progress.get("trained", done))

    def begin_stage(self, number: int, position: float = 0.0, trained: int = 0) -> None:
        """Go on with a stage that has gone so far."""
        self.stage, self.position, self.trained = number, position, trained
        self.stepping, self._planned = False, None

    def advance(self) -> None:
        """Count a step of training."""
        self.trained += 1
        share = self.share()
        if self._planned is None and self.stage in self.speeds.steps:
            self._planned = share
        longest = max(self.work.all_steps / FEWEST, 1.0)
        self.position += min(1 / share, longest) if share else longest

    @property
    def stage_is_done(self) -> bool:
        return self.position >= self.work.all_steps - 1e-6

    def epoch_position(self, epoch: int) -> float:
        """The position at which an epoch will begin; without a limit the epoch's own first step."""
        steps = epoch * self.work.steps - self.trained
        share = self.share()
        return self.position + steps / share if share else float("inf")
