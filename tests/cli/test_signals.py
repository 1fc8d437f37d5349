"""Signals: the first ends a command in a line, a second one at once, an ignored one not at all."""

import signal
from collections.abc import Iterator

import pytest

from podium.cli.signals import Stopping

BOTH = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {one: signal.getsignal(one) for one in BOTH}
    yield
    for one, handler in before.items():
        signal.signal(one, handler)


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_the_first_signal_interrupts_and_a_second_one_kills(
    number: signal.Signals, code: int, word: str
) -> None:
    with Stopping() as stopping:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        assert [signal.getsignal(one) for one in BOTH] == [signal.SIG_DFL] * 2
    assert stopping.exit_code == code
    assert str(stopping) == f"{word}; the same command goes on from here"
    assert [signal.getsignal(one) for one in BOTH] == [signal.SIG_DFL] * 2, "while the process ends"


def test_without_a_signal_all_is_as_before() -> None:
    before = [signal.getsignal(one) for one in BOTH]
    with Stopping():
        assert [signal.getsignal(one) for one in BOTH] != before
    assert [signal.getsignal(one) for one in BOTH] == before


def test_what_is_ignored_stays_ignored() -> None:
    """As of a command in the background of a shell, or under nohup."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Stopping():
        signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
