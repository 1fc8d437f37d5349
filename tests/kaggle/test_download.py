"""`podium download` with the real client: whole, taken up where it broke off, or refused."""

import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kaggle_stand_in import StandIn
from podium.competitions import COMPETITIONS, get_competition
from podium.kaggle import client
from podium.kaggle.client import KaggleError
from podium.kaggle.download import download
from small_competitions import DRAW

CARS = get_competition("cars")
ON_KAGGLE = [name for name, competition in COMPETITIONS.items() if competition.kaggle_source]
PADDING = 1_200_000  # bytes in the archive of the cars besides its images
PLACE = 700_000  # bytes, in the middle of it
Files = dict[str, bytes]


def files_in(folder: Path) -> Files:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def packed(folder: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w") as file:
        for name, content in files_in(folder).items():
            file.writestr(name, content)
    return archive


@pytest.fixture
def cars(stand_in: StandIn, data: Path, tmp_path: Path) -> Files:
    """The cars on Kaggle, with a file so large that a connection may break in it; their files."""
    folder = tmp_path / "on-kaggle"
    DRAW["cars"](folder)
    (folder / "about.bin").write_bytes(random.Random(0).randbytes(PADDING))
    stand_in.add_competition(CARS.slug, packed(folder, tmp_path / "cars.zip"))
    return files_in(folder)


@pytest.fixture
def target(data: Path) -> Path:
    return data / CARS.slug


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Set how often a connection that breaks without progress is tried again."""
    return lambda count: monkeypatch.setattr(client, "PAUSES", (0.0,) * count)


@pytest.fixture(autouse=True)
def impatient(tries: Callable[[int], None]) -> None:
    tries(0)


def refused(*, fresh: bool = False) -> str:
    with pytest.raises(KaggleError) as caught:
        download(CARS, fresh)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def ranges(stand_in: StandIn) -> list[str | None]:
    """What part of the archive each request for it asked for."""
    return [body["range"] for method, body in stand_in.calls if method == "GET"]


def nothing_left(data: Path) -> bool:
    """Whether there is nothing but the data: no archive, no lock, no half folder."""
    return not [path.name for path in data.iterdir() if path.name.startswith(".")]


# --- What arrives


@pytest.mark.parametrize("name", ON_KAGGLE)
def test_a_competition_arrives_as_podium_reads_it(
    stand_in: StandIn, data: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture
) -> None:
    competition, folder = get_competition(name), tmp_path / "on-kaggle"
    DRAW[name](folder)
    expected = files_in(folder)
    if name.startswith("dogs-vs-cats"):  # comes as archives in an archive
        for images in [path for path in folder.iterdir() if path.is_dir()]:
            shutil.make_archive(str(images), "zip", folder, images.name)
            shutil.rmtree(images)
    archive = packed(folder, tmp_path / "archive.zip")
    kind, _, ref = str(competition.kaggle_source).partition("/")
    if kind == "datasets":
        stand_in.add_dataset(ref, archive)
    else:
        stand_in.add_competition(ref, archive)

    assert download(competition) == data / competition.slug
    assert files_in(data) == {f"{competition.slug}/{path}": b for path, b in expected.items()}
    train, test = competition.read_training(), competition.read_test()
    counts = f": {len(train)} training and {len(test)} test images\n"
    assert capsys.readouterr().out.endswith(counts)


def test_without_a_place_of_its_own_it_goes_into_the_projects_input(
    stand_in: StandIn, cars: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PODIUM_INPUT")
    (tmp_path / "kernels" / "cars-b6").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "kernels" / "cars-b6")
    assert download(CARS) == tmp_path / "input" / CARS.slug
    assert files_in(tmp_path / "input" / CARS.slug) == cars


def test_a_link_to_another_disk_stays_a_link(
    stand_in: StandIn, cars: Files, target: Path, tmp_path: Path
) -> None:
    (tmp_path / "disk" / "cars").mkdir(parents=True)
    target.symlink_to(tmp_path / "disk" / "cars")
    download(CARS)
    assert target.is_symlink()
    assert files_in(tmp_path / "disk") == {f"cars/{name}": data for name, data in cars.items()}


# --- Connections that break


def test_a_download_that_breaks_goes_on_in_the_same_call(
    stand_in: StandIn,
    cars: Files,
    target: Path,
    tries: Callable[[int], None],
    capsys: pytest.CaptureFixture,
) -> None:
    stand_in.break_download(CARS.slug, after=PLACE)
    tries(1)
    download(CARS)
    assert files_in(target) == cars
    assert nothing_left(target.parent)
    *_, last = ranges(stand_in)
    assert last
    assert PLACE - (1 << 17) <= int(last.removeprefix("bytes=").removesuffix("-")) <= PLACE
    assert "no connection at 0.7 MB; trying again in 0 s" in capsys.readouterr().out


def test_tries_that_get_further_are_not_counted(
    stand_in: StandIn, cars: Files, target: Path, tries: Callable[[int], None]
) -> None:
    tries(1)
    # A try that goes on asks twice, and only the second answer is read.
    stand_in.break_download(CARS.slug, after=PADDING // 5, times=7)
    download(CARS)
    assert files_in(target) == cars
    assert len([part for part in ranges(stand_in) if part]) >= 4


def test_a_download_that_breaks_for_good_goes_on_with_the_next_call(
    stand_in: StandIn, cars: Files, target: Path
) -> None:
    stand_in.break_download(CARS.slug, after=PLACE)
    message = refused()
    assert message.startswith(f"downloading {CARS.slug}: the connection failed (")
    assert message.endswith(": 0.7 MB are here, and the same command goes on from there")
    assert not target.exists()
    assert ranges(stand_in) == [None]
    download(CARS)
    assert files_in(target) == cars
    assert nothing_left(target.parent)
    assert ranges(stand_in)[-1], "it did not begin again"


def test_without_any_progress_the_tries_end(
    stand_in: StandIn, cars: Files, target: Path, tries: Callable[[int], None]
) -> None:
    stand_in.break_download(CARS.slug, after=0, times=99)
    tries(2)
    message = refused()
    assert message.startswith(f"downloading {CARS.slug}: the connection failed (")
    assert "are here" not in message
    assert ranges(stand_in) == [None] * 3
    assert not target.exists()


@pytest.mark.parametrize("status", [0, 429, 503])
def test_a_server_in_trouble_is_asked_again(
    stand_in: StandIn, cars: Files, target: Path, tries: Callable[[int], None], status: int
) -> None:
    stand_in.fail("DownloadDataFiles", status, times=2)
    refused()
    tries(1)
    download(CARS)
    assert files_in(target) == cars


def test_an_address_that_expires_does_not_spoil_what_is_here(
    stand_in: StandIn, cars: Files, target: Path, tries: Callable[[int], None]
) -> None:
    """The client's own tries would go on with it until they give up."""
    stand_in.links_expire = True
    stand_in.break_download(CARS.slug, after=PLACE)
    tries(2)
    download(CARS)
    assert files_in(target) == cars


class Silent(BaseHTTPRequestHandler):
    """Kaggle as it falls silent: first before it answers, then in the middle of the file."""

    content = b""
    stages = iter(("call", "file", "none", "none"))
    over: threading.Event
    stage = "none"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        type(self).stage = next(self.stages, "none")
        if self.stage == "call":
            self.over.wait(20)
            return
        self.send_response(302)
        self.send_header("Location", f"http://{self.headers['Host']}/archive.zip")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        if self.stage == "file":
            self.wfile.write(self.content[:PLACE])
            self.over.wait(20)
        else:
            self.wfile.write(self.content)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(handler: type[Silent], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    handler.over = threading.Event()
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        monkeypatch.setenv("PODIUM_KAGGLE_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        try:
            yield
        finally:
            handler.over.set()
            server.shutdown()
            thread.join()


def test_a_silent_connection_counts_as_lost(
    cars: Files,
    target: Path,
    tmp_path: Path,
    tries: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Handler(Silent):
        content = (tmp_path / "cars.zip").read_bytes()

    tries(2)
    monkeypatch.setattr(client, "SILENCE", 0.3)
    begin = time.monotonic()
    with serving(Handler, monkeypatch):
        download(CARS)
    assert files_in(target) == cars
    assert time.monotonic() - begin < 10


# --- What Kaggle refuses


def test_rules_that_are_not_accepted_are_named_with_their_page(
    stand_in: StandIn, cars: Files, data: Path
) -> None:
    stand_in.competitions[CARS.slug].rules_accepted = False
    message = refused()
    assert message.startswith(f"downloading {CARS.slug}: Kaggle answers 403: You must accept")
    rules = f"https://www.kaggle.com/competitions/{CARS.slug}/rules"
    assert message.endswith(f"Accept the rules at {rules}, then the same command again")
    assert not list(data.iterdir())
    stand_in.competitions[CARS.slug].rules_accepted = True
    download(CARS)


def test_what_kaggle_does_not_know_is_named(stand_in: StandIn, data: Path) -> None:
    message = refused()
    page = f"https://www.kaggle.com/competitions/{CARS.slug}"
    assert "Kaggle answers 404" in message
    assert message.endswith(f"There is nothing at {page} that you may see")
    with pytest.raises(KaggleError, match=r"404.*/datasets/puneet6060/intel-image"):
        download(get_competition("intel"))
    assert not list(data.iterdir())


@pytest.mark.parametrize("name", ["clocks-or-crocs", "sample"])
def test_what_is_not_on_kaggle_is_told_how_to_get(stand_in: StandIn, data: Path, name: str) -> None:
    competition = get_competition(name)
    with pytest.raises(KaggleError) as caught:
        download(competition)
    assert str(caught.value) == f"{name} is not on Kaggle. To get it: {competition.get_it}"
    assert not stand_in.calls


# --- Archives that are not what they should be


def test_a_damaged_archive_is_fetched_again_by_the_same_command(
    stand_in: StandIn, cars: Files, target: Path, tmp_path: Path
) -> None:
    path = tmp_path / "cars.zip"
    sound = path.read_bytes()
    path.write_bytes(sound[:PLACE] + bytes([sound[PLACE] ^ 1]) + sound[PLACE + 1 :])
    message = refused()
    assert "Bad CRC-32 for file 'about.bin'" in message
    assert message.endswith("The download was deleted; the same command fetches it again")
    assert not list(target.parent.iterdir())
    path.write_bytes(sound)
    download(CARS)
    assert files_in(target) == cars


def test_a_hostile_archive_is_kept_and_nothing_of_it_unpacked(
    stand_in: StandIn, cars: Files, data: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "cars.zip", "a") as file:
        file.writestr("../evil.py", b"evil")
    message = refused()
    archive = data / ".downloads" / f"{CARS.slug}.zip"
    assert "'../evil.py' would be written outside of its folder" in message
    assert message.endswith(f"Nothing of it was unpacked; it is kept: {archive}")
    assert list(files_in(data)) == [f".downloads/{CARS.slug}.zip"]
    assert not list(tmp_path.rglob("evil.py"))


def test_another_layout_is_told_and_not_fetched_twice(
    stand_in: StandIn, cars: Files, data: Path, tmp_path: Path
) -> None:
    (tmp_path / "on-kaggle" / "train.csv").unlink()
    packed(tmp_path / "on-kaggle", tmp_path / "cars.zip")
    message = refused()
    assert f"not in the layout that Podium reads: {CARS.slug}/train.csv is missing" in message
    assert list(files_in(data)) == [f".downloads/{CARS.slug}.zip"]
    calls = len(stand_in.calls)
    assert refused() == message
    assert len(stand_in.calls) == calls + 2  # it asks how large the archive is, and reads none


# --- What is there already


def test_what_is_there_is_not_fetched(
    stand_in: StandIn, cars: Files, target: Path, capsys: pytest.CaptureFixture
) -> None:
    download(CARS)
    calls = len(stand_in.calls)
    capsys.readouterr()
    assert download(CARS) == target
    assert len(stand_in.calls) == calls
    assert capsys.readouterr().out == (
        f"{target} is there already: podium check cars looks through it, --fresh replaces it\n"
    )


def test_the_old_files_stay_until_fresh_ones_are_whole(
    stand_in: StandIn, cars: Files, target: Path, tmp_path: Path
) -> None:
    download(CARS)
    (tmp_path / "on-kaggle" / "new.txt").write_text("new")
    path = packed(tmp_path / "on-kaggle", tmp_path / "cars.zip")
    stand_in.break_download(CARS.slug, after=PLACE)
    refused(fresh=True)
    assert files_in(target) == cars
    sound = path.read_bytes()
    path.write_bytes(sound.replace(b"PK\1\2", b"PK\1\3", 1))
    refused(fresh=True)
    assert files_in(target) == cars
    path.write_bytes(sound)
    download(CARS, fresh=True)
    assert files_in(target) == {**cars, "new.txt": b"new"}
    assert nothing_left(target.parent)


# --- Other processes


DOWNLOAD = """
from podium.competitions import get_competition
from podium.kaggle.download import download
download(get_competition("cars"))
"""


def test_a_download_killed_as_it_unpacks_leaves_no_half_folder(
    stand_in: StandIn, cars: Files, target: Path, tmp_path: Path
) -> None:
    for number in range(3000):
        (tmp_path / "on-kaggle" / f"{number}.bin").write_bytes(bytes(5000))
    packed(tmp_path / "on-kaggle", tmp_path / "cars.zip")
    process = subprocess.Popen([sys.executable, "-c", DOWNLOAD], stderr=subprocess.PIPE)
    until = time.monotonic() + 60
    while not list(target.parent.glob(f".part-{process.pid}-{CARS.slug}/1*.bin")):
        assert process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() < until
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not target.exists()

    before = len(stand_in.calls)
    download(CARS)
    assert files_in(target) == files_in(tmp_path / "on-kaggle")
    assert nothing_left(target.parent)
    assert [method for method, _ in stand_in.calls[before:]] == ["DownloadDataFiles", "GET"]
