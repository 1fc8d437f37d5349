"""Time budgets: whole commands, of recipes that would take many times as long, end within theirs.

Each is tried with next to no time first: what it takes then is the least, and the budgets are so
many times that. Run it alone on the machine.
"""

import time
from pathlib import Path

from robustness.figures import Figure, say
from robustness.projects import TINY, make_project, podium, train

BUDGETS = (1.5, 3.0)  # times the least
_ALL = '{unfreeze="all", epochs=1000, learning_rate=0.001}'
_HEAD = '{unfreeze="head", epochs=1000, learning_rate=0.001}'
_SHORT = '{unfreeze="head", epochs=1, learning_rate=0.001}'
_B0 = "backbone=efficientnet-b0"
# Changes to the recipe, each of which takes longer than any of the budgets.
OVERLONG = {
    "cached features": [f"stages=[{_HEAD}]"],
    "the whole network": [f"stages=[{_ALL}]"],
    "a second stage": [f"stages=[{_SHORT},{_ALL}]"],
    "features that take too long": [f"stages=[{_SHORT}]", _B0, "cached_views=64"],
    "EfficientNetB0": [f"stages=[{_SHORT},{_ALL}]", _B0],
    "two folds": [f"stages=[{_SHORT},{_ALL}]", "shares=[]", "folds=2"],
}


def campaign(quick: bool, scratch: Path) -> list[Figure]:
    make_project(scratch, TINY, train=600, test=200)
    figures, failed = [], []
    for name in list(OVERLONG)[: 1 if quick else None]:
        least = minutes_of(scratch, name, 0.05, failed)
        figures.append(Figure(f"{name}: minutes with next to no budget", least))
        for factor in BUDGETS[-1:] if quick else BUDGETS:
            budget = factor * least
            what = f"{name}, a budget of {budget:.2f} min: minutes needed"
            needed = minutes_of(scratch, name, budget, failed)
            figures.append(Figure(what, needed, f"≤ {budget:.4f}"))
    return [*figures, Figure.of_failures("budgets without a submission", failed)]


def minutes_of(project: Path, name: str, budget: float, failed: list[str]) -> float:
    """The minutes that a command takes with a budget; appends to `failed` if it fails."""
    run = f"{name.replace(' ', '-')}-{budget:.2f}"
    changes = [*OVERLONG[name], f"time_budget={budget}", "image_size=64", "cached_gb=1.0"]
    began = time.monotonic()
    ended = podium(project, *train(changes, run))
    took = (time.monotonic() - began) / 60
    say(f"{name}, a budget of {budget:.2f} min: {took:.2f} min, exit {ended.returncode}")
    if ended.returncode or not (project / "submissions" / f"{run}.csv").is_file():
        failed.append(f"{run}: exit {ended.returncode}: {ended.stderr[-200:]}")
    return took
