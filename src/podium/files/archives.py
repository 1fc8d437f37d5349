"""Archives unpacked whole or not at all, and never outside of the folder they are meant for."""

import errno
import hashlib
import os
import re
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from podium.files.atomic_write import atomic_folder

ENDINGS = re.compile(r"\.(zip|tar|tar\.gz|tgz|tar\.bz2|tar\.xz)$", re.IGNORECASE)
JUNK = {"__MACOSX", ".DS_Store"}  # what macOS puts into the archives that it makes
DEPTH = 2  # archives within archives; what is packed yet deeper stays as it is
TAR_BLOCK = 512  # bytes
TAR_PADDING = 1 << 24  # bytes of zeros at the end of a tar, at the most


class BadArchive(ValueError):
    """An archive that is not unpacked: names it, its member, and what is wrong with it."""


class DamagedArchive(BadArchive):
    """The archive was cut off or altered on its way: another copy may be sound."""


def unpack(archive: Path, target: Path) -> None:
    """Unpack a zip or tar, and the archives in it, into a new folder: whole or not at all.

    Raises:
        BadArchive: it is damaged, encrypted, or has links, or names that lead out of the folder.
        FileExistsError: the folder is there already.
        OSError: it says that it unpacks to more than the disk has free.
    """
    with atomic_folder(target) as part:
        unpack_into(archive, part)


def unpack_into(archive: Path, folder: Path, label: str = "", depth: int = DEPTH) -> None:
    """Unpack into an empty folder that the caller makes whole (see `atomic_folder`).

    An archive in the archive is unpacked beside itself under its name, and deleted:
    train.zip becomes train/, whether or not train/ is written in it again.

    Args:
        label: the archive as messages call it; its name if not given.
        depth: how many archives deep it goes on.

    Raises:
        BadArchive: see `unpack`; what is in the folder by then is of no use.
    """
    label = label or archive.name
    with _explained(label):
        extract = _extract_zip if zipfile.is_zipfile(archive) else _extract_tar
        extract(archive, folder, label)
        if not any(folder.iterdir()):
            raise DamagedArchive(f"{label} has no files in it")
    inner = [path for path in sorted(folder.rglob("*")) if depth and _is_packed(path)]
    for path in inner:
        try:
            _unpack_beside(path, path.parent, f"{label}/{path.relative_to(folder)}", depth - 1)
        except DamagedArchive as error:  # it came out as it was packed: no other copy is better
            raise BadArchive(str(error)) from error
        path.unlink()


def unpacked_view(folder: Path, scratch: Path) -> Path:
    """Make a folder in which the archives of another one are unpacked, once.

    Kaggle mounts some competitions with train.zip in them, where nothing can be written. Beside
    what is unpacked, the view has links to all the rest.

    Returns:
        The folder itself, where nothing is packed or all has been unpacked beside its archive.
    """
    packed = [path for path in sorted(folder.iterdir()) if _is_packed(path)]
    if not packed:
        return folder
    states = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in packed]
    digest = hashlib.sha256(repr((str(folder.resolve()), states)).encode()).hexdigest()[:12]
    view = scratch / digest / folder.name
    if view.is_dir():
        return view
    scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with atomic_folder(view) as part:
            for path in sorted(folder.iterdir()):
                if path in packed and not _content(part / path.name).exists():
                    _unpack_beside(path, part, path.name, DEPTH)
                else:
                    (part / path.name).symlink_to(path.resolve())
    except OSError:  # another process may have made the same, and been there first
        if not view.is_dir():
            raise
    return view


def _is_packed(path: Path) -> bool:
    """Whether this is an archive whose content is not beside it."""
    return bool(ENDINGS.search(path.name)) and path.is_file() and not _content(path).exists()


def _content(archive: Path) -> Path:
    """What an archive in an archive becomes: train for train.zip, train.csv for train.csv.zip."""
    return archive.with_name(ENDINGS.sub("", archive.name))


def _unpack_beside(archive: Path, parent: Path, label: str, depth: int) -> None:
    """Unpack an archive under its own name into a folder that does not have it yet."""
    name = _content(archive).name
    inside = parent / f".inside-{os.getpid()}-{name}"
    inside.mkdir()
    unpack_into(archive, inside, label, depth)
    if [path.name for path in inside.iterdir()] == [name]:
        (inside / name).rename(parent / name)
        inside.rmdir()
    else:
        inside.rename(parent / name)


def _extract_zip(archive: Path, folder: Path, label: str) -> None:
    with zipfile.ZipFile(archive) as opened:
        members = opened.infolist()
        for info in members:
            kind = stat.S_IFMT(info.external_attr >> 16)
            _check(info.orig_filename, kind in (0, stat.S_IFREG, stat.S_IFDIR), label)
            if info.flag_bits & 1:
                raise BadArchive(f"{label}: {info.filename} is encrypted")
        if len(set(opened.namelist())) < len(members):
            raise BadArchive(f"{label}: a name is in it twice")
        _require_space(folder, sum(info.file_size for info in members), label)
        for info in tqdm(members, f"unpacking {label}", unit=" files", delay=2):
            if not JUNK & set(PurePosixPath(info.filename).parts):
                opened.extract(info, folder)


def _extract_tar(archive: Path, folder: Path, label: str) -> None:
    with tarfile.open(archive) as opened:
        for info in tqdm(opened, f"unpacking {label}", unit=" files", delay=2):
            _check(info.name, info.isreg() or info.isdir(), label)
            _require_space(folder, info.size, label)
            if info.isreg() and (folder / info.name).exists():
                raise BadArchive(f"{label}: the name {info.name} is in it twice")
            if not JUNK & set(PurePosixPath(info.name).parts):
                opened.extract(info, folder, filter="data")
        # tarfile takes a header that it cannot read for the end; and gzip checks at its very end.
        opened.fileobj.seek(opened.offset)
        rest = opened.fileobj.read(TAR_PADDING)
        if len(rest) < TAR_BLOCK or rest.strip(b"\0") or opened.fileobj.read(1):
            raise DamagedArchive(f"{label} was cut off, or something is behind its end")


def _check(name: str, is_plain: bool, label: str) -> None:
    """Refuse a member that is no file or folder, or leads elsewhere, here or on any system."""
    path = PurePosixPath(name)
    leads_out = path.is_absolute() or ".." in path.parts
    if leads_out or "\\" in name or "\0" in name or re.match(r"[A-Za-z]:", name):
        raise BadArchive(f"{label}: {name!r} would be written outside of its folder")
    if not is_plain:
        raise BadArchive(f"{label}: {name} is a link or a device, not a file")


def _require_space(folder: Path, size: int, label: str) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise OSError(
            errno.ENOSPC,
            f"no space left to unpack {label}: it needs {size / 1e6:,.0f} MB, "
            f"{free / 1e6:,.0f} MB are free. Make room, and the same command goes on",
            str(folder.parent),
        )


@contextmanager
def _explained(label: str) -> Iterator[None]:
    """Turn what is raised while an archive is read into one clear error."""
    try:
        yield
    except BadArchive:
        raise
    except NotImplementedError as error:  # packed in a way that Python has no code for
        raise BadArchive(f"{label} cannot be unpacked: {error}") from error
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR):
            name = Path(error.filename).name
            raise BadArchive(f"{label}: {name} is both a file and a folder in it") from error
        # gzip and bz2 raise it without a number; a zip may name a place before its own begin.
        if error.errno not in (None, errno.EINVAL):
            raise
        raise DamagedArchive(f"{label} is damaged: {error}") from error
    except Exception as error:  # decoders raise anything for broken bytes
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise DamagedArchive(f"{label} is damaged, or no zip or tar: {why}") from error
