"""Submitting with the real client: checked, sent once, scored, and each refusal clear."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest

from kaggle_stand_in import StandIn
from kaggle_stand_in.competitions import Competition as StandInCompetition
from podium import paths
from podium.competitions import Competition, WrongSubmission, get_competition
from podium.files.atomic_write import write_json
from podium.kaggle import submit as submitting
from podium.kaggle.client import ENDPOINT, KaggleError
from podium.kaggle.submit import SubmissionResult, submit
from podium.runs.run_folder import RunFolder
from small_competitions import DRAW

SLUG = "sf-dl-car-classification"
PAGE = f"https://www.kaggle.com/competitions/{SLUG}/submissions"
SENT = ["StartSubmissionUpload", "PUT", "CreateSubmission"]
POLL = 0.01  # seconds


@dataclass(frozen=True)
class Cars:
    """The cars on this machine and on the stand-in, and a submission with four of five right."""

    kaggle: StandIn
    there: StandInCompetition
    here: Competition
    csv: Path

    def submit(self, wait: bool = False) -> SubmissionResult:
        return submit(self.here, self.csv, "a try", wait, POLL)

    def refusal(self, wait: bool = False) -> str:
        with pytest.raises(KaggleError) as caught:
            self.submit(wait)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def calls(self) -> list[str]:
        return [method for method, _ in self.kaggle.calls]


@pytest.fixture
def cars(stand_in: StandIn, data: Path) -> Cars:
    competition = get_competition("cars")
    DRAW["cars"](data / SLUG)
    answers = pd.DataFrame({"Id": competition.read_test().index, "Category": [1, 2, 3, 4, 5]})
    answers.to_csv(data / "truth.csv", index=False)
    answers.replace({"Category": {5: 6}}).to_csv(data / "cars-b6.csv", index=False)
    there = stand_in.add_competition(SLUG, data / "archive.zip", truth=data / "truth.csv")
    return Cars(stand_in, there, competition, data / "cars-b6.csv")


def test_a_submission_is_sent_once_and_followed_to_its_score(cars: Cars) -> None:
    cars.there.listings_until_scored = 2
    submitted = cars.submit(wait=True)
    [kept] = cars.there.submissions
    assert submitted == SubmissionResult("cars-b6.csv", SLUG, kept.ref, "0.80000", None)
    assert str(submitted) == f"submitted   cars-b6.csv to {SLUG}\npublic      0.80000"
    assert (kept.file_name, kept.description) == ("cars-b6.csv", "a try")
    assert kept.text == cars.csv.read_bytes()
    assert cars.calls() == [*SENT, *["GetSubmission"] * 3]


def test_without_waiting_it_says_where_the_score_will_be(cars: Cars) -> None:
    submitted = cars.submit()
    assert str(submitted) == f"submitted   cars-b6.csv to {SLUG}\nscore       will be at {PAGE}"
    assert cars.calls() == SENT


def test_a_private_score_is_shown_where_there_is_one() -> None:
    assert str(SubmissionResult("a.csv", "x", 1, "0.9", "0.8")).endswith("0.9\nprivate     0.8")
    assert "public      not shown by Kaggle" in str(SubmissionResult("a.csv", "x", 1, ""))


def test_the_score_is_that_of_this_submission_not_of_one_like_it(cars: Cars) -> None:
    cars.there.submit("cars-b6.csv", "a try", b"an older one")
    cars.there.listings_until_scored = 5

    def submit_a_newer_one() -> None:
        wait_until(lambda: "GetSubmission" in cars.calls())
        cars.there.submit("cars-b6.csv", "a try", b"of the same team")

    teammate = threading.Thread(target=submit_a_newer_one)
    teammate.start()
    submitted = cars.submit(wait=True)
    teammate.join()
    assert submitted.public_score == "0.80000"
    assert submitted.number == cars.there.submissions[1].ref


# --- Wrong files: nothing is sent


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("Category", "Class"), "expected the columns"),
        (("\n13.jpg,2", ""), "1 test ids are missing \\(13.jpg\\)"),
        (("\n13.jpg", "\n8.jpg"), "1 ids are there twice \\(8.jpg\\)"),
        (("\n13.jpg", "\n14.jpg"), "1 ids are no test ids \\(14.jpg\\)"),
        ((",6", ",10"), "line 5: '10'|line 6: '10'"),
        ((",6", ",nan"), "'nan'"),
    ],
)
def test_a_wrong_file_is_not_sent(cars: Cars, change: tuple[str, str], message: str) -> None:
    before = cars.csv.read_text()
    cars.csv.write_text(before.replace(*change))
    assert cars.csv.read_text() != before
    with pytest.raises(WrongSubmission, match=message):
        cars.submit(wait=True)
    assert cars.kaggle.calls == []


def test_a_file_that_is_not_there_is_not_sent(cars: Cars) -> None:
    with pytest.raises(WrongSubmission, match="there is no file"):
        submit(cars.here, cars.csv.with_name("other.csv"), "a try", True, POLL)
    assert cars.kaggle.calls == []


def test_without_the_data_the_ids_of_the_run_count(
    cars: Cars, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that was collected from Kaggle is here without its images."""
    ids = cars.here.read_test().index
    run = RunFolder(paths.runs() / cars.csv.stem)
    write_json(run.path / "run.json", {})
    run.write_images(pd.concat({"test": pd.DataFrame(index=ids)}, names=["part", "id"]))
    monkeypatch.setenv("PODIUM_INPUT", str(cars.csv.parent / "elsewhere"))
    cars.submit()
    assert "warning" not in capsys.readouterr().out
    cars.csv.write_text("".join(cars.csv.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(WrongSubmission, match="1 test ids are missing"):
        cars.submit()


@pytest.mark.parametrize("name", ["clocks-or-crocs", "pets", "sample"])
def test_what_is_not_on_kaggle_is_told_before_anything_else(tmp_path: Path, name: str) -> None:
    with pytest.raises(WrongSubmission, match=f"^{name} has no leaderboard: it is not on Kaggle"):
        submit(get_competition(name), tmp_path / "absent.csv", "x", wait=False)


def test_a_dataset_has_no_leaderboard(cars: Cars) -> None:
    with pytest.raises(WrongSubmission, match="intel has no leaderboard"):
        submit(get_competition("intel"), cars.csv, "a try", True, POLL)
    assert cars.kaggle.calls == []


def test_without_the_data_the_form_is_checked_and_the_rest_said(
    cars: Cars, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PODIUM_INPUT", str(cars.csv.parent / "elsewhere"))
    assert cars.submit(wait=True).public_score == "0.80000"
    said = capsys.readouterr().out
    assert "warning: whether all ids are there could not be checked" in said
    assert "podium download cars" in said

    cars.csv.write_text(cars.csv.read_text().replace("13.jpg", "8.jpg"))
    with pytest.raises(WrongSubmission, match="1 ids are there twice"):
        cars.submit()
    assert len(cars.there.submissions) == 1


# --- Refused by Kaggle


def test_a_competition_that_kaggle_does_not_have(cars: Cars) -> None:
    cars.kaggle.competitions.clear()
    message = cars.refusal()
    assert message.startswith(f"submitting cars-b6.csv to {SLUG}: Kaggle answers 404")
    assert message.endswith("Kaggle has no such competition, or it takes no more submissions")


def test_rules_that_are_not_accepted(cars: Cars) -> None:
    cars.there.rules_accepted = False
    message = cars.refusal()
    assert "Kaggle answers 403: You must accept" in message
    assert f"https://www.kaggle.com/competitions/{SLUG}/rules" in message
    assert cars.there.submissions == []


def test_the_limit_of_the_day_is_told_in_kaggles_words(cars: Cars) -> None:
    cars.kaggle.refuse_submission = "Submission not allowed: your team has used its 5 of today."
    assert cars.refusal(wait=True) == (
        f"submitting cars-b6.csv to {SLUG}: Kaggle answers 400: "
        "Submission not allowed: your team has used its 5 of today"
    )
    assert cars.calls() == SENT


def test_an_upload_that_fails_is_an_error(cars: Cars) -> None:
    cars.kaggle.fail_upload = 403
    message = cars.refusal(wait=True)
    assert "the upload failed (Kaggle's storage did not take the file)" in message
    assert message.endswith("nothing was submitted, try again")
    assert cars.calls() == SENT[:2]


# --- Connections that break


def test_no_connection(cars: Cars, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:1")  # nothing listens there
    message = cars.refusal()
    assert "the connection failed" in message
    assert "may have taken" not in message


@pytest.mark.parametrize("status", [0, 502], ids=["connection lost", "bad gateway"])
def test_when_it_is_unknown_whether_it_was_taken_it_says_so_and_sends_no_more(
    cars: Cars, status: int
) -> None:
    cars.kaggle.fail("CreateSubmission", status)
    message = cars.refusal(wait=True)
    assert message.endswith(f"Kaggle may have taken it: look at {PAGE} before you submit it again")
    assert cars.calls() == SENT


@pytest.mark.parametrize(
    ("method", "status"),
    [("StartSubmissionUpload", 0), ("StartSubmissionUpload", 503), ("CreateSubmission", 429)],
)
def test_what_was_surely_not_taken_is_not_called_unknown(
    cars: Cars, method: str, status: int
) -> None:
    cars.kaggle.fail(method, status)
    assert "may have taken" not in cars.refusal()
    assert cars.there.submissions == []
    assert cars.submit(wait=True).public_score == "0.80000"


def test_interrupted_before_the_answer_it_may_have_been_taken(
    cars: Cars, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = threading.Event()

    def interrupted_meanwhile() -> None:
        interrupt()
        gone.wait(20)

    monkeypatch.setattr(cars.there, "require_rules", interrupted_meanwhile)
    message = cars.refusal()
    assert message.startswith(f"submitting cars-b6.csv to {SLUG}: interrupted. Kaggle may have")
    gone.set()
    wait_until(lambda: len(cars.there.submissions) == 1)  # as here it has


class LoginPage(BaseHTTPRequestHandler):
    """A proxy that answers every call with a page of its own."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<html>Please log in</html>")

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def test_an_answer_that_is_not_kaggles_is_no_success(
    cars: Cars, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), LoginPage) as proxy:
        threading.Thread(target=proxy.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv(ENDPOINT, f"http://127.0.0.1:{proxy.server_port}")
        try:
            message = cars.refusal(wait=True)
        finally:
            proxy.shutdown()
    assert f"to {SLUG}: no clear answer" in message
    assert cars.kaggle.calls == []


# --- Waiting for the score


def test_a_submission_that_cannot_be_scored_is_an_error(cars: Cars) -> None:
    cars.there.truth.write_text("Id,Category\n1.jpg,1\n")
    message = cars.refusal(wait=True)
    assert message == (
        f"Kaggle could not score submission {cars.there.submissions[0].ref} (cars-b6.csv): "
        "Submission must have 1 rows; it has 5"
    )


def test_what_kaggle_says_moves_no_cursor() -> None:
    told = str(SubmissionResult("a.csv", "cars", 1, "0.9\x1b[2J\nprivate     1.0"))
    assert told.count("\n") == 1 and "0.9\\x1b[2J\\nprivate" in told


def test_failures_while_waiting_pass(cars: Cars) -> None:
    for status in (404, 503, 0, 429):
        cars.kaggle.fail("GetSubmission", status)
    assert cars.submit(wait=True).public_score == "0.80000"
    assert cars.calls().count("CreateSubmission") == 1


def test_a_refusal_while_waiting_says_that_the_submission_is_taken(cars: Cars) -> None:
    cars.kaggle.fail("GetSubmission", 401)
    message = cars.refusal(wait=True)
    assert "Kaggle answers 401" in message
    assert message.endswith(f"submission 40000000 is taken and counts: see {PAGE}")


def test_waiting_has_an_end(cars: Cars, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submitting, "LONGEST_WAIT", 0.1)
    cars.there.listings_until_scored = 10**6
    message = cars.refusal(wait=True)
    assert message.startswith("no score after")
    assert message.endswith(f"submission 40000000 is taken and counts: see {PAGE}")


def test_an_interrupted_wait_warns_of_submitting_again(cars: Cars) -> None:
    cars.there.listings_until_scored = 10**6
    main = threading.main_thread().ident

    def interrupt_when_it_waits() -> None:
        wait_until(lambda: "GetSubmission" in cars.calls())
        # Asleep between two calls, as nearly always: in some calls of libraries Ctrl-C gets lost.
        wait_until(lambda: sys._current_frames()[main].f_code.co_name == "_follow")
        interrupt()

    someone = threading.Thread(target=interrupt_when_it_waits)
    someone.start()
    with pytest.raises(KaggleError) as caught:
        submit(cars.here, cars.csv, "a try", wait=True, poll_seconds=20)
    someone.join()
    said = f"interrupted: submission 40000000 is taken and counts: see {PAGE}"
    assert str(caught.value) == said


def interrupt() -> None:
    """Press Ctrl-C."""
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, os.environ.get("PYTEST_CURRENT_TEST")
        time.sleep(0.005)
