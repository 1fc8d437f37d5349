"""What comes together is predicted together, and each gets its own result."""

import asyncio
import threading

import numpy as np
import pytest

from podium.serving.batcher import Batcher


class Doubling:
    """Returns the doubles; the first batch waits until `go` is set."""

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


async def put(batcher: Batcher, *numbers: int) -> list[asyncio.Task[int]]:
    """Tasks that wait in the batcher."""
    tasks = [asyncio.create_task(batcher.put(np.array(number))) for number in numbers]
    await asyncio.sleep(0)
    return tasks


async def begin(batcher: Batcher, work: Doubling) -> asyncio.Task[int]:
    """A batch on its way, which nothing that comes later can be in."""
    (first,) = await put(batcher, 100)
    assert await asyncio.to_thread(work.begun.wait, 10)
    return first


def test_what_waits_is_predicted_in_full_batches(work: Doubling) -> None:
    async def run() -> list[int]:
        batcher = Batcher(work, 4)
        tasks = [await begin(batcher, work), *await put(batcher, *range(9))]
        work.go.set()
        return await asyncio.gather(*tasks)

    assert asyncio.run(run()) == [200, *range(0, 18, 2)]
    assert work.sizes == [1, 4, 4, 1]


def test_nothing_is_computed_for_those_who_left(work: Doubling) -> None:
    async def run() -> int:
        batcher = Batcher(work, 4)
        leaving_late = await begin(batcher, work)
        left, stayed = await put(batcher, 1, 2)
        left.cancel()
        leaving_late.cancel()
        await asyncio.sleep(0)
        work.go.set()
        return await stayed

    assert asyncio.run(run()) == 4
    assert work.sizes == [1, 1]


def test_an_error_is_told_and_the_next_batch_is_predicted(work: Doubling) -> None:
    async def run() -> int:
        batcher = Batcher(work, 4)
        with pytest.raises(ArithmeticError):
            await batcher.put(np.array(-1))
        return await batcher.put(np.array(3))

    work.go.set()
    assert asyncio.run(run()) == 6
