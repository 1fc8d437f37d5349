"""Two commands at once on one record: one of them writes, the other is told who does.

Each pair starts in the same moment on a project of its own. Commands of records that are written
in no time, as those of comparisons, wait instead, and lose nothing.
"""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from podium.files.locks import Busy
from robustness.figures import Figure, say
from robustness.processes import Ended, ended, two_runs
from robustness.projects import broken_files

PAIRS = 20  # in the full campaign, at least
RATE = "stages.0.learning_rate"
FRESH = ["train", "tiny", "--run", "tiny", "--fresh", "--set", f"{RATE}=0.002"]
EXCLUSIVE = {  # of two of each pair, one is told
    "train and train": (["train", "tiny"], ["train", "tiny"]),
    "train and --fresh": (["train", "tiny"], FRESH),
    "--fresh and --fresh": (FRESH, FRESH),
    "predict and train": (["predict", "tiny"], ["train", "tiny"]),
    "predict and predict": (["predict", "tiny"], ["predict", "tiny"]),
    "blend and blend": (["blend", "tiny", "other"], ["blend", "tiny", "other"]),
    "soup and soup": (["soup", "other"], ["soup", "other"]),
}
FOLD = ["train", "tiny", "--run", "a", "--fold"]
COMPARE = ["compare", "tiny", "--fold", "0", "--try"]
BESIDE = {  # both end well
    "two folds": ([*FOLD, "0"], [*FOLD, "1"]),
    "two comparisons": ([*COMPARE, "seed=1"], [*COMPARE, "seed=2"]),
}


def campaign(quick: bool, scratch: Path) -> list[Figure]:
    trained = two_runs(scratch / "trained")
    told, wrong = 0, []
    chosen = ["train and --fresh", "blend and blend"] if quick else [*EXCLUSIVE]
    pairs = [(name, turn) for turn in range(1 if quick else 3) for name in chosen]
    for name, turn in pairs:
        project = scratch / f"{name}-{turn}".replace(" ", "-")
        shutil.copytree(trained, project)
        if name.startswith("train and"):
            shutil.rmtree(project / "weights" / "tiny")
        ends = _both(project, EXCLUSIVE[name])
        codes = sorted(one.code for one in ends)
        say(f"  {name}: exit codes {codes}")
        told += codes == [0, Busy.exit_code]
        # One that was over before the other began leaves nothing to be told.
        if codes not in ([0, Busy.exit_code], [0, 0]) or not all(map(_is_one_line, ends)):
            wrong.append(f"{name}: {codes}: {[one.last for one in ends]}")
        wrong += [f"{name}: {text}" for text in broken_files(project)]
        if "--fresh" in name and not _has_its_rate(project / "weights" / "tiny"):
            wrong.append(f"{name}: trained at another rate than that of its recipe")
    for name, words in BESIDE.items():
        project = scratch / name.replace(" ", "-")
        shutil.copytree(trained, project)
        ends = _both(project, words)
        if [one.code for one in ends] != [0, 0]:
            wrong.append(f"{name}: {[one.last for one in ends]}")
        wrong += [f"{name}: {text}" for text in _missing(project / "weights", name)]
    return [
        Figure("pairs of writers", len(pairs), "≥ 2" if quick else f"≥ {PAIRS}"),
        Figure("of them told who writes already", told, "≥ 1" if quick else f"≥ {PAIRS}"),
        Figure("pairs that may write beside each other", len(BESIDE)),
        Figure.of_failures("pairs with another end, or files that are not whole or mixed", wrong),
    ]


def _both(project: Path, words: tuple[list[str], list[str]]) -> list[Ended]:
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(ended, (project, project), words))


def _is_one_line(one: Ended) -> bool:
    if one.code != Busy.exit_code:
        return True
    return one.last.startswith("podium: ") and "process" in one.last and "Traceback" not in one.said


def _has_its_rate(run: Path) -> bool:
    """Whether its epochs were trained at the rate that its recipe names."""
    peak = json.loads((run / "run.json").read_text())["recipe"]["stages"][0]["learning_rate"]
    histories = map(pd.read_csv, run.glob("fold-*/history.csv"))
    return all(history["learning_rate"].max() <= peak for history in histories)


def _missing(weights: Path, name: str) -> list[str]:
    if name == "two folds":
        folds = (weights / "a" / f"fold-{fold}" / "test.csv" for fold in (0, 1))
        return [f"{path} is not there" for path in folds if not path.is_file()]
    changes = set(pd.read_csv(weights / "experiments.csv")["change"])
    return [f"{seed} is not in the record" for seed in {"seed=1", "seed=2"} - changes]
