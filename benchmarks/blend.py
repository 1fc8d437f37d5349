"""`podium blend` over ten runs of 25,000 images and ten classes: seconds, and peak memory."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.measuring import Row, in_child, in_turns, main, seconds
from podium.system import peak_memory

RUNS, IMAGES, TEST = 10, 25_000, 12_500
COMPETITION = "cars"  # ten classes, accuracy
FOLDS = 5


def measure(quick: bool, scratch: Path) -> list[Row]:
    images, test = (500, 250) if quick else (IMAGES, TEST)
    make_runs(scratch, images, test)
    seen: list[dict[str, Any]] = []

    def blend() -> float:
        seen.append(in_child("benchmarks.blend", {"folder": str(scratch)}))
        return seen[-1]["seconds"]

    def nothing() -> float:
        return seconds(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True))

    turns = 1 if quick else 3
    measured = in_turns({"blend": blend, "pass": nothing}, turns, warm_up=False)
    what = f"podium blend, {RUNS} runs of {images:,} images"
    time = Row(what, "python -c pass", "s", measured["blend"], measured["pass"])
    time.gain, time.to_reach = "ours - theirs", "≤ 60"
    memory = Row(f"peak memory of {what}", "1 GB", "GB", [one["gigabytes"] for one in seen])
    memory.theirs, memory.to_reach = [1.0] * turns, "≤ 2"
    return [time, memory]


def child(folder: str) -> dict[str, float]:
    """Blend the runs of a project, in this process."""

    def work() -> None:
        from podium.predictions.blend import blend

        blend([f"run-{number}" for number in range(RUNS)])

    os.chdir(folder)
    sys.stdout = sys.stderr  # the other end reads what is printed last
    took = seconds(work)
    sys.stdout = sys.__stdout__
    return {"seconds": took, "gigabytes": peak_memory() / 1e9}


def make_runs(project: Path, images: int, test: int) -> None:
    """Finished runs as trainings leave them, of made-up networks that partly err together."""
    from podium.competitions import get_competition
    from podium.predictions.combine import combine
    from podium.recipes.recipe_file import parse_recipe
    from podium.runs.run import Run
    from podium.runs.run_folder import RunFolder

    (project / "kernels").mkdir()
    competition = get_competition(COMPETITION)
    random = np.random.default_rng(0)
    labels = random.integers(len(competition.classes), size=images)
    common = random.normal(size=(images + test, len(competition.classes)))
    common[np.arange(images), labels] += 2
    train_ids, test_ids = (
        pd.Index([f"{kind}{number}.jpg" for number in range(count)], name="id")
        for kind, count in (("train", images), ("test", test))
    )
    fold = np.arange(images) % FOLDS
    train = pd.DataFrame(
        {"label": labels, "group": range(images), "fold": fold, "problem": ""}, train_ids
    )
    parts = {"train": train, "test": pd.DataFrame({"problem": ""}, test_ids)}
    for number in range(RUNS):
        logits = common + random.normal(size=common.shape) * (1 + number / 10)
        powers = np.exp(logits)
        table = pd.DataFrame(
            powers / powers.sum(axis=1, keepdims=True),
            pd.Index([*train_ids, *test_ids], name="id"),
            list(competition.classes),
        )
        table = table.assign(view="plain").set_index("view", append=True).astype(np.float32)
        folder = RunFolder(project / "weights" / f"run-{number}")
        recipe = {
            "competition": COMPETITION,
            "backbone": "resnet-small",
            "folds": FOLDS,
            "views": 1,
        }
        folder.begin(parse_recipe(recipe, "here"), {}, fresh=False)
        folder.write_images(pd.concat(parts, names=["part", "id"]))
        for k in range(FOLDS):
            folder.fold(k).write_predictions("validation", table[:images][fold == k])
            folder.fold(k).write_cost({"seconds": 1})
            folder.fold(k).write_predictions("test", table[images:])
        combine(Run.open(folder))


if __name__ == "__main__":
    main(measure)
