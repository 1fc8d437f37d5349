"""What each client may have in work, whose turn it is, and what is predicted in one batch."""

import asyncio
import heapq
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from fastapi import HTTPException

GATHERING = 0.004  # seconds that the first image of a batch waits for others


class Quota:
    """How much of something a client, told by its address, and all of them may have at once."""

    def __init__(self, what: str, of_a_client: int, of_all: int) -> None:
        self._what, self._most, self._most_of_all = what, of_a_client, of_all
        self._held: Counter[str] = Counter()

    @contextmanager
    def share(self, client: str) -> Iterator[Callable[[int], int]]:
        """Give what takes more of it, and returns what the client has; in the end all goes back.

        Raises:
            HTTPException: 503, it would be too much.
        """
        taken = 0

        def take(more: int) -> int:
            nonlocal taken
            own, all_ = self._held[client] + more, self._held.total() + more
            if own > self._most or all_ > self._most_of_all:
                detail = f"too many {self._what} are waiting already: try again soon"
                raise HTTPException(503, detail, {"Retry-After": "2"})
            taken += more
            self._held[client] = own
            return own

        try:
            yield take
        finally:
            self._held -= Counter({client: taken})  # and forgets who has none


class Turns:
    """So many at once; among those who wait, requests take turns by what they had so far.

    Self-clocked fair queueing (Golestani, INFOCOM 1994).
    """

    def __init__(self, at_once: int) -> None:
        self._free, self._now, self._number = at_once, 0.0, count()
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._ends: WeakKeyDictionary[object, float] = WeakKeyDictionary()

    @asynccontextmanager
    async def turn(self, request: object, cost: float) -> AsyncIterator[None]:
        """Wait for a turn of a request; the higher its cost, the later its next one."""
        end = self._ends[request] = max(self._now, self._ends.get(request, 0.0)) + cost
        called = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (end, next(self._number), called))
        self._call()
        try:
            await called
            yield
        finally:
            if not called.cancelled():  # it had its turn
                self._free += 1
                self._call()

    def _call(self) -> None:
        """Give the free places to the next ones who still wait."""
        while self._free and self._waiting:
            self._now, _, called = heapq.heappop(self._waiting)
            if not called.done():
                called.set_result(None)
                self._free -= 1


class Batcher:
    """Batches of what is waiting; while one is predicted in a thread, the next one gathers.

    Args:
        predict: from images (batch, ...) to a result for each; one call at a time.
        batch_size: images in a batch, at the most.
    """

    def __init__(self, predict: Callable[[np.ndarray], Sequence[Any]], batch_size: int) -> None:
        self._predict, self._batch_size = predict, batch_size
        self._waiting: list[tuple[np.ndarray, asyncio.Future[Any]]] = []
        self._task: asyncio.Task[None] | None = None

    async def put(self, image: np.ndarray) -> Any:
        """Return the result for an image; if the caller is cancelled, it costs no computing."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((image, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        await asyncio.sleep(GATHERING)
        while wanted := [pair for pair in self._waiting if not pair[1].done()]:
            batch, self._waiting = wanted[: self._batch_size], wanted[self._batch_size :]
            await self._predict_batch(*zip(*batch, strict=True))
        self._waiting = []

    async def _predict_batch(
        self, images: Sequence[np.ndarray], futures: Sequence["asyncio.Future[Any]"]
    ) -> None:
        try:
            results = await asyncio.to_thread(self._predict, np.stack(images))
        except Exception as error:  # whatever it is, those who wait are told
            for future in futures:
                if not future.done():
                    future.set_exception(error)
            return
        for future, result in zip(futures, results, strict=True):
            if not future.done():  # not cancelled meanwhile
                future.set_result(result)
