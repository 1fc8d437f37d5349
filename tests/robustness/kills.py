"""Runs that are killed again and again end like one that nobody disturbed.

Three recipes on small drawn images, which between them write every file that a training writes: a
head on cached features, checkpoints and averaged weights; two folds with a solved head and
pseudo-labels, both on the smallest backbone; all layers of the EfficientNetB0 in two stages. Each
is trained once undisturbed, while every change of a file is noted. Then runs are killed at events
of that list, in chains: started with the same command, killed at the next event, and at last let
end. SIGTERM and Ctrl-C come in between. After each start every file is read.
"""

import contextlib
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from robustness.endings import compare
from robustness.figures import Figure, say
from robustness.processes import Command, Ended, FileEvent, Harm, epochs_in
from robustness.projects import RUN, SMALL, broken_files, make_project, sample_recipe, train

FIRST = "first"  # a run that pseudo-labels come from
KILLS = 100  # in the full campaign, at least
PLANNED = 36  # of each recipe: one that waits for a file to be half-written can be missed
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
    SMALL,
    "head.width=8",
    "image_size=16",
    "cached_views=2",
    "cached_gb=0",
    "keep='last'",
    "checkpoints=1",
    "stages=[{unfreeze='head', epochs=2, learning_rate=1e-3},"
    " {unfreeze=1, epochs=2, learning_rate=1e-3}]",
)


@dataclass(frozen=True)
class Kill:
    """A signal, and when it comes.

    Args:
        at: an event of a file; of kind "half" while the file is being written.
        delay: seconds after the event; 0 just before it.
    """

    at: FileEvent
    number: signal.Signals = signal.SIGKILL
    delay: float = 0.0

    @property
    def from_outside(self) -> bool:
        return self.at.kind == "half" or self.delay > 0

    def __str__(self) -> str:
        after = f"{self.delay:.1f} s after" if self.delay else "at"
        return f"{self.number.name} {after} {self.at.kind} {self.at.name}, {self.at.epochs} epochs"


SAMPLE = [
    Kill(FileEvent("rename", f"weights/{RUN}/run.json"), delay=0.5),
    Kill(FileEvent("sync", f"weights/{RUN}/fold-0/best.weights.h5", 2), signal.SIGTERM),
    Kill(FileEvent("rename", f"weights/{RUN}/fold-0/state.npz", 3), signal.SIGINT),
    Kill(FileEvent("rename", f"submissions/{RUN}.csv", 4)),
]


@dataclass(frozen=True)
class Start:
    """What came of one start of a run."""

    ended: Ended
    kill: Kill | None = None
    seconds: float = 0.0  # from the signal to the end of the process

    @property
    def is_killed(self) -> bool:
        return self.kill is not None and self.ended.code == EXIT_CODES[self.kill.number]

    @property
    def ended_well(self) -> bool:
        """A run that was not killed to its end, one that was in a line where it could say one."""
        if not self.is_killed:
            return self.ended.code == 0
        line = r"podium: (interrupted|terminated); the same command .*"
        is_told = re.fullmatch(line, self.ended.last) and "Traceback" not in self.ended.said
        return self.kill.number == signal.SIGKILL or bool(is_told)


@dataclass
class KilledRun:
    """A run in a project of its own that is started again and again."""

    project: Path
    words: list[str]
    starts: list[Start] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)  # files that a start left half-written

    def start(self, kill: Kill | None = None) -> Start:
        """Start the command, to be killed if it comes to that event."""
        from_outside = kill is not None and kill.from_outside
        harm = Harm(kill.at, kill.number) if kill and not from_outside else Harm()
        command = Command(self.project, self.words, harm)
        hit = 0.0

        def look() -> None:
            nonlocal hit
            if from_outside and not hit and self._is_reached(kill.at, command):
                time.sleep(kill.delay)
                hit = time.time()
                with contextlib.suppress(ProcessLookupError):  # it was faster
                    os.kill(command.pid, kill.number)

        ended = command.wait(look)
        if kill and not from_outside:
            reached = (when for when, event in ended.events if kill.at.reached_by(event))
            hit = next(reached, 0.0)
        self.starts.append(Start(ended, kill, time.time() - hit if hit else 0.0))
        self.broken += broken_files(self.project, leftovers=self.starts[-1].is_killed)
        return self.starts[-1]

    def _is_reached(self, at: FileEvent, command: Command) -> bool:
        if at.kind != "half":
            return any(at.reached_by(event) for _, event in command.events)
        path = self.project / at.name
        is_written = any(path.parent.glob(f".part-*-{path.name}"))
        return is_written and epochs_in(self.project) >= at.epochs

    def go_through(self, kills: list[Kill]) -> list[Kill]:
        """Start it for each kill, and at last without one; the kills that it did not come to."""
        missed = []
        for number, kill in enumerate(kills):
            start = self.start(kill)
            say(f"  {self.project.name}: {kill}: exit code {start.ended.code}")
            if start.ended.code == 0:  # it is over
                missed += kills[number:]
                break
            if not start.is_killed:  # by itself: a defect, which counts as one
                missed.append(kill)
        self.start()
        return missed


def campaign(quick: bool, scratch: Path) -> list[Figure]:
    first = scratch / "undisturbed-0"
    make_project(first, sample_recipe(), size=(48, 36))
    runs: list[KilledRun] = []
    known: set[tuple[str, str]] = set()
    wrong, other_bytes = [], []
    for number, changes in enumerate([QUICK] if quick else [HEAD, FOLDS, LAYERS]):
        project = scratch / f"undisturbed-{number}"
        say(f"{project.name}: {changes}")
        if number:
            copy_project(first, project)
            shutil.copytree(first / "weights" / RUN, project / "weights" / FIRST)
        undisturbed = KilledRun(project, train(["image_size=32", *changes]))
        ended = undisturbed.start().ended
        if ended.code:
            raise RuntimeError(ended.said[-3000:])
        kills = SAMPLE if quick else plan(ended.events, known)
        for run in killed_runs(undisturbed, kills, scratch / f"chain-{number}"):
            runs.append(run)
            for all_of, some in zip(
                (wrong, other_bytes), compare(run.project, project), strict=True
            ):
                all_of += some
        known |= {(event.kind, event.name) for _, event in ended.events}
    starts = [start for run in runs for start in run.starts]
    broken = [text for run in runs for text in run.broken]
    return [
        *figures_of_starts(starts, known, quick),
        Figure("runs that were let end", len(runs), "≥ 1"),
        Figure.of_failures("of them with other files, ids or epochs than undisturbed", wrong),
        Figure.of_failures("weights and predictions with other bytes", other_bytes),
        Figure.of_failures("files that a start left half-written", broken),
    ]


def copy_project(project: Path, to: Path) -> None:
    """Copy a project without its run."""
    for name in ("kernels", "input", f"weights/{FIRST}"):
        if (project / name).is_dir():
            shutil.copytree(project / name, to / name)


def plan(events: list[tuple[float, FileEvent]], known: set[tuple[str, str]]) -> list[Kill]:
    """Kills at the events of an undisturbed run, in their order, and some other signals.

    Each new way in which each file changes is among them, one of its occurrences drawn by chance;
    then the longest times between two events; the rest are further occurrences.

    Args:
        known: what a recipe before this one has covered, and comes last.
    """
    random = np.random.default_rng(len(known))
    times = [when for when, _ in events]
    lengths = np.diff(times)
    chosen = [
        (place, Kill(events[place][1], delay=lengths[place] / 2))
        for place in np.argsort(lengths)[-GAPS:]
    ]
    drawn, seen = [], set(known)
    for place in random.permutation(len(events)):
        event = events[place][1]
        is_large = event.kind == "sync" and event.name.endswith((".h5", ".npz"))
        for each in (event, *([replace(event, kind="half")] if is_large else [])):
            way = each.kind, each.name
            (drawn if way in seen else chosen).append((place, Kill(each)))
            seen.add(way)
    chosen += drawn[: max(0, PLANNED - len(chosen))]
    kills = [kill for _, kill in sorted(chosen, key=lambda pair: pair[0])]
    for place in range(len(kills) - 2, 0, -6):  # besides the kills
        number = (signal.SIGTERM, signal.SIGINT)[place // 6 % 2]
        kills.insert(place + 1, replace(kills[place], number=number))
    return kills


def killed_runs(undisturbed: KilledRun, kills: list[Kill], folder: Path) -> Iterator[KilledRun]:
    """Runs that get the kills between them, each let end at last.

    A kill that a run did not come to, because an earlier one came late, is left to a further run,
    once.
    """
    for turn in ("first", "again"):
        number = -(-len(kills) // CHAIN)
        projects = [folder / f"{turn}-{place}" for place in range(number)]
        for project in projects:
            copy_project(undisturbed.project, project)
        runs = [KilledRun(project, undisturbed.words) for project in projects]
        shares = [kills[place::number] for place in range(number)]  # each from a whole run
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # most of a start uses one core
            missed = {
                kill for some in pool.map(KilledRun.go_through, runs, shares) for kill in some
            }
        kills = [kill for kill in kills if kill in missed]  # in their order
        yield from runs


def figures_of_starts(
    starts: list[Start], known: set[tuple[str, str]], quick: bool
) -> list[Figure]:
    killed = [start for start in starts if start.is_killed]
    kills, terms, interrupts = (
        [start for start in killed if start.kill.number == number] for number in EXIT_CODES
    )
    seconds = [start.seconds for start in terms + interrupts]
    left = sorted(known - {(start.kill.at.kind, start.kill.at.name) for start in killed})
    bad = [f"{start.kill}: {start.ended.code}" for start in starts if not start.ended_well]
    what = f"of {len(known)} changes of files, those that no kill came at"
    all_ways = [] if quick else [Figure.of_failures(what, [" ".join(way) for way in left])]
    return [
        Figure("kills with SIGKILL", len(kills), "≥ 2" if quick else f"≥ {KILLS}"),
        Figure("ends with SIGTERM", len(terms), "≥ 1"),
        Figure("ends with Ctrl-C", len(interrupts), "≥ 1"),
        Figure("s from these to the end", max(seconds, default=0.0)),
        Figure.of_failures("starts with another end than expected", bad),
        *all_ways,
    ]
