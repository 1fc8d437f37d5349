"""What is in a zip or a tar, told alike; what has no business in a dataset is refused."""

import errno
import lzma
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

ZIP_BEGINS = (b"PK\3\4", b"PK\5\6")  # with a file, or empty
ENCRYPTED = 0x1 | 0x40 | 0x2000  # flags of a zip's member: two kinds of password, a hidden list
READABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others may unpack gigabytes into memory
JUNK = {"__MACOSX", ".DS_Store"}  # what macOS puts into the archives that it makes
TAR_BLOCK = 512  # bytes
TAR_PADDING = 1 << 24  # bytes of zeros at the end of a tar, at the most
LONGEST_HEADER = 1 << 20  # bytes of a tar's long names, which are read at once


class BadArchive(ValueError):
    """An archive that is not unpacked: names it, its member, and what is wrong with it."""


class DamagedArchive(BadArchive):
    """The archive was cut off or altered on its way: another copy may be sound."""


@dataclass(frozen=True)
class ArchiveMember:
    """A file or folder of an archive."""

    name: str
    is_folder: bool
    size: int  # bytes, as the archive says
    open: Callable[[], IO[bytes]]


@contextmanager
def opened(archive: Path, label: str) -> Iterator[tuple[Iterator[ArchiveMember], int]]:
    """The members of a zip or tar, whichever it is, and their bytes in all (0: nobody knows).

    Args:
        label: the archive as messages call it.

    Raises:
        BadArchive: also from the iterator, and from reading what it yields.
    """
    with _explained(label):
        with archive.open("rb") as file:
            begins = file.read(4)
        if begins in ZIP_BEGINS:
            with zipfile.ZipFile(archive) as opened_zip:
                _check_list(opened_zip, label)
                total = sum(info.file_size for info in opened_zip.infolist())
                yield _zip_members(opened_zip), total
        elif begins.startswith(b"\0"):  # a file of zeros would pass for an empty tar
            raise tarfile.ReadError("it begins with zeros")
        else:
            with tarfile.open(archive, tarinfo=_Header) as opened_tar:
                yield _tar_members(opened_tar, label), 0


def place_of(name: str, label: str) -> PurePosixPath | None:
    """Where a member goes below the folder; None for what macOS adds.

    Raises:
        BadArchive: the name leads elsewhere, here or on any other system.
    """
    path = PurePosixPath(name)
    leads_out = path.is_absolute() or ".." in path.parts
    if leads_out or "\\" in name or "\0" in name or re.match(r"[A-Za-z]:", name):
        raise BadArchive(f"{label}: {name!r} would be written outside of its folder")
    return None if not path.parts or JUNK & set(path.parts) else path


def _check_list(archive: zipfile.ZipFile, label: str) -> None:
    """Refuse before anything is written what the list of a zip tells."""
    for info in archive.infolist():
        place_of(info.orig_filename, label)
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise BadArchive(f"{label}: {info.filename} is a link or a device, not a file")
        if info.flag_bits & ENCRYPTED:
            raise BadArchive(f"{label}: {info.filename} is encrypted")
        if info.compress_type not in READABLE:
            raise BadArchive(
                f"{label}: {info.filename} is packed with method {info.compress_type}; "
                "only deflate is read"
            )
    doubled = [name for name, times in Counter(archive.namelist()).items() if times > 1]
    if doubled:
        raise BadArchive(f"{label}: {doubled[0]} is in it twice")


def _zip_members(archive: zipfile.ZipFile) -> Iterator[ArchiveMember]:
    for info in archive.infolist():
        yield ArchiveMember(
            info.filename, info.is_dir(), info.file_size, lambda i=info: archive.open(i)
        )


class _Header(tarfile.TarInfo):
    """A tar's header, whose extension must not fill the memory."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if not self.isreg() and self.size > LONGEST_HEADER:
            raise tarfile.ReadError(f"a header of {self.size} bytes")
        return super()._proc_member(archive)


def _tar_members(archive: tarfile.TarFile, label: str) -> Iterator[ArchiveMember]:
    for info in archive:
        if not (info.isreg() or info.isdir()):
            raise BadArchive(f"{label}: {info.name} is a link or a device, not a file")
        size = 0 if info.isdir() else info.size
        yield ArchiveMember(info.name, info.isdir(), size, lambda i=info: archive.extractfile(i))
    # tarfile takes a header that it cannot read for the end; and gzip checks at its very end.
    archive.fileobj.seek(archive.offset)
    rest = archive.fileobj.read(TAR_PADDING)
    if len(rest) < TAR_BLOCK or rest.strip(b"\0") or archive.fileobj.read(1):
        raise DamagedArchive(f"{label} was cut off, or something is behind its end")


@contextmanager
def _explained(label: str) -> Iterator[None]:
    """Turn what is raised while an archive is read into one clear error."""
    try:
        yield
    except BadArchive:
        raise
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        name = Path(error.filename or "").name
        raise BadArchive(f"{label}: {name} is in it twice, or as a file and a folder") from error
    except NotImplementedError as error:
        raise BadArchive(f"{label} is packed in a way that Python cannot read: {error}") from error
    except (
        zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error,
        EOFError, ValueError, OverflowError,
    ) as error:  # fmt: skip
        raise DamagedArchive(f"{label} is damaged, or no zip or tar: {_brief(error)}") from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise BadArchive(f"{label}: a name in it is too long for this disk") from error
        # gzip and bz2 raise it without a number; a zip may name a place before its own begin.
        if error.errno in (None, errno.EINVAL):
            raise DamagedArchive(f"{label} is damaged: {_brief(error)}") from error
        raise


def _brief(error: Exception) -> str:
    """The first line: tarfile tells of each way in which it could not open a file."""
    return (str(error) or type(error).__name__).splitlines()[0]
