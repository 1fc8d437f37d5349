"""Requests that come at the same time, predicted in one batch: a network is faster on batches."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

GATHERING = 0.004  # seconds that the first image waits for others


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
