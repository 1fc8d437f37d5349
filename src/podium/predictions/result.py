"""The scores of a run's folds, and its result: what is printed, and what score.json keeps."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from podium.competitions import get_competition
from podium.predictions.calibration import Calibration
from podium.predictions.score import Score
from podium.runs.run_folder import RunFolder
from podium.text import duration, format_table


@dataclass(frozen=True)
class ViewScores:
    """Predictions of all scored images, with the views that gain, and what they score."""

    scores: list[Score]  # by each metric; views are chosen by the first
    plain: Score  # of the plain view alone, on the images that views are chosen on
    averaged: Score  # of all views equally, on the same
    views: dict[str, float]  # weights of those that are used
    tried: list[dict[str, Any]]  # value and weights: of each view alone, then of the best sets
    # float32 by id; the views were chosen on other images.
    out_of_fold: pd.DataFrame = field(repr=False, compare=False)

    def __str__(self) -> str:
        others = (
            f", {one.metric} {one.value:.3f} ({one.low:.3f} to {one.high:.3f})"
            for one in self.scores[1:]
        )
        return f"{self.score}{''.join(others)}"

    @property
    def score(self) -> Score:
        return self.scores[0]

    @property
    def views_used(self) -> str:
        """The views that are averaged, and the scores of what is no choice."""
        used = ", ".join(f"{name} {weight:.2f}" for name, weight in self.views.items())
        compared = f"plain alone {self.plain.value:.4f}, equal weights {self.averaged.value:.4f}"
        return f"{used} ({compared})"


@dataclass(frozen=True)
class FoldScores(ViewScores):
    """The joint probabilities of a run's folds, with the boxes beside them, and their scores."""

    folds: list[int]
    of_folds: int  # in the recipe
    widening: float  # of the intervals; see predictions/score.py
    # Which images the score is of: "out-of-fold", "held-out" or, of two shares, "validation".
    scored: str
    calibrations: dict[int, Calibration]  # of each fold's network; empty where none gains
    # Of labels a probability each, of grades the cut points; none where 0.5 is as good.
    thresholds: list[float]
    uncalibrated: Score
    by_fold: dict[int, float]  # the score of each fold; none where held-out images are scored
    boxes: ViewScores | None  # where the run has a box head
    speeds: dict[str, Score]  # milliseconds an image, where predicting was timed

    def __str__(self) -> str:
        text = f"{self.scored} {self.score}"
        if len(self.folds) < self.of_folds:
            text += f"; {len(self.folds)} of {self.of_folds} folds are trained"
        return text

    def as_dict(self, folder: RunFolder) -> dict[str, Any]:
        """The content of score.json."""
        boxes = self.boxes
        return {
            "score": self.score.as_dict(),
            "scored": self.scored,
            "folds": self.folds,
            "widening": self.widening,
            "views": self.views,
            "plain": self.plain.as_dict(),
            "averaged_views": self.averaged.as_dict(),
            "tried_views": self.tried,
            "calibration": {fold: asdict(one) for fold, one in self.calibrations.items()},
            "thresholds": self.thresholds,
            "uncalibrated": self.uncalibrated.as_dict(),
            "boxes": boxes
            and {
                "scores": [one.as_dict() for one in boxes.scores],
                "plain": boxes.plain.value,
                "averaged_views": boxes.averaged.value,
                "views": boxes.views,
                "tried_views": boxes.tried,
            },
            "too_good": folder.leaky_folds(),  # the reason, by fold
            "speed": {kind: one.as_dict() for kind, one in self.speeds.items()},
            "costs": {number: folder.fold(number).read_cost() for number in self.folds},
        }


@dataclass(frozen=True)
class RunResult:
    """A run with its scores and its submission."""

    folder: RunFolder
    combined: FoldScores
    submission: Path | None  # None: there are no test images
    report: Path | None = None  # where one was made
    runner: Any = field(default=None, repr=False, compare=False)  # that trained folds just now

    def __str__(self) -> str:
        combined, boxes = self.combined, self.combined.boxes
        lines: list[tuple[str, object]] = [("run", self.folder.path), ("score", combined)]
        for fold in self.folder.leaky_folds():
            lines.append(("leaky", f"the pseudo-labels of fold {fold} reveal its labels"))
        lines.append(("views", combined.views_used))
        if combined.calibrations:
            each = [f"{one.temperature:.2f}" for one in combined.calibrations.values()]
            before = f"uncalibrated {combined.uncalibrated.value:.4f}"
            lines.append(("calibrated", f"temperature {', '.join(each)} ({before})"))
        if combined.thresholds:
            each = ", ".join(f"{one:.2f}" for one in combined.thresholds)
            lines.append(("thresholds", f"{each}, fitted out of fold"))
        if boxes:
            lines += [("boxes", boxes), ("", f"views {boxes.views_used}")]
        for kind, one in combined.speeds.items():
            interval = f"95 % interval {one.low:.1f} to {one.high:.1f}"
            lines.append(("speed", f"{one.value:.1f} ms an image ({kind}; {interval})"))
        lines += [("folds" * (number == 0), row) for number, row in enumerate(self._folds())]
        if self.report:
            lines.append(("report", self.report))
        none = "none, for there are no images to predict: the folds are the score"
        lines.append(("submission", self.submission or none))
        lines.append(("next", f"podium serve {self.folder.name}"))
        competition = get_competition(self.folder.read_recipe().competition, self.folder.path)
        if (competition.kaggle_source or "").startswith("competitions/"):
            submit = f'podium submit {competition.name} {self.submission} -m "{self.folder.name}"'
            lines.append(("", submit))
        return "\n".join(f"{name:<12}{value}" for name, value in lines)

    def _folds(self) -> list[str]:
        """A table of the folds, and the time of all."""
        rows, seconds = [("fold", self.combined.score.metric, "time", "memory", "epochs")], 0
        for fold in self.combined.folds:
            cost, value = self.folder.fold(fold).read_cost(), self.combined.by_fold.get(fold)
            score = "" if value is None else f"{value:.4f}"
            memory = f"{cost['peak_memory_gb']:.1f} GB" if "peak_memory_gb" in cost else ""
            plan = [f"{row['trained']:g} of {row['epochs']}" for row in cost.get("time_plan", [])]
            rows.append((str(fold), score, duration(cost["seconds"]), memory, ", ".join(plan)))
            seconds += cost["seconds"]
        rows.append(("all", "", duration(seconds), "", ""))
        used = [column for column in zip(*rows, strict=True) if any(column[1:])]
        return format_table(list(zip(*used, strict=True)))
