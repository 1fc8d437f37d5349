"""What each client may have in work, and whose turn it is: none takes all, none waits for all."""

import asyncio
import heapq
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from weakref import WeakKeyDictionary

from fastapi import HTTPException


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
