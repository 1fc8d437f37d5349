"""Scores of submissions on Kaggle's leaderboards, kept in weights/leaderboard.json.

Each is kept with the SHA-256 of the file that was sent, because a run's submission is written anew
whenever it is predicted again, and its score would be that of another file.
"""

import hashlib
import math
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from podium import paths
from podium.competitions import Competition
from podium.files.atomic_write import write_json
from podium.files.locks import locked
from podium.kaggle.client import KaggleError, connect, explained
from podium.runs.schemas import Form, read_json

if TYPE_CHECKING:
    from kaggle.api.kaggle_api_extended import ApiSubmission, KaggleApi

PAGE = 100  # submissions in one answer


class Submission(Form):
    """A submission; scores are None until Kaggle shows them."""

    number: int  # Kaggle's
    file: str
    date: str  # ISO 8601 in UTC
    sha256: str = ""  # of the file; "" where it was sent by other means and is not here any more
    failed: bool = False
    public: float | None = None
    private: float | None = None


class Leaderboard(Form):
    """What is known of a competition's leaderboard."""

    asked: str = ""  # when Kaggle said how many submissions are left
    left: int | None = None  # of that day, which ends at midnight UTC
    submissions: list[Submission] = []  # noqa: RUF012 - the newest first

    @property
    def left_today(self) -> int | None:
        """Submissions left today; None where Kaggle was not asked today."""
        return self.left if self.asked[:10] == now()[:10] else None

    def scores(self, run: str) -> tuple[float | None, float | None, bool]:
        """Public and private score of a run's submission, and whether they are of another file.

        They are of the file that is here by now, or else of the newest one.
        """
        scored = [one for one in self.submissions if one.public is not None]
        mine = [one for one in scored if Path(one.file).stem == run]
        here = paths.submission(run)
        if not mine or not here.is_file():
            return (mine[0].public, mine[0].private, False) if mine else (None, None, False)
        sha256 = digest(here)
        found = next((one for one in mine if one.sha256 == sha256), mine[0])
        return found.public, found.private, found.sha256 != sha256


class LeaderboardFile(Form):
    """weights/leaderboard.json: by Kaggle's name of a competition."""

    competitions: dict[str, Leaderboard] = {}  # noqa: RUF012


def leaderboard_of(competition: Competition) -> str | None:
    """Kaggle's name of the competition; None where it has no leaderboard."""
    kind, _, slug = (competition.kaggle_source or "").partition("/")
    return slug if kind == "competitions" else None


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def digest(csv: Path) -> str:
    """SHA-256 of a submission's file."""
    return hashlib.sha256(csv.read_bytes()).hexdigest()


def read_leaderboard(slug: str) -> Leaderboard:
    """What is known of it here, without a word to Kaggle."""
    return _read().competitions.get(slug, Leaderboard())


def keep(slug: str, submission: Submission, sent: int = 0) -> None:
    """Keep a submission; a file that cannot be written must not look as if sending had failed.

    Args:
        sent: 1 where it was sent just now, so that one less is left today.
    """
    try:
        _keep(slug, [submission], sent)
    except (OSError, ValueError) as error:
        print(f"warning: submission {submission.number} is not kept for `podium runs`: {error}")


def fetch_leaderboard(slug: str) -> None:
    """Ask Kaggle for the scores of all submissions, and for how many are left today.

    Raises:
        KaggleError: it does not say.
    """
    api = connect()
    with explained(f"asking for the submissions to {slug}"):
        found = list(_all_submissions(api, slug))
        left = _left(api, slug, found)
    _keep(slug, found, left=left)


def _all_submissions(api: "KaggleApi", slug: str) -> Iterator[Submission]:
    seen, page = set[int](), 1
    while True:
        listed = api.competition_submissions(slug, page_number=page, page_size=PAGE) or []
        new = [each for each in listed if each and each.ref not in seen]
        if not new:
            return
        seen |= {each.ref for each in new}
        yield from map(from_kaggle, new)
        page += 1


def from_kaggle(each: "ApiSubmission") -> Submission:
    """A submission as Kaggle lists it, with the hash of the file here if that is what was sent."""
    file, date, sha256 = each.file_name or "", each.date.replace(tzinfo=UTC), ""
    with suppress(OSError):
        csv = paths.submission(Path(file).stem)
        about = csv.stat()
        if about.st_size == each.total_bytes and about.st_mtime < date.timestamp():
            sha256 = digest(csv)
    return Submission(
        number=each.ref,
        file=file,
        date=date.isoformat(timespec="seconds"),
        sha256=sha256,
        failed=each.status.name == "ERROR",
        public=_number(each.public_score),
        private=_number(each.private_score),
    )


def _number(text: str | None) -> float | None:
    with suppress(ValueError):
        number = float(text or "none")
        return number if math.isfinite(number) else None
    return None


def _left(api: "KaggleApi", slug: str, found: list[Submission]) -> int | None:
    """Submissions left today: Kaggle's answer, or else its limit of a day less those of today."""
    with suppress(KaggleError), explained(f"asking for the limit of {slug}"):
        limits = api.competition_get_submission_limits(slug)
        if limits.num_total or limits.num_allowed_now:  # else the user is in no team yet
            return limits.num_allowed_now
    answer = api.competitions_list(search=slug)
    listed = (answer and answer.competitions) or []
    limit = next((one.max_daily_submissions for one in listed if one.ref.endswith(f"/{slug}")), 0)
    today = [one for one in found if one.date[:10] == now()[:10] and not one.failed]
    return max(limit - len(today), 0) if limit else None


def _file() -> Path:
    return paths.runs() / "leaderboard.json"


def _read() -> LeaderboardFile:
    if not _file().is_file():
        return LeaderboardFile()
    return LeaderboardFile.model_validate(read_json(_file(), LeaderboardFile))


def _keep(slug: str, found: list[Submission], sent: int = 0, left: int | None = None) -> None:
    """Add submissions, or what is new of them; the hash of what was sent from here stays."""
    with locked(_file().parent / ".locks" / "leaderboard.lock", str(_file()), wait=True):
        kept = _read()
        board = kept.competitions.setdefault(slug, Leaderboard())
        known = {each.number: each for each in board.submissions}
        for each in found:
            before = known.get(each.number, each)
            # Kaggle calls what a kernel wrote submission.csv, whatever run it is of.
            here = {"file": before.file, "sha256": before.sha256 or each.sha256}
            known[each.number] = each.model_copy(update=here)
        board.submissions = sorted(known.values(), key=lambda one: one.number, reverse=True)
        if left is not None:
            board.asked, board.left = now(), left
        elif board.left:
            board.left -= sent
        write_json(_file(), kept.model_dump())
