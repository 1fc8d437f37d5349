"""Commands besides train that are killed at each way in which they change files, and called again.

Each runs twice undisturbed, which shows its changes of files, and that both end alike. Then it is
killed at one of these changes after the other, in a project of its own, or after a part of its time
where a child process does the work. The same command is let end, and its project must have the
files of the undisturbed one, byte by byte but for those with times in them, and no others.
"""

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import optuna

from kaggle_stand_in import StandIn
from robustness.figures import Figure, say
from robustness.processes import Command, Ended, FileEvent, Harm, ended
from robustness.projects import broken_files
from small_competitions import make_project
from small_runs import files

sys.path.append(str(Path(__file__).parents[1] / "kaggle"))
from trained_run import CARS, leave, make_untrained, pack_cars

KILLS = 100  # in the full campaign, at least
PARTS = 4  # of the time of a command whose work is done by a child process
TRIALS = 2
IN_CHILD = ("compare", "tune")
TRAINED = {  # commands on runs that are there
    "predict": ["predict", "tiny"],
    "report": ["report", "tiny"],
    "blend": ["blend", "tiny", "other", "--to", "submissions/both.csv"],
    "soup": ["soup", "other"],
    "compare": ["compare", "tiny", "--try", "seed=0,1", "--fold", "0"],
    "tune": ["tune", "tiny", "--trials", f"{TRIALS}", "--search", "head.dropout=0.1:0.2"],
}
ON_KAGGLE = {
    "build": ["build", "tiny"],
    "download": ["download", "cars"],
    "download again": ["download", "cars", "--fresh"],
    "collect": ["collect", "tiny"],
}
QUICK = ("blend", "download again")
TIMES = {  # files and folders with times in them
    *("run.json", "cost.json", "score.json", "history.csv", "report.html"),
    *("experiments", "experiments.csv", "studies.db"),
}


@dataclass
class Killed:
    """What came of one command."""

    kills: int = 0
    lost: list[str] = field(default_factory=list)  # what another end than the undisturbed one has


def campaign(quick: bool, scratch: Path) -> list[Figure]:
    trained = scratch / "trained"
    make_project(trained, "cars")
    for words in (
        ["train", "tiny"],
        ["train", "tiny", "--run", "other", "--set", "checkpoints=2", "--set", "stages.0.epochs=2"],
    ):
        _end_well(ended(trained, words))
    found = {}
    with _kaggle(scratch, trained) as (untrained, variables):
        for name, words in {**TRAINED, **ON_KAGGLE}.items():
            if quick and name not in QUICK:
                continue
            project = trained if name in TRAINED else untrained
            found[name] = _kill(name, words, project, variables, scratch, quick)
            say(f"  {name}: {found[name].kills} kills, lost: {found[name].lost}")
    kills = sum(one.kills for one in found.values())
    each = ", ".join(f"{name} {one.kills}" for name, one in found.items())
    return [
        Figure("kills with SIGKILL", kills, "≥ 4" if quick else f"≥ {KILLS}", each),
        Figure.of_failures(
            "of them after which something was lost",
            [f"{name}: {text}" for name, one in found.items() for text in one.lost],
        ),
    ]


@contextmanager
def _kaggle(scratch: Path, trained: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """A project without images and runs, and the variables by which it finds the stand-in."""
    untrained = scratch / "untrained"
    untrained.mkdir()
    make_untrained(untrained, trained)
    (scratch / "home").mkdir()
    with StandIn(scratch / "stand-in") as kaggle:
        kaggle.add_competition(CARS, pack_cars(trained, scratch / "cars.zip"))
        kaggle.run_instead, kaggle.python = leave(kaggle, trained), Path(sys.executable)
        variables = {
            "PODIUM_KAGGLE_ENDPOINT": kaggle.url,
            "KAGGLE_API_ENVIRONMENT": "LOCALHOST",
            "KAGGLE_USERNAME": kaggle.user,
            "KAGGLE_KEY": kaggle.key,
            "HOME": str(scratch / "home"),
        }
        pushed = shutil.copytree(untrained, scratch / "pushed")
        words = ["push", "tiny", "--wait", "--poll", "0.1"]
        _end_well(ended(pushed, words, Harm(variables=variables)))
        # What it is collected by later.
        shutil.copytree(pushed / "build", untrained / "build")
        yield untrained, variables


def _kill(
    name: str,
    words: list[str],
    project: Path,
    variables: dict[str, str],
    scratch: Path,
    quick: bool,
) -> Killed:
    folder = scratch / "killed" / name.replace(" ", "-")
    once, twice = (shutil.copytree(project, folder / number) for number in ("once", "twice"))
    if name == "download again":
        for place in (once, twice, project):
            if not (place / "input").exists():
                _end_well(ended(place, ["download", "cars"], Harm(variables=variables)))
    undisturbed = ended(once, words, Harm(variables=variables))
    _end_well(undisturbed), _end_well(ended(twice, words, Harm(variables=variables)))
    if differences := _lost(name, twice, once):
        raise RuntimeError(f"{name}: two undisturbed runs differ: {differences}")

    ways: dict[tuple[str, str], FileEvent] = {}
    for _, event in undisturbed.events:
        if ".locks" not in event.name and "__pycache__" not in event.name:
            ways.setdefault((event.kind, event.name), event)
    harms: list[FileEvent | float] = [*ways.values()]
    if name in IN_CHILD:
        harms += [undisturbed.seconds * part / PARTS for part in range(1, PARTS)]
    result = Killed()

    def try_one(number: int, at: FileEvent | float) -> None:
        place = shutil.copytree(project, folder / f"killed-{number}")
        killed = _killed(place, words, at, variables)
        if killed.code == 0:
            return  # it was over before
        result.kills += killed.code == -signal.SIGKILL
        broken = list(broken_files(place, leftovers=True))
        last = ended(place, words, Harm(variables=variables))
        broken += [f"exit code {last.code}: {last.last}"] * (last.code != 0)
        result.lost += [f"{at}: {text}" for text in [*broken, *_lost(name, place, once)]]
        shutil.rmtree(place)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(try_one, range(len(harms)), harms[:: 3 if quick else 1]))
    return result


def _lost(name: str, project: Path, undisturbed: Path) -> list[str]:
    """What a project lacks, has besides, or has otherwise than the undisturbed one."""
    came, expected = _files(project), _files(undisturbed)
    if name == "tune":  # whose values are drawn: so many trials that have a score are its end
        studies = optuna.storages.RDBStorage(f"sqlite:///{project / 'weights' / 'studies.db'}")
        study = optuna.load_study(study_name=None, storage=studies)
        done = len(study.get_trials(states=[optuna.trial.TrialState.COMPLETE]))
        left = [path for path in came if ".part-" in path]
        return [f"{done} trials with a score"] * (done != TRIALS) + left
    same = sorted(path for path in expected if TIMES.isdisjoint(Path(path).parts))
    return [
        *(f"{path} only in one" for path in sorted(came.keys() ^ expected.keys())),
        *(f"{path} differs" for path in same if came.get(path, expected[path]) != expected[path]),
    ]


def _killed(
    project: Path, words: list[str], at: FileEvent | float, variables: dict[str, str]
) -> Ended:
    """The command, ended by SIGKILL at an event, or after so many seconds."""
    if isinstance(at, FileEvent):
        return ended(project, words, Harm(at, variables=variables))
    command = Command(project, words, Harm(variables=variables))

    def look() -> None:
        if time.time() > command.began + at:
            with contextlib.suppress(ProcessLookupError):  # it was faster
                os.kill(command.pid, signal.SIGKILL)

    return command.wait(look)


def _files(project: Path) -> dict[str, bytes]:
    """The files of a project but for compiled modules."""
    return {name: data for name, data in files(project).items() if "__pycache__" not in name}


def _end_well(command: Ended) -> None:
    if command.code:
        raise RuntimeError(command.said[-3000:])
