"""Files as a stranger would make them: weights, arrays and archives with code or paths in them."""

import io
import json
import marshal
import pickle
import tarfile
import zipfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np

Make = Callable[[Path], object]  # writes a file there
Plant = Callable[[h5py.File], object]
ARRAYS = ("progress.npy", "weights.npy", "array_0.npy")  # of a run's state


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
    config = json.dumps(_lambda_model(canary)).encode()
    shards = {"weight_map": {"/": [f"../../{secret.name}"]}, "metadata": {}}
    keras = {"config.json": config, "metadata.json": b"{}"}
    torch = {"archive/data.pkl": pickled, "archive/version": b"3\n"}
    files: dict[str, tuple[tuple[str, ...], Make]] = {
        "a .keras model with a Lambda layer": (
            (".keras", ".h5", ".weights.h5", ".hdf5"),
            lambda path: write_zip(path, keras),
        ),
        "a pickle": (
            (".pkl", ".joblib", ".h5", ".weights.h5", ".npz", ".npy", ".pt", ".keras"),
            lambda path: path.write_bytes(pickled),
        ),
        "a PyTorch archive": ((".pt", ".h5"), lambda path: write_zip(path, torch)),
        "a list of shards elsewhere": (
            (".weights.json", ".txt", ".h5"),
            lambda path: path.write_text(json.dumps(shards)),
        ),
    }
    for what, plant in _planted_in_hdf5(secret):
        files[what] = ((".h5", ".weights.h5"), _hdf5(plant))
    for what, (endings, make) in files.items():
        yield from ((f"{what}, as {ending}", ending, make) for ending in endings)


def arrays(canary: Path) -> Iterator[tuple[str, Make]]:
    """Files in the place of arrays that Podium has saved."""
    payload = np.array([Payload(canary)], dtype=object)
    pickled = pickle.dumps(Payload(canary))
    lying = io.BytesIO()  # the header of an array of terabytes, with nothing behind it
    about = {"descr": "<f8", "fortran_order": False, "shape": (10**13,)}
    np.lib.format.write_array_header_1_0(lying, about)

    def half(path: Path) -> None:
        np.savez(path, progress=np.zeros(1000))
        path.write_bytes(path.read_bytes()[:4000])

    yield "an array of objects", lambda path: np.savez(path, progress=payload, array_0=payload)
    yield "a pickle", lambda path: path.write_bytes(pickled)
    yield "a shape that lies", lambda p: write_zip(p, dict.fromkeys(ARRAYS, lying.getvalue()))
    yield "half a file", half


def archives(outside: Path) -> Iterator[tuple[str, str, Make]]:
    """Archives that lead out, or hold what is no plain file."""
    ways = [
        "../evil.txt", "a/../../evil.txt", "a/b/../../../evil.txt", str(outside / "evil.txt"),
        "..", "..\\evil.txt", "a\\..\\..\\evil.txt", "C:\\evil.txt", "C:evil.txt",
        "\\\\host\\evil.txt", "//host/evil.txt", "./../evil.txt", "a/./../../evil.txt",
    ]  # fmt: skip
    for name in ways:
        yield f"zip: the name {name}", ".zip", lambda path, n=name: write_zip(path, {n: b"evil"})
        for mode, ending in (("w", ".tar"), ("w:gz", ".tar.gz"), ("w:xz", ".tar.xz")):
            members = [_file(name)]
            yield f"{ending}: the name {name}", ending, _tar(mode, members)
    for name in ways[:4]:
        inner = io.BytesIO()
        write_zip(inner, {name: b"evil"})
        packed = {"b.zip": inner.getvalue()}
        yield f"a zip in a zip: {name}", ".zip", lambda path, p=packed: write_zip(path, p)
    for kind in (0o120777, 0o020644, 0o060644, 0o010644, 0o140644):
        yield f"zip: a file of mode {kind:o}", ".zip", _special_zip(kind, outside)
    for what, members in _links(outside):
        for mode, ending in (("w", ".tar"), ("w:gz", ".tar.gz"), ("w:bz2", ".tar.bz2")):
            yield f"{ending}: {what}", ending, _tar(mode, members)
    yield "zip: a bomb that lies of its size", ".zip", _lying_bomb


def _lambda_model(canary: Path) -> dict:
    """The configuration of a model whose Lambda writes the canary."""
    code = marshal.dumps(compile(f"open({str(canary)!r}, 'w')", "x", "exec"))
    function = {"class_name": "__lambda__", "config": {"code": b64encode(code).decode()}}
    layer = {"class_name": "Lambda", "config": {"name": "evil", "function": function}}
    return {"class_name": "Sequential", "config": {"name": "m", "layers": [layer]}}


def _hdf5(plant: Plant) -> Make:
    def make(path: Path) -> None:
        with h5py.File(path, "w") as file:
            file["honest"] = np.zeros(3, np.float32)
            plant(file)

    return make


def _planted_in_hdf5(secret: Path) -> Iterator[tuple[str, Plant]]:
    """What makes HDF5 read another place or file."""
    whole = [(str(secret), 0, h5py.h5f.UNLIMITED)]
    layout = h5py.VirtualLayout((4,), np.uint8)
    layout[:] = h5py.VirtualSource(str(secret), "kernel", (4,))
    for place in ("kernel", "layers/dense/vars/0", "model_weights/a"):
        for what, value in {
            "an external link": h5py.ExternalLink(str(secret), "/kernel"),
            "a soft link": h5py.SoftLink("/honest"),
            "a soft link to itself": h5py.SoftLink(f"/{place}"),
        }.items():
            yield f"{what} at {place}", lambda file, p=place, v=value: file.__setitem__(p, v)
        yield (
            f"values in another file at {place}",
            lambda file, p=place: file.create_dataset(
                p, (4,), np.uint8, external=whole, maxshape=(None,)
            ),
        )
        yield (
            f"a virtual array at {place}",
            lambda file, p=place: file.create_virtual_dataset(p, layout),
        )


def _links(outside: Path) -> Iterator[tuple[str, list]]:
    for what, kind, target in (
        ("a symbolic link out", tarfile.SYMTYPE, str(outside)),
        ("a symbolic link up", tarfile.SYMTYPE, "../.."),
        ("a symbolic link within", tarfile.SYMTYPE, "b"),
        ("a hard link out", tarfile.LNKTYPE, f"{outside}/secret"),
        ("a hard link within", tarfile.LNKTYPE, "b"),
        ("a pipe", tarfile.FIFOTYPE, ""),
        ("a character device", tarfile.CHRTYPE, ""),
        ("a block device", tarfile.BLKTYPE, ""),
    ):
        link = tarfile.TarInfo("link")
        link.type, link.linkname = kind, target
        yield what, [_file("b"), (link, b"")]
        yield f"{what}, then a file through it", [_file("b"), (link, b""), _file("link/evil.txt")]


def _file(name: str, content: bytes = b"evil") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info, content


def _tar(mode: str, members: list[tuple[tarfile.TarInfo, bytes]]) -> Make:
    def make(path: Path) -> None:
        with tarfile.open(path, mode) as archive:
            for info, content in members:
                archive.addfile(info, io.BytesIO(content))

    return make


def write_zip(path: Path | io.BytesIO, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            about = zipfile.ZipInfo("x")
            about.filename, about.compress_type = name, zipfile.ZIP_DEFLATED
            archive.writestr(about, content)


def _special_zip(mode: int, outside: Path) -> Make:
    def make(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            about = zipfile.ZipInfo("link")
            about.external_attr = mode << 16
            archive.writestr(about, str(outside))
            archive.writestr("link/evil.txt", b"evil")

    return make


def _lying_bomb(path: Path) -> None:
    """Its list says ten bytes of what unpacks to a hundred million."""
    size = 10**8
    write_zip(path, {"a.txt": bytes(size)})
    path.write_bytes(path.read_bytes().replace(size.to_bytes(4, "little"), b"\x0a\0\0\0"))
