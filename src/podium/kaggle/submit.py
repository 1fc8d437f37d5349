"""A submission to a competition: its file checked, sent once, and followed to its score."""

import io
import json
import time
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from tqdm import tqdm

from podium import paths
from podium.competitions import Competition, MissingData, WrongSubmission
from podium.competitions.submission import check_submission_file
from podium.kaggle.client import KaggleError, connect, explained, is_passing
from podium.runs.run_folder import RunFolder

if TYPE_CHECKING:
    from kaggle.api.kaggle_api_extended import ApiSubmission, KaggleApi

LONGEST_WAIT = 1800.0  # seconds; Kaggle takes a few for a small table


@dataclass(frozen=True)
class SubmissionResult:
    """A submission that Kaggle has taken, with its scores where it was waited for."""

    file: str
    competition: str  # Kaggle's name of it
    number: int  # Kaggle's number of it; 0 where it gave none
    public_score: str | None = None
    private_score: str | None = None  # shown once the competition has ended

    def __str__(self) -> str:
        lines = [f"submitted   {self.file} to {self.competition}"]
        if self.public_score is None:
            lines.append(f"score       will be at {_page(self.competition)}")
        else:
            lines.append(f"public      {self.public_score or 'not shown by Kaggle'}")
        if self.private_score:
            lines.append(f"private     {self.private_score}")
        return "\n".join(lines)


def submit(
    competition: Competition, csv: Path, message: str, wait: bool, poll_seconds: float = 5.0
) -> SubmissionResult:
    """Check a submission's file, send it, and wait for its score if that is wanted.

    Raises:
        WrongSubmission: the file is not what the competition takes. Nothing was sent.
        KaggleError: Kaggle refused it or could not score it, or it is not known whether it did.
    """
    slug = _slug(competition)
    ids = _test_ids(competition, run=csv.stem)
    check_submission_file(competition, csv, ids)
    if ids is None:
        print(
            "warning: whether all ids are there could not be checked, because the images are "
            f"not here. To get them: {competition.get_it}"
        )
    api = connect()
    number = _send(api, slug, csv, message)
    if not wait:
        return SubmissionResult(csv.name, slug, number)
    if not number:
        print("warning: Kaggle gave the submission no number to follow it by")
        return SubmissionResult(csv.name, slug, number)
    try:
        scored = _follow(api, slug, number, poll_seconds)
    except KeyboardInterrupt as error:
        raise KaggleError(f"interrupted: {_taken(slug, number)}") from error
    public, private = scored.public_score or "", scored.private_score or None
    return SubmissionResult(csv.name, slug, number, public, private)


def _slug(competition: Competition) -> str:
    """Kaggle's name of the competition; what is nowhere on Kaggle, Kaggle itself will refuse."""
    kind, _, slug = (competition.kaggle_source or f"competitions/{competition.slug}").partition("/")
    if kind != "competitions":
        raise WrongSubmission(
            f"{competition.name} has no leaderboard: it is a dataset of Kaggle, not a competition"
        )
    return slug


def _test_ids(competition: Competition, run: str) -> pd.Index | None:
    """The ids that must be there, if this machine has the competition's data, or the run."""
    try:
        return competition.read_test().index
    except MissingData:
        folder = RunFolder(paths.runs() / run)  # of one from Kaggle only the table is here
        images = folder.read_images() if folder.exists else None
        return None if images is None else images.index[images["part"] == "test"]


def _send(api: "KaggleApi", slug: str, csv: Path, message: str) -> int:
    """Upload the file and submit it, once: whatever fails is not tried again. Returns its number.

    Raises:
        KaggleError: says whether it may have been taken all the same.
    """
    from requests import RequestException

    doing, printed = f"submitting {csv.name} to {slug}", io.StringIO()
    unclear = f"Kaggle may have taken it: look at {_page(slug)} before you submit it again"
    forbidden = f"Accept its rules at {_page(slug, 'rules')}, then submit again"
    unknown = "Kaggle has no such competition, or it takes no more submissions"
    with explained(doing, forbidden, unknown), redirect_stdout(printed):
        try:
            answer = api.competition_submit(str(csv), message, slug)
        except (RequestException, json.JSONDecodeError) as error:
            if _may_have_arrived(error):
                raise KaggleError(
                    f"{doing}: no clear answer ({type(error).__name__}). {unclear}"
                ) from error
            raise
        except KeyboardInterrupt as error:
            raise KaggleError(f"{doing}: interrupted. {unclear}") from error
    if answer.message == api.COMPETITION_SUBMIT_UPLOAD_FAILED_MESSAGE:
        # The client prints what went wrong, if it knows, after warnings of its own version.
        lines = [line for line in printed.getvalue().splitlines() if not line.startswith("Warning")]
        reason = lines[-1] if lines else "Kaggle's storage did not take the file"
        raise KaggleError(
            f"{doing}: the upload failed ({reason}); nothing was submitted, try again"
        )
    return answer.ref


def _may_have_arrived(error: Exception) -> bool:
    """Whether the last step, which is the one that counts, had begun and has no clear end."""
    if isinstance(error, json.JSONDecodeError):
        return True  # what answered may be a proxy: nobody knows for whom
    url = getattr(getattr(error, "request", None), "url", None) or ""
    response = getattr(error, "response", None)
    refused = response is not None and response.status_code == 429
    return url.endswith("/CreateSubmission") and is_passing(error) and not refused


def _follow(api: "KaggleApi", slug: str, number: int, poll_seconds: float) -> "ApiSubmission":
    """Ask for a submission until it has a score.

    Raises:
        KaggleError: it could not be scored, or not within LONGEST_WAIT.
    """
    deadline, warned = time.monotonic() + LONGEST_WAIT, False
    doing = f"submission {number} is taken, waiting for its score"
    with tqdm(desc=doing, bar_format="{desc}: {elapsed}", delay=2, leave=False) as progress:
        while True:
            try:
                found = _look_up(api, slug, number)
            except KaggleError as error:
                if not _is_passing(error):
                    raise KaggleError(f"{error}. But {_taken(slug, number)}") from error
                if not warned:
                    progress.write(f"warning: {error}. Asking on")
                found, warned = None, True
            if found and found.status.name == "COMPLETE":
                return found
            if found and found.status.name == "ERROR":
                reason = found.error_description or "it gives no reason"
                raise KaggleError(
                    f"Kaggle could not score submission {number} ({found.file_name}): {reason}"
                )
            if time.monotonic() > deadline:
                minutes = round(LONGEST_WAIT / 60)
                raise KaggleError(f"no score after {minutes} minutes, but {_taken(slug, number)}")
            time.sleep(poll_seconds)
            progress.update()


def _look_up(api: "KaggleApi", slug: str, number: int) -> "ApiSubmission | None":
    """The submission of that number, among the newest; None before Kaggle lists it."""
    doing = f"asking for the score of submission {number}"
    with explained(doing):
        try:
            submissions = api.competition_submissions(slug) or []
        except json.JSONDecodeError as error:
            raise KaggleError(f"{doing}: the answer is not Kaggle's") from error
    return next((each for each in submissions if each and each.ref == number), None)


def _is_passing(error: KaggleError) -> bool:
    cause = error.__cause__
    return isinstance(cause, json.JSONDecodeError) or (cause is not None and is_passing(cause))


def _taken(slug: str, number: int) -> str:
    return f"submission {number} is taken and counts: see {_page(slug)}"


def _page(slug: str, name: str = "submissions") -> str:
    return f"https://www.kaggle.com/competitions/{slug}/{name}"
