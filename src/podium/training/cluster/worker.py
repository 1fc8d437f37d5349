"""What a worker does: it trains a fold, or predicts a part, in a folder of its own.

Nothing here knows of Ray. A worker is told all it needs in an order, and tells of its progress by a
function that it is given.
"""

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd

from podium.files.atomic_write import atomic_write
from podium.files.payload import pack, unpack
from podium.runs.run_folder import RunFolder
from podium.system import MORE_MEMORY, about_this_run, is_out_of_memory
from podium.text import duration
from podium.training.cluster.shipping import (
    open_to_predict_part,
    open_to_train,
    other_versions,
    pack_fold,
)
from podium.training.cluster.units import Order

LOOKING = 1.0  # seconds between two looks at how far the training is
STATE_EVERY = 180.0  # seconds between two states of a fold that come to the driver
Send = Callable[[str, Any], None]  # of an event's kind and data


def work(order: Order, send: Send) -> tuple[str, Any]:
    """Do what an order says; the kind and the data of the event that the unit ends with."""
    if told := other_versions(order["versions"]):
        return "refused", told
    try:
        shared = _shared_states(order)
        with _project(order) as folder:
            if order["work"] == "predict":
                return "done", _predict(folder, order)
            return "done", _train(folder, order, _Reporter(folder, order, send, shared))
    except Exception as error:
        if is_out_of_memory(error):
            return "lost", MORE_MEMORY
        if not isinstance(error, ValueError | OSError):
            raise
        # The class itself would import TensorFlow into the driver.
        is_diverged = type(error).__name__ == "TrainingDiverged"
        return "diverged" if is_diverged else "failed", str(error) or type(error).__name__


def _train(folder: RunFolder, order: Order, reporter: "_Reporter") -> bytes:
    """Train a fold as `podium train` does, and pack its folder."""
    from podium.training.train import train_opened

    fold, run = order["fold"], open_to_train(folder, order["sample"], order["test"])
    end = None
    if order["end"] is not None:  # of which this fold has its share
        end = time.monotonic() + (order["end"] - time.time()) / order["waves"]
    about = {**folder.read_run(), "parts": [], **about_this_run(), "processor": _processor()}
    with reporter:
        train_opened(run, [fold], end, order["test"])
    from podium.models.backend import engine

    folder.write_run({**about, "engine": engine() or about["backend"]})
    return pack_fold(folder, fold, "run.json")


def _predict(folder: RunFolder, order: Order) -> bytes:
    """Predict a part of the test images by a fold, and pack what comes of it."""
    from podium.training.train import start_runner

    fold, (first, end) = order["fold"], order["part"]
    runner = start_runner(open_to_predict_part(folder, first, end))
    runner.predict_test(fold, order["views"])
    return pack({"test.csv": (folder.fold(fold).path / "test.csv").read_bytes()})


@contextmanager
def _project(order: Order) -> Iterator[RunFolder]:
    """A folder of its own with what was shipped of the run; it is gone afterwards.

    The environment stays as it is made here: the process ends with its unit.
    """
    for name, path in order["places"].items():
        if Path(path).is_dir():
            os.environ.setdefault(name, path)
    with tempfile.TemporaryDirectory(prefix="podium-unit-") as place:
        runs, data = Path(place) / "weights", Path(place) / "input"
        folder = RunFolder(runs / order["run"])
        for part, target in (("files", folder.path), ("state", folder.path), ("needed", runs)):
            if part in order:
                unpack(order[part], target)
        if order["input"]:
            unpack(order["input"], data)
            os.environ["PODIUM_INPUT"] = str(data)
        os.environ.update(PODIUM_RUNS=str(runs), PODIUM_COMMIT=order["commit"])
        with chdir(place):
            yield folder


class _Reporter(threading.Thread):
    """Tells of each epoch and, every few minutes, the state, while it is entered."""

    def __init__(self, folder: RunFolder, order: Order, send: Send, shared: Path | None):
        super().__init__(daemon=True)
        self.folder, self.order, self.send, self.shared = folder, order, send, shared
        self.place = folder.fold(order["fold"])
        self.stages = folder.read_recipe().stages
        self.told = len(self._rows())  # of a training that goes on
        self.sent, self.state = time.monotonic(), self._state_time()
        self.ended = threading.Event()

    def __enter__(self) -> None:
        self.start()

    def __exit__(self, *error: object) -> None:
        self.ended.set()
        self.join()
        self.tell_epochs()

    def run(self) -> None:
        while not self.ended.wait(LOOKING):
            self.look()

    def look(self) -> None:
        self.tell_epochs()
        state = self._state_time()
        due = time.monotonic() - self.sent >= STATE_EVERY
        if due and state and state != self.state:
            self.sent, self.state = time.monotonic(), state
            packed = pack_fold(self.folder, self.order["fold"])
            if self.shared is None:
                self.send("state", packed)
            else:
                with atomic_write(self.shared / f"{time.time_ns()}.zip") as part:
                    part.write_bytes(packed)

    def tell_epochs(self) -> None:
        rows = self._rows()
        for _, row in rows.iloc[self.told :].iterrows():
            stage = int(row["stage"])
            line = f"stage {stage + 1}, epoch {int(row['epoch']) + 1} of "
            line += f"{self.stages[stage].epochs}: loss {row['loss']:.4f}, "
            line += f"validation {row['val_loss']:.4f}, {duration(row['seconds'])}"
            self.send("epoch", line)
        self.told = len(rows)

    def _rows(self) -> pd.DataFrame:
        there = (self.place.path / "history.csv").is_file()
        return self.place.read_history() if there else pd.DataFrame()

    def _state_time(self) -> float:
        with suppress(FileNotFoundError):
            return (self.place.path / "state.npz").stat().st_mtime
        return 0.0


def _shared_states(order: Order) -> Path | None:
    """The folder for the fold's states, if this node has the driver's folder of runs."""
    runs, inside = os.environ.get("PODIUM_RUNS"), order.get("states")
    folder = Path(runs) / inside if runs and inside else None
    return folder if folder and folder.is_dir() else None


def _processor() -> str:
    """The name of the processor: another one may give other last bits."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next((one.split(":")[1].strip() for one in lines if "model name" in one), "")
    return ""
