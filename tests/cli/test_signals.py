"""Signals: the first ends a command in a line, a second one at once, an ignored one not at all."""

import signal
import sys
from collections.abc import Iterator

import pytest

from podium.cli.signals import INTERRUPTED, one_line_on_signal

BOTH = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in BOTH}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_the_first_signal_interrupts_and_a_second_one_kills(
    number: signal.Signals, code: int, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end, one_line_on_signal():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        assert [signal.getsignal(other) for other in BOTH] == [signal.SIG_DFL] * 2
        sys.exit(INTERRUPTED)  # as Typer does
    assert end.value.code == code
    assert capsys.readouterr().err == f"\npodium: {word}; the same command goes on from here\n"
    assert [signal.getsignal(other) for other in BOTH] == [signal.SIG_DFL] * 2, "until it ends"


def test_without_a_signal_all_is_as_before() -> None:
    before = [signal.getsignal(number) for number in BOTH]
    with one_line_on_signal():
        assert [signal.getsignal(number) for number in BOTH] != before
    assert [signal.getsignal(number) for number in BOTH] == before


def test_an_ignored_signal_stays_ignored() -> None:
    """A command in the background of a shell, or under nohup, ignores SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with one_line_on_signal():
        signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
