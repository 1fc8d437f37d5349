"""What a Ray cluster brings and costs, on simulated nodes of this machine; needs `podium[ray]`.

Five folds of a small network here and on two workers; the overhead of a unit; and how the time of
32 units falls with the nodes, each of which waits 5 s and hands back a fold of 70 MB that the
driver merges.

    python -m benchmarks.cluster [--quick] [--nodes 1 2 4 8] [--parts folds merging units]
"""

import argparse
import contextlib
import io
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from benchmarks.measuring import ROOT
from podium import paths
from podium.competitions.sample_drawing import draw_sample
from podium.files.atomic_write import write_json
from podium.files.payload import pack
from podium.runs.run_folder import RunFolder
from podium.system import about_this_run
from podium.training.cluster.driver import Cluster, merge_fold
from podium.training.cluster.ray_pool import RayPool
from podium.training.cluster.units import Resources, Scheduler, Unit
from podium.training.train import train

RESULTS = ROOT / "benchmarks" / "results" / "cluster.json"
STORE = 400_000_000  # bytes of a node's object store
RECIPE = """
competition = "sample"
backbone = "resnet-8"
weights = "none"
train_batchnorm = true
image_size = 32
batch_size = 16
folds = 5
views = 2
threads = {threads}
head = {{ width = 8 }}
stages = [{{ unfreeze = "all", epochs = {epochs}, learning_rate = 0.01 }}]
"""


class WaitingPool(RayPool):
    """A pool whose units wait; processes are kept, whose start is measured with the folds."""

    def __init__(self, address: str):
        super().__init__(address)
        self._unit = self._ray.remote(max_retries=0)(waiting_unit)


def waiting_unit(unit: str, attempt: int, order: dict[str, Any], mailbox: Any) -> tuple[str, Any]:
    """Wait, and hand back a fold whose weights are random numbers."""
    end = time.monotonic() + order["seconds"]
    packed = random_fold(order)
    time.sleep(max(end - time.monotonic(), 0.0))
    return "done", packed


def random_fold(order: dict[str, Any]) -> bytes:
    """A fold whose weights are so many bytes of random numbers."""
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        file["layer/0"] = np.random.default_rng().random(order["bytes"] // 8 + 1)
    return pack({**order["files"], "fold-0/best.weights.h5": weights.getvalue()})


@contextmanager
def nodes(count: int, cpus: int) -> Iterator[str]:
    """Simulated nodes of so many CPUs; their address."""
    from ray.cluster_utils import Cluster as RayCluster

    options = {"num_cpus": cpus, "object_store_memory": STORE, "include_dashboard": False}
    with contextlib.redirect_stdout(sys.stderr):
        cluster = RayCluster(initialize_head=True, head_node_args=options)
        for _ in range(count - 1):
            cluster.add_node(num_cpus=cpus, object_store_memory=STORE)
        cluster.wait_for_nodes()
    try:
        yield cluster.address
    finally:
        cluster.shutdown()


def write_recipe(threads: int, epochs: int) -> None:
    entry = paths.entries() / "small"
    entry.mkdir(parents=True, exist_ok=True)
    (entry / "recipe.toml").write_text(RECIPE.format(threads=threads, epochs=epochs))


def of_folds(epochs: int) -> dict[str, Any]:
    """Seconds of five folds: one after another here, and on two workers of one CPU."""
    found: dict[str, Any] = {}
    for place, threads in {"here, 2 threads": 2, "two nodes of 1 CPU": 1}.items():
        write_recipe(threads, epochs)
        began = time.monotonic()
        if threads == 2:  # a process of its own, as a unit has
            code = "from podium.training.train import train; train('small', run='here')"
            os.system(f'{sys.executable} -c "{code}"')
            found[place] = {"seconds": round(time.monotonic() - began, 1)}
            continue
        with nodes(2, 1) as address:
            cluster = Cluster(address)
            cluster.pool  # noqa: B018 - connects
            began = time.monotonic()
            result = train("small", run="there", cluster=cluster)
            seconds = time.monotonic() - began
            cluster.pool._ray.shutdown()
        costs = [result.folder.fold(fold).read_cost()["seconds"] for fold in range(5)]
        # Two workers share the folds: 3 and 2.
        overhead = (2 * seconds - sum(costs)) / 6
        found[place] = {"seconds": round(seconds, 1), "of folds": costs}
        found["overhead of a unit, seconds"] = round(overhead, 1)
    return found


def files_of_a_fold() -> dict[str, bytes]:
    """All files of a fold but its weights, and its run.json."""
    run = RunFolder(paths.runs() / "here")
    names = ("history.csv", "validation.csv", "test.csv", "cost.json")
    files = {f"fold-0/{name}": (run.fold(0).path / name).read_bytes() for name in names}
    return {**files, "run.json": (run.path / "run.json").read_bytes()}


def empty_run(name: str) -> RunFolder:
    """The same run without its folds."""
    folder = RunFolder(paths.runs() / name)
    folder.path.mkdir()
    for file in ("run.json", "pictures.csv"):
        shutil.copy(paths.runs() / "here" / file, folder.path / file)
    return folder


def of_merging(size: int) -> dict[str, float]:
    """Seconds in which the driver merges a fold of that size, by the clock and of the processor.

    Their sum over all folds is the least time that a cluster of any size can take.
    """
    packed = random_fold({"bytes": size, "files": files_of_a_fold()})
    clock, processor = [], []
    for number in range(9):
        folder = empty_run(f"merged-{number}")
        began, used = time.monotonic(), time.process_time()
        merge_fold(packed, folder, test=True)
        clock.append(time.monotonic() - began)
        processor.append(time.process_time() - used)
        shutil.rmtree(folder.path)
    return {
        "bytes": size,
        "seconds, median": round(float(np.median(clock)), 3),
        "seconds, most": round(max(clock), 3),
        "processor seconds, median": round(float(np.median(processor)), 3),
    }


def of_units(count: int, units: int, seconds: float, size: int) -> dict[str, Any]:
    """Seconds until so many waiting units are merged, beside the least that it could take."""
    order = {"seconds": seconds, "bytes": size, "files": files_of_a_fold()}
    merging = 0.0

    def take(folder: RunFolder, packed: bytes) -> None:
        nonlocal merging
        began = time.monotonic()
        merge_fold(packed, folder, test=True)
        merging += time.monotonic() - began

    def fail(kind: str, reason: str) -> None:
        raise RuntimeError(f"{kind}: {reason}")

    with nodes(count, 1) as address:
        pool = WaitingPool(address)
        scheduler = Scheduler(pool)
        warm = Unit("warm", Resources(), lambda: {**order, "bytes": 1}, lambda packed: None, fail)
        for number in range(count):  # a process on each node
            scheduler.add(Unit(f"warm {number}", Resources(), warm.order, warm.take, fail))
        scheduler.run()
        began = time.monotonic()
        for number in range(units):
            folder = empty_run(f"unit-{number}")
            unit = Unit(f"{number}", Resources(), lambda: order, partial(take, folder), fail)
            scheduler.add(unit)
        scheduler.run()
        took = time.monotonic() - began
        pool._ray.shutdown()
    for folder in paths.runs().glob("unit-*"):
        shutil.rmtree(folder)
    ideal = units * seconds / count
    return {
        "nodes": count,
        "seconds": round(took, 1),
        "of ideal": round(ideal / took, 3),
        "merging, seconds": round(merging, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--parts", nargs="+", default=["folds", "merging", "units"])
    parser.add_argument("--results", type=Path, default=RESULTS)
    words = parser.parse_args()
    load = os.getloadavg()
    os.environ.pop("PODIUM_INPUT", None)  # the images are drawn here
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        draw_sample(Path("input/podium-sample"), train=240, test=45, size=(48, 36))
        found: dict[str, Any] = {}
        if "folds" in words.parts:
            found["five folds"] = of_folds(2 if words.quick else 10)
            print(found, file=sys.stderr, flush=True)
        else:
            write_recipe(2, 1)
            train("small", folds=[0], run="here")
        if "merging" in words.parts:
            found["merging a fold"] = of_merging(1_000_000 if words.quick else 70_000_000)
        rows = []
        for count in words.nodes if "units" in words.parts else ():
            sizes = (4, 0.5, 1_000_000) if words.quick else (32, 5.0, 70_000_000)
            rows.append(of_units(count, *sizes))
            print(rows[-1], file=sys.stderr, flush=True)
    about = {**about_this_run(), "load": load, "quick": words.quick}
    if rows:
        found["units of 5 s and 70 MB"] = rows
    write_json(words.results, {**about, **found})


if __name__ == "__main__":
    main()
