"""What a built kernel does before its command: it takes up a run, joins others, minds the time."""

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from podium import paths
from podium.files.atomic_write import atomic_folder
from podium.runs.find_run import attached_runs, find_run
from podium.runs.merge import copy_files, merge_run
from podium.runs.run_folder import RunFolder
from podium.system import TRAINING_MINUTES, about_this_run

BEGAN = time.monotonic()  # as a kernel imports this first
SHARE = 0.9  # of a competition's hours: the rest is for the machine's start, and to be sure
FILE = Path(__file__).with_name("kernel_start.json")  # in a kernel only


class KernelStart(BaseModel):
    """What the build of a kernel tells its start."""

    model_config = ConfigDict(frozen=True)

    run: str
    reads: list[str]  # other runs, of which several kernels may have left parts
    goes_on_from: str | None = None  # the hash of the sources of the version that left the run
    hours: float  # after which the kernel ends, though its run may be unfinished
    minutes: float | None  # that the training is scaled to fit; None: it is to be resumed
    predicts: bool = False  # the run is trained, and `hours` are the limit of the competition


def begin() -> None:
    """Do what the build asked for.

    Raises:
        RunError: a run that is to be attached is not, or its parts do not fit together.
    """
    start = KernelStart.model_validate_json(FILE.read_text(encoding="utf-8"))
    os.environ[TRAINING_MINUTES] = str(start.minutes)
    for run in start.reads:
        join_parts(run)
    if start.predicts:
        from podium.training.predict_in_time import predict_in_time

        hours = SHARE * start.hours
        print(f"{start.hours:g} hours are the limit: to be ready after {hours:.2g}", flush=True)
        print(f"submission  {predict_in_time(start.run, BEGAN + 3600 * hours)}")
        return
    end_after(start.hours)
    if start.goes_on_from is not None:
        take_up(start.run, start.goes_on_from)


def end_after(hours: float) -> None:
    """End the process then as if it were done: Kaggle keeps the output of a kernel that is."""

    def end() -> None:
        print(
            f"{hours:g} hours are over: the kernel ends here, before Kaggle ends it. The same "
            "`podium push` with --resume goes on",
            flush=True,
        )
        sys.stderr.flush()
        os._exit(0)  # training states are whole at any moment, and nothing is to be finished

    timer = threading.Timer(3600 * hours, end)
    timer.daemon = True
    timer.start()


def join_parts(run: str) -> None:
    """Join the parts of a run that several kernels left, so that `find_run` finds one run."""
    parts = attached_runs(run)
    if len(parts) > 1:
        for part in parts:
            merge_run(part, RunFolder(paths.joined_runs() / run))


def take_up(run: str, sources: str) -> None:
    """Copy the run that this kernel's last version left, for the command to go on with.

    Args:
        sources: what that version was made from.

    Raises:
        RunError: it is not attached.
    """
    left, into = find_run(run), RunFolder(paths.runs() / run)
    with atomic_folder(into.path) as folder:  # else a kill could leave half a state
        copy_files(left.path, folder)
    about, now = into.read_run(), about_this_run()
    if about.get("sources") != sources:
        print("this is the run of an earlier version than the last: Kaggle attached that one")
    before = {key: about[key] for key in now if key in about}
    into.write_run({**about, **now, "earlier": [*about.get("earlier", []), before]})
    print(f"going on with run {run}: {'; '.join(_progress(into)) or 'no epoch is trained yet'}")


def _progress(run: RunFolder) -> list[str]:
    finished = run.finished_folds()
    words = [f"fold {', '.join(map(str, finished))} finished"] if finished else []
    for number in run.read_recipe().fold_numbers:
        progress: dict[str, Any] | None = run.fold(number).read_progress()
        if progress and number not in finished:
            words.append(f"fold {number} after {len(progress['history'])} epochs")
    return words
