"""How far an exported file's outputs are from those of the run, on images of its validation."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from podium.predictions.score import Score, paired_gain
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
    file: Difference  # for the same uint8 arrays
    reading: Difference  # of the run, where the example has read the image files in its own way
    quantized_gain: Score | None  # in the metric; None: not quantized

    def check(self, to: str) -> None:
        """Raises ValueError where more than rounding moved the outputs of a file in float32."""
        # A comparison that is false of NaN.
        if self.quantized_gain is None and not self.file.largest <= LIMIT:
            raise ValueError(
                f"the {to} file is not the run's network: {self.file} on {self.images} images, "
                f"expected at most {LIMIT:g}; nothing was written. Try another format, and please "
                "report this with the recipe"
            )

    def __str__(self) -> str:
        """What the command prints."""
        lines = [f"agreement   {self.file} ({self.images} validation images)"]
        if self.quantized_gain:
            lines.append(f"8-bit       gain in the metric {self.quantized_gain.as_gain}")
        return "\n".join([*lines, f"reading     of files by the example: {self.reading}"])

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"limit": None if self.quantized_gain else LIMIT}


def compare(
    run: Run, images: pd.DataFrame, expected: Outputs, found: Outputs, read: Outputs, quantize: bool
) -> Agreement:
    """Compare the outputs of a file with the run's.

    Args:
        images: rows of the run's table, in the order of the outputs.
        expected: the run's own.
        found: the file's, for the same arrays.
        read: the file's, for images that its example has read.
        quantize: whether the file is no longer the same network, so that its score is another.
    """
    gain = None
    if quantize:
        truth = run.competition.truth(images["label"]).to_numpy()
        both = found["probabilities"], expected["probabilities"]
        gain = paired_gain(run.competition.metric, truth, *both, images["group"])
    return Agreement(
        len(images),
        _difference(run, expected, found),
        _difference(run, expected, read),
        gain,
    )


def _difference(run: Run, expected: Outputs, found: Outputs) -> Difference:
    apart = np.concatenate(
        [np.abs(found[name] - expected[name]).ravel() for name in expected], dtype=np.float64
    )
    task, thresholds = run.competition.task, run.folder.read_thresholds()
    answers, others = (task.decide(one["probabilities"], thresholds) for one in (expected, found))
    changed = (answers != others).reshape(len(answers), -1).any(axis=1)  # of any label
    return Difference(float(apart.max()), float(apart.mean()), int(changed.sum()))
