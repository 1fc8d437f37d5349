"""A pool of one worker, this process: it does the real work, an order after the other."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from unittest.mock import patch

from podium.training.cluster.units import Event, Order, Resources
from podium.training.cluster.worker import work


@dataclass
class HerePool:
    """Does what it is told, one unit for each look at its events.

    Args:
        lost: attempts, as unit and number, whose node dies after its work, before it is fetched.
        slots_: of units at once.
    """

    lost: Iterable[tuple[str, int]] = ()
    slots_: int = 2
    has_gpus: bool = False
    largest_node: int = 4
    done: list[tuple[str, int]] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    given: list[Resources] = field(default_factory=list)
    cancelled: bool = False

    def __post_init__(self) -> None:
        self.waiting: list[tuple[str, int, Order]] = []

    def put(self, data: bytes) -> bytes:
        return data

    def slots(self, resources: Resources) -> int:
        return self.slots_

    def submit(self, unit: str, attempt: int, order: Order, resources: Resources) -> None:
        self.waiting.append((unit, attempt, order))
        self.given.append(resources)

    def events(self) -> list[Event]:
        unit, attempt, order = self.waiting.pop(0)
        told = [Event(unit, attempt, "began", "here")]
        with patch.dict(os.environ):  # which a worker's process takes with it
            ended = work(order, lambda *each: told.append(Event(unit, attempt, *each)))
        self.done.append((unit, attempt))
        self.orders.append(order)
        if (unit, attempt) in self.lost:
            ended = "lost", "NodeDiedError"
        return [*told, Event(unit, attempt, *ended)]

    def cancel(self) -> None:
        self.cancelled = True
