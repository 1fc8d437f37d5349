"""A blend as it was chosen, with what it scores beside each run."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from podium.competitions import Competition
from podium.predictions.blend_members import Pool
from podium.predictions.blend_selection import BlendChoice, choose, nested
from podium.predictions.score import Score, is_better, score, with_interval
from podium.text import format_table


@dataclass(frozen=True)
class BlendEvaluation:
    """A chosen blend, and what it scores beside each run on the same images."""

    pool: Pool
    choice: BlendChoice
    out_of_fold: pd.DataFrame  # each image by a blend that was chosen and fitted without it
    scores: list[Score]  # of each run alone
    tried: dict[str, tuple[Score, Score | None]]  # of each method, cross-validated; calibrated
    score: Score  # of the whole procedure, nested
    best: int  # the best single run
    gain: Score  # over it

    def __str__(self) -> str:
        return "\n".join(
            [*format_table(self._runs()), "", *format_table(self._methods()), "", self._end()]
        )

    def _runs(self) -> list[tuple[str, ...]]:
        rows = [("run", self.score.metric, "95 % interval", "folds", "weight")]
        for member, one, weight in zip(
            self.pool.members, self.scores, self.choice.weights, strict=True
        ):
            folds = ", ".join(map(str, member.folds))
            rows.append((member.name, *_cells(one), folds, f"{weight:.3f}"))
        return rows

    def _methods(self) -> list[tuple[str, ...]]:
        titles = ["blended by", self.score.metric, "95 % interval"]
        if any(calibrated for _, calibrated in self.tried.values()):
            titles += ["calibrated", "95 % interval"]
        rows = [(*titles, "")]
        for name, (one, calibrated) in self.tried.items():
            also = _cells(calibrated) if calibrated else ()
            taken = "taken: the simplest within noise of the best" * (name == self.choice.method)
            rows.append((name, *_cells(one), *also, taken))
        return rows

    def _end(self) -> str:
        best, one = self.pool.members[self.best].name, self.gain
        sure = "" if round(one.low, 4) > 0 or round(one.high, 4) < 0 else ", within noise"
        how = [
            self.choice.method,
            *([str(self.choice.calibration)] if self.choice.calibration else []),
        ]
        return (
            f"blend       {', '.join(how)}\n"
            f"score       {self.score}, all of it chosen and fitted on other images\n"
            f"gain        {one.value:+.4f} over {best}, the best single run "
            f"(95 % interval {one.low:+.4f} to {one.high:+.4f}{sure})"
        )


def judge(pool: Pool) -> BlendEvaluation:
    """Choose the blend of these runs, and score it on images that had no part in the choice."""
    metric, labels = pool.competition.metric, pool.labels
    numbers = labels.to_numpy(np.int64)

    def scored(probabilities: np.ndarray) -> Score:
        return score(
            metric, labels, probability_table(probabilities, labels.index, pool.competition)
        )

    scores = [scored(run) for run in pool.out_of_fold]
    best = 0
    for number, one in enumerate(scores):
        if is_better(metric, one, scores[best]):
            best = number
    choice = choose(pool.out_of_fold, numbers, metric)
    blended = nested(pool.out_of_fold, numbers, metric)
    table = probability_table(blended, labels.index, pool.competition)
    values = [metric.per_image(numbers, one) for one in (blended, pool.out_of_fold[best])]
    gains = (values[0] - values[1]) * (1 if metric.per_image_score else -1)
    return BlendEvaluation(
        pool,
        choice,
        table,
        scores,
        {
            name: (scored(one.blended), None if one.calibrated is None else scored(one.calibrated))
            for name, one in choice.tried.items()
        },
        score(metric, labels, table),
        best,
        with_interval("gain", gains),
    )


def probability_table(
    probabilities: np.ndarray, ids: pd.Index, competition: Competition
) -> pd.DataFrame:
    """float32 by id, a column per class."""
    return pd.DataFrame(
        probabilities.astype(np.float32), index=ids, columns=list(competition.classes)
    )


def _cells(one: Score) -> tuple[str, str]:
    return f"{one.value:.4f}", f"{one.low:.4f} to {one.high:.4f}"
