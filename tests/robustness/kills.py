"""Runs that are killed again and again end like one that nobody disturbed.

Three recipes on small drawn images, which between them write every file that a training writes: a
head on cached features, checkpoints and averaged weights; two folds with a solved head and
pseudo-labels, both on the smallest backbone; all layers of the EfficientNetB0 in two stages. Each
is trained once undisturbed, while every change of a file is noted. Then runs are killed at events
of that list, in chains: started with the same command, killed at the next event, and at last let
end. SIGTERM and Ctrl-C come in between. After each start every file is read.
"""

import os
import re
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from robustness.figures import Figure, say
from robustness.processes import Ended, FileEvent, Kill, ended
from robustness.projects import (
    RUN,
    SMALL,
    broken_files,
    compare,
    make_project,
    sample_recipe,
    train,
)

FIRST = "first"  # a run that pseudo-labels come from
KILLS = 100  # in the full campaign, at least
GAPS = 6  # kills of each recipe in the longest times between two changes of files
CHAIN = 11  # kills in a row
EXIT_CODES = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143, signal.SIGINT: 130}
# Changes of the entry's recipe.
HEAD = (
    SMALL,
    "cached_views=2",
    "cached_gb=0",
    "keep='last'",
    "checkpoints=2",
    "ema=0.9",
    "stages=[{unfreeze='head', epochs=3, learning_rate=1e-3},"
    " {unfreeze='half', epochs=4, learning_rate=1e-3}]",
)
FOLDS = (
    SMALL,
    "shares=[]",
    "folds=2",
    "head.width=0",
    "stages=[{solver='logistic', epochs=1},"
    f" {{unfreeze=1, epochs=2, learning_rate=1e-3, pseudo={{from='{FIRST}', above=0.51}}}}]",
)
LAYERS = (
    "stages=[{unfreeze='all', epochs=3, learning_rate=2e-3},"
    " {unfreeze='all', epochs=3, learning_rate=1e-3, image_size=48}]",
)
QUICK = (
    *HEAD,
    "image_size=16",
    "head.width=8",
    "stages=[{unfreeze='head', epochs=2, learning_rate=1e-3},"
    " {unfreeze=1, epochs=2, learning_rate=1e-3}]",
)
SAMPLE = [
    Kill(FileEvent("rename", f"weights/{RUN}/run.json"), delay=0.5),
    Kill(FileEvent("sync", f"weights/{RUN}/fold-0/best.weights.h5", 2), signal.SIGTERM),
    Kill(FileEvent("rename", f"weights/{RUN}/fold-0/state.npz", 3), signal.SIGINT),
    Kill(FileEvent("rename", f"submissions/{RUN}.csv", 4)),
]


def campaign(quick: bool, scratch: Path) -> list[Figure]:
    new = scratch / "new"
    make_project(new, sample_recipe(), size=(48, 36))
    runs: list[KilledRun] = []
    known: set[FileEvent] = set()
    wrong, other_bytes = [], []
    for number, changes in enumerate([QUICK] if quick else [HEAD, FOLDS, LAYERS]):
        project = scratch / f"undisturbed-{number}"
        say(f"{project.name}: {changes}")
        shutil.copytree(new, project)
        words = train(["image_size=32", *changes])
        events = ended(project, words).checked().events
        kills = SAMPLE if quick else plan(events, known)
        for run in killed_runs(new, words, kills, scratch / f"chain-{number}"):
            runs.append(run)
            only_in_one, others = compare(run.project, project)
            wrong += [*only_in_one, *(name for name in others if name.endswith("/history.csv"))]
            other_bytes += [name for name in others if not name.endswith("/history.csv")]
        known |= {event for _, event in events}
        if not number:
            shutil.copytree(project / "weights" / RUN, new / "weights" / FIRST)
    starts = [start for run in runs for start in run.starts]
    broken = [text for run in runs for text in run.broken]
    return [
        *figures_of_starts(starts, known, quick),
        Figure("runs that were let end", len(runs), "≥ 1"),
        Figure.of_failures("of them with other files, ids or epochs than undisturbed", wrong),
        Figure.of_failures("weights and predictions with other bytes", other_bytes),
        Figure.of_failures("files that a start left half-written", broken),
    ]


def plan(events: list[tuple[float, FileEvent]], known: set[FileEvent]) -> list[Kill]:
    """Kills at the events of an undisturbed run, in their order, and some other signals.

    Each new way in which each file changes is among them, one of its occurrences drawn by chance,
    and the longest times between two events.

    Args:
        known: what a recipe before this one has covered.
    """
    random = np.random.default_rng(len(known))
    lengths, seen = np.diff([when for when, _ in events]), set(known)
    chosen = [
        (place, Kill(events[place][1], delay=lengths[place] / 2))
        for place in np.argsort(lengths)[-GAPS:]
    ]
    for place in random.permutation(len(events)):
        event = events[place][1]
        if event not in seen:
            seen.add(event)
            chosen.append((place, Kill(event)))
            if event.kind == "sync" and event.name.endswith((".h5", ".npz")):
                chosen.append((place, Kill(replace(event, kind="half"))))
    kills = [kill for _, kill in sorted(chosen, key=lambda pair: pair[0])]
    for place in range(len(kills) - 2, 0, -6):  # besides the kills
        number = (signal.SIGTERM, signal.SIGINT)[place // 6 % 2]
        kills.insert(place + 1, replace(kills[place], number=number))
    return kills


@dataclass
class KilledRun:
    """A run in a project of its own that is started again and again."""

    project: Path
    words: list[str]
    starts: list[Ended] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)  # files that a start left half-written

    def go_through(self, kills: list[Kill]) -> set[Kill]:
        """Start it for each kill, and at last without one; the kills that it did not come to."""
        missed = set(kills)
        for kill in kills:
            start = self._start(kill)
            say(f"  {self.project.name}: {kill}: exit code {start.code}")
            if start.code == 0:  # it is over
                break
            if is_killed(start):  # and not ended by itself: a defect, which counts as one
                missed.remove(kill)
        self._start()
        return missed

    def _start(self, kill: Kill | None = None) -> Ended:
        self.starts.append(ended(self.project, self.words, kill))
        self.broken += broken_files(self.project, leftovers=is_killed(self.starts[-1]))
        return self.starts[-1]


def killed_runs(
    new: Path, words: list[str], kills: list[Kill], folder: Path
) -> Iterator[KilledRun]:
    """Runs of a new project that get the kills between them, each let end at last.

    A kill that a run did not come to, because an earlier one came late, is left to a further run,
    once.
    """
    for turn in ("first", "again"):
        number = -(-len(kills) // CHAIN)
        runs = [KilledRun(folder / f"{turn}-{place}", words) for place in range(number)]
        for run in runs:
            shutil.copytree(new, run.project)
        shares = [kills[place::number] for place in range(number)]  # each from a whole run
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # most of a start uses one core
            missed = set().union(*pool.map(KilledRun.go_through, runs, shares))
        kills = [kill for kill in kills if kill in missed]  # in their order
        yield from runs


def is_killed(start: Ended) -> bool:
    return start.kill is not None and start.code == EXIT_CODES[start.kill.number]


def ended_as_expected(start: Ended) -> bool:
    """A run that was not killed to its end, one that was in a line where it could say one."""
    if not is_killed(start):
        return start.code == 0
    line = r"podium: (interrupted|terminated); the same command .*"
    is_told = re.fullmatch(line, start.last) and "Traceback" not in start.said
    return start.kill.number == signal.SIGKILL or bool(is_told)


def figures_of_starts(starts: list[Ended], known: set[FileEvent], quick: bool) -> list[Figure]:
    killed = [start for start in starts if is_killed(start)]
    kills, terms, interrupts = (
        [start for start in killed if start.kill.number == number] for number in EXIT_CODES
    )
    seconds = [start.after_signal for start in terms + interrupts]
    left = known - {start.kill.at for start in killed}
    bad = [f"{start.kill}: {start.code}" for start in starts if not ended_as_expected(start)]
    what = f"of {len(known)} changes of files, those that no kill came at"
    all_ways = [] if quick else [Figure.of_failures(what, sorted(map(str, left)))]
    return [
        Figure("kills with SIGKILL", len(kills), "≥ 2" if quick else f"≥ {KILLS}"),
        Figure("ends with SIGTERM", len(terms), "≥ 1"),
        Figure("ends with Ctrl-C", len(interrupts), "≥ 1"),
        Figure("s from these to the end", max(seconds, default=0.0)),
        Figure.of_failures("starts with another end than expected", bad),
        *all_ways,
    ]
