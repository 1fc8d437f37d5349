"""Requests that come at the same time, answered by one call: a network is faster on batches."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

import numpy as np

Seen = TypeVar("Seen")

GATHERED = 0.004  # seconds that the first image of a batch waits for others


class Batcher(Generic[Seen]):
    """A thread that takes what is waiting, up to so many at a time, and answers each.

    It waits a moment for others; while a batch is computed the next one gathers by itself.

    Args:
        work: from images (batch, ...) to an answer for each.
        most: images in a batch.
    """

    def __init__(self, work: Callable[[np.ndarray], Sequence[Seen]], most: int) -> None:
        self._work, self._most = work, most
        self._queue: queue.SimpleQueue[tuple[np.ndarray, Future[Seen]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="batcher", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def put(self, image: np.ndarray) -> "Future[Seen]":
        """The answer to come; a future that was cancelled costs no computing."""
        future: Future[Seen] = Future()
        self._queue.put((image, future))
        return future

    def close(self) -> None:
        """Answer what is waiting, then end."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        ended = False
        while not ended:
            batch, ended = self._gather()
            wanted = [one for one in batch if one[1].set_running_or_notify_cancel()]
            if wanted:
                self._answer([image for image, _ in wanted], [future for _, future in wanted])

    def _gather(self) -> tuple[list[tuple[np.ndarray, "Future[Seen]"]], bool]:
        """The next batch, and whether it is the last one."""
        first = self._queue.get()
        if first is None:
            return [], True
        batch, until = [first], time.monotonic() + GATHERED
        while len(batch) < self._most:
            try:
                another = self._queue.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            if another is None:
                return batch, True
            batch.append(another)
        return batch, False

    def _answer(self, images: list[np.ndarray], futures: list["Future[Seen]"]) -> None:
        try:
            answers = self._work(np.stack(images))
        except Exception as error:  # whatever it is, those who wait are told
            for future in futures:
                future.set_exception(error)
            return
        for future, answer in zip(futures, answers, strict=True):
            future.set_result(answer)
