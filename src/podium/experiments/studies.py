"""The studies of Optuna: opened, shared between processes, and freed of what was killed."""

import os
import platform
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.trial import FrozenTrial, TrialState

from podium import paths
from podium.experiments.file_lock import alone
from podium.system import is_another_process

PATIENCE = 60  # seconds that SQLite waits for another process to have written


def open_study(url: str, name: str, maximize: bool, first: dict[str, Any] | None) -> optuna.Study:
    """The study of that name, or a new one.

    Args:
        url: of the storage, as SQLAlchemy has it.
        first: what the first trial of a new study takes.

    Raises:
        ValueError: there is no such storage.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with alone(paths.runs()):
        storage = _open_storage(url)
        try:
            direction = "maximize" if maximize else "minimize"
            study = optuna.create_study(study_name=name, storage=storage, direction=direction)
        except optuna.exceptions.DuplicatedStudyError:
            return optuna.load_study(study_name=name, storage=storage)
        if first is not None:
            study.enqueue_trial(first)
        return study


def ask(study: optuna.Study, trials: int) -> optuna.Trial | None:
    """The next trial, a killed one again if there is one; None where all are done or under way."""
    with alone(paths.runs()):
        _free_killed(study)
        if sum(_counts(trial) for trial in study.get_trials(deepcopy=False)) >= trials:
            return None
        trial = study.ask()
        trial.set_user_attr("process", [_machine(), os.getpid()])
    # Of a fixed seed, and yet not the same for two processes, or after a restart.
    study.sampler = optuna.samplers.TPESampler(seed=trial.number)
    return trial


def completed(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])


def is_of_this_machine(trial: FrozenTrial) -> bool:
    return trial.user_attrs.get("process", [None])[0] == _machine()


def _counts(trial: FrozenTrial) -> bool:
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)


def _free_killed(study: optuna.Study) -> None:
    """Let what was killed on this machine be tried again, with the same values.

    Optuna's heartbeats would know only after minutes, and not where the half-trained run lies.
    """
    for trial in study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
        if not is_of_this_machine(trial):
            continue
        pid = trial.user_attrs["process"][1]
        if not is_another_process(pid):
            study.tell(trial.number, state=TrialState.FAIL)
            kept = {key: trial.user_attrs[key] for key in ("made",) if key in trial.user_attrs}
            study.enqueue_trial(trial.params, user_attrs=kept)


def _open_storage(url: str) -> optuna.storages.RDBStorage:
    is_file = url.startswith("sqlite:///")
    if is_file:
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    engine = {"connect_args": {"timeout": PATIENCE}} if is_file else {}
    try:
        return optuna.storages.RDBStorage(url, engine_kwargs=engine)
    except (sqlalchemy.exc.SQLAlchemyError, ImportError, ValueError) as error:
        raise ValueError(
            f"--storage {url}: expected the address of a database, such as "
            f"sqlite:///weights/studies.db: {str(error).splitlines()[0]}"
        ) from error


def _machine() -> str:
    return f"{platform.node()}:{paths.runs()}"
