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

Make = Callable[[Path], None]  # writes a file there


class Payload:
    """What runs when it is unpickled: it leaves a file."""

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
    unpickled = pickle.dumps(Payload(canary))
    config = json.dumps(_lambda_model(canary))
    for ending in (".keras", ".h5", ".weights.h5", ".hdf5"):
        yield f"a .keras model with a Lambda layer, as {ending}", ending, _keras(config)
    for ending in (".pkl", ".joblib", ".h5", ".weights.h5", ".npz", ".npy", ".pt", ".keras"):
        yield f"a pickle as {ending}", ending, lambda path: _write(path, unpickled)
    for ending in (".pt", ".h5"):
        yield f"a PyTorch archive as {ending}", ending, _torch(unpickled)
    for place in ("kernel", "layers/dense/vars/0", "model_weights/a"):
        for what, plant in _pointing(place, secret):
            for ending in (".h5", ".weights.h5"):
                yield f"{what} at {place}, as {ending}", ending, _hdf5(plant)
    for ending in (".weights.json", ".txt", ".h5"):
        shards = {"weight_map": {"/": [f"../../{secret.name}"]}, "metadata": {}}
        yield f"a list of shards elsewhere, as {ending}", ending, _text(json.dumps(shards))


def arrays(canary: Path) -> Iterator[tuple[str, Make]]:
    """Files in the place of arrays that Podium has saved."""
    payload = np.array([Payload(canary)], dtype=object)
    yield "an array of objects", lambda path: np.savez(path, progress=payload, array_0=payload)
    yield "a pickle", lambda path: _write(path, pickle.dumps(Payload(canary)))
    yield "an .npy of objects", lambda path: _npy(path, payload)
    yield "no arrays", lambda path: _zip(path, {"progress.npy": pickle.dumps(Payload(canary))})
    yield "other names", lambda path: np.savez(path, other=np.zeros(3))
    yield "a shape that lies", lambda path: _zip(path, dict.fromkeys(_NAMES, _lying()))
    yield "half a file", lambda path: _half(path)


def archives(outside: Path) -> Iterator[tuple[str, str, Make]]:
    """Archives that lead out, hold no plain files, or are larger than they look."""
    ways = [
        "../evil.txt", "a/../../evil.txt", "a/b/../../../evil.txt", str(outside / "evil.txt"),
        "..", "/", "..\\evil.txt", "a\\..\\..\\evil.txt", "C:\\evil.txt", "C:evil.txt",
        "\\\\host\\evil.txt", "//host/evil.txt", "./../evil.txt", "a/./../../evil.txt",
    ]  # fmt: skip
    for name in ways:
        yield f"zip: the name {name}", ".zip", lambda path, n=name: _zip(path, {n: b"evil"})
        for mode, ending in (("w", ".tar"), ("w:gz", ".tar.gz"), ("w:xz", ".tar.xz")):
            yield (
                f"{ending}: the name {name}", ending,
                lambda path, n=name, m=mode: _tar(path, m, [_file(n)]),
            )  # fmt: skip
    yield "zip: a name with NUL", ".zip", _nul
    for kind in (0o120777, 0o020644, 0o060644, 0o010644, 0o140644):
        yield f"zip: a file of mode {kind:o}", ".zip", lambda p, k=kind: _special_zip(p, k, outside)
    for what, members in _links(outside):
        for mode, ending in (("w", ".tar"), ("w:gz", ".tar.gz"), ("w:bz2", ".tar.bz2")):
            yield f"{ending}: {what}", ending, lambda p, m=mode, f=members: _tar(p, m, f)
    yield "zip: a bomb that lies of its size", ".zip", _lying_bomb
    yield "zip: a name twice", ".zip", lambda path: _twice(path)
    yield "tar: a name twice", ".tar", lambda path: _tar(path, "w", [_file("a"), _file("a")])
    both = [_file("a"), _file("a/b")]
    yield "tar: a file that is a folder", ".tar", lambda path: _tar(path, "w", both)
    for name in ways[:4]:
        inner = _zipped(b"evil", name)
        yield f"a zip in a zip: {name}", ".zip", lambda p, d=inner: _zip(p, {"b.zip": d})


_NAMES = ("progress.npy", "weights.npy", "array_0.npy")


def _lambda_model(canary: Path) -> dict:
    """The configuration of a model whose Lambda writes the canary."""
    code = marshal.dumps(compile(f"open({str(canary)!r}, 'w')", "x", "exec"))
    function = {"class_name": "__lambda__", "config": {"code": b64encode(code).decode()}}
    layer = {"class_name": "Lambda", "config": {"name": "evil", "function": function}}
    return {"class_name": "Sequential", "config": {"name": "m", "layers": [layer]}}


def _keras(config: str) -> Make:
    return lambda path: _zip(path, {"config.json": config.encode(), "metadata.json": b"{}"})


def _torch(unpickled: bytes) -> Make:
    return lambda path: _zip(path, {"archive/data.pkl": unpickled, "archive/version": b"3\n"})


def _hdf5(plant: Callable[[h5py.File], None]) -> Make:
    def make(path: Path) -> None:
        with h5py.File(path, "w") as file:
            file["honest"] = np.zeros(3, np.float32)
            plant(file)

    return make


def _pointing(place: str, secret: Path) -> Iterator[tuple[str, Callable[[h5py.File], None]]]:
    """What makes HDF5 read another place or file."""
    whole = [(str(secret), 0, h5py.h5f.UNLIMITED)]
    layout = h5py.VirtualLayout((4,), np.uint8)
    layout[:] = h5py.VirtualSource(str(secret), "kernel", (4,))

    def put(file: h5py.File, value: object) -> None:
        file[place] = value

    def external(file: h5py.File) -> None:
        file.create_dataset(place, (4,), np.uint8, external=whole, maxshape=(None,))

    yield "an external link", lambda file: put(file, h5py.ExternalLink(str(secret), "/kernel"))
    yield "a soft link", lambda file: put(file, h5py.SoftLink("/honest"))
    yield "a soft link to itself", lambda file: put(file, h5py.SoftLink(f"/{place}"))
    yield "values in another file", external
    yield "a virtual array", lambda file: file.create_virtual_dataset(place, layout)


def _links(outside: Path) -> Iterator[tuple[str, list]]:
    out = str(outside)
    for what, kind, target in (
        ("a symbolic link out", tarfile.SYMTYPE, out),
        ("a symbolic link up", tarfile.SYMTYPE, "../.."),
        ("a symbolic link within", tarfile.SYMTYPE, "b"),
        ("a hard link out", tarfile.LNKTYPE, f"{out}/secret"),
        ("a hard link within", tarfile.LNKTYPE, "b"),
        ("a pipe", tarfile.FIFOTYPE, ""),
        ("a character device", tarfile.CHRTYPE, ""),
        ("a block device", tarfile.BLKTYPE, ""),
    ):
        link = tarfile.TarInfo("b" if target == "b" else "link")
        link.name, link.type, link.linkname = "link", kind, target
        yield what, [_file("b"), (link, b"")]
        yield f"{what}, then a file through it", [_file("b"), (link, b""), _file("link/evil.txt")]


def _file(name: str, content: bytes = b"evil") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info, content


def _tar(path: Path, mode: str, members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    with tarfile.open(path, mode) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))


def _zip(path: Path | io.BytesIO, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            about = zipfile.ZipInfo("x")
            about.filename, about.compress_type = name, zipfile.ZIP_DEFLATED
            archive.writestr(about, content)


def _zipped(content: bytes, name: str = "a.txt") -> bytes:
    buffer = io.BytesIO()
    _zip(buffer, {name: content})
    return buffer.getvalue()


def _nul(path: Path) -> None:
    _zip(path, {"a.txt.jpg": b"evil"})
    path.write_bytes(path.read_bytes().replace(b"a.txt.jpg", b"a.txt\0jpg"))


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


def _twice(path: Path) -> None:
    _zip(path, {"a.txt": b"first", "b.txt": b"second"})
    path.write_bytes(path.read_bytes().replace(b"b.txt", b"a.txt"))


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _text(content: str) -> Make:
    return lambda path: _write(path, content.encode())


def _npy(path: Path, payload: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, payload, allow_pickle=True)


def _lying() -> bytes:
    """The header of an array of terabytes, with nothing behind it."""
    buffer = io.BytesIO()
    about = {"descr": "<f8", "fortran_order": False, "shape": (10**13,)}
    np.lib.format.write_array_header_1_0(buffer, about)
    return buffer.getvalue()


def _half(path: Path) -> None:
    np.savez(path, progress=np.zeros(1000))
    path.write_bytes(path.read_bytes()[:4000])
