"""The folders of a dataset: their image files, what is left out, and what lies too deep."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from podium.competitions.csv_files import MissingData
from podium.files.image_io import is_image
from podium.text import summarize

UNMENTIONED = {"thumbs.db", "desktop.ini", "__macosx"}  # besides hidden files, as ._x.jpg is


def images_in(folder: Path) -> list[Path]:
    """The image files of a folder and those below it, sorted by folder and name.

    Numbers in names count as numbers.
    """
    files = [path for path in files_in(folder) if is_image(path)]
    return sorted(files, key=lambda path: (path.parent, len(path.stem), path.stem, path.suffix))


def files_in(folder: Path) -> list[Path]:
    """The files of a folder, and those below it, without what systems leave in any folder."""
    files, seen = [], set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # a link that leads in a circle
            folders.clear()
            continue
        seen.add(real)
        files += [Path(place, name) for name in names if _is_mentioned(name)]
        folders[:] = filter(_is_mentioned, folders)
    return files


def _is_mentioned(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in UNMENTIONED


def is_utf8(name: str) -> bool:
    """Whether a file's name can be written; Python has lone surrogates for its other bytes."""
    return not any("\ud800" <= sign <= "\udfff" for sign in name)


def left_out(folders: Iterable[Path], used: Iterable[Path]) -> str:
    """A line that counts the files in these folders that are not used; "" where there are none.

    A folder below of which nothing is used, as of a class that nobody expects, is named.
    """
    folders, used = set(folders), set(used)
    rest = [path for folder in sorted(folders) for path in files_in(folder) if path not in used]
    if not rest:
        return ""
    endings = Counter(sorted(path.suffix.lower() or "no extension" for path in rest))
    listed = summarize([f"{name} {count}" for name, count in endings.most_common()], most=8)
    needed = folders | {path.parent for path in used}
    needed |= {parent for path in needed for parent in path.parents}
    unused = {  # the topmost
        next(one for one in (*reversed(path.parents), path) if one not in needed)
        for path in {path.parent for path in rest} - needed
    }
    odd = [path for path in rest if not is_utf8(path.name)]
    return (
        f"left out: {len(rest)} files ({listed})"
        + (f"; nothing is used of {summarize(sorted(unused))}" if unused else "")
        + (f"; rename what is not UTF-8: {summarize(odd)}" if odd else "")
    )


def subfolder(folder: Path, *names: str) -> Path:
    """The first of these subfolders that is there: Kaggle nests some downloads twice.

    Raises:
        MissingData: none of them is.
    """
    for name in names:
        if (folder / name).is_dir():
            return folder / name
    deeper = one_deeper(folder, names)
    raise MissingData(
        f"{folder}: expected a folder {' or '.join(names)}{deeper or '; unpack the download again'}"
    )


def one_deeper(folder: Path, names: Sequence[str]) -> str:
    """Advice where one of these lies in a subfolder: who unpacks by hand gets archive/train."""
    for name in reversed(names):
        for path in sorted(folder.glob(f"*/{name}")):
            if path.is_dir():
                return f", found one folder deeper: move it up, {path} to {folder / name}"
    return ""
