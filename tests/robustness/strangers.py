"""Files from strangers: weights and arrays with code, paths or links in them.

Each is offered at every door that takes such a file, and must be refused in one line that names it,
with no payload run and nothing written elsewhere. Archives are in tests/files/test_archives.py, run
folders that are links in tests/runs/test_merge.py; the secrets that are planted in entries, in
planted_secrets.py.
"""

import io
import json
import marshal
import pickle
import shutil
import zipfile
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import chdir
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from podium.recipes.recipe_file import parse_recipe
from podium.runs.fold_folder import FoldFolder, load_weights
from robustness.figures import Figure
from robustness.planted_secrets import secret_figures

Make = Callable[[Path], object]  # writes a file there
Attempt = tuple[str, str, Callable[[], object]]  # what it is, the file's name, what reads it
ARRAYS = ("progress.npy", "weights.npy", "array_0.npy")  # of a run's state
H5 = (".h5", ".weights.h5")
ANYWHERE = (".keras", ".pkl", ".joblib", ".npz", ".npy", ".pt", ".hdf5", *H5)


def campaign(quick: bool, scratch: Path) -> list[Figure]:
    outside = scratch / "outside"  # what is there must stay as it is
    outside.mkdir()
    canary, secret = outside / "ran", outside / "secret"
    with h5py.File(secret, "w") as file:
        file["kernel"] = np.frombuffer(b"keys", np.uint8)
    before = secret.read_bytes()
    tried, trouble, escaped = Counter[str](), [], []
    with chdir(scratch):
        for kind, attempts in {
            "weights": offered_weights(scratch, canary, secret),
            "arrays": offered_arrays(scratch, canary),
        }.items():
            for what, name, attempt in attempts:
                tried[kind] += 1
                if problem := not_refused(attempt, name):
                    trouble.append(f"{what}: {problem}")
                if {path: path.read_bytes() for path in outside.iterdir()} != {secret: before}:
                    escaped.append(what)
                    canary.unlink(missing_ok=True)
    return [
        *secret_figures(quick),
        Figure("hostile files and names tried", tried.total(), "≥ 100", note=str(dict(tried))),
        Figure.of_failures("taken, or refused without a clear line", trouble),
        Figure.of_failures("payloads that ran, or wrote elsewhere", escaped),
    ]


def not_refused(attempt: Callable[[], object], named: str) -> str:
    """What it did other than to refuse in a line with this name; "" if nothing."""
    try:
        attempt()
    except (ValueError, OSError) as error:
        said = str(error)
        is_clear = "\n" not in said and named in said and len(said) >= len(named) + 20
        return "" if is_clear else f"says {said!r}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "was taken"


def offered_weights(scratch: Path, canary: Path, secret: Path) -> Iterator[Attempt]:
    """Given in a recipe, or lying in a run folder as best weights or as a checkpoint."""
    from podium.training.preflight import check_recipe

    fold = FoldFolder(scratch / "run" / "fold-0")
    checkpoint = fold.checkpoint(1)
    checkpoint.parent.mkdir(parents=True)
    for what, ending, make in hostile_weights(canary, secret):
        path = scratch / f"stranger{ending}"
        make(path)
        data = {"competition": "cars", "backbone": "resnet-small", "weights": str(path)}
        yield f"recipe: {what}", path.name, partial(check_recipe, parse_recipe(data, "here"))
        if ending == ".weights.h5":  # what is refused there for its name alone is none here
            shutil.copy(path, fold.weights)
            shutil.copy(path, checkpoint)
            yield f"run: {what}", fold.weights.name, partial(fold.read_weights, None)
            yield f"checkpoint: {what}", checkpoint.name, partial(load_weights, None, checkpoint)
        path.unlink()


def offered_arrays(scratch: Path, canary: Path) -> Iterator[Attempt]:
    """In the place of a run's state and of what its OOD detector has learned."""
    fold = FoldFolder(scratch / "arrays" / "fold-0")
    fold.path.mkdir(parents=True)
    fold.weights.write_bytes(b"weights")
    payload = np.array([Payload(canary)], dtype=object)
    lying, half = io.BytesIO(), io.BytesIO()
    about = {"descr": "<f8", "fortran_order": False, "shape": (10**13,)}
    np.lib.format.write_array_header_1_0(lying, about)  # with no terabytes behind it
    np.savez(half, progress=np.zeros(1000))
    for what, make in {
        "an array of objects": partial(np.savez, progress=payload, array_0=payload),
        "a pickle": lambda path: path.write_bytes(pickle.dumps(Payload(canary))),
        "a shape that lies": partial(_zip, files=dict.fromkeys(ARRAYS, lying.getvalue())),
        "half a file": lambda path: path.write_bytes(half.getvalue()[:4000]),
    }.items():
        for name, read in (
            ("state.npz", fold.read_progress),
            ("state.npz", fold.read_arrays),
            ("unlikeness.npz", fold.read_ood),
        ):
            make(fold.path / name)
            yield f"{name}: {what}", name, read


class Payload:
    """Leaves a file when it is unpickled."""

    def __init__(self, canary: Path):
        self.canary = canary

    def __reduce__(self):
        return (open, (str(self.canary), "w"))


def hostile_weights(canary: Path, secret: Path) -> Iterator[tuple[str, str, Make]]:
    """Files that are named as weights: what each is, its ending, and how it is made.

    Args:
        canary: what a payload writes when it runs.
        secret: a file elsewhere on this machine that links point to.
    """
    pickled = pickle.dumps(Payload(canary))
    shards = json.dumps({"weight_map": {"/": [f"../../{secret.name}"]}, "metadata": {}})
    code = marshal.dumps(compile(f"open({str(canary)!r}, 'w')", "x", "exec"))
    function = {"class_name": "__lambda__", "config": {"code": b64encode(code).decode()}}
    layer = {"class_name": "Lambda", "config": {"name": "evil", "function": function}}
    model = {"class_name": "Sequential", "config": {"name": "m", "layers": [layer]}}
    keras = {"config.json": json.dumps(model).encode(), "metadata.json": b"{}"}
    torch = {"archive/data.pkl": pickled, "archive/version": b"3\n"}
    for what, make in {
        "a .keras model with a Lambda layer": partial(_zip, files=keras),
        "a pickle": lambda path: path.write_bytes(pickled),
        "a PyTorch archive": partial(_zip, files=torch),
        "a list of shards elsewhere": lambda path: path.write_text(shards),
    }.items():
        yield from ((f"{what}, as {ending}", ending, make) for ending in ANYWHERE)
    elsewhere = h5py.ExternalLink(str(secret), "/kernel")
    whole = [(str(secret), 0, h5py.h5f.UNLIMITED)]
    layout = h5py.VirtualLayout((4,), np.uint8)
    layout[:] = h5py.VirtualSource(str(secret), "kernel", (4,))
    external = {"shape": (4,), "dtype": np.uint8, "external": whole, "maxshape": (None,)}
    for name in ("kernel", "layers/dense/vars/0", "model_weights/a"):
        for what, plant in {
            "an external link": lambda f, n: f.__setitem__(n, elsewhere),
            "a soft link": lambda f, n: f.__setitem__(n, h5py.SoftLink("/honest")),
            "a soft link to itself": lambda f, n: f.__setitem__(n, h5py.SoftLink(f"/{n}")),
            "values in another file": lambda f, n: f.create_dataset(n, **external),
            "a virtual array": lambda f, n: f.create_virtual_dataset(n, layout),
        }.items():
            make = partial(_hdf5, plant=plant, name=name)
            yield from ((f"{what} at {name}, as {ending}", ending, make) for ending in H5)


def _hdf5(path: Path, plant: Callable[[h5py.File, str], object], name: str) -> None:
    with h5py.File(path, "w") as file:
        file["honest"] = np.zeros(3, np.float32)
        plant(file, name)


def _zip(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
