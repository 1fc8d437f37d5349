"""What comes together is answered together, each by its own answer."""

import threading

import numpy as np
import pytest

from podium.serving.batcher import Batcher


class Doubling:
    """Answers with the doubles; the first batch waits until `go` is set."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self, numbers: np.ndarray) -> list[int]:
        self.begun.set()
        assert self.go.wait(10)
        self.sizes.append(len(numbers))
        if -1 in numbers:
            raise ArithmeticError("a bad one")
        return [int(2 * number) for number in numbers]


@pytest.fixture
def work() -> Doubling:
    return Doubling()


@pytest.fixture
def batcher(work: Doubling):
    made: Batcher[int] = Batcher(work, most=4)
    yield made
    work.go.set()
    made.close()
    assert not made.alive


def test_what_waits_is_answered_in_full_batches(batcher: Batcher, work: Doubling) -> None:
    first = batcher.put(np.array(100))
    assert work.begun.wait(10)  # nothing below can be in its batch
    others = [batcher.put(np.array(number)) for number in range(9)]
    work.go.set()
    assert first.result(10) == 200
    assert [one.result(10) for one in others] == [2 * number for number in range(9)]
    assert work.sizes == [1, 4, 4, 1]


def test_nobody_computes_for_those_who_left(batcher: Batcher, work: Doubling) -> None:
    batcher.put(np.array(0))
    assert work.begun.wait(10)
    left, stayed = batcher.put(np.array(1)), batcher.put(np.array(2))
    assert left.cancel()
    work.go.set()
    assert stayed.result(10) == 4
    assert work.sizes == [1, 1]


def test_an_error_is_told_and_the_next_batch_is_answered(batcher: Batcher, work: Doubling) -> None:
    work.go.set()
    with pytest.raises(ArithmeticError):
        batcher.put(np.array(-1)).result(10)
    assert batcher.put(np.array(3)).result(10) == 6


def test_closing_answers_what_waits(work: Doubling) -> None:
    batcher: Batcher[int] = Batcher(work, most=4)
    batcher.put(np.array(0))
    assert work.begun.wait(10)
    waiting = [batcher.put(np.array(number)) for number in range(5)]
    work.go.set()
    batcher.close()
    assert [one.result(0) for one in waiting] == [0, 2, 4, 6, 8]
