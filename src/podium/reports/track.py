"""`podium track`: runs as the tools show them that people compare experiments with."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from podium import paths
from podium.reports.report import NAME as REPORT
from podium.reports.run_data import RunData, read_run_data
from podium.runs.find_run import find_run

TOOLS = {"mlflow": "mlflow", "wandb": "wandb", "tensorboard": "tensorboard"}  # and their module
Step = tuple[int, float, dict[str, float]]  # from 1 over all stages, its time, and its metrics
NO_METRICS = ("stage", "epoch", "seconds")  # columns of a history


@dataclass(frozen=True)
class TrackedRun:
    """What a tool is told of a run; the same each time, as long as the folder is.

    Times are seconds since 1970.
    """

    name: str
    competition: str
    started: float
    scored: float
    parameters: dict[str, Any]  # the recipe, keys with dots
    tags: dict[str, str]
    steps: list[Step]  # the epochs of all folds
    metrics: dict[str, float]  # the score, its interval, and its plain value
    files: list[Path]

    @property
    def key(self) -> str:
        """Tells the run from any other, also from one that was trained anew under its name."""
        return f"{self.name}@{self.started:.0f}"


def track(runs: Sequence[str], to: str) -> Iterator[str]:
    """Tell a tool of runs by their names or paths; what it knows already is updated.

    Yields:
        Where each of them is.

    Raises:
        ValueError: there is no such run or tool, or its package is missing.
    """
    if to not in TOOLS:
        raise ValueError(f"--to {to}: expected one of {', '.join(TOOLS)}")
    if find_spec(TOOLS[to]) is None:
        raise ValueError(f"{to} missing: pip install 'podium[{to}]'")
    from podium.reports.trackers import WRITE

    for folder in [find_run(run) for run in runs]:
        one = tracked_run(read_run_data(folder))
        yield f"{one.name}: {WRITE[to](one)}"


def tracked_run(one: RunData) -> TrackedRun:
    """A run as its folder has it, or a blend, which has no recipe and no epochs."""
    score_file = one.folder.path / "score.json"
    written = (score_file if score_file.is_file() else one.folder.path / "run.json").stat().st_mtime
    told = one.about.get("started")
    started = datetime.fromisoformat(told).astimezone(UTC).timestamp() if told else written
    recipe = one.recipe.model_dump() if one.recipe else {"runs": one.about["runs"]}
    named = ("entry", "commit", "machine", "backend")
    tags = {key: str(one.about[key]) for key in named if one.about.get(key)}
    files = one.folder.path / REPORT, paths.submission(one.name)
    return TrackedRun(
        one.name,
        one.competition.name,
        started,
        written,
        dict(_flat(recipe)),
        tags | {"scored": one.kind, "folds": " ".join(map(str, one.folds))},
        list(_steps(one, started)),
        dict(_metrics(one)),
        [path for path in files if path.is_file()],
    )


def _metrics(one: RunData) -> Iterator[tuple[str, float]]:
    score, name = one.score, one.score.metric.replace(" ", "_")
    yield from {name: score.value, f"{name}/low": score.low, f"{name}/high": score.high}.items()
    if "plain" in one.results:
        yield f"{name}/plain", one.results["plain"]["value"]
    costs = one.results.get("costs", {}).values()
    yield "seconds", float(sum(cost.get("seconds") or 0 for cost in costs))


def _steps(one: RunData, started: float) -> Iterator[Step]:
    for fold, history in one.histories.items():
        ended = started + history["seconds"].cumsum()
        for number, row in enumerate(history.to_dict("records"), start=1):
            values = {
                f"fold_{fold}/{name}": float(value)
                for name, value in row.items()
                if name not in NO_METRICS and math.isfinite(value)
            }
            yield number, float(ended.iloc[number - 1]), values


def _flat(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """The keys within tables and lists of tables, dotted, as `--set` takes them."""
    if isinstance(value, list) and any(isinstance(each, dict) for each in value):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        yield place, value
        return
    for key, each in value.items():
        yield from _flat(each, f"{place}.{key}" if place else str(key))
