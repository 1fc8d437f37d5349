"""Leaks: planted near-copies, stored splits that leak, and 25,000 images checked.

With PODIUM_INPUT, copies are planted among the images of each competition that has some there.
"""

import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from podium.competitions import get_competition
from podium.data.check import check_images
from podium.data.near_duplicates import near_duplicate_groups
from podium.system import peak_memory
from robustness.copies import KINDS, write_copy, write_made_up
from robustness.figures import Figure
from robustness.planted import planted_figures
from robustness.processes import ended
from robustness.projects import PATCHES, RUN, train, write_entry

COPY, ORIGINAL = "clock/copy.jpg", "clock/0.jpg"
STORED = ("run.json", "pictures.csv", "checked.json")  # of a run that has not trained
COUNT, SIZE = 25_000, (500, 375)  # images, and their pixels, as dogs-vs-cats has them
QUICK_COUNT, QUICK_SIZE = 150, (160, 120)


def campaign(quick: bool, scratch: Path) -> list[Figure]:
    return [
        *planted_figures(quick, scratch / "planted"),
        *stored_figures(scratch / "stored"),
        *time_figures(quick, scratch / "many"),
    ]


def stored_figures(project: Path) -> list[Figure]:
    """Trainings with stored splits in which an image's copy is in another fold."""
    draw(project)
    run = project / "weights" / RUN
    first = ended(project, train())
    if first.code:
        raise RuntimeError(first.said[-2000:])
    stored = {name: (run / name).read_bytes() for name in STORED}
    table = pd.read_csv(run / "pictures.csv", dtype=str, index_col="id")
    apart = [] if table.loc[COPY, "fold"] == table.loc[ORIGINAL, "fold"] else [COPY]
    trained = []
    for what, leak in LEAKS.items():
        shutil.rmtree(run)
        run.mkdir()
        for name, content in stored.items():
            (run / name).write_bytes(content)
        leak(run)
        outcome = ended(project, train())
        if not outcome.is_clear or list(run.glob("fold-*")):
            trained.append(f"{what}: exit code {outcome.code}: {outcome.last}")
    return [
        Figure.of_failures("copies in another fold than their original", apart),
        Figure.of_failures("stored splits that leak and are trained on", trained, len(LEAKS)),
    ]


def draw(project: Path) -> None:
    """A competition of 24 made-up images, and a copy of one of them."""
    write_entry(project, PATCHES.replace("folds = 2", "folds = 3"))
    folder = project / "input" / get_competition("clocks-or-crocs").slug
    for number, path in enumerate(write_made_up(project / "made-up", 26, 96, 72)):
        part = "test" if number >= 24 else f"train/{('clock', 'crocodile')[number % 2]}"
        (folder / part).mkdir(parents=True, exist_ok=True)
        shutil.move(path, folder / part / path.name)
    original, copy = folder / "train" / ORIGINAL, folder / "train" / COPY
    write_copy(original, "cropped, mirrored", copy, np.random.default_rng(0))


def edit(run: Path, *changes: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    stored = pd.read_csv(run / "pictures.csv", dtype=str, keep_default_na=False)
    stored = stored.set_index("id", drop=False)
    for change in changes:
        stored = change(stored)
    stored.to_csv(run / "pictures.csv", index=False)


def moved(stored: pd.DataFrame) -> pd.DataFrame:
    """The copy in another fold than its original."""
    stored.loc[COPY, "fold"] = str((int(stored.loc[ORIGINAL, "fold"]) + 1) % 3)
    return stored


def each_alone(stored: pd.DataFrame) -> pd.DataFrame:
    """Every image in a group of its own."""
    train_rows = stored["part"] == "train"
    stored.loc[train_rows, "group"] = [str(number) for number in range(train_rows.sum())]
    return stored


def from_elsewhere(run: Path) -> None:
    """As merged, or fetched from a machine that did not look for copies."""
    edit(run, moved, each_alone)
    (run / "checked.json").unlink()


def checked_elsewhere(run: Path) -> None:
    """The split of the same names, made where the copy was another image."""
    edit(run, moved, each_alone)
    text = (run / "checked.json").read_text()
    (run / "checked.json").write_text(re.sub(r"[0-9a-f]{32,}", "0" * 64, text))


LEAKS: dict[str, Callable[[Path], None]] = {
    "the copy moved": lambda run: edit(run, moved),
    "moved and its group denied": lambda run: edit(run, moved, each_alone),
    "moved, the groups left out": lambda run: edit(run, moved, lambda t: t.drop(columns="group")),
    "from elsewhere": from_elsewhere,
    "from where the images are others": checked_elsewhere,
}


def time_figures(quick: bool, scratch: Path) -> list[Figure]:
    """How long the check of many images takes, and what it finds among them."""
    count, size = (QUICK_COUNT, QUICK_SIZE) if quick else (COUNT, SIZE)
    paths = write_made_up(scratch, count, *size)
    rng = np.random.default_rng(0)
    sources = rng.choice(count, max(len(KINDS), count // 100), replace=False)
    for number, source in enumerate(sources):
        paths.append(scratch / f"copy-{number}.jpg")
        write_copy(paths[source], list(KINDS)[number % len(KINDS)], paths[-1], rng)
    clock = time.perf_counter()
    groups = near_duplicate_groups(check_images(pd.Series(paths)))
    seconds = time.perf_counter() - clock
    found = groups[count:] == groups[sources]
    flagged = count - len(np.unique(groups[:count]))
    what = f"{len(paths):,} JPEGs of {size[0]} × {size[1]} checked"
    return [
        Figure(f"{what}, s", seconds, "" if quick else "< 180"),
        # The sample runs in the process of the tests, which has held more.
        Figure(f"{what}: peak memory, GB", peak_memory() / 1e9, "" if quick else "< 2"),
        Figure(f"{what}: planted copies found, share", float(found.mean()), "≥ 0.95"),
        Figure(f"{what}: other images flagged, share", flagged / count, "< 0.001"),
    ]
