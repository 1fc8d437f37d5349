"""`podium track`: tells MLflow, Weights & Biases or TensorBoard of runs, each once, and offline."""

import hashlib
import math
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from podium import paths
from podium.files.atomic_write import atomic_folder
from podium.reports.report import NAME as REPORT
from podium.reports.run_data import RunData, read_run_data
from podium.reports.sections.overview import flat
from podium.runs.find_run import find_run

Step = tuple[int, float, dict[str, float]]  # from 1 over all stages, its time, and its metrics
NO_METRICS = ("stage", "epoch", "seconds")  # columns of a history
KEY = "podium.key"  # the tag by which MLflow's run is found again


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
    if find_spec(to) is None:
        raise ValueError(f"{to} missing: pip install 'podium[{to}]'")
    for folder in [find_run(run) for run in runs]:
        one = tracked_run(read_run_data(folder))
        yield f"{one.name}: {TOOLS[to](one)}"


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
        flat(recipe).to_dict(),
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


def to_mlflow(one: TrackedRun) -> str:
    """Into the store at MLFLOW_TRACKING_URI, or else mlflow.db beside weights/."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow.entities import Metric, Param
    from mlflow.tracking import MlflowClient

    local = f"sqlite:///{paths.project() / 'mlflow.db'}"
    store = os.environ.get("MLFLOW_TRACKING_URI") or local
    client = MlflowClient(store)
    known = client.get_experiment_by_name(one.competition)
    files = (paths.project() / "mlruns").as_uri() if store == local else None
    experiment = known.experiment_id if known else client.create_experiment(one.competition, files)
    found = client.search_runs([experiment], f"tags.`{KEY}` = '{one.key}'")
    tags = {**one.tags, KEY: one.key}
    start, end = round(1000 * one.started), round(1000 * one.scored)
    run = found[0] if found else client.create_run(experiment, start, tags, one.name)
    number = run.info.run_id
    # A metric of the same value, time and step is there once, however often it is told.
    metrics = [Metric(name, value, end, 0) for name, value in one.metrics.items()]
    for step, time, values in one.steps:
        metrics += [Metric(key, value, round(1000 * time), step) for key, value in values.items()]
    there = run.data.params
    parameters = [Param(key, str(each)) for key, each in one.parameters.items() if key not in there]
    # So many are taken in a request.
    for log, rows, most in (("metrics", metrics, 1000), ("params", parameters, 100)):
        for begin in range(0, len(rows), most):
            client.log_batch(number, **{log: rows[begin : begin + most]})
    for key, value in tags.items():
        client.set_tag(number, key, value)
    for path in one.files:
        client.log_artifact(number, str(path))
    client.set_terminated(number, end_time=end)
    return f"{store}, experiment {one.competition}; mlflow ui --backend-store-uri {store}"


def to_wandb(one: TrackedRun) -> str:
    """Into wandb/ beside weights/, or to the server where WANDB_MODE=online says so."""
    os.environ.setdefault("WANDB_MODE", "offline")
    os.environ.setdefault("WANDB_SILENT", "true")
    import wandb

    number = hashlib.sha256(one.key.encode()).hexdigest()[:16]
    for earlier in (paths.project() / "wandb").glob(f"offline-run-*-{number}"):
        shutil.rmtree(earlier)
    by_step = defaultdict(dict)
    for step, _, values in one.steps:
        by_step[step] |= values
    run = wandb.init(
        project=one.competition,
        id=number,
        name=one.name,
        resume="allow",
        dir=paths.project(),
        config={**one.parameters, **one.tags},
    )
    with run:
        for step, values in sorted(by_step.items()):
            run.log(values, step=step)
        run.summary.update(one.metrics)
        artifact = wandb.Artifact(one.name, type="run")
        for path in one.files:
            artifact.add_file(str(path))
        run.log_artifact(artifact)
    offline = os.environ["WANDB_MODE"] == "offline"
    return f"{run.dir}; wandb sync sends it" if offline else run.url


def to_tensorboard(one: TrackedRun) -> str:
    """Into tensorboard/ beside weights/, which has no place for files."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb
    from tensorboard.plugins.scalar.summary_v2 import scalar_pb
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    parameters = {
        key: value if isinstance(value, bool | int | float) else str(value)
        for key, value in one.parameters.items()
    }
    target = paths.project() / "tensorboard" / one.competition / one.name
    with atomic_folder(target, replace=True) as part:
        writer = EventFileWriter(str(part))
        summary = hparams_pb(parameters, one.key, one.started)
        writer.add_event(Event(wall_time=one.started, summary=summary))
        for step, time, values in [*one.steps, (0, one.scored, one.metrics)]:
            for key, value in values.items():
                summary = scalar_pb(key, value)
                writer.add_event(Event(wall_time=time, step=step, summary=summary))
        writer.close()
    return f"{target}; tensorboard --logdir {paths.project() / 'tensorboard'}"


TOOLS = {"mlflow": to_mlflow, "wandb": to_wandb, "tensorboard": to_tensorboard}  # by their module
