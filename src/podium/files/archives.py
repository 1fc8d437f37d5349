"""Archives unpacked whole or not at all, and never outside of the folder they are meant for."""

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from podium.files.archive_members import ArchiveMember, BadArchive, DamagedArchive, opened, place_of
from podium.system import is_another_process

__all__ = [
    "LIMITS",
    "ArchiveLimits",
    "BadArchive",
    "DamagedArchive",
    "atomic_folder",
    "unpack",
    "unpack_into",
    "unpacked_view",
]

ENDINGS = re.compile(r"\.(zip|tar|tar\.gz|tgz|tar\.bz2|tar\.xz)$", re.IGNORECASE)
BLOCK = 1 << 20  # bytes read at once


@dataclass(frozen=True)
class ArchiveLimits:
    """What the archives of real competitions stay far below, and an archive bomb does not."""

    members: int = 5_000_000  # files and folders; ImageNet has 1.4 million
    unpacked: int = 10**12  # bytes
    ratio: int = 100  # unpacked bytes to packed ones: images have 1, tables 5 to 50
    small: int = 10**9  # unpacked bytes for which no ratio is asked
    depth: int = 2  # archives within archives; what is packed yet deeper stays as it is


LIMITS = ArchiveLimits()


def unpack(archive: Path, target: Path, limits: ArchiveLimits = LIMITS) -> None:
    """Unpack a zip or tar, and the archives in it, into a new folder: whole or not at all.

    Raises:
        BadArchive: it is damaged, would write outside of the folder, or looks like a bomb.
        FileExistsError: the folder is there already.
    """
    with atomic_folder(target) as part:
        unpack_into(archive, part, limits)


def unpack_into(archive: Path, folder: Path, limits: ArchiveLimits = LIMITS) -> None:
    """Unpack into an empty folder that the caller makes whole (see `atomic_folder`).

    An archive in the archive is unpacked beside itself under its name, and deleted:
    train.zip becomes train/, whether or not train/ is written in it again.

    Raises:
        BadArchive: see `unpack`; what is in the folder by then is of no use.
    """
    _Unpacking(archive, limits).unpack(archive, folder, archive.name, limits.depth)


def unpacked_view(folder: Path, scratch: Path, limits: ArchiveLimits = LIMITS) -> Path:
    """The same folder with the archives in it unpacked, made once, if there are any.

    Kaggle mounts some competitions with train.zip in them, where nothing can be written. Beside
    what is unpacked, the view has links to all the rest.

    Returns:
        The folder itself, where nothing is packed or all has been unpacked beside its archive.

    Raises:
        BadArchive: see `unpack`.
    """
    entries = sorted(folder.iterdir())
    packed = [path for path in entries if _is_packed(path)]
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
            for path in entries:
                if path in packed and not _content(part / path.name).exists():
                    _Unpacking(path, limits).unpack_beside(path, part, path.name, limits.depth)
                else:
                    (part / path.name).symlink_to(path.resolve())
    except FileExistsError:
        if not view.is_dir():
            raise
        # Another process made the same at the same time, and was there first.
    return view


@contextmanager
def atomic_folder(target: Path, replace: bool = False) -> Iterator[Path]:
    """Give an empty folder to fill; it takes the name `target` only once it is complete.

    Args:
        replace: take the place of the folder that is there, which is kept until then.

    Raises:
        FileExistsError: it is there, and not to be replaced.
    """
    _remove_leftovers(target)
    part = target.with_name(f".part-{os.getpid()}-{target.name}")
    try:
        part.mkdir(parents=True)
        yield part
        os.sync()  # a rename may reach the disk before the files do
        _take_name(part, target, replace)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _remove_leftovers(target: Path) -> None:
    """Delete what killed processes left beside a folder; put back what they were replacing."""
    old = _old(target)
    if old.is_dir() and not target.exists():
        old.rename(target)
    elif old.is_dir():
        shutil.rmtree(old)
    for part in target.parent.glob(".part-*"):
        match = re.fullmatch(r"\.part-(\d+)-(.+)", part.name)
        if match and match[2] == target.name and not is_another_process(int(match[1])):
            shutil.rmtree(part)


def _take_name(part: Path, target: Path, replace: bool) -> None:
    try:
        part.rename(target)  # an empty folder may be there
        return
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        if not replace:
            raise FileExistsError(errno.EEXIST, "is there already", str(target)) from error
    # A kill between the two leaves the old one under a name from which it is put back.
    target.rename(_old(target))
    part.rename(target)
    shutil.rmtree(_old(target))


def _old(target: Path) -> Path:
    return target.with_name(f".old-{target.name}")


def _is_packed(path: Path) -> bool:
    """Whether this is an archive whose content is not beside it."""
    return bool(ENDINGS.search(path.name)) and path.is_file() and not _content(path).exists()


def _content(archive: Path) -> Path:
    """What an archive in an archive becomes: train for train.zip, train.csv for train.csv.zip."""
    return archive.with_name(ENDINGS.sub("", archive.name))


class _Unpacking:
    """One archive with the archives in it, for all of which there is one allowance."""

    def __init__(self, archive: Path, limits: ArchiveLimits):
        self.limits = limits
        packed = archive.stat().st_size
        self.most = min(limits.unpacked, max(limits.small, limits.ratio * packed))
        self.bytes = self.members = 0  # written so far

    def unpack(self, archive: Path, folder: Path, label: str, depth: int) -> None:
        """Unpack one archive into a folder, then those in it.

        Args:
            label: the archive as messages call it.
            depth: how many archives deep it goes on.
        """
        inner = []
        with opened(archive, label) as (members, total):
            self._expect(folder, total, label)
            bar = tqdm(
                desc=f"unpacking {label}", total=total or None, unit="B", unit_scale=True, delay=2
            )
            with bar:
                for member in members:
                    path = place_of(member.name, label)
                    self._count(0, label, members=1)
                    if path is None:
                        continue
                    self._write(member, folder / path, label, bar)
                    if not member.is_folder and ENDINGS.search(path.name):
                        inner.append(path)
        for path in sorted(inner) if depth else []:
            if _is_packed(folder / path):
                self._unpack_inner(folder / path, f"{label}/{path}", depth - 1)

    def _unpack_inner(self, archive: Path, label: str, depth: int) -> None:
        try:
            self.unpack_beside(archive, archive.parent, label, depth)
        except DamagedArchive as error:  # it came out as it was packed: no other copy is better
            raise BadArchive(str(error)) from error
        archive.unlink()

    def unpack_beside(self, archive: Path, parent: Path, label: str, depth: int) -> None:
        """Unpack an archive under its own name into a folder that does not have it yet."""
        name = _content(archive).name
        inside = parent / f".inside-{os.getpid()}-{name}"
        inside.mkdir()
        self.unpack(archive, inside, label, depth)
        if [path.name for path in inside.iterdir()] == [name]:
            (inside / name).rename(parent / name)
            inside.rmdir()
        else:
            inside.rename(parent / name)

    def _write(self, member: ArchiveMember, path: Path, label: str, bar: "tqdm[None]") -> None:
        if member.is_folder:
            path.mkdir(parents=True, exist_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        # x refuses what is there: a name that comes twice, also where case makes no difference.
        with path.open("xb") as file, member.open() as source:
            while block := source.read(BLOCK):
                self._count(len(block), label)
                file.write(block)
                bar.update(len(block))
            if file.tell() != member.size:
                raise DamagedArchive(
                    f"{label}: {member.name} has {file.tell()} bytes in place of {member.size}"
                )

    def _expect(self, folder: Path, total: int, label: str) -> None:
        """Refuse at once what says itself that it is too much."""
        if self.bytes + total > self.most:
            raise self._too_much(label)
        free = shutil.disk_usage(folder).free
        if total > free:
            raise OSError(
                errno.ENOSPC,
                f"no space left to unpack {label}: it needs {total / 1e6:,.0f} MB, "
                f"{free / 1e6:,.0f} MB are free. Make room, and the same command goes on",
                str(folder.parent),
            )

    def _count(self, written: int, label: str, members: int = 0) -> None:
        """Count what is really there, because an archive can say anything of itself."""
        self.bytes += written
        self.members += members
        if self.bytes > self.most:
            raise self._too_much(label)
        if self.members > self.limits.members:
            raise BadArchive(f"{label} has more than {self.limits.members:,} files and folders")

    def _too_much(self, label: str) -> BadArchive:
        return BadArchive(
            f"{label} unpacks to more than {self.most / 1e6:,.1f} MB, "
            "which is not believed of an archive of its size: it looks like a bomb"
        )
