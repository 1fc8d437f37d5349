"""Runs of `sample-b0` that are killed again and again end like one that nobody disturbed.

    python -m torture.kills [--quick]

Three recipes of it, on small drawn images, which between them write every file that a training
writes: a head on cached features, checkpoints and averaged weights; two folds with a solved head
and pseudo-labels, both on the smallest backbone; all layers of the B0 in two stages. Each is
trained once undisturbed, while every change of a file is noted. Then runs are killed at moments of
that list, in chains: started with the same command, killed at the next moment, and at last let end.
SIGTERM and Ctrl-C come in between. All the time another process reads every file that is there.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from podium.competitions.sample_drawing import draw_sample
from torture.chains import EXIT_CODES, Blow, Chain, Forked, fresh
from torture.endings import Ending, compare
from torture.figures import ROOT, Figure, main, say
from torture.struck import Moment

RUN, FIRST = "run", "first"
KILLS = 100  # in the full campaign, at least
PLANNED = 106  # a moment that waits for a file to be half-written can be missed
CHAIN = 11  # blows in a row
SMALL = "backbone='resnet-8'"  # traced in a fraction of the time


@dataclass(frozen=True)
class Variant:
    """A recipe, and moments of it that no change of a file marks."""

    name: str
    share: float  # of the kills
    changes: tuple[str, ...]  # for --set
    said: tuple[tuple[str, float], ...] = ()  # what the log says, and seconds after it


LAYERS = Variant(
    "all layers",
    0.16,
    (
        "stages=[{unfreeze='all', epochs=3, learning_rate=2e-3},"
        " {unfreeze='all', epochs=3, learning_rate=1e-3, image_size=48}]",
    ),
    (
        ("", 1.5),  # everything is imported
        ("computing on", 0.0),  # the network is built
        ("Epoch 1/3", 2.0),  # the first step is traced
        ("Epoch 1/3", 12.0),
        ("stage 2 of 2", 8.0),
        ("predicting", 1.0),  # the validation images
        ("predicting 9 ", 1.0),  # the test images
    ),
)
HEAD = Variant(
    "cached head, checkpoints, averages",
    0.5,
    (
        SMALL,
        "cached_views=2",
        "cached_gb=0",
        "keep='last'",
        "checkpoints=2",
        "ema=0.9",
        "stages=[{unfreeze='head', epochs=3, learning_rate=1e-3},"
        " {unfreeze='half', epochs=4, learning_rate=1e-3}]",
    ),
    (
        ("features of", 0.0),
        ("features of", 0.2),
        ("logistic regression", 0.0),
        (r"stage 1 of 2[\s\S]*Epoch 1/3", 0.5),
        (r"stage 2 of 2[\s\S]*Epoch 1/4", 1.0),
    ),
)
FOLDS = Variant(
    "two folds, solved head, pseudo-labels",
    0.34,
    (
        SMALL,
        "shares=[]",
        "folds=2",
        "head.width=0",
        "stages=[{solver='logistic', epochs=1},"
        f" {{unfreeze=1, epochs=2, learning_rate=1e-3, pseudo={{from='{FIRST}', above=0.51}}}}]",
    ),
    (("fold 1 ", 0.0), (r"fold 1 [\s\S]*features of", 0.2)),
)
QUICK = Variant(
    "cached head",
    1.0,
    (
        SMALL,
        "head.width=8",
        "image_size=16",
        "cached_views=2",
        "cached_gb=0",
        "keep='last'",
        "checkpoints=2",
        "stages=[{unfreeze='head', epochs=4, learning_rate=1e-3},"
        " {unfreeze=2, epochs=4, learning_rate=1e-3}]",
    ),
)
SAMPLE = (
    Blow(Moment("said", "features of")),
    Blow(Moment("sync", f"weights/{RUN}/fold-0/best.weights.h5", 4), signal.SIGTERM),
    Blow(Moment("rename", f"weights/{RUN}/fold-0/state.npz", 7), signal.SIGINT),
    Blow(Moment("sync", f"weights/{RUN}/fold-0/validation.csv", 8)),
    Blow(Moment("rename", f"submissions/{RUN}.csv", 8)),
)


def campaign(quick: bool, scratch: Path) -> list[Figure]:
    project = scratch / "undisturbed"
    draw_project(project, 48, 9, (48, 36))
    begin = Forked if quick else fresh
    chains, endings, known = [], [], set()
    with observed(scratch) as saw:
        for number, variant in enumerate([QUICK] if quick else [HEAD, FOLDS, LAYERS]):
            say(f"{variant.name}: undisturbed")
            if number:  # its pseudo-labels come from the first one's run
                project = scratch / f"undisturbed-{number}"
                copy_project(scratch / "undisturbed", project)
                copy_whole(scratch / "undisturbed" / "weights" / RUN, project / "weights" / FIRST)
            undisturbed = Chain(project, RUN, command(variant), begin)
            if undisturbed.start(listen=[text for text, _ in variant.said]).code:
                raise RuntimeError(undisturbed.starts[-1].said[-3000:])
            count = round(PLANNED * variant.share)
            blows = list(SAMPLE) if quick else plan(undisturbed, variant, count, known)
            for chain in strike(undisturbed, blows, scratch / f"chain-{number}"):
                chains.append(chain)
                endings.append(compare(chain.project, project, RUN))
            known |= {(moment.kind, moment.name) for moment in undisturbed.moments}
    return figures(chains, endings, known, saw, quick)


def command(variant: Variant) -> list[str]:
    changes = [word for change in variant.changes for word in ("--set", change)]
    return ["train", "sample-b0", "--run", RUN, "--set", "image_size=32", *changes]


def draw_project(folder: Path, train: int, test: int, size: tuple[int, int]) -> None:
    """A project with the entry `sample-b0`, and so many small images of its competition."""
    shutil.copytree(ROOT / "kernels" / "sample-b0", folder / "kernels" / "sample-b0")
    recipe = folder / "kernels" / "sample-b0" / "recipe.toml"
    # Of EfficientNet alone; so it is the package's, and chance has a part in each step.
    recipe.write_text(re.sub("\ndrop_connect.*", "", recipe.read_text()))
    draw_sample(folder / "input" / "podium-sample", train, test, size=size)


def copy_project(project: Path, to: Path) -> None:
    """The same one, before its run."""
    for name in ("kernels", "input"):
        shutil.copytree(project / name, to / name)
    if (first := project / "weights" / FIRST).is_dir():
        copy_whole(first, to / "weights" / FIRST)


def copy_whole(folder: Path, to: Path) -> None:
    """Copy a folder under another name first: the observer would find half a file in it."""
    copied = to.parents[1] / "copied"
    shutil.copytree(folder, copied)
    to.parent.mkdir(parents=True, exist_ok=True)
    copied.rename(to)


def plan(undisturbed: Chain, variant: Variant, count: int, known: set[Any]) -> list[Blow]:
    """At least so many moments to kill a run of the variant at, in its order, and some signals.

    Each new way in which each file changes is among them, one of its occurrences drawn by chance;
    then what the log says; the rest are further occurrences.

    Args:
        known: what is covered by a variant before this one, and comes last.
    """
    random = np.random.default_rng(len(known))
    occurrences: dict[tuple[str, str], list[tuple[int, Blow]]] = {}
    for place, moment in enumerate(undisturbed.moments):
        key, blow = (moment.kind, moment.name), Blow(moment)
        occurrences.setdefault(key, []).append((place, blow))
        if moment.kind == "sync" and moment.name.endswith((".h5", ".npz")):  # large ones
            half = Blow(replace(moment, kind="half"))
            occurrences.setdefault(("half", moment.name), []).append((place, half))
    for key in occurrences:
        random.shuffle(occurrences[key])
    order = sorted(occurrences, key=lambda key: (key in known, random.random()))
    rounds = zip_longest(*(occurrences[key] for key in order))
    drawn = [one for of_round in rounds for one in of_round if one]
    new = sum(key not in known for key in order)
    chosen = drawn[: max(count - len(variant.said), new)]
    for text, delay in variant.said:
        place = undisturbed.moments_before(undisturbed.heard[text] + delay)
        rows = undisturbed.moments[place - 1].rows if place else 0
        chosen.append((place, Blow(Moment("said", text, rows), delay=delay)))
    blows = [blow for _, blow in sorted(chosen, key=lambda one: one[0])]
    for place in range(len(blows) - 2, 0, -6):  # besides the kills
        number = (signal.SIGTERM, signal.SIGINT)[place // 6 % 2]
        blows.insert(place + 1, replace(blows[place], number=number))
    return blows


def strike(undisturbed: Chain, blows: list[Blow], folder: Path) -> Iterator[Chain]:
    """Chains of runs that get the blows between them, each run let end at last.

    What a run does not come to any more, because an earlier blow of its chain came late, is left to
    a further chain, once.
    """
    for turn in ("first", "again"):
        count = -(-len(blows) // CHAIN)
        chains = []
        for number in range(count):  # each goes through a whole run
            project = folder / f"{turn}-{number}"
            copy_project(undisturbed.project, project)
            chains.append(replace(undisturbed, project=project, starts=[], heard={}))
        shares = [blows[number::count] for number in range(count)]
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # most of a start uses one core
            missed = {blow for of_chain in pool.map(_strike, chains, shares) for blow in of_chain}
        blows = [blow for blow in blows if blow in missed]  # in their order
        yield from chains


def _strike(chain: Chain, blows: list[Blow]) -> list[Blow]:
    """Start the run for each blow, and at last without one; the blows that it did not come to."""
    missed = []
    for place, blow in enumerate(blows):
        start = chain.start(blow)
        say(f"  {chain.project.name}: {blow}: exit code {start.code}")
        if start.code == 0:  # it is over
            missed += blows[place:]
            break
        if not start.struck:  # by itself: a defect, which counts as one
            missed.append(blow)
    chain.start()
    say(f"  {chain.project.name}: let end: exit code {chain.starts[-1].code}")
    return missed


@contextmanager
def observed(folder: Path) -> Iterator[dict[str, Any]]:
    """Gets what another process sees that reads all files of the folder while this lasts."""
    out, saw = folder / "observed.json", {}
    command = [sys.executable, "-m", "torture.observer", str(folder), str(out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=ROOT) as process:
        yield saw
        process.communicate()
    saw |= json.loads(out.read_text())


def figures(
    chains: list[Chain],
    endings: list[Ending],
    known: set[tuple[str, str]],
    saw: dict[str, Any],
    quick: bool,
) -> list[Figure]:
    starts = [start for chain in chains for start in chain.starts]
    struck = [start for start in starts if start.struck]
    kills, terms, interrupts = (
        [start for start in struck if start.blow.number == number] for number in EXIT_CODES
    )
    ways = {(start.blow.at.kind, start.blow.at.name) for start in struck}
    left = sorted(f"{kind} {name}" for kind, name in known - ways)
    epochs = sorted({start.blow.at.rows for start in struck})
    bad = [f"{start.blow}: {start.code}" for start in starts if not start.ended_well]
    wrong = [each for ending in endings for each in ending.wrong]
    other = [each for ending in endings for each in ending.other_bytes]
    reads = Counter(Path(name).suffix for name in saw["reads"] for _ in range(saw["reads"][name]))
    alike = "runs that ended with other {} than the undisturbed one".format
    return [
        Figure("kills with SIGKILL", len(kills), "≥ 3" if quick else f"≥ {KILLS}"),
        Figure("numbers of epochs that they came after", len(epochs), "≥ 3", f"{epochs}"),
        *([] if quick else [_all_ways(known, left)]),
        Figure("ends with SIGTERM", len(terms), "≥ 1"),
        Figure("ends with Ctrl-C", len(interrupts), "≥ 1"),
        Figure("s from these to the end", max(one.seconds for one in terms + interrupts)),
        Figure("starts with another end than expected", len(bad), "= 0", "; ".join(bad)),
        Figure("runs that were let end", len(endings), "≥ 1"),
        Figure(alike("files, ids or epochs"), len(wrong), "= 0", "; ".join(wrong)),
        Figure("largest difference of a probability", max(e.difference for e in endings), "≤ 1e-5"),
        Figure(alike("bytes of weights or predictions"), len(other), "= 0", "; ".join(other)),
        Figure("looks of another process at all files", saw["looks"], "≥ 100"),
        Figure("files that it read", reads.total(), note=f"{dict(reads)}"),
        Figure("of them not whole", len(saw["damaged"]), "= 0", "; ".join(saw["damaged"])),
    ]


def _all_ways(known: set[tuple[str, str]], left: list[str]) -> Figure:
    what = f"of {len(known)} changes of files, those struck"
    return Figure(what, len(known) - len(left), f"= {len(known)}", "; ".join(left))


if __name__ == "__main__":
    main(campaign)
