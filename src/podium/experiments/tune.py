"""`podium tune`: Optuna searches ranges of a recipe's numbers; a trial is a run to its score."""

import shlex
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from podium import paths
from podium.competitions import get_competition
from podium.experiments.grid import Combination, get_combination, value_at, write_toml
from podium.experiments.own_process import Failed
from podium.experiments.ranges import Range, default_ranges, parse_range, values_of
from podium.experiments.trial import digest, run_experiment, run_of
from podium.predictions.score import Score
from podium.runs.run_folder import RunFolder, check_name, run_name

if TYPE_CHECKING:  # takes a second
    import optuna

STUDIES = "studies.db"


@dataclass(frozen=True)
class TuneResult:
    """What a study came to so far."""

    base: Combination
    folds: list[int]
    trials: int
    best: Combination
    score: Score
    before: Score | None  # of what there was, where that is a trial

    def __str__(self) -> str:
        head = f"best of {self.trials}: {self.score}\nrun         {run_of(self.best).path}"
        if self.best.overrides == self.base.overrides:
            return f"{head}\nno trial is better than what there was: nothing is to be changed"
        head += f"\nbefore      {self.before}" if self.before else ""
        lines = "\n".join(f"    {line}".rstrip() for line in recipe_lines(self.best))
        verify, beside = self._verification()
        return (
            f"{head}\nrecipe      in place of what kernels/{self.base.entry}/recipe.toml has:\n\n"
            f"{lines}\n\n"
            f"or          podium train {self.best.entry} {_set(self.best.overrides)}\n"
            "warning     the best of many tries looks better than it is. See it on images that "
            f"chose nothing, beside what there was:\n\n    {verify}\n    {beside}"
        )

    def _verification(self) -> tuple[str, str]:
        """Commands that measure the best and what there was on another fold, or another split."""
        others = [fold for fold in self.best.recipe.fold_numbers if fold not in self.folds]
        folds = others[:1] or self.folds
        seed = () if others else (f"seed={self.best.recipe.seed + 1}",)
        command = f"podium compare {self.base.entry} " + " ".join(f"--fold {n}" for n in folds)
        verify, beside = (
            f"{command} {_set([*overrides, *seed])}".rstrip()
            for overrides in (self.best.overrides, self.base.overrides)
        )
        return verify, beside


def tune(
    entry: str,
    trials: int,
    hours: float | None = None,
    searches: Iterable[str] = (),
    folds: Iterable[int] = (),
    overrides: Iterable[str] = (),
    storage: str | None = None,
) -> TuneResult:
    """Search until the study has so many trials; the same call goes on with it.

    Args:
        trials: in the study, those of other processes and earlier calls included.
        hours: no trial begins that would not end within them, if it took as long as the longest.
        searches: `key=low:high` or `key=low:high:log`; by default what `default_ranges` gives.
        folds: that a trial trains; by default fold 0.
        overrides: `key=value` of all trials.
        storage: where the study is; by default in a file of weights/.

    Raises:
        ValueError: a recipe or a range is refused, or a trial failed for another reason than that
            its training diverged.
    """
    from podium.experiments.studies import ask, completed, open_study

    began = time.monotonic()
    base = get_combination(entry, overrides)
    folds = sorted(set(folds)) or [0]
    for fold in folds:
        base.recipe.check_fold(fold)
    competition = get_competition(base.recipe.competition)
    competition.folder()
    ranges = _ranges(base, searches)

    url = storage or f"sqlite:///{paths.runs() / STUDIES}"
    name = f"{run_name(entry, base.overrides)}, fold {_comma(folds)}, {digest(base.recipe)}"
    first = values_of(base.recipe, ranges)
    study = open_study(url, name, competition.metric.per_image_score, first)
    print(f"study       {name} of {url}, {len(completed(study))} trials so far")
    print(f"search      {', '.join(map(str, ranges))}", flush=True)

    while not _out_of_time(study, began, hours):
        trial = ask(study, trials)
        if trial is None:
            break
        _run(study, trial, trials, base, folds, ranges)
    return _conclude(study, base, folds)


def recipe_lines(combination: Combination) -> list[str]:
    """The changes of a combination as recipe.toml has them, a table after what is in none."""
    data = combination.recipe.model_dump(exclude_unset=True)
    lines: list[str] = []
    tables: dict[str, list[str]] = {}
    for key in sorted({_place(override) for override in combination.overrides}):
        table, dot, name = key.rpartition(".")
        line = f"{name or table} = {write_toml(value_at(data, key))}"
        if dot:
            tables.setdefault(table, []).append(line)
        else:
            lines.append(line)
    for table, inside in tables.items():
        lines += ["", f"[{table}]", *inside]
    return lines


def _place(override: str) -> str:
    """The key of an override; a list is written as a whole."""
    key = override.partition("=")[0]
    return "stages" if key.startswith("stages.") else key


def _ranges(base: Combination, searches: Iterable[str]) -> list[Range]:
    """What is searched; at both of its ends the recipe must be one that can run."""
    fixed = [override.partition("=")[0] for override in base.overrides]
    ranges = [parse_range(text, base.recipe) for text in searches]
    for one in ranges:
        if one.key in fixed:
            raise ValueError(f"{one.key} came with --search and with --set: leave one of them out")
    ranges = ranges or default_ranges(base.recipe, leave_out=fixed)
    for ends in ([one.low for one in ranges], [one.high for one in ranges]):
        values = [
            f"{one.key}={int(end) if one.whole else end}"
            for one, end in zip(ranges, ends, strict=True)
        ]
        get_combination(base.entry, [*base.overrides, *values])
    return ranges


def _out_of_time(study: "optuna.Study", began: float, hours: float | None) -> bool:
    if hours is None:
        return False
    took = [trial.user_attrs.get("seconds", 0) for trial in study.get_trials(deepcopy=False)]
    longest = max(took, default=0)
    left = hours * 3600 - (time.monotonic() - began)
    if left > longest:
        return False
    print(f"\n{max(left, 0):.0f} seconds are left, and the longest trial took {longest:.0f}")
    return True


def _run(
    study: "optuna.Study",
    trial: "optuna.Trial",
    trials: int,
    base: Combination,
    folds: list[int],
    ranges: list[Range],
) -> None:
    """Run a trial, and tell the study what it came to."""
    from optuna.trial import TrialState

    began = time.monotonic()
    try:
        values = [one.suggest(trial) for one in ranges]
        combination = get_combination(base.entry, [*base.overrides, *values])
        run = run_of(combination)
        trial.set_user_attr("run", run.name)
        trial.set_user_attr("overrides", list(combination.overrides))
        trial.set_user_attr("made", trial.user_attrs.get("made", not run.exists))
        values = combination.values(one.key for one in ranges)
        print(f"\ntrial {trial.number} (of {trials}): {values}", flush=True)
        measured = run_experiment(combination, folds, _alike(study))
    except Failed as error:
        trial.set_user_attr("error", str(error))
        if error.kind != "TrainingDiverged":  # the next trial would fail as well
            study.tell(trial, state=TrialState.FAIL)
            raise
        print(f"failed: {error}", flush=True)
        study.tell(trial, state=TrialState.PRUNED)  # which counts as worse than any score
        return
    except ValueError:
        study.tell(trial, state=TrialState.FAIL)
        raise
    score = measured.combined.score
    trial.set_user_attr("score", score.as_dict())
    trial.set_user_attr("seconds", round(time.monotonic() - began, 1))
    study.tell(trial, score.value)
    best = study.best_trial
    print(f"{measured}; the best is {best.value:.4f}, trial {best.number}", flush=True)
    _delete_weights(study, folds)


def _alike(study: "optuna.Study") -> RunFolder | None:
    """A run of this study that is here, whose images need not be checked and split again."""
    from podium.experiments.studies import completed

    runs = (_folder(trial.user_attrs["run"]) for trial in completed(study))
    return next((run for run in runs if run.exists), None)


def _folder(run: str) -> RunFolder:
    """The folder of a trial; the study may come from anywhere, and weights are deleted there."""
    return RunFolder(paths.runs() / check_name(run))


def _delete_weights(study: "optuna.Study", folds: list[int]) -> None:
    """Keep those of the best trial, and of runs that are not only trials of this study."""
    from podium.experiments.studies import completed, is_of_this_machine

    best = study.best_trial.user_attrs["run"]
    for trial in completed(study):
        run = trial.user_attrs["run"]
        if run == best or not trial.user_attrs["made"] or not is_of_this_machine(trial):
            continue
        for fold in folds:
            place = _folder(run).fold(fold)
            if not place.finished:
                place.delete_weights()


def _conclude(study: "optuna.Study", base: Combination, folds: list[int]) -> TuneResult:
    from podium.experiments.studies import completed

    trials = completed(study)
    if not trials:
        raise ValueError("no trial has a score: with more --trials or --hours the search goes on")
    best = study.best_trial
    combination = get_combination(base.entry, best.user_attrs["overrides"])
    scores = {
        tuple(t.user_attrs["overrides"]): Score.from_dict(t.user_attrs["score"]) for t in trials
    }
    score = scores[combination.overrides]
    return TuneResult(base, folds, len(trials), combination, score, scores.get(base.overrides))


def _comma(folds: list[int]) -> str:
    return ", ".join(map(str, folds))


def _set(overrides: Iterable[str]) -> str:
    return " ".join(f"--set {shlex.quote(override)}" for override in overrides)
