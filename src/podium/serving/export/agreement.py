"""How far an exported file's outputs are from those of the run, on images of its validation."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from podium.predictions.score import Score
from podium.runs.run import Run

LIMIT = 1e-3  # of a difference that rounding explains
Outputs = Mapping[str, np.ndarray]  # probabilities (images, outputs), and boxes (images, 4)


@dataclass(frozen=True)
class Difference:
    """Of two sets of outputs for the same images."""

    largest: float  # of any probability, or edge of a box
    mean: float
    answers_changed: int  # images whose class, labels or grade is another

    def __str__(self) -> str:
        return (
            f"largest difference {self.largest:.1e}, mean {self.mean:.1e}, "
            f"{self.answers_changed} answers changed"
        )


@dataclass(frozen=True)
class Agreement:
    """What agreement.json keeps."""

    images: int
    limit: float | None  # None: quantized, which is another network
    file: Difference  # for the same uint8 arrays
    reading: Difference  # of the run, where the example has read the image files in its own way
    quantized_gain: Score | None  # in the metric; None: not quantized

    def __str__(self) -> str:
        lines = [f"agreement   {self.file} ({self.images} validation images)"]
        if self.quantized_gain:
            lines.append(f"8-bit       gain in the metric {self.quantized_gain.as_gain}")
        return "\n".join([*lines, f"reading     of files by the example: {self.reading}"])


def difference(run: Run, expected: Outputs, found: Outputs) -> Difference:
    """Compare a file's outputs with the run's for the same images."""
    apart = np.concatenate([np.abs(found[name] - expected[name]).ravel() for name in expected])
    task, thresholds = run.competition.task, run.folder.read_thresholds()
    answers, others = (task.decide(one["probabilities"], thresholds) for one in (expected, found))
    changed = (answers != others).reshape(len(answers), -1).any(axis=1)  # of any label
    return Difference(float(apart.max()), float(apart.mean()), int(changed.sum()))
