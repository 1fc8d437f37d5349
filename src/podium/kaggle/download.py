"""`podium download`: a competition's files from Kaggle into input/, complete or not at all."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from podium import paths
from podium.competitions import Competition, MissingData
from podium.competitions.base import test_table
from podium.competitions.image_folders import images_in
from podium.files.archives import BadArchive, DamagedArchive, atomic_folder, unpack_into
from podium.files.locks import Busy, locked_folder
from podium.kaggle.client import KaggleError, connect, explained, fetch_patiently, megabytes

if TYPE_CHECKING:
    from kaggle.api.kaggle_api_extended import KaggleApi


class Unseen(Competition):
    """Data on Kaggle of which nothing is known yet: only that there are images."""

    classes = ("any",)
    has_test = False

    def __init__(self, name: str, source: str) -> None:
        self.name, self.kaggle_source = name, source
        self.slug = source.rpartition("/")[2]
        self.get_it = f"https://www.kaggle.com/{source}"

    def training_images(self, folder: Path) -> pd.DataFrame:
        images = images_in(folder)
        ids = [path.relative_to(folder).as_posix() for path in images]
        return test_table(ids, images).assign(label=0)


def download(competition: Competition, fresh: bool = False) -> Path:
    """Bring a competition's files from Kaggle into input/, unpacked; returns their folder.

    A connection that breaks is taken up again, now or by the next call, where it broke.

    Args:
        fresh: fetch them again where they are there; the old ones stay until the new are complete.

    Raises:
        KaggleError: Kaggle has or gives no such files, cannot be reached, or they are not sound.
        Busy: another process downloads them.
    """
    if competition.kaggle_source is None:
        raise KaggleError(f"{competition.name} is not on Kaggle. To get it: {competition.get_it}")
    target = (paths.inputs()[0] / competition.slug).resolve()  # may be a link to another disk
    archive = target.parent / ".downloads" / f"{competition.slug}.zip"
    lock = locked_folder(target)
    with suppress(MissingData):
        present = competition.folder()
        if any(present.iterdir()) and not fresh:
            with suppress(Busy), lock:
                _forget(archive)  # a kill may have come when it was unpacked
            print(
                f"{present} is there already: podium check {competition.name} looks through it, "
                "--fresh replaces it"
            )
            return present
    with lock:
        archive.parent.mkdir(parents=True, exist_ok=True)
        try:
            _fetch(connect(), competition.kaggle_source, archive)
            counts = _unpack(competition, archive, target, replace=fresh)
            _forget(archive)
        finally:
            with suppress(OSError):  # what came stays there
                archive.parent.rmdir()
    print(f"{target}: {counts}")
    return target


def _forget(archive: Path) -> None:
    """Delete an archive, and what the client leaves beside one of which only a part has come."""
    for path in archive.parent.glob(f"{archive.name}*"):
        path.unlink()
    with suppress(OSError):  # others are downloaded
        archive.parent.rmdir()


def _fetch(api: "KaggleApi", source: str, archive: Path) -> None:
    """Fetch the archive of a competition or dataset, from where an earlier call broke off.

    Raises:
        KaggleError: with what to do; what came is kept.
    """
    kind, _, ref = source.partition("/")
    page = f"https://www.kaggle.com/{source}"
    unknown = f"There is nothing at {page} that you may see"
    if kind == "competitions":
        fetch = api.competition_download_files
        forbidden = f"Accept the rules at {page}/rules, then the same command again"
    else:
        fetch = api.dataset_download_files
        forbidden = f"Look at {page}, whether you may see it"
    try:
        with explained(f"downloading {ref}", forbidden, unknown):
            fetch_patiently(lambda: fetch(ref, str(archive.parent), quiet=False), archive)
    except KaggleError as error:
        if not megabytes(archive):
            raise
        raise KaggleError(
            f"{error}: {megabytes(archive):,.1f} MB are here, and the same command goes on from "
            "there"
        ) from error


def _unpack(competition: Competition, archive: Path, target: Path, replace: bool) -> str:
    """Put the archive's content in its place if it is sound; returns what it is, counted."""
    try:
        with atomic_folder(target, replace) as part:
            unpack_into(archive, part)
            train, test = competition.read_training(part), competition.read_test(part)
            both = f"{len(train):,} training and {len(test):,} test images"
            return both if len(test) else f"{len(train):,} images"
    except DamagedArchive as error:
        archive.unlink()
        raise KaggleError(
            f"{error}. The download was deleted; the same command fetches it again"
        ) from error
    except BadArchive as error:
        raise KaggleError(f"{error}. Nothing of it was unpacked; it is kept: {archive}") from error
    except MissingData as error:
        reason = str(error).replace(str(part), competition.slug)
        raise KaggleError(
            f"{competition.name} is complete, but not in the layout that Podium reads: {reason}. "
            f"The download is kept: {archive}"
        ) from error
