"""What tells MLflow, Weights & Biases and TensorBoard of a run: each once, and offline."""

import hashlib
import os
import shutil
from collections import defaultdict

from podium import paths
from podium.files.atomic_write import atomic_folder
from podium.reports.track import TrackedRun

AT_ONCE = 1000, 100  # metrics and parameters that MLflow takes in a request
KEY = "podium.key"  # the tag by which a run is found again


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
    new = {key: one.parameters[key] for key in one.parameters if key not in run.data.params}
    parameters = [Param(key, str(value)) for key, value in new.items()]
    for log, rows, most in (("metrics", metrics, AT_ONCE[0]), ("params", parameters, AT_ONCE[1])):
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


WRITE = {"mlflow": to_mlflow, "wandb": to_wandb, "tensorboard": to_tensorboard}
