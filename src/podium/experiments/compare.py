"""`podium compare`: an entry with each combination of a few changes, side by side."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from podium import paths
from podium.experiments.grid import Combination, all_combinations, parse_try
from podium.experiments.trial import (
    Outcome,
    TrialFailed,
    TrialResult,
    add_trial,
    is_scored,
    run_of,
    run_trial,
)
from podium.files.atomic_write import atomic_write, write_csv
from podium.files.locks import locked
from podium.reports.figures import canvas, plain, png
from podium.runs.run_folder import run_name
from podium.text import defused, format_table
from podium.training.cluster.driver import Cluster

RECORD = "experiments.csv"
KEY = ["entry", "change", "folds"]  # of a row of the record
SHOWN = ["score", "low", "high", "plain", "averaged", "boxes", "seconds", "peak_memory_gb"]
BEST = "* best trade-off: nothing here is as good and faster, or as fast and better"


@dataclass(frozen=True)
class Comparison:
    """The combinations that were measured, best first, and those that failed."""

    measured: list[TrialResult]
    failed: list[tuple[Combination, str]]
    figure: Path | None

    def __str__(self) -> str:
        lines = []
        if self.measured:
            marks = ["*" if is_best else "" for is_best in pareto_front(self.measured)]
            rows = [
                (mark, str(result.combination), *(str(_row(result)[key]) for key in SHOWN))
                for mark, result in zip(marks, self.measured, strict=True)
            ]
            lines += format_table([("", "tried", *SHOWN), *rows])
            lines += ["", BEST, f"record      {paths.runs() / RECORD}"]
        lines += [f"failed      {combination}: {message}" for combination, message in self.failed]
        if self.figure:
            lines.append(f"figure      {self.figure}")
        return "\n".join(lines)


def compare(
    entry: str,
    tries: Iterable[str],
    folds: Iterable[int] = (),
    overrides: Iterable[str] = (),
    cluster: Cluster | None = None,
) -> Comparison:
    """Train each combination of the values to try as far as its score, unless it has one.

    A result is in the record at once. A combination that fails stops no other.

    Args:
        tries: `key=a,b,c` each; without any, the entry with the overrides is measured alone.
        cluster: trains the folds of all combinations side by side.

    Raises:
        ValueError: a recipe is refused; nothing has been trained then.
    """
    tries, overrides = list(tries), list(overrides)
    chosen = all_combinations(entry, tries, overrides)
    folds = sorted(set(folds)) or chosen[0].recipe.fold_numbers
    for combination in chosen:
        combination.check_folds(folds)

    here = sum(is_scored(run_of(combination), folds) for combination in chosen)
    print(f"comparing {len(chosen)} combinations; {here} are here already")
    print(f"entry       {entry}\nfold        {', '.join(map(str, folds))}")
    if overrides:
        print(f"all with    {', '.join(overrides)}")

    measured, failed = _train_all(chosen, folds, cluster)
    figure = None
    if len(measured) > 1:
        keys = sorted(parse_try(text)[0] for text in tries)
        figure = paths.runs() / "experiments" / f"{run_name(f'{entry}-', keys)}.png"
        title = ", ".join([f"{entry}, fold {' '.join(map(str, folds))}", *overrides])
        with atomic_write(figure) as part:
            part.write_bytes(png(trade_off(measured, title)))
    return Comparison(measured, failed, figure)


def _train_all(
    chosen: list[Combination], folds: list[int], cluster: Cluster | None
) -> tuple[list[TrialResult], list[tuple[Combination, str]]]:
    """What was measured, best first, which is in the record at once; and what failed, and why."""
    measured, failed = [], []

    def take(combination: Combination, outcome: Outcome) -> None:
        print(f"failed: {outcome}" if isinstance(outcome, TrialFailed) else outcome, flush=True)
        if isinstance(outcome, TrialFailed):
            failed.append((combination, str(outcome).splitlines()[0]))
        else:
            measured.append(outcome)
            record(outcome)

    for number, combination in enumerate(chosen, start=1):
        print(f"\n{number} of {len(chosen)}: {combination}", flush=True)
        if cluster is not None:
            add_trial(cluster, combination, folds, run_of(chosen[0]), partial(take, combination))
            continue
        try:
            outcome = run_trial(combination, folds, measured[0].run if measured else None)
        except TrialFailed as error:
            outcome = error
        take(combination, outcome)
    if cluster is not None:
        cluster.scheduler.run()
    return sorted(measured, key=lambda one: (-one.goodness, one.seconds)), failed


def record(result: TrialResult) -> None:
    """Add a result to the record of experiments, in place of an earlier one of the same trial."""
    path = paths.runs() / RECORD
    with locked(path.with_name(".locks") / "experiments.lock", str(path), wait=True):
        cells = _row(result)
        cells |= {name: defused(str(cells[name])) for name in (*KEY, "machine")}
        rows = pd.DataFrame([cells])
        if path.is_file():
            rows = pd.concat([pd.read_csv(path, dtype=str, keep_default_na=False), rows])
        rows = rows.drop_duplicates(KEY, keep="last").sort_values(["competition", *KEY])
        write_csv(path, rows, index=False)


def pareto_front(results: list[TrialResult]) -> list[bool]:
    """For each result, whether none is better in score or time without being worse in the other.

    Results that are the same in both are on the front together, or none of them is.
    """
    pairs = np.array([(result.goodness, -result.seconds) for result in results])
    return [not ((pairs >= pair).all(1) & (pairs > pair).any(1)).any() for pair in pairs]


def trade_off(results: list[TrialResult], title: str) -> Figure:
    """Score with its interval against time; the front in color and named, the others gray."""
    figure, axis = canvas(9, 5.5)
    marked = zip(results, pareto_front(results), strict=True)
    for result, is_best in sorted(marked, key=lambda pair: pair[0].seconds):
        score = result.combined.score
        ends = [[score.value - score.low], [score.high - score.value]]
        style = {"color": "0.7"}
        if is_best:
            style = {"label": plain(str(result.combination)), "zorder": 3}
        axis.errorbar(result.seconds, score.value, ends, fmt="o", capsize=3, **style)
    metric = results[0].combined.score.metric
    axis.set(xlabel="seconds of training and scoring", ylabel=metric, title=plain(title))
    if results[0].goodness < 0:
        axis.invert_yaxis()  # better is higher up in every figure
    figure.legend(loc="outside lower left", title="best trade-offs, fastest first", fontsize=9)
    return figure


def _row(result: TrialResult) -> dict[str, object]:
    """A row of the record; `SHOWN` are in the table as well."""
    run = result.run.read_run()
    combined, score = result.combined, result.combined.score
    boxes = f"{combined.boxes.scores[0].value:.4f}" if combined.boxes else ""
    return {
        "date": run["started"][:10],
        "commit": (run["commit"] or "")[:12],
        "competition": result.combination.recipe.competition,
        "entry": result.combination.entry,
        "change": result.combination.change,
        "folds": " ".join(map(str, combined.folds)),
        "images": score.images,
        "metric": f"{combined.scored} {score.metric}".removeprefix("out-of-fold "),
        "score": f"{score.value:.4f}",
        "low": f"{score.low:.4f}",
        "high": f"{score.high:.4f}",
        "plain": f"{combined.plain.value:.4f}",
        "averaged": f"{combined.averaged.value:.4f}",
        "boxes": boxes,  # their mean IoU
        "seconds": result.seconds,
        "peak_memory_gb": result.peak_memory_gb,
        "machine": run["machine"],
    }
