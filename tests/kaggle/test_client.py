"""The client of this machine: who is asking, and what its refusals come to."""

from pathlib import Path

import pytest

from kaggle_stand_in import StandIn
from kaggle_stand_in.small_kernels import write_zip
from podium.kaggle.client import KaggleError, NoCredentials, connect, explained, user_name


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write_zip(tmp_path / "archive.zip", {"train.csv": "Id,Category"})


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
