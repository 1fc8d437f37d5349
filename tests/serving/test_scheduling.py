"""Nobody takes all of what there is, requests take turns, and each gets its own result."""

import asyncio
import threading

import numpy as np
import pytest
from fastapi import HTTPException

from podium.serving.scheduling import Batcher, Quota, Turns


def test_each_client_has_its_share_and_all_have_theirs() -> None:
    quota = Quota("bytes", 10, 15)
    with quota.share("a") as take, quota.share("a") as take_more, quota.share("b") as other:
        assert (take(4), take_more(6)) == (4, 10)
        with pytest.raises(HTTPException, match="503: too many bytes are waiting already") as error:
            take(1)
        assert error.value.headers == {"Retry-After": "2"}
        assert other(5) == 5
        with pytest.raises(HTTPException):  # of all
            other(1)
    with quota.share("a") as take:
        assert take(10) == 10


class Request:
    """Something that turns can be counted for."""


async def order_of(turns: Turns, *wanted: tuple[str, Request, float]) -> list[str]:
    """Who had a turn, in their order, when all of them waited for it."""
    had: list[str] = []

    async def have(name: str, request: Request, cost: float) -> None:
        async with turns.turn(request, cost):
            had.append(name)
            await asyncio.sleep(0)

    async with turns.turn(Request(), 1):
        tasks = [asyncio.create_task(have(*one)) for one in wanted]
        await asyncio.sleep(0.01)
        assert not had
    await asyncio.gather(*tasks)
    return had


def test_a_request_that_comes_later_does_not_wait_for_all_of_another() -> None:
    many, late = Request(), Request()
    wanted = [(f"many {number}", many, 1.0) for number in range(5)] + [("late", late, 1.0)]
    had = asyncio.run(order_of(Turns(1), *wanted))
    assert had == ["many 0", "late", "many 1", "many 2", "many 3", "many 4"]


def test_a_client_with_many_requests_has_no_more_turns() -> None:
    many, other = [Request() for _ in range(4)], Request()
    wanted = [(f"many {number}", request, number + 1.0) for number, request in enumerate(many)]
    wanted += [(f"other {number}", other, 1.0) for number in range(3)]
    had = asyncio.run(order_of(Turns(1), *wanted))
    assert had.index("other 2") <= 5
    assert had[-1] == "many 3"


def test_who_leaves_has_no_turn_and_keeps_no_place() -> None:
    async def run() -> list[str]:
        turns, leaving = Turns(1), Request()

        async def leave() -> None:
            async with turns.turn(leaving, 1):
                raise AssertionError("it has left")

        async with turns.turn(Request(), 1):
            task = asyncio.create_task(leave())
            await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.sleep(0)
        return await order_of(turns, ("a", Request(), 1.0), ("b", Request(), 1.0))

    assert asyncio.run(run()) == ["a", "b"]


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
