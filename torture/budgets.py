"""Time budgets: whole commands must end within theirs, with a submission.

They are the last part of `python -m torture limits`; `python -m torture.budgets` tries them alone.
"""

import subprocess
import sys
import time
from pathlib import Path

from torture.figures import Figure, main, say
from torture.small_run import COMMAND, RECIPE, make_project

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


def budgets(scratch: Path) -> list[Figure]:
    """Whole commands in processes of their own, of recipes that would take many times as long.

    Each is tried with next to no time first: what it takes then is the least, and the budgets are
    so many times that.
    """
    project = scratch / "budgets"
    make_project(project, RECIPE + "]\n", train=600, test=200)
    figures, failed = [], []

    def needed(name: str, minutes: float) -> float:
        run = f"{name.replace(' ', '-')}-{minutes:.2f}"
        every = [*OVERLONG[name], f"time_budget={minutes}", "image_size=64", "cached_gb=1.0"]
        words = [*COMMAND, "--run", run, *(word for one in every for word in ("--set", one))]
        began = time.monotonic()
        ended = subprocess.run(
            [sys.executable, "-c", "from podium.cli import main; main()", *words],
            capture_output=True, text=True, cwd=project,
        )  # fmt: skip
        took = (time.monotonic() - began) / 60
        say(f"{name}, a budget of {minutes:.2f} min: {took:.2f} min, exit {ended.returncode}")
        if ended.returncode or not (project / "submissions" / f"{run}.csv").is_file():
            failed.append(f"{run}: exit {ended.returncode}: {ended.stderr[-200:]}")
        return took

    for name in OVERLONG:
        least = needed(name, 0.05)
        figures.append(Figure(f"{name}: minutes with next to no budget", least))
        for minutes in (factor * least for factor in BUDGETS):
            what = f"{name}, a budget of {minutes:.2f} min: minutes needed"
            figures.append(Figure(what, needed(name, minutes), f"≤ {minutes:.4f}"))
    note = "; ".join(failed)
    return [*figures, Figure("budgets without a submission", len(failed), "= 0", note=note)]


if __name__ == "__main__":
    main(lambda quick, scratch: budgets(scratch))
