"""Weights and arrays that may come from strangers: looked through before anything reads them.

Nothing in Podium unpickles, and no file brings code or leads to another file.
"""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

HDF5_BEGINS = b"\x89HDF\r\n\x1a\n"
HDF5_ENDINGS = (".h5", ".hdf5")  # by which Keras takes it for what it is
CODE = ('"Lambda"', "__lambda__", "'Lambda'")  # of layers whose configuration holds Python code
RATIO = 10  # bytes of arrays to those of their file, at the most: weights are hardly compressible
SMALL = 10**8  # bytes of arrays for which no ratio is asked
HOW_TO = "save its weights alone: model.save_weights('name.weights.h5')"


class ForeignFile(ValueError):
    """A file that is not read: names it, what is wrong with it, and what to do."""


def check_weights(path: Path) -> None:
    """Refuse a file of weights that is anything else besides.

    HDF5 can point to other files of this machine, and Keras reads more than HDF5.

    Raises:
        ForeignFile: it is no HDF5, or damaged, or holds links, code or more than its size allows.
        FileNotFoundError: there is none.
    """
    with path.open("rb") as file:
        begins = file.read(len(HDF5_BEGINS))
    if begins[:2] == b"PK" or path.suffix == ".keras":
        raise ForeignFile(
            f"{path} is an archive, as a whole .keras model is, which may carry code. Weights are "
            f"read from .h5 files: {HOW_TO}"
        )
    if begins != HDF5_BEGINS or path.suffix not in HDF5_ENDINGS:
        raise ForeignFile(
            f"{path} is no HDF5 file whose name ends in .h5, and nothing else is read as weights "
            f"(a pickle may carry code): {HOW_TO}"
        )
    try:
        with h5py.File(path, "r") as file:
            size = _Looking(path, file).predict()
    except ForeignFile:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise ForeignFile(f"{path} is damaged: {error}. Fetch or write it again") from error
    if size > max(SMALL, RATIO * path.stat().st_size):
        raise ForeignFile(
            f"{path} unpacks to {size / 1e6:,.0f} MB, which is not believed of a file of "
            f"{path.stat().st_size / 1e6:,.1f} MB: it looks like a bomb. Delete it"
        )


class _Looking:
    """A walk through an HDF5 file that follows none of its links."""

    def __init__(self, path: Path, file: h5py.File):
        self.path, self.file = path, file
        self.bytes = self.arrays = 0
        self.seen: set[int] = set()  # addresses: hard links may lead back

    def predict(self) -> int:
        """The bytes of all arrays once they are read."""
        groups = [self.file]
        while groups:
            group = groups.pop()
            self._check_code(group)
            for name in group:
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    place = f"{group.name.rstrip('/')}/{name}"
                    raise self._refused(f"{place} is a link to another place or file")
                one = group[name]
                address = h5py.h5o.get_info(one.id).addr
                if address in self.seen:
                    continue
                self.seen.add(address)
                if isinstance(one, h5py.Group):
                    groups.append(one)
                else:
                    self._count(one)
        if not self.arrays:
            raise ForeignFile(f"{self.path} holds no weights. Fetch or write it again")
        return self.bytes

    def _count(self, one: h5py.Dataset | h5py.Datatype) -> None:
        if not isinstance(one, h5py.Dataset):
            raise self._refused(f"{one.name} is no array")
        if one.external or one.is_virtual:
            raise self._refused(f"the values of {one.name} lie in another file")
        if one.dtype.hasobject:
            raise self._refused(f"{one.name} holds objects, not numbers")
        self.arrays += 1
        self.bytes += one.dtype.itemsize * (one.size or 0)

    def _check_code(self, group: h5py.Group) -> None:
        config = group.attrs.get("model_config", "")
        text = config.decode("utf-8", "replace") if isinstance(config, bytes) else str(config)
        if any(word in text for word in CODE):
            raise self._refused("it is a whole model with a Lambda layer, which is code")

    def _refused(self, why: str) -> ForeignFile:
        return ForeignFile(f"{self.path} is not read as weights: {why}. Delete it, or {HOW_TO}")


@contextmanager
def opened_arrays(path: Path, what_to_do: str) -> Iterator[np.lib.npyio.NpzFile]:
    """The arrays of a file that `numpy.savez` wrote, by name; none of them is unpickled.

    Raises:
        ForeignFile: it is none, holds objects, or is packed; also for what is read of it.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # savez packs nothing: a bomb would have to
            packed = [one.filename for one in archive.infolist() if one.compress_type]
        if packed:
            raise ValueError(f"{packed[0]} is packed, which Podium never does")
        with np.load(path, allow_pickle=False) as arrays:
            yield arrays
    except (
        ValueError, KeyError, OSError, EOFError, MemoryError, NotImplementedError,
        zipfile.BadZipFile, zlib.error,
    ) as error:  # fmt: skip
        words = " ".join(str(error).split()) or type(error).__name__
        raise ForeignFile(f"{path} is damaged, or not Podium's ({words}): {what_to_do}") from error
