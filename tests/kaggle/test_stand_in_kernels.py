"""Kernels on the stand-in: pushed, followed and collected by the real client."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from kaggle_stand_in import StandIn
from kaggle_stand_in.small_kernels import REF, WAITS, run_kernel, write_kernel, write_zip
from podium.kaggle.client import KaggleError, explained

if TYPE_CHECKING:  # importing it checks an access token
    from kaggle.api.kaggle_api_extended import KaggleApi


def test_unknown_sources_are_only_reported(
    stand_in: StandIn, api: "KaggleApi", tmp_path: Path
) -> None:
    stand_in.add_competition("cars", write_zip(tmp_path / "cars.zip", {}), rules_accepted=False)
    folder = write_kernel(
        tmp_path / "kernel",
        "print('ran')",
        competition_sources=["cars", "boats"],
        dataset_sources=["someone/nothing"],
        kernel_sources=["someone/never-pushed"],
    )
    answer = api.kernels_push(str(folder))
    assert answer.invalid_competition_sources == ["cars", "boats"]
    assert answer.invalid_dataset_sources == ["someone/nothing"]
    assert answer.invalid_kernel_sources == ["someone/never-pushed"]
    assert stand_in.kernels[REF].last.wait() == "COMPLETE"


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


def test_a_kernel_is_stopped_when_its_time_is_over(
    stand_in: StandIn, api: "KaggleApi", tmp_path: Path
) -> None:
    api.kernels_push(str(write_kernel(tmp_path / "kernel", WAITS)), timeout="1")
    assert stand_in.kernels[REF].last.wait() == "ERROR"
    assert "exceeded its time of 1 s" in api.kernels_status(REF).failure_message


def test_output_comes_in_pages_and_may_be_hostile(
    stand_in: StandIn, api: "KaggleApi", tmp_path: Path
) -> None:
    stand_in.kernels[REF].extra_outputs = {"../../evil.txt": b"evil"}
    code = "for number in range(204): open(f'{number:03}.txt', 'w').write(str(number))"
    run_kernel(stand_in, api, tmp_path / "kernel", code)
    stand_in.calls.clear()
    folder = tmp_path / "a" / "b" / "out"
    api.kernels_output(REF, str(folder), page_size=500)
    pages = [body for method, body in stand_in.calls if method == "ListKernelSessionOutput"]
    assert [page.get("pageToken", "") for page in pages] == ["", "200"]
    assert (folder / "203.txt").read_text() == "203"
    # The client writes where it is told to: what is built on it has to look at the names.
    assert (tmp_path / "a" / "evil.txt").read_bytes() == b"evil"


def test_an_output_may_break_off(stand_in: StandIn, api: "KaggleApi", tmp_path: Path) -> None:
    run_kernel(stand_in, api, tmp_path / "kernel", "open('left.bin', 'wb').write(bytes(1000))")
    stand_in.break_download(f"{REF}/left.bin", after=100)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        api.kernels_output(REF, str(tmp_path / "out"))
    api.kernels_output(REF, str(tmp_path / "out"), force=True)
    assert (tmp_path / "out" / "left.bin").read_bytes() == bytes(1000)


def test_the_status_call_may_fail(stand_in: StandIn, api: "KaggleApi", tmp_path: Path) -> None:
    run_kernel(stand_in, api, tmp_path / "kernel", "")
    stand_in.fail("GetKernelSessionStatus", 503, times=2)
    for _ in range(2):
        with pytest.raises(KaggleError, match="503"), explained("asking"):
            api.kernels_status(REF)
    assert api.kernels_status(REF).status.name == "COMPLETE"


def test_another_script_may_run_instead(
    stand_in: StandIn, api: "KaggleApi", tmp_path: Path
) -> None:
    stand_in.run_instead = lambda ref: "raise SystemExit(7)" if ref.endswith("kernel") else None
    run_kernel(stand_in, api, tmp_path / "kernel", "print('pushed')")
    assert api.kernels_status(REF).failure_message == "Your notebook exited with code 7"
    other = {"id": "someone/other-one", "title": "Other One"}
    assert run_kernel(stand_in, api, tmp_path / "other", "print('pushed')", **other) == "pushed\n"
