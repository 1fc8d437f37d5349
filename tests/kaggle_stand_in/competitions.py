"""Competitions as the stand-in keeps them: an archive, rules, and submissions with scores."""

import csv
import io
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaggle_stand_in.answers import Body, Redirect, RefusedError

if TYPE_CHECKING:
    from kaggle_stand_in.server import StandIn
    from kaggle_stand_in.session import Session

RULES = "You must accept this competition's rules before you'll be able to download files."


@dataclass
class Submission:
    """One submitted file; `public_score` is text, as on Kaggle, and None until it is scored."""

    ref: int
    file_name: str
    description: str
    text: bytes
    date: str
    status: str = "PENDING"  # then COMPLETE or ERROR
    public_score: str | None = None
    error_description: str | None = None
    listings: int = 0  # how often it was listed
    rerun: "Session | None" = None  # of the kernel that was submitted, on the hidden images

    def as_json(self, user: str) -> Body:
        body = {
            "ref": self.ref,
            "totalBytes": len(self.text),
            "date": self.date,
            "description": self.description,
            "errorDescription": self.error_description,
            "fileName": self.file_name,
            "publicScore": self.public_score,
            "privateScore": None,
            "status": self.status,
            "submittedBy": user,
            "url": f"https://www.kaggle.com/submissions/{self.ref}/{self.ref}.raw",
        }
        return {key: value for key, value in body.items() if value is not None}


@dataclass
class Competition:
    """A competition; all of it may be changed while the server runs.

    With `hidden` it is a code competition: what is submitted is a version of a kernel, which runs
    again with that zip in the place of `archive`, and is scored by `truth`.
    """

    slug: str
    archive: Path  # the zip that is downloaded, and that kernels find extracted
    truth: Path | None = None  # CSV of two columns, named as a submission's must be
    rules_accepted: bool = True
    submissions: list[Submission] = field(default_factory=list)  # in order of arrival
    listings_until_scored: int = 1  # how often a submission is listed as PENDING
    hidden: Path | None = None

    def require_rules(self) -> None:
        """Raises RefusedError where the rules are not accepted."""
        if not self.rules_accepted:
            raise RefusedError(403, RULES)

    def submit(self, file_name: str, description: str, text: bytes) -> Submission:
        submission = Submission(
            ref=40_000_000 + len(self.submissions),
            file_name=file_name,
            description=description,
            text=text,
            date=datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        )
        self.submissions.append(submission)
        return submission

    def listed(self, user: str) -> list[Body]:
        """The submissions, newest first."""
        for submission in self.submissions:
            submission.listings += 1
            is_over = submission.rerun is None or submission.rerun.ended
            is_due = is_over and submission.listings > self.listings_until_scored
            if submission.status == "PENDING" and is_due:
                self._score(submission)
        return [submission.as_json(user) for submission in reversed(self.submissions)]

    def _score(self, submission: Submission) -> None:
        try:
            if submission.rerun is not None:
                submission.text = _left_by(submission.rerun, submission.file_name)
            truth, header = _two_columns(self.truth.read_text(encoding="utf-8"), None)
            answers, _ = _two_columns(submission.text.decode("utf-8-sig"), header)
            submission.public_score = f"{_accuracy(truth, answers):.5f}"
            submission.status = "COMPLETE"
        except ValueError as error:  # UnicodeDecodeError is one too
            submission.status, submission.error_description = "ERROR", str(error)


def _left_by(rerun: "Session", file_name: str) -> bytes:
    """What a kernel's second run wrote.

    Raises:
        ValueError: nothing; in the words of Kaggle, which does not show the log.
    """
    if rerun.status != "COMPLETE":
        raise ValueError("Notebook Threw Exception")
    if file_name not in rerun.outputs:
        raise ValueError("Submission CSV Not Found")
    return rerun.outputs[file_name].read_bytes()


def _two_columns(text: str, header: list[str] | None) -> tuple[dict[str, str], list[str]]:
    """Answer by id of a CSV of two columns, and their names, which `header` may prescribe."""
    rows = list(csv.reader(io.StringIO(text)))
    if not rows:
        raise ValueError("Submission is empty")
    found, *rows = rows
    if header is not None and found != header:
        raise ValueError(f"Submission must have the columns {header}; it has {found}")
    answers = dict(rows)
    if len(answers) != len(rows):
        raise ValueError("Submission contains duplicate ids")
    return answers, found


def _accuracy(truth: dict[str, str], answers: dict[str, str]) -> float:
    if len(answers) != len(truth):
        raise ValueError(f"Submission must have {len(truth)} rows; it has {len(answers)}")
    if unknown := sorted(answers.keys() - truth.keys()):
        raise ValueError(f"Unable to find id {unknown[0]!r} in the solution")
    return sum(answers[key] == truth[key] for key in truth) / len(truth)


class Competitions(dict[str, Competition]):
    """Competitions by slug, and the API's methods for them."""

    def __init__(self, stand_in: "StandIn"):
        super().__init__()
        self._stand_in = stand_in
        self._uploads: dict[str, tuple[str, bytes | None]] = {}  # token → file name and content

    def asked(self, body: dict[str, Any]) -> Competition:
        """The competition that a call is about.

        Raises:
            RefusedError: there is none of that name.
        """
        slug = body.get("competitionName", "")
        if slug not in self:
            raise RefusedError(404, "Not found")
        return self[slug]

    def download(self, body: Body) -> Redirect:
        """DownloadDataFiles."""
        competition = self.asked(body)
        competition.require_rules()
        slug = competition.slug
        return Redirect(self._stand_in.link(f"files/{slug}/archive.zip", slug, competition.archive))

    def start_upload(self, body: dict[str, Any]) -> Body:
        """StartSubmissionUpload."""
        self.asked(body)
        token = secrets.token_hex(8)
        self._uploads[token] = (body.get("fileName", ""), None)
        return {"token": token, "createUrl": f"{self._stand_in.url}/upload/{token}"}

    def receive(self, token: str, content: bytes) -> None:
        """Take what is uploaded.

        Raises:
            RefusedError: nobody asked to upload it.
        """
        if token not in self._uploads:
            raise RefusedError(404, "No such upload")
        name, _ = self._uploads[token]
        self._uploads[token] = (name, content)

    def submit(self, body: dict[str, Any]) -> Body:
        """CreateSubmission."""
        competition = self.asked(body)
        competition.require_rules()
        if self._stand_in.refuse_submission is not None:
            raise RefusedError(400, self._stand_in.refuse_submission)
        name, content = self._uploads.pop(body.get("blobFileTokens", ""), ("", None))
        if content is None:
            raise RefusedError(400, "Submission not allowed: the file was not uploaded")
        submission = competition.submit(name, body.get("submissionDescription", ""), content)
        return {"message": f"Successfully submitted to {competition.slug}", "ref": submission.ref}

    def submit_code(self, body: dict[str, Any]) -> Body:
        """CreateCodeSubmission: runs the version again, on the hidden images."""
        competition = self.asked(body)
        competition.require_rules()
        if self._stand_in.refuse_submission is not None:
            raise RefusedError(400, self._stand_in.refuse_submission)
        if competition.hidden is None:
            raise RefusedError(400, "This competition does not accept Notebook submissions")
        ref, name = f"{body.get('kernelOwner')}/{body.get('kernelSlug')}", body.get("fileName", "")
        session = self._stand_in.kernels.version(ref, int(body.get("kernelVersion", 0)))
        if session.status != "COMPLETE" or name not in session.outputs:
            raise RefusedError(400, f"The Notebook version has no output file {name}")
        if session.pushed.get("enableInternet", True):
            raise RefusedError(400, "Your Notebook cannot use internet access in this competition")
        submission = competition.submit(name, body.get("submissionDescription", ""), b"")
        submission.rerun = self._stand_in.kernels.run_again(ref, session, competition)
        return {"message": f"Successfully submitted to {competition.slug}", "ref": submission.ref}

    def get_submission(self, body: dict[str, Any]) -> Body:
        """GetSubmission, by its number alone."""
        for competition in self.values():
            for submission in competition.listed(self._stand_in.user):
                if submission["ref"] == body.get("ref"):
                    return submission
        raise RefusedError(404, "Not found")

    def list_submissions(self, body: dict[str, Any]) -> Body:
        """ListSubmissions, all in one page."""
        return {"submissions": self.asked(body).listed(self._stand_in.user), "nextPageToken": ""}
