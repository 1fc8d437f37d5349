"""`podium download`: a competition's files from Kaggle into input/, whole or not at all."""

import fcntl
import io
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from podium import paths
from podium.competitions import Competition, MissingData
from podium.files.archives import BadArchive, DamagedArchive, atomic_folder, unpack_into
from podium.kaggle.client import SILENCE, KaggleError, connect, explained, hang_up_after, is_passing

if TYPE_CHECKING:
    from kaggle.api.kaggle_api_extended import KaggleApi
    from kagglesdk.kaggle_client import KaggleClient
    from requests import Response

PAUSES = (2.0, 4.0, 8.0, 16.0, 32.0)  # seconds before each further try
BLOCK = 1 << 17  # bytes that are written at once, and lost where the connection breaks


def download(
    competition: Competition,
    fresh: bool = False,
    pauses: Sequence[float] = PAUSES,
    silence: float = SILENCE,
) -> Path:
    """Bring a competition's files from Kaggle into input/, unpacked; returns their folder.

    A connection that breaks is taken up again, now or by the next call, where it broke.

    Args:
        fresh: fetch them again where they are there; the old ones stay until the new are whole.
        pauses: seconds before each further try; they begin again whenever a try gets further.
        silence: seconds without a byte, after which a connection counts as lost.

    Raises:
        KaggleError: Kaggle has or gives no such files, cannot be reached, or they are not sound.
    """
    if competition.kaggle_source is None:
        raise KaggleError(f"{competition.name} is not on Kaggle. To get it: {competition.get_it}")
    there = None if fresh else _there(competition)
    if there:
        print(f"{there} is there already: {_counted_there(competition, there)}")
        return there
    target = (paths.inputs()[0] / competition.slug).resolve()  # may be a link to another disk
    archive = target.parent / ".downloads" / f"{competition.slug}.zip"
    with _alone(archive):
        _Download(connect(), competition, archive, silence).fetch(pauses)
        counts = _unpack(competition, archive, target, replace=fresh)
        archive.unlink()
    print(f"{target}: {counts}")
    return target


def _there(competition: Competition) -> Path | None:
    """The folder of the data, if there is one with anything in it."""
    try:
        folder = competition.folder()
    except MissingData:
        return None
    return folder if any(folder.iterdir()) else None


def _counted_there(competition: Competition, folder: Path) -> str:
    try:
        return _counted(competition, folder)
    except MissingData as error:
        raise KaggleError(
            f"{folder} is there already, but not as it should be: {error}. To replace it: "
            f"podium download {competition.name} --fresh"
        ) from error


def _counted(competition: Competition, folder: Path) -> str:
    """How many images the competition finds in a folder.

    Raises:
        MissingData: the folder is not laid out as the competition is.
    """
    train, test = competition.read_training(folder), competition.read_test(folder)
    absent = [path for path in train["path"] if not path.is_file()]
    if len(absent) == len(train):
        raise MissingData(f"{absent[0]} is missing, and so are all the others of its table")
    counts = f"{len(train):,} training and {len(test):,} test images"
    return counts + (
        f", {len(absent):,} of them missing: podium check {competition.name}" if absent else ""
    )


def _unpack(competition: Competition, archive: Path, target: Path, replace: bool) -> str:
    """Put the archive's content in its place if it is sound; returns what it is, counted."""
    try:
        with atomic_folder(target, replace) as part:
            unpack_into(archive, part)
            return _counted(competition, part)
    except DamagedArchive as error:
        archive.unlink()
        raise KaggleError(
            f"{error}. The download was deleted; the same command fetches it again"
        ) from error
    except BadArchive as error:
        raise KaggleError(f"{error}. Nothing of it was unpacked; it is kept: {archive}") from error
    except MissingData as error:
        told = str(error).replace(str(part), competition.slug)
        raise KaggleError(
            f"{competition.name} came whole, but not in the layout that Podium knows: {told}. "
            f"The download is kept: {archive}"
        ) from error


@contextmanager
def _alone(archive: Path) -> Iterator[None]:
    """See that no other process fetches the same: two would write into one file."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    lock = archive.with_suffix(".lock")
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ends with the process
        except BlockingIOError as error:
            raise KaggleError(
                f"another process is downloading {archive.stem} at the moment"
            ) from error
        try:
            yield
        finally:
            lock.unlink()
            if not any(archive.parent.iterdir()):
                archive.parent.rmdir()


class _Download:
    """The archive of a competition or dataset on its way into a file."""

    def __init__(self, api: "KaggleApi", competition: Competition, archive: Path, silence: float):
        self.api, self.archive, self.silence = api, archive, silence
        self.source = str(competition.kaggle_source)
        self.kind, _, self.ref = self.source.partition("/")
        self.total: int | None = None  # bytes, once Kaggle has told them

    def fetch(self, pauses: Sequence[float]) -> None:
        """Fetch what is not here yet.

        Raises:
            KaggleError: with what to do; what came is kept.
        """
        page = f"https://www.kaggle.com/{self.source}"
        forbidden = f"Look at {page}, whether you may see it"
        if self.kind == "competitions":
            rules = f"https://www.kaggle.com/c/{self.ref}/rules"
            forbidden = f"Accept the rules at {rules}, then the same command again"
        unknown = f"There is nothing at {page} that you may see"
        try:
            with explained(f"downloading {self.ref}", forbidden, unknown):
                self._fetch_patiently(pauses)
        except KaggleError as error:
            if not self._can_go_on:
                raise
            raise KaggleError(
                f"{error}: {self._progress} are here, and the same command goes on from there"
            ) from error

    def _fetch_patiently(self, pauses: Sequence[float]) -> None:
        import requests

        left = list(pauses)
        while True:
            before = self._bytes
            try:
                self._fetch_once()
                return
            except requests.RequestException as error:
                if not is_passing(error):
                    raise
                if self._bytes > before:
                    left = list(pauses)
                if not left:
                    raise
                pause = left.pop(0)
                print(f"no connection at {self._progress}; trying again in {pause:.0f} s")
                time.sleep(pause)

    def _fetch_once(self) -> None:
        """One try, from an address of its own.

        The client's own tries go on with the first address until it has expired, and then write
        the page that says so over what they have.
        """
        import requests

        with self.api.build_kaggle_client() as kaggle:
            hang_up_after(self.silence, kaggle)
            with redirect_stdout(io.StringIO()):
                response = self._ask(kaggle)
            self.total = int(response.headers.get("Content-Length", 0)) or None
            if self._is_whole(response):
                return
            self._require_space()
            print(f"downloading {self.ref}: {self._progress} are here", flush=True)
            try:
                with redirect_stdout(io.StringIO()):  # its bar goes to stderr
                    self.api.download_file(
                        response, str(self.archive), kaggle.http_client(),
                        quiet=False, resume=True, chunk_size=BLOCK, max_retries=0,
                        timeout=self.silence,
                    )  # fmt: skip
            except ValueError as error:  # another length than was announced: who knows what it is
                self._forget()
                raise requests.ConnectionError(str(error)) from error

    def _ask(self, kaggle: "KaggleClient") -> "Response":
        """The answer whose body is the archive, not read yet."""
        if self.kind == "competitions":
            from kagglesdk.competitions.types.competition_api_service import (
                ApiDownloadDataFilesRequest,
            )

            files = ApiDownloadDataFilesRequest()
            files.competition_name = self.ref
            return kaggle.competitions.competition_api_client.download_data_files(files)
        from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest

        dataset = ApiDownloadDatasetRequest()
        dataset.owner_slug, dataset.dataset_slug = self.ref.split("/")
        return kaggle.datasets.dataset_api_client.download_dataset(dataset)

    def _is_whole(self, response: "Response") -> bool:
        """Whether an earlier call fetched all of it, but could not unpack it."""
        finished = self._bytes == self.total and not self._marker.exists()
        return finished and not self.api.download_needed(response, str(self.archive))

    def _require_space(self) -> None:
        if self.total is None:
            return
        # Images hardly shrink when they are packed.
        needed = 2 * self.total - (self._bytes if self._can_go_on else 0)
        free = shutil.disk_usage(self.archive.parent).free
        if needed > free:
            raise KaggleError(
                f"downloading {self.ref}: no space left: {_size(self.total)}, and about as much "
                f"again once unpacked, of which {_size(needed)} are missing; {_size(free)} are "
                f"free in {self.archive.parents[1]}. Make room, then the same command again"
            )

    @property
    def _marker(self) -> Path:
        """What the client writes beside a part, to know of what it is a part."""
        return Path(self.api._resume_marker_path(str(self.archive)))

    @property
    def _bytes(self) -> int:
        return self.archive.stat().st_size if self.archive.is_file() else 0

    @property
    def _can_go_on(self) -> bool:
        return self._bytes > 0 and self._marker.exists()

    @property
    def _progress(self) -> str:
        here = self._bytes if self._can_go_on else 0
        return _size(here) + (f" of {_size(self.total)}" if self.total else "")

    def _forget(self) -> None:
        self.archive.unlink(missing_ok=True)
        self._marker.unlink(missing_ok=True)


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
