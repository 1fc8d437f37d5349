"""Commands besides train that are killed at each way in which they change files, and called again.

Each runs twice undisturbed, which shows its changes of files, and that both end alike. Then it is
killed at one of these changes after the other, in a project of its own, or after a part of its time
where a child process does the work. The same command is let end, and its project must have the
files of the undisturbed one, byte by byte but for those with times in them, and no others.
"""

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import optuna

from kaggle_stand_in import StandIn
from robustness.figures import Figure, say
from robustness.processes import Kill, ended, two_runs
from robustness.projects import broken_files, compare

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


def campaign(quick: bool, scratch: Path) -> list[Figure]:
    trained = two_runs(scratch / "trained")
    kills, lost = {}, []
    with _kaggle(scratch, trained) as (untrained, variables):
        for name, words in {**TRAINED, **ON_KAGGLE}.items():
            if quick and name not in QUICK:
                continue
            project = trained if name in TRAINED else untrained
            kills[name], some = _strike(name, words, project, variables, scratch, quick)
            lost += some
            say(f"  {name}: {kills[name]} kills, lost: {some}")
    each = ", ".join(f"{name} {number}" for name, number in kills.items())
    return [
        Figure("kills with SIGKILL", sum(kills.values()), "≥ 4" if quick else f"≥ {KILLS}", each),
        Figure.of_failures("of them after which something was lost", lost),
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
            "KAGGLE_USERNAME": kaggle.user,
            "KAGGLE_KEY": kaggle.key,
            "HOME": str(scratch / "home"),
        }
        pushed = shutil.copytree(untrained, scratch / "pushed")
        words = ["push", "tiny", "--wait", "--poll", "0.1"]
        ended(pushed, words, variables=variables).checked()
        # What it is collected by later.
        shutil.copytree(pushed / "build", untrained / "build")
        yield untrained, variables


def _strike(
    name: str,
    words: list[str],
    project: Path,
    variables: dict[str, str],
    scratch: Path,
    quick: bool,
) -> tuple[int, list[str]]:
    """Kill a command at one of its changes after the other: how often, and what was lost."""
    folder = scratch / "killed" / name.replace(" ", "-")
    if name == "download again" and not (project / "input").exists():
        ended(project, ["download", "cars"], variables=variables).checked()
    once, twice = (shutil.copytree(project, folder / number) for number in ("once", "twice"))
    first, _ = (ended(place, words, variables=variables).checked() for place in (once, twice))
    if differences := _differences(name, twice, once):
        raise RuntimeError(f"{name}: two undisturbed runs differ: {differences}")

    events = (event for _, event in first.events if "__pycache__" not in event.name)
    kills = [Kill(event) for event in dict.fromkeys(events) if ".locks" not in event.name]
    if name in IN_CHILD:
        kills += [Kill(None, delay=first.seconds * part / PARTS) for part in range(1, PARTS)]

    def lost_by(kill: Kill) -> list[str] | None:
        place = shutil.copytree(project, folder / f"killed-{kills.index(kill)}")
        killed = ended(place, words, kill, variables=variables)
        if killed.code == 0:
            return None  # it was over before
        broken = list(broken_files(place, leftovers=True))
        last = ended(place, words, variables=variables)
        for one, code in ((killed, -signal.SIGKILL), (last, 0)):
            broken += [f"exit code {one.code}: {one.last}"] * (one.code != code)
        broken += [*broken_files(place), *_differences(name, place, once)]
        shutil.rmtree(place)
        return [f"{kill}: {text}" for text in broken]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        struck = [*pool.map(lost_by, kills[:: 3 if quick else 1])]
    lost = [some for some in struck if some is not None]
    return len(lost), [f"{name}: {text}" for some in lost for text in some]


def _differences(name: str, project: Path, undisturbed: Path) -> list[str]:
    """What a project has otherwise than the undisturbed one."""
    if name == "tune":  # whose values are drawn: so many trials that have a score are its end
        studies = optuna.storages.RDBStorage(f"sqlite:///{project / 'weights' / 'studies.db'}")
        study = optuna.load_study(study_name=None, storage=studies)
        done = len(study.get_trials(states=[optuna.trial.TrialState.COMPLETE]))
        return [f"{done} trials with a score"] * (done != TRIALS)
    only_in_one, others = compare(project, undisturbed)
    return [f"{path} only in one" for path in only_in_one] + [f"{path} differs" for path in others]
