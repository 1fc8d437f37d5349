"""The files of a run, which may come from elsewhere: read as data, of the form they must have.

Keys that a form does not name are whatever they are; the forms name what is computed or printed.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from podium.files.untrusted import ForeignFile, check_regular
from podium.text import single_line

LARGEST = 64_000_000  # bytes of a JSON file; the labels of 500,000 test images have 20
LONGEST = 80  # characters of a value in a message


class RunError(ValueError):
    """A run folder that is not what the command needs."""


class Form(BaseModel):
    """A JSON object, or one within it."""

    model_config = ConfigDict(strict=True)


class Ingredient(Form):
    run: str
    started: str | None = None


class Soup(Form):
    runs: list[Ingredient]


class RunFile(Form):
    """run.json of a training, a blend or a soup."""

    recipe: dict[str, Any] = {}
    runs: list[str] = []  # that are blended
    competition: str = ""  # of a blend
    soup: Soup | None = None
    entry: str | None = None
    started: str | None = None
    commit: str | None = None
    machine: str | None = None
    sources: str | None = None
    versions: dict[str, str | None] = {}
    parts: list[dict[str, Any]] = []
    earlier: list[dict[str, Any]] = []


class ScoreForm(Form):
    metric: str
    value: float
    low: float
    high: float
    images: int | None = None
    pictures: int | None = None  # the name of an older Podium


class Member(Form):
    run: str
    weight: float
    temperature: float = 1.0


class ScoreFile(Form):
    """score.json."""

    score: ScoreForm
    scored: str = ""
    folds: list[int] = []
    widening: float = 1.0
    runs: list[Member] = []
    views: dict[str, float] = {}
    fitted: dict[str, Any] = {}  # of a blend, see predictions/blend_selection.py
    thresholds: list[float] = []  # of labels, or the cut points of grades
    tried_views: list[dict[str, Any]] = []
    costs: dict[str, dict[str, Any]] = {}


class CostFile(Form):
    """cost.json of a fold."""

    seconds: float | None = None
    peak_memory_gb: float | None = None
    milliseconds: dict[str, Any] | list[Any] | float | None = None
    time_plan: list[dict[str, Any]] = []


class PseudoStage(Form):
    stage: int
    run: str = ""
    labels: dict[str, str] = {}
    knows_the_fold: str = ""  # of an older Podium: why the labels leak


class PseudoFile(Form):
    """pseudo.json of a fold."""

    stages: list[PseudoStage]


class Origin(Form):
    run: str
    fold: int
    competition: str
    weights: str


class StartFile(Form):
    """started_from.json of a fold: the lineage of its network."""

    runs: list[Origin]


class ProbeFile(Form):
    """floor.json of a fold: its linear probe."""

    accuracy: float
    log_loss: float


class HistoryRow(Form):
    stage: int
    epoch: int
    seconds: float


class Progress(Form):
    """How far a killed training came."""

    history: list[HistoryRow] = []


def read_json(path: Path, form: type[Form]) -> dict[str, Any]:
    """Read a JSON file of a run.

    Raises:
        RunError: there is no such file, or it is not of this form.
        ForeignFile: it is no file but a pipe or the like, or too large.
    """
    with _as_written(path, LARGEST):
        data = json.loads(path.read_text(encoding="utf-8"))
        check_form(data, form, path)
    return data


def read_json_if_there(path: Path, form: type[Form]) -> dict[str, Any] | None:
    return read_json(path, form) if path.is_file() else None


def read_csv(path: Path, index: list[str], numbers: bool = False, **options: Any) -> pd.DataFrame:
    """Read a table of a run by these columns; `options` are pandas'.

    Args:
        numbers: all other columns are float32.

    Raises:
        RunError: there is none, or it is damaged.
        ForeignFile: it is no file but a pipe or the like.
    """
    with _as_written(path):
        table = pd.read_csv(path, **options)
        table = table.set_index(index) if index else table
        return table.astype(np.float32) if numbers else table


@contextmanager
def _as_written(path: Path, largest: int | None = None) -> Iterator[None]:
    """Refuse what is no file, and name one that cannot be read as what a run has written."""
    try:
        check_regular(path, largest)
        yield
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing: train the run to its end first") from error
    except (ForeignFile, RunError):
        raise
    except (ValueError, KeyError, RecursionError) as error:  # the last of too many brackets
        words = single_line(str(error))
        raise RunError(f"{path} is not as Podium writes it: {words}") from error


def check_form(data: object, form: type[Form], path: Path) -> None:
    """Raise RunError where the content of a file has another form."""
    try:
        form.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        came = repr(first["input"])[:LONGEST]
        words = f"{key and key + ': '}came {came}, {first['msg'].removeprefix('Input ')}"
        raise RunError(single_line(f"{path} is not as Podium writes it: {words}")) from error
