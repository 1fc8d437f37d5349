"""A submission to a competition: its file checked, sent once, and followed to its score."""

import io
import json
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from podium import paths
from podium.competitions import Competition, MissingData, WrongSubmission
from podium.competitions.submission import check_submission_file
from podium.kaggle.client import KaggleError, connect, explained, is_passing
from podium.runs.run_folder import RunFolder
from podium.text import single_line

if TYPE_CHECKING:
    from kaggle.api.kaggle_api_extended import ApiSubmission, KaggleApi

LONGEST_WAIT = 24 * 3600.0  # seconds; a small table takes a few, a kernel's second run hours
COUNTED = "/CreateSubmission", "/CreateCodeSubmission"  # the calls after which there is one more


@dataclass(frozen=True)
class SubmissionResult:
    """A submission that Kaggle has taken, with its scores where it was waited for."""

    file: str
    competition: str  # Kaggle's name of it
    number: int  # Kaggle's number of it
    public_score: str | None = None
    private_score: str | None = None  # shown once the competition has ended

    def __str__(self) -> str:
        lines = [f"submitted   {single_line(self.file)} to {self.competition}"]
        if self.public_score is None:
            lines.append(f"score       will be at {_page(self.competition)}")
        else:
            lines.append(f"public      {single_line(self.public_score) or 'not shown by Kaggle'}")
        if self.private_score:
            lines.append(f"private     {single_line(self.private_score)}")
        return "\n".join(lines)


def submit(
    competition: Competition, csv: Path, message: str, wait: bool, poll_seconds: float = 5.0
) -> SubmissionResult:
    """Check a submission's file, send it, and wait for its score if that is wanted.

    Raises:
        WrongSubmission: the file is not what the competition takes. Nothing was sent.
        KaggleError: Kaggle refused it or could not score it, or it is not known whether it did.
    """
    slug = slug_of(competition)
    ids = _test_ids(competition, run=csv.stem)
    check_submission_file(competition, csv, ids)
    if ids is None:
        print(
            "warning: whether all ids are there could not be checked, because the images are "
            f"not here. To get them: {competition.get_it}"
        )
    api = connect()
    call = partial(api.competition_submit, str(csv), message, slug)
    return send_and_follow(api, csv.name, slug, call, wait, poll_seconds)


def send_and_follow(
    api: "KaggleApi", what: str, slug: str, call: Callable[[], Any], wait: bool, poll_seconds: float
) -> SubmissionResult:
    """Submit something by this call of the client, and perhaps wait for its score.

    Raises:
        KaggleError: Kaggle refused it or could not score it, or it is not known whether it did.
    """
    number = _send(api, what, slug, call)
    if not wait:
        return SubmissionResult(what, slug, number)
    scored = _follow(api, slug, number, poll_seconds)
    public, private = scored.public_score or "", scored.private_score or None
    return SubmissionResult(what, slug, number, public, private)


def slug_of(competition: Competition) -> str:
    """Kaggle's name of the competition; refuse what is none there."""
    kind, _, slug = (competition.kaggle_source or "").partition("/")
    if kind != "competitions":
        why = "it is a dataset of Kaggle, not a competition" if kind else "it is not on Kaggle"
        raise WrongSubmission(
            f"{competition.name} has no leaderboard: {why}. `podium score` compares a submission "
            "with the true answers, where you have them"
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


def _send(api: "KaggleApi", what: str, slug: str, call: Callable[[], Any]) -> int:
    """Submit something, once: whatever fails is not tried again. Returns its number.

    Raises:
        KaggleError: says whether it may have been taken all the same.
    """
    from requests import RequestException

    action, printed = f"submitting {what} to {slug}", io.StringIO()
    unclear = f"Kaggle may have taken it: look at {_page(slug)} before you submit it again"
    forbidden = f"Accept its rules at {_page(slug, 'rules')}, then submit again"
    unknown = "Kaggle has no such competition, or it takes no more submissions"
    with explained(action, forbidden, unknown), redirect_stdout(printed):
        try:
            answer = call()
        except (RequestException, json.JSONDecodeError) as error:
            if not _may_have_arrived(error):
                raise
            cause = type(error).__name__
            raise KaggleError(f"{action}: no clear answer ({cause}). {unclear}") from error
        except KeyboardInterrupt as error:
            raise KaggleError(f"{action}: interrupted. {unclear}") from error
    if answer.message == api.COMPETITION_SUBMIT_UPLOAD_FAILED_MESSAGE:
        # The client prints what went wrong, if it has a reason, after warnings of its version.
        lines = [line for line in printed.getvalue().splitlines() if not line.startswith("Warning")]
        reason = single_line(lines[-1]) if lines else "Kaggle's storage did not take the file"
        raise KaggleError(
            f"{action}: the upload failed ({reason}); nothing was submitted, try again"
        )
    return answer.ref


def _may_have_arrived(error: Exception) -> bool:
    """Whether the last step, which is the one that counts, had begun and has no clear end."""
    if isinstance(error, json.JSONDecodeError):
        return True  # a proxy may have answered, after any step
    request, response = getattr(error, "request", None), getattr(error, "response", None)
    is_last_step = request is not None and str(request.url).endswith(COUNTED)
    is_refused = response is not None and response.status_code == 429
    return is_last_step and is_passing(error) and not is_refused


def _follow(api: "KaggleApi", slug: str, number: int, poll_seconds: float) -> "ApiSubmission":
    """Ask for a submission until it has a score.

    Raises:
        KaggleError: it could not be scored, or not within LONGEST_WAIT.
    """
    deadline = time.monotonic() + LONGEST_WAIT
    taken = f"submission {number} is taken and counts: see {_page(slug)}"
    print(f"submission {number} is taken, waiting for its score", flush=True)
    try:
        while time.monotonic() < deadline:
            try:
                with explained(f"asking for the score of submission {number}"):
                    found = api.get_submission(number)
            except KaggleError as error:
                if not is_passing(error.__cause__, 404):  # which it may be at first
                    raise KaggleError(f"{error}. But {taken}") from error
                found = None
            if found and found.status.name == "COMPLETE":
                return found
            if found and found.status.name == "ERROR":
                reason = single_line(found.error_description or "it gives no reason")
                raise KaggleError(
                    f"Kaggle could not score submission {number} ({found.file_name}): {reason}"
                )
            time.sleep(poll_seconds)
    except KeyboardInterrupt as error:
        raise KaggleError(f"interrupted: {taken}") from error
    raise KaggleError(f"no score after {LONGEST_WAIT / 3600:.0f} hours, but {taken}")


def _page(slug: str, name: str = "submissions") -> str:
    return f"https://www.kaggle.com/competitions/{slug}/{name}"
