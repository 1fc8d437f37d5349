"""The stand-in, spoken to by the real client: if this fails, no other test here means much."""

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from kaggle_stand_in import StandIn
from kaggle_stand_in.small_kernels import REF, WAITS, write_kernel

if TYPE_CHECKING:  # importing it checks an access token
    from kaggle.api.kaggle_api_extended import KaggleApi


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A zip of a hundred thousand bytes, which no block size divides."""
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("train.csv", "Id,Category\n0.jpg,1\n")
        file.writestr("train/1/0.jpg", bytes(range(256)) * 391)
    return path


@pytest.mark.parametrize("kind", ["ETag", "Last-Modified"])
def test_a_part_is_served_as_long_as_the_file_is_the_same(
    stand_in: StandIn, archive: Path, kind: str
) -> None:
    whole = archive.read_bytes()
    url = stand_in.link("files/archive.zip", "archive", archive)
    same = requests.get(url).headers[kind]
    part = requests.get(url, headers={"Range": "bytes=70000-", "If-Range": same})
    assert part.status_code == 206
    assert part.content == whole[70000:]
    assert part.headers["Content-Range"] == f"bytes 70000-{len(whole) - 1}/{len(whole)}"
    other = requests.get(url, headers={"Range": "bytes=70000-", "If-Range": '"another"'})
    assert other.status_code == 200
    assert other.content == whole
    behind = requests.get(url, headers={"Range": f"bytes={len(whole)}-"})
    assert behind.status_code == 416


def test_no_more_run_at_once_than_the_account_may(
    stand_in: StandIn, api: "KaggleApi", tmp_path: Path
) -> None:
    stand_in.max_sessions, stand_in.hold_queue = 1, True
    folder = write_kernel(tmp_path / "kernel", "", machine_shape="NvidiaTeslaT4")
    assert api.kernels_push(str(folder)).version_number == 1
    assert api.kernels_status(REF).status.name == "QUEUED"
    assert api.kernels_push(str(folder)).error == ("Maximum batch GPU session count of 1 reached.")
    assert not api.kernels_push(str(write_kernel(tmp_path / "cpu", ""))).error
    stand_in.hold_queue = False
    stand_in.kernels[REF].sessions[0].wait()
    stand_in.kernels[REF].last.wait()
    assert api.kernels_push(str(folder)).version_number == 3
    stand_in.refuse_push = "Your account must be verified"
    assert api.kernels_push(str(folder)).error == "Your account must be verified"


def test_a_new_kernel_is_named_by_its_title_and_belongs_to_the_user(
    stand_in: StandIn, api: "KaggleApi", tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = api.kernels_push(str(write_kernel(tmp_path / "kernel", "", title="Another Title")))
    assert answer.url.endswith("/someone/another-title")
    assert "may result in surprising behavior" in capsys.readouterr().out
    with pytest.raises(ValueError, match="Cannot access kernel"):
        api.kernels_status(REF)
    refused = api.kernels_push(str(write_kernel(tmp_path / "other", "", id="else/first-kernel")))
    assert refused.error == "Notebook not found"


def test_the_log_is_streamed_while_a_kernel_runs(
    stand_in: StandIn, api: "KaggleApi", tmp_path: Path
) -> None:
    api.kernels_push(str(write_kernel(tmp_path / "kernel", WAITS)))
    session = stand_in.kernels[REF].last
    stand_in.break_log(after=2)
    stream, seen = api.kernels_logs_stream(REF), []
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        for event in stream:
            seen.append(event["data"])
    assert seen == ["line 0\n", "line 1\n"]
    stream, seen = api.kernels_logs_stream(REF), []
    for event in stream:
        seen.append(event["data"])
        if event["data"] == "line 2\n":
            assert api.kernels_status(REF).status.name == "RUNNING"
            assert api.kernels_output(REF, str(tmp_path / "out"))[0] == []
            (session.working / "go").touch()
    assert seen == ["line 0\n", "line 1\n", "line 2\n", "the end\n"]
    session.wait()
    assert [event["data"] for event in api.kernels_logs_stream(REF)] == seen
    assert next(api.kernels_logs_stream(REF)).keys() == {"stream_name", "time", "data"}
