"""The driver's side: the folds and predictions of runs go out as units, and come back into them.

A fold that comes back is merged as a kernel's output is. The state of one that is under way is
kept in its own place in the run, so that a retry, and the same command tomorrow with or without a
cluster, goes on from there.
"""

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd

from podium import paths
from podium.files.atomic_write import atomic_folder
from podium.files.payload import unpack
from podium.predictions.tta import VIEWS
from podium.recipes.recipe import Recipe
from podium.runs.find_run import find_run
from podium.runs.fold_folder import read_predictions
from podium.runs.merge import copy_files, copy_whole, merge_run
from podium.runs.run import Run
from podium.runs.run_folder import RunFolder
from podium.training.cluster.shipping import (
    OF_RUN,
    pack_fold,
    pack_input,
    pack_run,
    pack_whole_runs,
    sample_of_images,
    versions,
)
from podium.training.cluster.units import Order, Pool, Resources, Scheduler, Unit

FEWEST = 500  # test images of a part: a worker takes ten seconds to begin with one
SPARE = 1.1  # of the peak memory of a fold, for the next one

Failures = dict[int, tuple[str, str]]  # by fold the kind and the reason


class FoldsFailed(ValueError):
    """Folds that ended with a user's mistake, or that no retry helped; the others are finished."""


@dataclass
class Cluster:
    """A cluster to train and predict on; it is connected to when the first unit is added.

    Args:
        address: as `RayPool` takes it.
        ship_input: send the data along, to nodes that have none.
        gpus_per_fold: of one node, where the cluster has GPUs.
    """

    address: str = "auto"
    ship_input: bool = False
    gpus_per_fold: int = 1
    _shipped: dict[Path, Any] = field(default_factory=dict)

    @cached_property
    def pool(self) -> Pool:
        """The connection to the cluster; raises NoCluster where there is none."""
        from podium.training.cluster.ray_pool import RayPool

        return RayPool(self.address)

    @cached_property
    def scheduler(self) -> Scheduler:
        return Scheduler(self.pool)

    # --- Training

    def train(self, run: Run, folds: list[int], end: float | None, test: bool) -> None:
        """Train, score and, for a `test`, predict these folds, each on a worker.

        Args:
            end: `time.monotonic()` at which all of them must be there.

        Raises:
            FoldsFailed: some failed; the others are merged.
        """
        failures: Failures = {}
        self.add_folds(run, folds, end, test, failures.update)
        self._run_to_end(failures, "What is finished stays, the same command does the rest")

    def add_folds(
        self,
        run: Run,
        folds: list[int],
        end: float | None,
        test: bool,
        then: Callable[[Failures], None],
    ) -> None:
        """Have folds trained; `then` is called with those that failed, when all have ended."""
        left, failures, folder = set(folds), Failures(), run.folder
        resources = self._resources(run.recipe, folder)
        waves = -(-len(folds) // self.pool.slots(resources))  # of folds one after another
        order = {
            **self._order(run, "train"),
            "needed": self.pool.put(pack_whole_runs(map(find_run, run.recipe.needed_runs))),
            "sample": sample_of_images(run),
            "test": test,
            "end": None if end is None else time.time() + end - time.monotonic(),
            "waves": waves,
        }
        print(f"{folder.name}: {len(folds)} folds to the cluster, {resources}", flush=True)

        def ended(fold: int) -> None:
            left.discard(fold)
            shutil.rmtree(_states(folder, fold), ignore_errors=True)
            if not left:
                then(failures)

        def take(fold: int, packed: bytes) -> None:
            merge_fold(packed, folder, test)
            ended(fold)

        def fail(fold: int, kind: str, reason: str) -> None:
            failures[fold] = kind, reason
            ended(fold)

        for fold in folds:
            unit = Unit(
                f"fold {fold} of {folder.name}",
                resources,
                partial(self._fold_order, order, folder, fold),
                partial(take, fold),
                partial(fail, fold),
                partial(_keep_state, folder, fold),
            )
            self.scheduler.add(unit)

    def _fold_order(self, order: Order, folder: RunFolder, fold: int) -> Order:
        """The order for a fold as it is now: the state that it goes on from is newest."""
        states = _states(folder, fold)
        for state in sorted(states.glob("*/*.zip"), key=lambda path: path.name)[-1:]:
            _keep_state(folder, fold, state.read_bytes())
        shutil.rmtree(states, ignore_errors=True)
        place = states / uuid.uuid4().hex
        place.mkdir(parents=True)
        state = self.pool.put(pack_fold(folder, fold))  # of one that begins it is empty
        inside = place.relative_to(paths.runs()).as_posix()
        return {**order, "fold": fold, "state": state, "states": inside}

    # --- Prediction

    def predict(self, run: Run, folds: list[int], views: int) -> None:
        """Predict the test images by each of these folds, in parts.

        Raises:
            FoldsFailed: some failed; the others have predicted.
        """
        failures, cuts = Failures(), self._cuts(run, len(folds))
        parts = {fold: dict.fromkeys(cuts, b"") for fold in folds}
        resources = self._resources(run.recipe)
        order = {**self._order(run, "predict"), "views": views}

        def take(fold: int, part: tuple[int, int], packed: bytes) -> None:
            parts[fold][part] = packed
            if all(parts[fold].values()):
                _write_parts(run.folder, fold, views, [*parts[fold].values()])

        def fail(fold: int, *failure: str) -> None:
            failures[fold] = failure

        for fold in folds:
            state = self.pool.put(pack_fold(run.folder, fold))
            for part in cuts:
                unit = Unit(
                    f"fold {fold} of {run.name}, images {part[0]} to {part[1]}",
                    resources,
                    partial(dict, order, fold=fold, state=state, part=part),
                    partial(take, fold, part),
                    partial(fail, fold),
                )
                self.scheduler.add(unit)
        print(f"{run.name}: {cuts[-1][1]} test images to the cluster, {resources}", flush=True)
        self._run_to_end(failures, "The same command predicts again")

    def _cuts(self, run: Run, folds: int) -> list[tuple[int, int]]:
        """Parts of the test images, by position: whole batches, as one machine has them."""
        count, size = len(run.table.readable_test), run.recipe.batch_size
        parts = min(-(-self.slots(run.recipe) // folds), max(count // FEWEST, 1))
        each = -(-count // parts // size) * size or size
        return [(first, min(first + each, count)) for first in range(0, max(count, 1), each)]

    # --- What both need

    def _run_to_end(self, failures: Failures, remedy: str) -> None:
        self.scheduler.run()
        if failures:
            told = "; ".join(f"fold {fold}: {why}" for fold, (_, why) in sorted(failures.items()))
            raise FoldsFailed(f"{told}. {remedy}")

    def _order(self, run: Run, work: str) -> Order:
        folder, data = run.folder, run.competition.folder()
        if self.ship_input and data not in self._shipped:
            self._shipped[data] = self.pool.put(pack_input(data))
        places = {"PODIUM_INPUT": str(data.parent.resolve())}
        if here := next((place for place in paths.pretrained() if place.is_dir()), None):
            places["PODIUM_PRETRAINED"] = str(here.resolve())
        return {
            "work": work,
            "run": folder.name,
            "files": self.pool.put(pack_run(folder)),
            "input": self._shipped.get(data),
            "places": places,  # for a node whose own environment says nothing
            "versions": versions(),
            "commit": folder.read_run().get("commit") or "",
        }

    def slots(self, recipe: Recipe) -> int:
        """How many folds of such a recipe run at once."""
        return self.pool.slots(self._resources(recipe))

    def _resources(self, recipe: Recipe, folder: RunFolder | None = None) -> Resources:
        """A GPU or the recipe's threads, and the memory that folds of the run have taken."""
        scored = folder.scored_folds() if folder else []
        peaks = [folder.fold(fold).read_cost().get("peak_memory_gb") or 0 for fold in scored]
        memory = int(SPARE * max(peaks, default=0) * 1e9)
        if self.pool.has_gpus:
            return Resources(0, self.gpus_per_fold, memory)
        return Resources(min(recipe.threads, self.pool.largest_node), 0, memory)


def cluster_at(
    address: str | None, ship_input: bool = False, gpus_per_fold: int = 1
) -> Cluster | None:
    """The cluster that a command names, or None where it names none."""
    return Cluster(address, ship_input, gpus_per_fold) if address else None


def _states(folder: RunFolder, fold: int) -> Path:
    """Where workers leave states of a fold that see this folder of runs; a folder an attempt."""
    return paths.runs() / ".states" / folder.name / f"fold-{fold}"


@contextmanager
def _unpacked(packed: bytes, folder: RunFolder) -> Iterator[RunFolder]:
    """What came back of a run, in a folder that is cleared as any that a kill leaves."""
    with tempfile.TemporaryDirectory(prefix=f".part-{os.getpid()}-", dir=folder.path) as place:
        part = RunFolder(Path(place) / folder.name)
        unpack(packed, part.path)
        yield part


def _keep_state(folder: RunFolder, fold: int, packed: bytes) -> None:
    """Put a fold that is under way where any training goes on from, whole or not at all."""
    target = folder.fold(fold).path
    with _unpacked(packed, folder) as part, atomic_folder(target, replace=True) as place:
        copy_files(part.fold(fold).path, place)


def merge_fold(packed: bytes, folder: RunFolder, test: bool) -> None:
    """Take a fold over into its run, with the table that it was made from."""
    with _unpacked(packed, folder) as part, folder.sharing():
        for name in OF_RUN[1:]:
            if (folder.path / name).is_file():
                copy_whole(folder.path / name, part.path / name)
        merge_run(part, folder, fresh=True, tested=test)


def _write_parts(folder: RunFolder, fold: int, views: int, packed: list[bytes]) -> None:
    """Join the parts of a fold's test predictions in the order that one machine gives them."""
    tables = []
    for each in packed:
        with _unpacked(each, folder) as part:
            probabilities, boxes = read_predictions(part.path / "test.csv", ["id", "view"])
            tables.append(probabilities if boxes is None else probabilities.join(boxes))
    names = [view.name for view in VIEWS[:views]]
    by_view = [table.xs(name, level="view", drop_level=False) for name in names for table in tables]
    folder.fold(fold).write_predictions("test", pd.concat(by_view))
