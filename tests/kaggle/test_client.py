"""The client of this machine: who is asking, and what its refusals come to."""

import os
from collections.abc import Callable
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


SECRET = "KGAT_0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", " \t"])
@pytest.mark.parametrize("name", ["KAGGLE_API_TOKEN", "KAGGLE_KEY", "KAGGLE_USERNAME"])
def test_space_around_a_credential_does_no_harm(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, name: str, end: str
) -> None:
    if name == "KAGGLE_API_TOKEN":
        monkeypatch.setenv(name, stand_in.token)
    monkeypatch.setenv(name, os.environ[name] + end)
    assert user_name(connect()) == "someone"


@pytest.mark.parametrize("secret", [SECRET + "…", SECRET[:9] + "\n" + SECRET, SECRET + "\x1b[2J"])
@pytest.mark.parametrize("words", [("download", "cars"), ("submit", "cars", "x.csv", "-m", "x")])
def test_a_credential_that_cannot_be_sent_is_named_and_not_shown(
    stand_in: StandIn,
    data: Path,
    command: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
    secret: str,
    words: tuple[str, ...],
) -> None:
    Path("x.csv").write_text("Id,Category\n1.jpg,0\n")
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_KEY"):
        with monkeypatch.context() as patch:
            patch.setenv(name, secret)
            code, out, errors = command(*words)
        assert code == 1 and errors.count("\n") == 1
        assert errors.startswith(f"podium: {name} holds signs that none has")
        assert SECRET[5:] not in out + errors


@pytest.mark.parametrize(
    "text",
    [
        "{username: me}",
        '{"username": "me"}',
        "[1]",
        "",
        "\ufeff{}",
        '{"username": "me", "key": "a…"}',
    ],
)
def test_a_damaged_file_of_credentials_is_named_and_not_shown(
    stand_in: StandIn, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "home" / ".kaggle" / "kaggle.json"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(NoCredentials) as caught:
        connect()
    assert str(path) in str(caught.value) and "settings/api" in str(caught.value)
    assert ("\n" not in str(caught.value) and not text) or text not in str(caught.value)


@pytest.mark.parametrize(
    "endpoint",
    ["http://kaggle.example", "http://127.0.0.1.example", "http://10.0.0.1:80", "ftp://localhost"],
)
def test_credentials_are_not_sent_over_an_open_line(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("PODIUM_KAGGLE_ENDPOINT", endpoint)
    with pytest.raises(KaggleError, match="over https only"):
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
