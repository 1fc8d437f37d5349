"""Archives unpacked whole or not at all, and never outside of the folder they are meant for."""

import errno
import hashlib
import re
import shutil
import stat
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from podium.files.atomic_write import FULL, LOCKED, MAKE_ROOM, atomic_folder

ENDINGS = re.compile(r"\.(zip|tar|tar\.gz|tgz|tar\.bz2|tar\.xz)$", re.IGNORECASE)
JUNK = {"__MACOSX", ".DS_Store"}  # what macOS puts into the archives that it makes
DEPTH = 2  # archives within archives; what is packed yet deeper stays as it is
TAR_BLOCK = 512  # bytes
TAR_PADDING = 1 << 24  # bytes of zeros at the end of a tar, at the most


class BadArchive(ValueError):
    """An archive that is not unpacked: names it, its member, and what is wrong with it."""


class DamagedArchive(BadArchive):
    """The archive was cut off or altered on its way: another copy may be sound."""


def unpack_into(archive: Path, folder: Path, depth: int = DEPTH) -> None:
    """Unpack a zip or tar into an empty folder that the caller makes whole (see `atomic_folder`).

    An archive in the archive is unpacked beside itself under its name, and deleted:
    train.zip becomes train/, whether or not train/ is written in it again.

    Args:
        depth: how many archives deep it goes on.

    Raises:
        BadArchive: it is damaged, or has links, or names that lead out of the folder.
        OSError: it says that it unpacks to more than the disk has free.
    """
    try:
        extract = _extract_zip if zipfile.is_zipfile(archive) else _extract_tar
        extract(archive, folder)
    except BadArchive:
        raise
    except Exception as error:  # decoders raise anything for broken bytes
        if isinstance(error, OSError) and error.errno in (*FULL, *LOCKED):
            raise
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise DamagedArchive(f"{archive.name} is damaged, or no zip or tar: {why}") from error
    if not any(folder.iterdir()):
        raise DamagedArchive(f"{archive.name} has no files in it")
    for path in sorted(folder.rglob("*")):
        if depth and _is_packed(path):
            try:
                _unpack_beside(path, path.parent, depth - 1)
            except DamagedArchive as error:  # it came out as it was packed: no other copy is better
                raise BadArchive(f"{archive.name}: {error}") from error
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
    digest = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]
    view = scratch / digest / folder.name
    if view.is_dir():
        return view
    try:
        with atomic_folder(view) as part:
            for path in packed:
                _unpack_beside(path, part, DEPTH)
            for path in set(folder.iterdir()) - set(packed):
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


def _unpack_beside(archive: Path, parent: Path, depth: int) -> None:
    """Unpack an archive under its own name into a folder that does not have it yet."""
    name = _content(archive).name
    inside = parent / f".inside-{name}"
    inside.mkdir()
    unpack_into(archive, inside, depth)
    if [path.name for path in inside.iterdir()] == [name]:
        (inside / name).rename(parent / name)
        inside.rmdir()
    else:
        inside.rename(parent / name)


def _extract_zip(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        members = opened.infolist()
        _require_space(archive, folder, sum(info.file_size for info in members))
        for info in tqdm(members, f"unpacking {archive.name}", unit=" files", delay=2):
            kind = stat.S_IFMT(info.external_attr >> 16)
            is_plain = kind in (0, stat.S_IFREG, stat.S_IFDIR)
            info.filename = _checked(archive, info.orig_filename, is_plain)
            if not JUNK & set(PurePosixPath(info.filename).parts):
                opened.extract(info, folder)


def _extract_tar(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as opened:
        for info in tqdm(opened, f"unpacking {archive.name}", unit=" files", delay=2):
            info.name = _checked(archive, info.name, info.isreg() or info.isdir())
            _require_space(archive, folder, info.size)
            if not JUNK & set(PurePosixPath(info.name).parts):
                opened.extract(info, folder, filter="data")
        # tarfile takes a header that it cannot read for the end; and gzip checks at its very end.
        opened.fileobj.seek(opened.offset)
        rest = opened.fileobj.read(TAR_PADDING)
        if len(rest) < TAR_BLOCK or rest.strip(b"\0") or opened.fileobj.read(1):
            raise DamagedArchive(f"{archive.name} was cut off, or something is behind its end")


def _checked(archive: Path, name: str, is_plain: bool) -> str:
    """The name of a member with / for the backslash of Windows; refuse it if it leads elsewhere."""
    path = PurePosixPath(plain_name := name.replace("\\", "/"))
    leads_out = path.is_absolute() or ".." in path.parts
    if leads_out or "\0" in name or re.match(r"[A-Za-z]:", name):
        raise BadArchive(f"{archive.name}: {name!r} would be written outside of its folder")
    if not is_plain:
        raise BadArchive(f"{archive.name}: {name} is a link or a device, not a file")
    return plain_name


def _require_space(archive: Path, folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        told = f"no space left to unpack {archive.name}: it needs {size / 1e6:,.0f} MB, "
        told += f"{free / 1e6:,.0f} MB are free. {MAKE_ROOM}"
        raise OSError(errno.ENOSPC, told, str(folder.parent))
