"""`podium tune`: Optuna searches ranges of a recipe's numbers; a trial is a run to its score."""

import hashlib
import shlex
import time
import warnings
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import optuna
import sqlalchemy
from filelock import FileLock
from optuna.exceptions import ExperimentalWarning
from optuna.study import MaxTrialsCallback
from optuna.trial import FrozenTrial, TrialState

from podium import paths
from podium.experiments.grid import Combination, get_combination
from podium.experiments.search_space import Range, default_ranges, parse_range, values_in
from podium.experiments.trial import (
    Outcome,
    TrialDiverged,
    TrialFailed,
    TrialResult,
    add_trial,
    run_of,
    run_trial,
)
from podium.files.locks import Busy
from podium.predictions.score import Score
from podium.runs.run_folder import RunFolder, run_name
from podium.training.cluster.driver import Cluster

HEARTBEAT, STALE_AFTER = 10, 30  # seconds: a trial without a heartbeat for so long was killed
DATABASE_PATIENCE = 60  # seconds that SQLite waits for another process to have written
ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class TuneResult:
    """The best trial of a study so far."""

    base: Combination
    folds: list[int]
    trials: int  # that have a score
    best: Combination
    score: Score
    before: Score | None  # of the entry as it is, where that is a trial

    def __str__(self) -> str:
        head = f"best of {self.trials}: {self.score}\nrun         {run_of(self.best).path}"
        if self.best.overrides == self.base.overrides:
            return f"{head}\nno trial is better than the recipe as it is: change nothing"
        before = f"before      {self.before}\n" if self.before else ""
        changes = "\n            ".join(self.best.overrides)
        numbers = self.best.recipe.fold_numbers
        others = [fold for fold in numbers if fold not in self.folds] or self.folds
        best, beside = (
            f"podium compare {self.base.entry} --fold {others[0]} {_set(one.overrides)}".rstrip()
            for one in (self.best, self.base)
        )
        return (
            f"{head}\n{before}change      {changes}\n"
            f"train       podium train {self.best.entry} {_set(self.best.overrides)}\n"
            "warning     the best of many tries looks better than it is. See it on images that "
            f"chose nothing, beside the recipe as it is:\n\n    {best}\n    {beside}"
        )


def tune(
    entry: str,
    trials: int,
    hours: float | None = None,
    searches: Iterable[str] = (),
    folds: Iterable[int] = (),
    overrides: Iterable[str] = (),
    storage: str | None = None,
    cluster: Cluster | None = None,
) -> TuneResult:
    """Search until the study has so many trials; the same call goes on with it.

    Args:
        trials: in the study, those of other processes and earlier calls included.
        hours: no trial begins after them.
        cluster: does as many trials at once as it has room for.

    Raises:
        ValueError: a recipe or a range is refused, or a trial failed for another reason than that
            its training diverged.
    """
    base = get_combination(entry, overrides)
    folds = sorted(set(folds)) or [0]
    base.check_folds(folds)
    ranges = _ranges(base, searches)

    url = storage or f"sqlite:///{paths.runs() / 'studies.db'}"
    digest = hashlib.sha256(base.recipe.model_dump_json().encode()).hexdigest()[:8]
    name = f"{run_name(entry, base.overrides)}, fold {', '.join(map(str, folds))}, {digest}"
    study = open_study(url, name, base.competition.metric.higher_is_better)
    if first := values_in(ranges, base.recipe):
        study.enqueue_trial(first, skip_if_exists=True)
    print(f"study       {name} of {url}, {len(completed(study))} trials so far")
    print(f"search      {', '.join(map(str, ranges))}", flush=True)
    search = Search(study, base, folds, ranges)
    if cluster is None:
        search.run(trials, hours)
    else:
        search.run_on(cluster, trials, hours)

    said = [trial.user_attrs for trial in completed(study)]
    scores = {tuple(one["overrides"]): Score.from_dict(one["score"]) for one in said}
    if not scores:
        raise ValueError("no trial has a score: with more --trials or --hours the search goes on")
    best = get_combination(entry, study.best_trial.user_attrs["overrides"])
    before = scores.get(base.overrides)
    return TuneResult(base, folds, len(completed(study)), best, scores[best.overrides], before)


def _ranges(base: Combination, searches: Iterable[str]) -> list[Range]:
    """The ranges to search; a recipe at their ends that is refused is so before any training."""
    fixed = [override.partition("=")[0] for override in base.overrides]
    ranges = [parse_range(text, base.recipe) for text in searches]
    ranges = ranges or [one for one in default_ranges(base.recipe) if one.key not in fixed]
    for end in ("low", "high"):
        values = [f"{one.key}={getattr(one, end)}" for one in ranges]
        get_combination(base.entry, [*base.overrides, *values])
    return ranges


def open_study(url: str, name: str, maximize: bool) -> optuna.Study:
    """The study of that name, or a new one.

    Raises:
        ValueError: the URL is not one of a database that SQLAlchemy can open.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", ExperimentalWarning)  # heartbeats are one since 2021
    warnings.filterwarnings("ignore", "Heartbeat of storage")  # beside a cluster Podium beats
    patience = {"timeout": DATABASE_PATIENCE} if url.startswith("sqlite:") else {}
    paths.runs().mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(paths.runs() / ".studies.lock"):  # two processes would both make the tables
            storage = optuna.storages.RDBStorage(
                url,
                engine_kwargs={"connect_args": patience},
                heartbeat_interval=HEARTBEAT,
                grace_period=STALE_AFTER,
                # Tried again with the same values, it is the same run, and goes on from its epoch.
                heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(),
            )
            direction = "maximize" if maximize else "minimize"
            return optuna.create_study(
                storage=storage, study_name=name, direction=direction, load_if_exists=True
            )
    except (sqlalchemy.exc.SQLAlchemyError, ImportError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise ValueError(
            f"--storage {url}: expected a database, as sqlite:///a.db: {first}"
        ) from error


@dataclass(frozen=True)
class Search:
    """The trials of a study: which recipes they train, and what becomes of them."""

    study: optuna.Study
    base: Combination
    folds: list[int]
    ranges: list[Range]

    def run(self, trials: int, hours: float | None) -> None:
        """Train until the study has so many trials, one after another."""
        if self._ended() < trials:
            self.study.optimize(
                self._train,
                timeout=None if hours is None else 3600 * hours,
                callbacks=[MaxTrialsCallback(trials, ENDED), self._keep_the_best],
            )

    def run_on(self, cluster: Cluster, trials: int, hours: float | None) -> None:
        """The same, with as many trials at once as there is room for."""
        study, room = self.study, max(cluster.slots(self.base.recipe) // len(self.folds), 1)
        end = float("inf") if hours is None else time.monotonic() + 3600 * hours
        running: dict[str, optuna.Trial] = {}  # by run
        tables, beaten = [run_of(self.base)], time.monotonic()

        def take(run: str, outcome: Outcome) -> None:
            trial = running[run]
            if isinstance(outcome, TrialDiverged):
                print(f"failed: {outcome}", flush=True)
                told = study.tell(trial, state=TrialState.PRUNED)
            elif isinstance(outcome, TrialFailed):
                raise outcome
            else:
                told = study.tell(trial, self._score(trial, outcome))
            del running[run]
            self._keep_the_best(study, told)

        def ask() -> None:
            while len(running) < min(trials - self._ended(), room) and time.monotonic() < end:
                trial = study.ask()
                combination = self._suggest(trial)
                run = run_of(combination)
                if run.name in running:  # the same once more: asked again once that one is told
                    study.tell(trial, state=TrialState.FAIL)
                    return
                running[run.name] = trial
                earlier = next((one for one in tables if one.exists), None)
                tables.append(run)
                add_trial(cluster, combination, self.folds, earlier, partial(take, run.name))

        def idle() -> None:
            nonlocal beaten
            if time.monotonic() - beaten >= HEARTBEAT:  # which Optuna gives only in its own loop
                beaten = time.monotonic()
                for trial in running.values():
                    study._storage.record_heartbeat(trial._trial_id)
            ask()

        optuna.storages.fail_stale_trials(study)
        cluster.scheduler.idle = idle
        try:
            ask()
            cluster.scheduler.run()
        except BaseException:
            for trial in running.values():
                study.enqueue_trial(trial.params)  # the same call goes on with it
                study.tell(trial, state=TrialState.FAIL)
            raise

    def _train(self, trial: optuna.Trial) -> float:
        """Train a trial here; its score."""
        combination = self._suggest(trial)
        try:
            result = run_trial(combination, self.folds, run_of(self.base))
        except TrialDiverged as error:  # after another failure the next trial would fail as well
            print(f"failed: {error}", flush=True)
            raise optuna.TrialPruned from error  # counts as worse than any score
        except KeyboardInterrupt:
            self.study.enqueue_trial(trial.params)  # the same call goes on with it
            raise
        return self._score(trial, result)

    def _suggest(self, trial: optuna.Trial) -> Combination:
        """The recipe of a trial, whose attributes say which run it is."""
        values = [one.suggest(trial) for one in self.ranges]
        combination = get_combination(self.base.entry, [*self.base.overrides, *values])
        run = run_of(combination)
        trial.set_user_attr("run", run.name)
        trial.set_user_attr("overrides", list(combination.overrides))
        trial.set_user_attr("was_there", run.exists)
        print(f"\ntrial {trial.number}: {', '.join(values)}", flush=True)
        return combination

    def _score(self, trial: optuna.Trial, result: TrialResult) -> float:
        trial.set_user_attr("score", result.combined.score.as_dict())
        print(result, flush=True)
        return result.combined.score.value

    def _ended(self) -> int:
        return len(self.study.get_trials(deepcopy=False, states=ENDED))

    def _keep_the_best(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Delete the weights of all other trials, but of runs that were there before."""
        trials = completed(study)
        if not trials:
            return
        best = study.best_trial
        print(f"the best so far is {best.value:.4f}, trial {best.number}", flush=True)
        for attributes in (one.user_attrs for one in trials):
            run = RunFolder(paths.runs() / attributes["run"])
            if run.name == best.user_attrs["run"] or attributes.get("was_there", True):
                continue
            with suppress(Busy), run.writing(self.folds):  # who predicts with them now keeps them
                for fold in map(run.fold, self.folds):
                    if not fold.finished:
                        fold.delete_weights()


def completed(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])


def _set(overrides: Iterable[str]) -> str:
    return " ".join(f"--set {shlex.quote(override)}" for override in overrides)
