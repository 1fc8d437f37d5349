"""The stand-in, spoken to by the real client: if this fails, no other test here means much."""

import zipfile
from pathlib import Path

import pytest
import requests

from kaggle_stand_in import StandIn
from podium.kaggle.client import KaggleError, NoCredentials, connect, explained, user_name


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A zip of a hundred thousand bytes, which no block size divides."""
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("train.csv", "Id,Category\n0.jpg,1\n")
        file.writestr("train/1/0.jpg", bytes(range(256)) * 391)
    return path


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    path = tmp_path / "truth.csv"
    path.write_text("Id,Category\na,1\nb,0\nc,1\nd,0\n")
    return path


def submission(folder: Path, text: str) -> str:
    path = folder / "submission.csv"
    path.write_text(text)
    return str(path)


def test_a_competition_is_downloaded_byte_for_byte(
    stand_in: StandIn, archive: Path, tmp_path: Path
) -> None:
    stand_in.add_competition("cars", archive)
    connect().competition_download_files("cars", str(tmp_path / "here"))
    assert (tmp_path / "here" / "cars.zip").read_bytes() == archive.read_bytes()
    assert stand_in.calls[0] == ("DownloadDataFiles", {"competitionName": "cars"})


def test_a_dataset_is_downloaded_byte_for_byte(
    stand_in: StandIn, archive: Path, tmp_path: Path
) -> None:
    stand_in.add_dataset("someone/flowers", archive)
    connect().dataset_download_files("someone/flowers", str(tmp_path / "here"))
    assert (tmp_path / "here" / "flowers.zip").read_bytes() == archive.read_bytes()


def test_a_download_that_breaks_is_resumed_by_the_client(
    stand_in: StandIn, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)  # the client waits seconds before it resumes
    block = 1 << 20  # the client writes whole blocks of this size, and loses what is in hand
    archive.write_bytes(bytes(range(256)) * (3 * block // 256) + b"rest")
    stand_in.add_competition("cars", archive)
    stand_in.break_download("cars", after=block + 5, times=2)
    connect().competition_download_files("cars", str(tmp_path / "here"))
    assert (tmp_path / "here" / "cars.zip").read_bytes() == archive.read_bytes()
    asked = [body["range"] for method, body in stand_in.calls if method == "GET"]
    assert asked == [None, f"bytes={block}-", f"bytes={2 * block}-"]


@pytest.mark.parametrize("kind", ["ETag", "Last-Modified"])
def test_a_part_is_served_as_long_as_the_file_is_the_same(
    stand_in: StandIn, archive: Path, kind: str
) -> None:
    whole = archive.read_bytes()
    url = stand_in.link("files/archive.zip", "archive", archive)
    same = requests.head(url).headers[kind]
    part = requests.get(url, headers={"Range": "bytes=70000-", "If-Range": same})
    assert part.status_code == 206
    assert part.content == whole[70000:]
    assert part.headers["Content-Range"] == f"bytes 70000-{len(whole) - 1}/{len(whole)}"
    other = requests.get(url, headers={"Range": "bytes=70000-", "If-Range": '"another"'})
    assert other.status_code == 200
    assert other.content == whole
    behind = requests.get(url, headers={"Range": f"bytes={len(whole)}-"})
    assert behind.status_code == 416


def test_a_link_may_serve_once_only(stand_in: StandIn, archive: Path) -> None:
    stand_in.links_once = True
    url = stand_in.link("files/archive.zip", "archive", archive)
    assert requests.get(url).status_code == 200
    assert requests.get(url).status_code == 403


def test_downloads_are_refused_as_kaggle_does(
    stand_in: StandIn, archive: Path, tmp_path: Path
) -> None:
    stand_in.add_competition("cars", archive, rules_accepted=False)
    api = connect()
    with pytest.raises(KaggleError, match=r"answers 403: You must accept .* rules"), explained("x"):
        api.competition_download_files("cars", str(tmp_path))
    with pytest.raises(KaggleError, match="answers 404: Not found"), explained("x"):
        api.competition_download_files("boats", str(tmp_path))
    with pytest.raises(KaggleError, match="answers 404: Dataset not found"), explained("x"):
        api.dataset_download_files("someone/boats", str(tmp_path))


def test_a_submission_waits_and_is_then_scored(
    stand_in: StandIn, archive: Path, truth: Path, tmp_path: Path
) -> None:
    competition = stand_in.add_competition("cars", archive, truth)
    api = connect()
    text = "Id,Category\na,1\nb,0\nc,1\nd,1\n"
    answer = api.competition_submit(submission(tmp_path, text), "first", "cars", quiet=True)
    assert answer.message == "Successfully submitted to cars"
    (waiting,) = api.competition_submissions("cars")
    assert (waiting.status.name, waiting.public_score) == ("PENDING", "")
    (scored,) = api.competition_submissions("cars")
    assert (scored.ref, scored.status.name) == (answer.ref, "COMPLETE")
    assert (scored.public_score, scored.file_name) == ("0.75000", "submission.csv")
    (kept,) = competition.submissions
    assert (kept.text, kept.description) == (text.encode(), "first")


def test_log_loss_is_that_of_the_probability_of_1(
    stand_in: StandIn, archive: Path, truth: Path, tmp_path: Path
) -> None:
    competition = stand_in.add_competition("dogs", archive, truth, metric="log loss")
    competition.listings_until_scored = 0
    api = connect()
    text = "Id,Category\na,0.9\nb,0.1\nc,0.8\nd,0.4\n"
    api.competition_submit(submission(tmp_path, text), "", "dogs", quiet=True)
    # −(ln .9 + ln .9 + ln .8 + ln .6) / 4
    assert api.competition_submissions("dogs")[0].public_score == "0.23617"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("id,label\na,1\n", "must have the columns"),
        ("Id,Category\na,1\nb,0\n", "must have 4 rows"),
        ("Id,Category\na,1\nb,0\nc,1\nx,1\n", "Unable to find id 'x'"),
        ("Id,Category\na,1\na,0\nc,1\nd,1\n", "duplicate ids"),
        ("", "is empty"),
    ],
)
def test_a_wrong_submission_ends_as_an_error(
    stand_in: StandIn, archive: Path, truth: Path, tmp_path: Path, text: str, reason: str
) -> None:
    stand_in.add_competition("cars", archive, truth).listings_until_scored = 0
    api = connect()
    api.competition_submit(submission(tmp_path, text), "", "cars", quiet=True)
    (scored,) = api.competition_submissions("cars")
    assert scored.status.name == "ERROR"
    assert reason in scored.error_description


def test_submissions_come_in_pages_newest_first(
    stand_in: StandIn, archive: Path, truth: Path
) -> None:
    competition = stand_in.add_competition("cars", archive, truth)
    for number in range(5):
        competition.submit(f"{number}.csv", "", b"")
    api = connect()
    names = [each.file_name for each in api.competition_submissions("cars", page_size=2)]
    assert names == ["4.csv", "3.csv"]
    rest = api.competition_submissions("cars", page_size=2, page_token="2")
    assert [each.file_name for each in rest] == ["0.csv"]
    assert api.competition_get_submission_limits("cars").num_allowed_now == 15


def test_submissions_are_refused_as_kaggle_does(
    stand_in: StandIn, archive: Path, truth: Path, tmp_path: Path
) -> None:
    competition = stand_in.add_competition("cars", archive, truth)
    api, path = connect(), submission(tmp_path, "Id,Category\n")
    stand_in.fail_upload = 500
    answer = api.competition_submit(path, "", "cars", quiet=True)
    assert answer.message == api.COMPETITION_SUBMIT_UPLOAD_FAILED_MESSAGE
    stand_in.fail_upload = None
    stand_in.refuse_submission = "Submission not allowed: 5 a day"
    with pytest.raises(KaggleError, match="answers 400: Submission not allowed"), explained("x"):
        api.competition_submit(path, "", "cars", quiet=True)
    stand_in.refuse_submission, competition.daily_limit = None, 0
    with pytest.raises(KaggleError, match="submission allowance"), explained("x"):
        api.competition_submit(path, "", "cars", quiet=True)
    assert competition.submissions == []


def test_a_token_is_as_good_as_a_key(
    stand_in: StandIn, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KAGGLE_USERNAME")
    monkeypatch.delenv("KAGGLE_KEY")
    monkeypatch.setenv("KAGGLE_API_TOKEN", stand_in.token)
    stand_in.add_competition("cars", archive)
    api = connect()
    assert user_name(api) == "someone"
    api.competition_download_files("cars", str(tmp_path / "here"))
    assert (tmp_path / "here" / "cars.zip").is_file()
    monkeypatch.setenv("KAGGLE_API_TOKEN", "expired")
    with pytest.raises(NoCredentials):
        connect()


def test_another_key_is_not_taken(
    stand_in: StandIn, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in.add_competition("cars", archive)
    monkeypatch.setenv("KAGGLE_KEY", "stolen")
    with pytest.raises(KaggleError, match="answers 401"), explained("x"):
        connect().competition_download_files("cars", str(tmp_path))


def test_a_call_fails_as_often_as_it_is_told_to(stand_in: StandIn, archive: Path) -> None:
    stand_in.add_competition("cars", archive)
    stand_in.fail("ListSubmissions", 503)
    stand_in.fail("ListSubmissions", 0)
    api = connect()
    with pytest.raises(KaggleError, match="answers 503"), explained("x"):
        api.competition_submissions("cars")
    with pytest.raises(KaggleError, match="the connection failed"), explained("x"):
        api.competition_submissions("cars")
    assert api.competition_submissions("cars") == []
