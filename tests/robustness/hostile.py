"""Files as a stranger would make them: weights and arrays with code or paths in them."""

import io
import json
import marshal
import pickle
import zipfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import h5py
import numpy as np

Make = Callable[[Path], object]  # writes a file there
ARRAYS = ("progress.npy", "weights.npy", "array_0.npy")  # of a run's state
H5 = (".h5", ".weights.h5")


class Payload:
    """Leaves a file when it is unpickled."""

    def __init__(self, canary: Path):
        self.canary = canary

    def __reduce__(self):
        return (open, (str(self.canary), "w"))


def weights(canary: Path, secret: Path) -> Iterator[tuple[str, str, Make]]:
    """Files that are named as weights: what each is, its ending, and how it is made.

    Args:
        canary: what a payload writes when it runs.
        secret: a file elsewhere on this machine that links point to.
    """
    pickled = pickle.dumps(Payload(canary))
    shards = json.dumps({"weight_map": {"/": [f"../../{secret.name}"]}, "metadata": {}})
    keras = {"config.json": _lambda_model(canary), "metadata.json": b"{}"}
    torch = {"archive/data.pkl": pickled, "archive/version": b"3\n"}
    anywhere = (".keras", ".pkl", ".joblib", ".npz", ".npy", ".pt", ".hdf5", *H5)
    for what, make in {
        "a .keras model with a Lambda layer": partial(_zip, files=keras),
        "a pickle": lambda path: path.write_bytes(pickled),
        "a PyTorch archive": partial(_zip, files=torch),
        "a list of shards elsewhere": lambda path: path.write_text(shards),
    }.items():
        yield from ((f"{what}, as {ending}", ending, make) for ending in anywhere)
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


def arrays(canary: Path) -> Iterator[tuple[str, Make]]:
    """Files in the place of arrays that Podium has saved."""
    payload = np.array([Payload(canary)], dtype=object)
    lying = io.BytesIO()  # the header of an array of terabytes, with nothing behind it
    about = {"descr": "<f8", "fortran_order": False, "shape": (10**13,)}
    np.lib.format.write_array_header_1_0(lying, about)
    half = io.BytesIO()
    np.savez(half, progress=np.zeros(1000))
    yield "an array of objects", lambda path: np.savez(path, progress=payload, array_0=payload)
    yield "a pickle", lambda path: path.write_bytes(pickle.dumps(Payload(canary)))
    yield "a shape that lies", partial(_zip, files=dict.fromkeys(ARRAYS, lying.getvalue()))
    yield "half a file", lambda path: path.write_bytes(half.getvalue()[:4000])


def _lambda_model(canary: Path) -> bytes:
    """The configuration of a model whose Lambda writes the canary."""
    code = marshal.dumps(compile(f"open({str(canary)!r}, 'w')", "x", "exec"))
    function = {"class_name": "__lambda__", "config": {"code": b64encode(code).decode()}}
    layer = {"class_name": "Lambda", "config": {"name": "evil", "function": function}}
    model = {"class_name": "Sequential", "config": {"name": "m", "layers": [layer]}}
    return json.dumps(model).encode()


def _hdf5(path: Path, plant: Callable[[h5py.File, str], object], name: str) -> None:
    with h5py.File(path, "w") as file:
        file["honest"] = np.zeros(3, np.float32)
        plant(file, name)


def _zip(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            about = zipfile.ZipInfo("x")
            about.filename, about.compress_type = name, zipfile.ZIP_DEFLATED
            archive.writestr(about, content)
