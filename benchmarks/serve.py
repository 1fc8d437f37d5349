"""`podium serve` under load: one image at a time, and 16 clients against batched prediction."""

import http.client
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from statistics import median

import benchmarks.quiet  # noqa: F401

# isort: split
import numpy as np
import pandas as pd

from benchmarks.drawing import draw
from benchmarks.measuring import Row, in_turns, main, say, seconds
from benchmarks.small_runs import make_network, make_recipe
from podium.competitions.sample_drawing import VEHICLES
from podium.data.batches import ImageCache
from podium.models.backend import engine
from podium.models.network import Network
from podium.predictions.ood import fit_mahalanobis
from podium.predictions.predict import predict_views
from podium.predictions.tta import VIEWS
from podium.recipes.recipe import CACHED_DETAIL, Recipe
from podium.runs.run_folder import RunFolder

CLIENTS = 16
BATCH = 32
MEDIAN = 150.0  # milliseconds that one image may take
SERVE = "from podium.cli import main; main()"
WITHOUT_ENGINE = f"import sys; sys.modules['openvino'] = None; {SERVE}"
HEAD = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a.jpg"\r\n\r\n'
TAIL = b"\r\n--x--\r\n"
KIND = {"Content-Type": "multipart/form-data; boundary=x"}


def measure(quick: bool, scratch: Path) -> list[Row]:
    backbone, size = ("resnet-8", 16) if quick else ("efficientnet-b0", 224)
    count, turns = (16, 2) if quick else (192, 7)
    recipe = make_recipe(backbone, size, BATCH, {"epochs": 1})
    network = make_network(recipe)
    folder = write_run(scratch / "run", recipe, network)
    paths = draw(scratch / "images", count, (64, 48) if quick else (500, 375))
    bodies = [HEAD + path.read_bytes() + TAIL for path in paths]
    side = round(size * CACHED_DETAIL)
    kept, read = (ImageCache(paths, side, memory_share=share) for share in (0.5, 0.0))
    indices, ids = np.arange(count), pd.Index([path.stem for path in paths])
    classes = [f"class {number}" for number in range(len(VEHICLES))]

    def predict(cache: ImageCache) -> float:
        words = cache, indices, ids, classes, VIEWS[:1], size, BATCH
        return count / seconds(lambda: predict_views(network.model, *words))

    with serving(folder) as place, serving(folder, WITHOUT_ENGINE) as by_keras:
        say("one at a time")
        alone = in_turns(
            {
                "served": lambda: one_by_one(place, bodies[: count // 4]),
                "by Keras": lambda: one_by_one(by_keras, bodies[: count // 4]),
            },
            turns,
        )
        say(f"{CLIENTS} clients")
        measured = in_turns(
            {
                "served": lambda: together(place, bodies),
                "by Keras": lambda: together(by_keras, bodies),
                "read": lambda: predict(read),
                "kept": lambda: predict(kept),
            },
            turns,
        )
    kind = f"{backbone} at {size} px"
    rows = [
        Row(
            f"median time of one image over HTTP, {kind}",
            f"{MEDIAN:g} ms",
            "ms",
            alone["served"],
            [MEDIAN] * turns,
            to_reach="≤ 1",
            note="one client, which waits for each answer; class, heat map, OOD score and all",
        )
    ]
    if engine():
        what, against = rows[0].what, "the same without OpenVINO"
        times = alone["served"], alone["by Keras"]
        rows.append(Row(what, against, "ms", *times, to_reach="≤ 0.65", note=rows[0].note))
        what = f"images a second for {CLIENTS} clients, {kind}"
        rates = measured["served"], measured["by Keras"]
        rows.append(Row(what, against, "/s", *rates, to_reach="≥ 2"))
    for name, against in (
        ("read", "batched predict of the same files"),
        ("kept", "batched predict of images in memory"),
    ):
        what = f"images a second for {CLIENTS} clients, {kind}"
        row = Row(what, against, "/s", measured["served"], measured[name], to_reach="≥ 0.8")
        row.note = "the clients share the machine's cores with the server"
        rows.append(row)
    return rows


def write_run(path: Path, recipe: Recipe, network: Network) -> RunFolder:
    """A run that can be served, as if it had been trained: its answers mean nothing."""
    folder = RunFolder(path)
    folder.begin(recipe, {}, fresh=True)
    table = pd.DataFrame({"part": ["train"], "label": 0, "group": 0, "fold": 0, "problem": ""})
    folder.write_images(table.rename_axis("id"))
    place = folder.fold(0)
    place.path.mkdir()
    place.write_weights(network.model, stage=0)
    place.write_cost({"seconds": 0})
    random = np.random.default_rng(0)
    features = random.random((600, network.features.output.shape[-1]))
    distance = fit_mahalanobis(features, np.arange(600) % len(VEHICLES))
    place.write_ood({"known": distance(features[:300]), **asdict(distance)})
    return folder


@contextmanager
def serving(folder: RunFolder, code: str = SERVE) -> Iterator[str]:
    """The host and port of a server in a process of its own."""
    words = ["serve", str(folder.path), "--port", "0", "--examples", "0"]
    words = [sys.executable, "-c", code, *words]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        try:
            places = (re.search(r"is at http://([^/]+)/", line) for line in process.stdout)
            yield next(found[1] for found in places if found)
        finally:
            process.terminate()


def one_by_one(place: str, bodies: list[bytes]) -> float:
    """The median time of an answer in milliseconds, each asked for after the one before."""
    client = http.client.HTTPConnection(place)
    return 1000 * median(seconds(lambda body=body: ask(client, body)) for body in bodies)


def together(place: str, bodies: list[bytes]) -> float:
    """Answers a second for `CLIENTS` that ask one after the other, until all have been answered."""
    left, lock = iter(bodies), threading.Lock()

    def work(_: int) -> None:
        client = http.client.HTTPConnection(place)
        while True:
            with lock:
                body = next(left, None)
            if body is None:
                return
            ask(client, body)

    with ThreadPoolExecutor(CLIENTS) as threads:
        took = seconds(lambda: list(threads.map(work, range(CLIENTS))))
    return len(bodies) / took


def ask(client: http.client.HTTPConnection, body: bytes) -> None:
    client.request("POST", "/api/classify", body, KIND)
    response = client.getresponse()
    said = response.read()
    if response.status != 200:
        raise RuntimeError(f"{response.status}: {said[:300]!r}")


if __name__ == "__main__":
    main(measure)
