"""A call in its own process: what goes wrong in it is said here."""

import os
import signal

import pytest

from podium.experiments.own_process import Failed, call


def fine() -> None:
    pass


def mistaken(message: str) -> None:
    raise FileNotFoundError(message)


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def interrupted() -> None:
    raise KeyboardInterrupt


def wrong() -> None:
    raise KeyError("a mistake of the program's")


def test_a_call_that_is_fine_returns_nothing() -> None:
    assert call(fine) is None


def test_a_users_mistake_comes_with_its_message() -> None:
    with pytest.raises(Failed, match=r"^no weights here$") as error:
        call(mistaken, "no weights here")
    assert error.value.kind == "FileNotFoundError"


def test_a_process_that_is_killed_is_a_failure_too() -> None:
    with pytest.raises(Failed, match=r"ended by SIGKILL: was there too little memory\?"):
        call(killed)


def test_an_interruption_is_one_here_as_well() -> None:
    with pytest.raises(KeyboardInterrupt):
        call(interrupted)


def test_a_mistake_of_the_program_is_not_hidden(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="exit code 1"):
        call(wrong)
    assert 'KeyError: "a mistake of the program\'s"' in capfd.readouterr().err
