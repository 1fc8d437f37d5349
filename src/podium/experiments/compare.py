"""`podium compare`: an entry with each combination of a few changes, side by side."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from podium.competitions import get_competition
from podium.experiments.grid import SAMPLE_SEED, Combination, all_combinations, parse_try, sample
from podium.experiments.own_process import Failed
from podium.experiments.record import figure_path, record
from podium.experiments.trade_off import Point, pareto_front, trade_off
from podium.experiments.trial import TrialResult, is_scored, run_experiment, run_of
from podium.files.atomic_write import atomic_write
from podium.reports.figures import png
from podium.text import format_table

TITLES = ("", "tried", "score (95 % interval)", "plain", "averaged")


@dataclass(frozen=True)
class Comparison:
    """The combinations that were measured, best first, and those that failed."""

    measured: list[TrialResult]
    failed: list[tuple[Combination, str]]
    keys: list[str]  # that were tried
    page: Path | None
    figure: Path | None

    def __str__(self) -> str:
        lines = []
        if self.measured:
            marks = pareto_front(self.points, self.per_image_score)
            rows = [
                ("*" if mark else "", *_cells(one, self.keys))
                for one, mark in zip(self.measured, marks, strict=True)
            ]
            boxes = [one.scores[0].metric] if (one := self.measured[0].combined.boxes) else []
            lines += [*format_table([(*TITLES, *boxes, "seconds", "memory"), *rows]), ""]
            lines += ["* best trade-off: nothing here is as good and faster, or as fast and better"]
        for combination, message in self.failed:
            lines.append(f"failed      {combination.values(self.keys)}: {message}")
        if self.page:
            lines.append(f"record      {self.page}")
        if self.figure:
            lines.append(f"figure      {self.figure}")
        return "\n".join(lines)

    @property
    def points(self) -> list[Point]:
        return [
            Point(one.combination.values(self.keys), one.combined.score, one.seconds)
            for one in self.measured
        ]

    @property
    def per_image_score(self) -> bool:
        recipe = self.measured[0].combination.recipe
        return get_competition(recipe.competition).metric.per_image_score


def compare(
    entry: str,
    tries: Iterable[str],
    folds: Iterable[int] = (),
    overrides: Iterable[str] = (),
    sample_size: int | None = None,
) -> Comparison:
    """Run each combination of the values to try as far as its score; those that were run are not.

    What is measured is in docs/experiments.csv at once. One that fails does not stop the others.

    Args:
        tries: `key=a,b,c` each; without any, the entry with the overrides is measured alone.
        folds: those of each run; all if none is given.
        overrides: `key=value` of all of them.
        sample_size: only so many of them, drawn at random.

    Raises:
        ValueError: a recipe is refused; nothing has been trained then.
    """
    tries = list(tries)
    every = all_combinations(entry, tries, overrides)
    chosen = sample(every, sample_size)
    folds = sorted(set(folds)) or chosen[0].recipe.fold_numbers
    for combination in chosen:
        for fold in folds:
            combination.recipe.check_fold(fold)
        get_competition(combination.recipe.competition).folder()
    keys = [parse_try(text)[0] for text in tries]
    _announce(every, chosen, keys, folds)

    measured, failed, page = [], [], None
    for number, combination in enumerate(chosen, start=1):
        here = is_scored(run_of(combination), folds)
        print(f"\n{number} of {len(chosen)}: {combination.values(keys)}", flush=True)
        try:
            alike = measured[0].run if measured else None
            one = run_experiment(combination, folds, alike)
        except Failed as error:
            failed.append((combination, str(error).splitlines()[0]))
            print(f"failed: {error}", flush=True)
            continue
        print(f"{one}{', from an earlier run' * here}", flush=True)
        measured.append(one)
        page = record([one])
    return _conclude(measured, failed, keys, page)


def _conclude(
    measured: list[TrialResult],
    failed: list[tuple[Combination, str]],
    keys: list[str],
    page: Path | None,
) -> Comparison:
    """Sort what was measured, and draw it."""
    measured = _best_first(measured)
    if len(measured) < 2:
        return Comparison(measured, failed, keys, page, None)
    first = measured[0].combination
    figure = figure_path(first.entry, keys)
    comparison = Comparison(measured, failed, keys, page, figure)
    folds = ", ".join(map(str, measured[0].combined.folds))
    title = ", ".join([f"{first.entry}, fold {folds}", *_untried(first, keys)])
    drawn = trade_off(comparison.points, comparison.per_image_score, title)
    with atomic_write(figure) as part:
        part.write_bytes(png(drawn))
    record()  # the page shows the figure
    return comparison


def _best_first(measured: list[TrialResult]) -> list[TrialResult]:
    if not measured:
        return []
    metric = get_competition(measured[0].combination.recipe.competition).metric
    sign = -1 if metric.per_image_score else 1
    return sorted(measured, key=lambda one: (sign * one.combined.score.value, one.seconds))


def _announce(
    every: list[Combination], chosen: list[Combination], keys: list[str], folds: list[int]
) -> None:
    count = f"{len(chosen)} combination{'s' * (len(chosen) > 1)}"
    of = f" of {len(every)}, a random sample with seed {SAMPLE_SEED}"
    here = sum(is_scored(run_of(combination), folds) for combination in chosen)
    print(
        f"comparing {count}{of * (len(chosen) < len(every))}; {here} are here already\n"
        f"entry       {chosen[0].entry}\nfold        {', '.join(map(str, folds))}"
    )
    if untried := _untried(chosen[0], keys):
        print(f"all with    {', '.join(untried)}")


def _untried(combination: Combination, keys: list[str]) -> list[str]:
    """The changes that all of them have."""
    return [one for one in combination.overrides if one.partition("=")[0] not in keys]


def _cells(one: TrialResult, keys: list[str]) -> tuple[str, ...]:
    score = one.combined.score
    return (
        one.combination.values(keys),
        f"{score.value:.4f} ({score.low:.4f} to {score.high:.4f})",
        f"{one.combined.plain.value:.4f}",
        f"{one.combined.averaged.value:.4f}",
        *([f"{boxes.scores[0].value:.4f}"] if (boxes := one.combined.boxes) else []),
        str(one.seconds),
        f"{one.peak_memory_gb:.1f} GB",
    )
