"""Weights and arrays that may come from strangers: looked through before anything reads them.

Nothing in Podium unpickles, and no file brings code or leads to another file.
"""

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

HDF5_BEGINS = b"\x89HDF\r\n\x1a\n"
BEFORE_TEXT = b"\xef\xbb\xbf \t\r\n"  # of a byte order mark, and white space
HDF5_ENDINGS = (".h5", ".hdf5")  # by which Keras takes it for what it is


class ForeignFile(ValueError):
    """A file that is not read: names it, what is wrong with it, and what to do."""


def check_regular(path: Path, largest: int | None = None) -> None:
    """Refuse what is no file: pipes, of which a reader waits for ever, and devices.

    Args:
        largest: bytes that it may have.

    Raises:
        ForeignFile: it is none, or too large.
        FileNotFoundError: there is none.
    """
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise ForeignFile(f"{path} is no regular file: put the file itself there, or delete it")
    if largest is not None and about.st_size > largest:
        raise ForeignFile(f"{path} has {about.st_size:,} bytes, more than {largest:,}: delete it")


def check_weights(path: Path) -> None:
    """Refuse a file of weights that is something else, or leads to other files.

    Keras reads pickles and archives too; its own guards against links are younger than the
    oldest version that Podium takes.

    Raises:
        ForeignFile: it is no HDF5, or damaged, or its values lie elsewhere.
        FileNotFoundError: there is none.
    """
    check_regular(path)
    with path.open("rb") as file:
        begins = file.read(64)
    if begins.lstrip(BEFORE_TEXT).startswith((b"version", b"<")):
        raise ForeignFile(f"{path} is a pointer of Git LFS, or a web page: fetch the file itself")
    if not begins.startswith(HDF5_BEGINS) or path.suffix not in HDF5_ENDINGS:
        raise ForeignFile(
            f"{path} is no HDF5 file whose name ends in .h5: use model.save_weights()"
        )
    try:
        with h5py.File(path, "r") as file:
            elsewhere = file.visititems_links(_link) or file.visititems(_outside)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise ForeignFile(f"{path} is damaged: {error}. Fetch or write it again") from error
    if elsewhere:
        raise ForeignFile(f"{path} is not read as weights: {elsewhere} lies elsewhere. Delete it")


def _link(name: str, link: object) -> str | None:
    return None if isinstance(link, h5py.HardLink) else name


def _outside(name: str, item: object) -> str | None:
    is_array = isinstance(item, h5py.Dataset)
    return name if is_array and (item.external or item.is_virtual) else None


@contextmanager
def opened_arrays(path: Path, what_to_do: str) -> Iterator[np.lib.npyio.NpzFile]:
    """The arrays of a file that `numpy.savez` wrote, by name; none of them is unpickled.

    Raises:
        ForeignFile: it is none, or holds objects; also for what is read of it.
        FileNotFoundError: there is none.
    """
    check_regular(path)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            yield arrays
    except Exception as error:  # decoders raise anything for broken bytes
        words = " ".join(str(error).split()) or type(error).__name__
        raise ForeignFile(f"{path} is damaged, or not Podium's ({words}): {what_to_do}") from error
