"""A kernel on Kaggle: pushed or refused, followed with its log, its output fetched whole."""

import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from kaggle_stand_in import StandIn
from kaggle_stand_in.small_kernels import REF, write_kernel
from podium.kaggle import client
from podium.kaggle.client import KaggleError
from podium.kaggle.following import KernelRun, PushRefused, SessionsFull, push, quota_left
from podium.kaggle.kernel import Kernel

if TYPE_CHECKING:  # importing it checks an access token
    from kaggle.api.kaggle_api_extended import KaggleApi

POLL = 0.05


@pytest.fixture
def start(api: "KaggleApi", tmp_path: Path) -> Callable[[str], KernelRun]:
    """Push a script, which starts it; returns its run."""

    def start(code: str) -> KernelRun:
        folder = write_kernel(tmp_path / "kernel", code)
        api.kernels_push(str(folder))
        return KernelRun(api, REF, folder, "[label] ")

    return start


def test_a_run_is_followed_to_its_end(
    start: Callable[[str], KernelRun], capsys: pytest.CaptureFixture[str]
) -> None:
    run = start("print('one line'); print('another line')")
    run.follow(POLL)
    assert run.is_complete
    assert run.log_file.read_text() == "one line\nanother line\n"
    printed = capsys.readouterr().out.splitlines()
    for line in (f"{REF}: COMPLETE", "one line", "another line"):
        assert printed.count(f"[label] {line}") == 1


def test_a_connection_that_breaks_while_waiting_costs_nothing(
    stand_in: StandIn, start: Callable[[str], KernelRun], capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in.fail("GetKernelSessionStatus", status=503, times=2)
    stand_in.fail("GetKernelSessionStatus", status=0)
    stand_in.break_log(after=1)
    start("print('one line', flush=True); import time; time.sleep(1); print('last')").follow(POLL)
    printed = capsys.readouterr().out
    assert printed.count("no answer from Kaggle; asking again") == 1
    assert printed.count("one line\n") == printed.count("last\n") == 1


def test_a_refusal_while_waiting_is_told_at_once(
    stand_in: StandIn, start: Callable[[str], KernelRun]
) -> None:
    stand_in.fail("GetKernelSessionStatus", status=401)
    with pytest.raises(KaggleError, match=r"how someone/first-kernel is: .* 401"):
        start("").follow(POLL)


def test_a_cancelled_run_is_not_complete(
    stand_in: StandIn, start: Callable[[str], KernelRun]
) -> None:
    run = start("import time; print('slow', flush=True); time.sleep(600)")
    threading.Timer(0.5, stand_in.cancel, [REF]).start()
    run.follow(POLL)
    assert str(run) == f"{REF} ended as CANCEL_ACKNOWLEDGED"


HOSTILE = r"red \x1b[31m, C1 \x9b1A, turned \u202e"


def test_a_log_moves_no_cursor_and_forges_no_line(
    start: Callable[[str], KernelRun], capsys: pytest.CaptureFixture[str]
) -> None:
    run = start(f"import sys; sys.stdout.reconfigure(encoding='utf-8'); print('{HOSTILE}')")
    run.follow(POLL)
    printed = capsys.readouterr().out
    assert f"[label] {HOSTILE}\n" in printed
    assert all(line.isprintable() for line in printed.split("\n"))
    assert run.log_file.read_text() == f"{HOSTILE}\n"


def test_an_event_of_several_lines_is_printed_with_the_label_before_each(
    start: Callable[[str], KernelRun],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = start("")
    events = [{"data": "one\n[other] forged\n"}, {"data": "\r 10%\rforged\n"}]
    monkeypatch.setattr(run.api, "kernels_logs_stream", lambda ref: iter(events))
    run.follow(POLL)
    printed = capsys.readouterr().out.splitlines()
    assert {"[label] one", "[label] [other] forged", "[label]  10%\\rforged"} <= {*printed}
    assert run.log_file.read_text() == "one\n[other] forged\n 10%\\rforged\n"


# --- What is refused


def test_kaggles_own_words_are_quoted(stand_in: StandIn, api: "KaggleApi", tmp_path: Path) -> None:
    built = SimpleNamespace(
        folder=write_kernel(tmp_path / "kernel", ""), metadata=SimpleNamespace(id=REF)
    )
    stand_in.refuse_push = "no\x1b[2J\nforged"
    with pytest.raises(PushRefused) as caught:
        push(api, built)
    assert str(caught.value) == f"pushing {REF}: Kaggle refuses: no\\x1b[2J\\nforged"


@pytest.mark.parametrize(
    ("error", "kind"),
    [("Too beautiful", PushRefused), ("Maximum batch CPU session count of 5", SessionsFull)],
)
def test_what_the_client_only_prints_is_an_error(
    stand_in: StandIn, api: "KaggleApi", tmp_path: Path, error: str, kind: type[PushRefused]
) -> None:
    built = SimpleNamespace(
        folder=write_kernel(tmp_path / "kernel", ""), metadata=SimpleNamespace(id=REF)
    )
    stand_in.refuse_push = error
    with pytest.raises(kind, match=f"pushing {REF}: Kaggle refuses: {error}"):
        push(api, built)


def test_sources_that_kaggle_cannot_find_are_an_error(
    stand_in: StandIn, api: "KaggleApi", tmp_path: Path
) -> None:
    sources = {"competition_sources": ["cars"], "dataset_sources": ["a/flowers"]}
    built = SimpleNamespace(
        folder=write_kernel(tmp_path / "kernel", "", **sources), metadata=SimpleNamespace(id=REF)
    )
    message = r"without .*: dataset_sources: a/flowers; competition_sources: cars\. Mend"
    with pytest.raises(PushRefused, match=message):
        push(api, built)


# --- The week's hours


def test_the_hours_that_are_left_of_the_week_are_told(stand_in: StandIn, api: "KaggleApi") -> None:
    assert quota_left(api, "GPU") == (
        "quota       26.5 of 30.0 hours on GPUs are left, until 2026-12-05 00:00 UTC"
    )
    stand_in.quota = {"tpu": (0.0, 20.0)}
    assert quota_left(api, "TPU").startswith("quota       20.0 of 20.0 hours on TPUs are left")
    assert quota_left(api, "GPU") == "quota       not known: Kaggle tells none for GPUs"


# --- What a run left


def test_all_pages_of_the_output_are_fetched(
    stand_in: StandIn, start: Callable[[str], KernelRun], tmp_path: Path
) -> None:
    names = {f"many/{number}.txt": str(number).encode() for number in range(230)}
    stand_in.kernels[REF].extra_outputs = names
    run = start("print('done')")
    run.follow(POLL)
    run.fetch_output(tmp_path / "all")
    found = {path.name: path.read_bytes() for path in (tmp_path / "all" / "many").iterdir()}
    assert found == {Path(name).name: content for name, content in names.items()}


def test_a_file_goes_on_where_its_connection_breaks(
    stand_in: StandIn,
    start: Callable[[str], KernelRun],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "PAUSES", (0.0,))
    run = start("open('best.h5', 'wb').write(bytes(range(250)) * 2000)")
    run.follow(POLL)
    stand_in.break_download(f"{REF}/best.h5", after=300_000)
    run.fetch_output(tmp_path / "out")
    assert (tmp_path / "out" / "best.h5").read_bytes() == bytes(range(250)) * 2000
    asked = [body["range"] for method, body in stand_in.calls if method == "GET"]
    assert asked[-1] == "bytes=262144-"


@pytest.mark.parametrize("name", ["../../evil.txt", "/tmp/evil.txt", "a/../../../evil.txt"])
def test_names_that_lead_out_of_the_folder_are_refused(
    stand_in: StandIn, start: Callable[[str], KernelRun], tmp_path: Path, name: str
) -> None:
    stand_in.kernels[REF].extra_outputs = {name: b"evil"}
    run = start("")
    run.follow(POLL)
    with pytest.raises(KaggleError, match=r"Refusing to download .*: resolves outside"):
        run.fetch_output(tmp_path / "out")
    assert not list(tmp_path.parent.glob("**/out/**/evil.txt"))


def test_of_a_run_that_left_nothing_the_log_is_there(
    start: Callable[[str], KernelRun], tmp_path: Path
) -> None:
    run = start("print('done')")
    run.follow(POLL)
    run.fetch_output(tmp_path / "out")
    [log] = (tmp_path / "out").iterdir()
    assert log.name == "first-kernel.log" and "done" in log.read_text()


def test_what_kaggle_refuses_is_told_in_its_own_words(
    stand_in: StandIn, api: "KaggleApi", tmp_path: Path
) -> None:
    """And not in the client's guesses, which blame a wrong name first."""
    run = KernelRun(api, REF, tmp_path)
    with pytest.raises(KaggleError, match=r"answers 403: Permission 'kernels\.get' was denied$"):
        run.fetch_output(tmp_path / "out")


def test_the_version_that_was_pushed_is_followed_and_not_the_last(
    stand_in: StandIn, api: "KaggleApi", tmp_path: Path
) -> None:
    runs = []
    for number in (1, 2):
        code = f"print('line of {number}'); open('left.txt', 'w').write('{number}')"
        folder = write_kernel(tmp_path / str(number), code)
        built = SimpleNamespace(folder=folder, metadata=SimpleNamespace(id=REF), kernel=Kernel(""))
        runs.append(push(api, built))
        stand_in.kernels[REF].last.wait()
    for run, number in ((runs[0], 1), (runs[1], 2), (KernelRun(api, REF, tmp_path), 2)):
        run.follow(POLL)
        run.fetch_output(run.folder / "out")
        assert run.log_file.read_text() == f"line of {number}\n"
        assert (run.folder / "out/left.txt").read_text() == str(number)
    assert [run.version for run in runs] == [1, 2]


def test_a_version_that_kaggle_does_not_know_yet_is_waited_for(
    stand_in: StandIn, api: "KaggleApi", tmp_path: Path
) -> None:
    built = SimpleNamespace(
        folder=write_kernel(tmp_path, ""), metadata=SimpleNamespace(id=REF), kernel=Kernel("")
    )
    run = push(api, built)
    stand_in.fail("GetKernelSessionStatus", status=404, times=2)
    run.follow(POLL)
    assert run.is_complete
