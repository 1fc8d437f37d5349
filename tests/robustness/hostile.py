"""Files as a stranger would make them: weights, arrays and archives with code or paths in them."""

import io
import json
import marshal
import pickle
import tarfile
import zipfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import h5py
import numpy as np

Make = Callable[[Path], object]  # writes a file there
Made = Iterator[tuple[str, str, Make]]  # what each is, its ending, and how it is made
ARRAYS = ("progress.npy", "weights.npy", "array_0.npy")  # of a run's state
H5 = (".h5", ".weights.h5")
WAYS_OUT = [
    "../evil.txt", "a/../../evil.txt", "a/b/../../../evil.txt", "..", "..\\evil.txt",
    "a\\..\\..\\evil.txt", "C:\\evil.txt", "C:evil.txt", "\\\\host\\evil.txt", "//host/evil.txt",
    "./../evil.txt", "a/./../../evil.txt",
]  # fmt: skip
LINKS = {
    "a symbolic link out": (tarfile.SYMTYPE, "{outside}"),
    "a symbolic link up": (tarfile.SYMTYPE, "../.."),
    "a symbolic link within": (tarfile.SYMTYPE, "b"),
    "a hard link out": (tarfile.LNKTYPE, "{outside}/secret"),
    "a hard link within": (tarfile.LNKTYPE, "b"),
    "a pipe": (tarfile.FIFOTYPE, ""),
    "a character device": (tarfile.CHRTYPE, ""),
    "a block device": (tarfile.BLKTYPE, ""),
}


class Payload:
    """Leaves a file when it is unpickled."""

    def __init__(self, canary: Path):
        self.canary = canary

    def __reduce__(self):
        return (open, (str(self.canary), "w"))


def weights(canary: Path, secret: Path) -> Made:
    """Files that are named as weights.

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


def archives(outside: Path) -> Made:
    """Archives that lead out, or hold what is no plain file."""
    for name in [*WAYS_OUT, str(outside / "evil.txt")]:
        yield f"zip: the name {name}", ".zip", partial(_zip, files={name: b"evil"})
        inner = io.BytesIO()
        _zip(inner, {name: b"evil"})
        yield f"a zip in a zip: {name}", ".zip", partial(_zip, files={"b.zip": inner.getvalue()})
        for mode, ending in (("w", ".tar"), ("w:gz", ".tar.gz"), ("w:xz", ".tar.xz")):
            yield f"{ending}: the name {name}", ending, partial(_tar, mode=mode, members=[name])
    for kind in (0o120777, 0o020644, 0o060644, 0o010644, 0o140644):
        make = partial(_special_zip, mode=kind, outside=outside)
        yield f"zip: a file of mode {kind:o}", ".zip", make
    for what, (kind, target) in LINKS.items():
        link = tarfile.TarInfo("link")
        link.type, link.linkname = kind, target.format(outside=outside)
        for mode, ending in (("w", ".tar"), ("w:gz", ".tar.gz"), ("w:bz2", ".tar.bz2")):
            for more in ([], ["link/evil.txt"]):  # a file through it
                make = partial(_tar, mode=mode, members=["b", link, *more])
                yield f"{ending}: {what} {more}", ending, make
    yield "zip: a bomb that lies of its size", ".zip", _lying_bomb


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


def _tar(path: Path, mode: str, members: list[str | tarfile.TarInfo]) -> None:
    with tarfile.open(path, mode) as archive:
        for member in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = 4 if isinstance(member, str) else 0
            archive.addfile(info, io.BytesIO(b"evil"))


def _zip(path: Path | io.BytesIO, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            about = zipfile.ZipInfo("x")
            about.filename, about.compress_type = name, zipfile.ZIP_DEFLATED
            archive.writestr(about, content)


def _special_zip(path: Path, mode: int, outside: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        about = zipfile.ZipInfo("link")
        about.external_attr = mode << 16
        archive.writestr(about, str(outside))
        archive.writestr("link/evil.txt", b"evil")


def _lying_bomb(path: Path) -> None:
    """Its list says ten bytes of what unpacks to a hundred million."""
    size = 10**8
    _zip(path, {"a.txt": bytes(size)})
    path.write_bytes(path.read_bytes().replace(size.to_bytes(4, "little"), b"\x0a\0\0\0"))
