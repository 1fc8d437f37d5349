"""What a run says of images: as lines, as CSV, as JSON."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from json import dumps
from pathlib import Path
from typing import Any

import pandas as pd

from podium.competitions.boxes import PIXEL_COLUMNS
from podium.files.atomic_write import write_csv, write_json
from podium.predictions.ood import FALSE_ALARM_RATE, OODDetector

SHOWN = 3  # classes in a line
STANDARD_OUTPUT = Path("-")


def check_outputs(csv: Path | None, json: Path | None) -> None:
    """Refuse what cannot be written, before anything takes time.

    Raises:
        ValueError: both go to one place, or one to a folder.
    """
    if csv and csv == json:
        raise ValueError(f"--csv {csv} and --json {json} would overwrite each other: name two")
    for path in (csv, json):
        if path and path.is_dir():
            raise ValueError(f"{path} is a folder: give the name of a file")


@dataclass(frozen=True)
class ImagePrediction:
    """One image: its probabilities by class and how unlike it is, or why there are none.

    `box` is in pixels of the image as one sees it, by `boxes.PIXEL_COLUMNS`, where the run has a
    box head.
    """

    file: str
    probabilities: dict[str, float] | None = None
    box: dict[str, float] | None = None
    score: float | None = None
    unlike: bool = False
    problem: str = ""

    @property
    def best(self) -> tuple[str, float]:
        """The likeliest class and its probability."""
        assert self.probabilities
        return max(self.probabilities.items(), key=lambda item: item[1])

    def as_dict(self, with_box: bool) -> dict[str, Any]:
        name, probability = self.best if self.probabilities else (None, None)
        return {
            "file": self.file,
            "class": name,
            "probability": probability,
            **({"box": self.box} if with_box else {}),
            "unlike": self.unlike if self.probabilities else None,
            "score": self.score,
            "problem": self.problem or None,
            "probabilities": self.probabilities,
        }


@dataclass(frozen=True)
class Predictions:
    """Of all images that were named, in their order."""

    run: str
    folds: list[int]
    classes: Sequence[str]
    finds_boxes: bool
    ood_detector: OODDetector | None  # of no image at all
    images: list[ImagePrediction]

    @property
    def problems(self) -> list[str]:
        """What could not be read, and why, a line each."""
        return [answer.problem for answer in self.images if answer.problem]

    def lines(self) -> Iterator[str]:
        """A line for each image that could be read, and at the end how unlike is judged."""
        for answer in self.images:
            if answer.probabilities:
                yield self._line(answer)
        if self.ood_detector:
            yield str(self.ood_detector)

    def _line(self, answer: ImagePrediction) -> str:
        likely = sorted(answer.probabilities.items(), key=lambda item: -item[1])[:SHOWN]
        said = ", ".join(f"{name} {probability:.3f}" for name, probability in likely)
        if answer.box:
            said += "; box " + " ".join(f"{edge:.0f}" for edge in answer.box.values())
        if not answer.unlike:
            return f"{answer.file}: {said}"
        return (
            f"{answer.file}: {said}; unlike anything in training (score {answer.score:.3g}, "
            f"{100 * FALSE_ALARM_RATE:g} % of known ones are beyond {self.ood_detector.limit:.3g})"
        )

    def table(self) -> pd.DataFrame:
        """A row per image; the probability of a class is in the column `p_<class>`.

        Boxes have the columns `boxes.PIXEL_COLUMNS`.
        """
        rows = []
        for answer in self.images:
            row = {}
            for key, value in answer.as_dict(self.finds_boxes).items():
                if key == "probabilities":
                    row |= {f"p_{name}": (value or {}).get(name) for name in self.classes}
                elif key == "box":
                    row |= {name: (value or {}).get(name) for name in PIXEL_COLUMNS}
                else:
                    row[key] = value
            rows.append(row)
        return pd.DataFrame(rows)

    def as_dict(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "folds": self.folds,
            "unlikeness": self.ood_detector.as_dict() if self.ood_detector else None,
            "images": [answer.as_dict(self.finds_boxes) for answer in self.images],
        }

    def write(self, csv: Path | None = None, json: Path | None = None) -> None:
        """Print the lines, and write CSV and JSON; what is printed for "-" is printed alone."""
        if STANDARD_OUTPUT not in (csv, json):
            for line in self.lines():
                print(line)
        if csv == STANDARD_OUTPUT:
            self.table().to_csv(sys.stdout, index=False, float_format="%.9g", lineterminator="\n")
        elif csv:
            write_csv(csv, self.table(), index=False)
        if json == STANDARD_OUTPUT:
            print(dumps(self.as_dict(), indent=2, ensure_ascii=False))
        elif json:
            write_json(json, self.as_dict())
