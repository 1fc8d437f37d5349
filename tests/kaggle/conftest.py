"""The stand-in for Kaggle, and credentials that it takes."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from trained_run import CARS, make_untrained, pack_cars, train_once

from kaggle_stand_in import StandIn
from podium.kaggle.client import connect

if TYPE_CHECKING:  # importing it checks an access token
    from kaggle.api.kaggle_api_extended import KaggleApi


@pytest.fixture(autouse=True)
def hears_interrupts() -> Iterator[None]:
    """Ctrl-C counts, also where the tests run in the background of a shell, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A Kaggle of its own for each test, to which the client of this process is sent."""
    home = tmp_path / "home"
    home.mkdir()
    with StandIn(tmp_path / "stand-in") as kaggle:
        monkeypatch.setenv("PODIUM_KAGGLE_ENDPOINT", kaggle.url)
        # connect() sets it; this way it is as before once the test is over.
        monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.setenv("KAGGLE_USERNAME", kaggle.user)
        monkeypatch.setenv("KAGGLE_KEY", kaggle.key)
        for name in ("KAGGLE_API_TOKEN", "KAGGLE_CONFIG_DIR", "KAGGLE_KERNEL_RUN_TYPE"):
            monkeypatch.delenv(name, raising=False)
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield kaggle
    # One that goes on asking would reach the stand-in of the next test.
    for thread in [thread for thread in threading.enumerate() if thread.name.startswith("log of ")]:
        thread.join(5.0)
        assert not thread.is_alive()


@pytest.fixture
def api(stand_in: StandIn) -> "KaggleApi":
    """The real client, connected to the stand-in."""
    return connect()


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose entry `tiny` was trained here; it is only read."""
    return train_once(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def kaggle(
    stand_in: StandIn, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> StandIn:
    """A Kaggle with the images of `trained`; the working directory is a project without any."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PODIUM_INPUT", str(tmp_path / "nothing"))
    make_untrained(tmp_path, trained)
    stand_in.add_competition(CARS, pack_cars(trained, tmp_path / "cars.zip"))
    return stand_in
