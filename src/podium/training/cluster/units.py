"""Units of work and their scheduling on a pool of workers; what the pool is does not matter here.

Retrying is done here and not by the pool: Ray would train a finished fold again whose node died
before it was fetched, and would try a user's mistake three times.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from podium.text import format_table

RETRIES = 3  # of a unit whose node or worker died, or had too little memory
SHOWN = 60.0  # seconds at the least between two tables of what runs where

Order = dict[str, Any]  # what a worker is told: see `worker.work`


@dataclass(frozen=True)
class Resources:
    """What a unit is given of its node."""

    cpus: int = 1
    gpus: int = 0
    memory: int = 0  # bytes; 0: not known yet

    def __str__(self) -> str:
        given = f"{self.gpus} GPUs" if self.gpus else f"{self.cpus} CPUs"
        memory = f", {self.memory / 1e9:.1f} GB" if self.memory else ""
        return f"{given}{memory} for each"


@dataclass(frozen=True)
class Event:
    """What a pool tells of the attempt at a unit.

    By kind `data` is: began, the node; epoch, a line; state, bytes to go on from; done, the bytes
    of the result; failed, diverged, lost and refused, the reason. What is lost is worth another
    try, and a node that refuses would make other results than the driver.
    """

    unit: str
    attempt: int
    kind: Literal["began", "epoch", "state", "done", "failed", "diverged", "lost", "refused"]
    data: Any


class Pool(Protocol):
    """Workers, wherever they are."""

    has_gpus: bool
    largest_node: int  # CPUs of the node that has the most

    def put(self, data: bytes) -> Any:
        """Keep bytes that many orders name; what stands for them in an order."""

    def slots(self, resources: Resources) -> int:
        """How many units run at once, at least 1."""

    def submit(self, unit: str, attempt: int, order: Order, resources: Resources) -> None:
        """Have a unit done as soon as there is room."""

    def events(self) -> list[Event]:
        """What happened since the last call; it waits a moment where nothing did."""

    def cancel(self) -> None:
        """End what runs."""


@dataclass
class Unit:
    """A part of the work that one worker does, and what is done with its result.

    Args:
        name: for messages; no two units have the same.
        order: makes what the worker is told, anew for each attempt.
        take: puts the result where it belongs.
        fail: told the kind of failure and its reason, where no attempt is left.
        keep_state: puts what a next attempt goes on from where `order` finds it.
    """

    name: str
    resources: Resources
    order: Callable[[], Order]
    take: Callable[[bytes], None]
    fail: Callable[[str, str], None]
    keep_state: Callable[[bytes], None] = lambda state: None
    attempt: int = 0
    node: str = ""  # empty: it waits
    progress: str = ""


@dataclass
class Scheduler:
    """Units on their way; more may be added meanwhile, and `run` returns when all have ended."""

    pool: Pool
    units: dict[str, Unit] = field(default_factory=dict)
    ended: Counter[str] = field(default_factory=Counter)  # done or failed
    idle: Callable[[], None] = lambda: None  # called in each round
    _shown: float = 0.0  # when the table was
    _changed: bool = False  # since then

    def add(self, unit: Unit) -> None:
        if unit.name in self.units:
            raise ValueError(f"{unit.name} is on the cluster already")
        self.units[unit.name] = unit
        self._submit(unit)

    def run(self) -> None:
        """Wait for all units. If that is interrupted, those that run are ended.

        Raises:
            ValueError: a node refuses.
        """
        try:
            while self.units:
                for event in self.pool.events():
                    self._handle(event)
                self.idle()
                self._show()
        except BaseException:
            self.units.clear()
            self.pool.cancel()
            raise

    def _submit(self, unit: Unit) -> None:
        unit.attempt, unit.node = unit.attempt + 1, ""
        self.pool.submit(unit.name, unit.attempt, unit.order(), unit.resources)

    def _handle(self, event: Event) -> None:
        unit = self.units.get(event.unit)
        if unit is None or unit.attempt != event.attempt:
            return  # of an attempt that was given up, on a node that came back
        if event.kind == "began":
            unit.node, self._changed = event.data, True
            _say(unit, f"begins on {unit.node}")
        elif event.kind == "epoch":
            unit.progress = event.data
            _say(unit, f"{event.data}, on {unit.node}")
        elif event.kind == "state":
            unit.keep_state(event.data)
        elif event.kind == "lost" and unit.attempt <= RETRIES:
            again = f"tried again, {unit.attempt} of {RETRIES} times"
            _say(unit, f"lost on {unit.node or 'its way'} ({event.data}): {again}")
            self._submit(unit)
        elif event.kind == "refused":
            raise ValueError(f"{unit.node}: {event.data}")
        else:
            self._end(unit, event)

    def _end(self, unit: Unit, event: Event) -> None:
        del self.units[unit.name]
        self._changed = True
        kind, told = event.kind, event.data
        if kind == "done":
            try:
                unit.take(told)
                self.ended["finished"] += 1
                return _say(unit, f"is finished, by {unit.node}")
            except ValueError as error:  # what came back is not what was asked for
                kind, told = "failed", str(error)
        self.ended["failed"] += 1
        _say(unit, f"failed on {unit.node or 'its way'}: {told}")
        return unit.fail(kind, told)

    def _show(self) -> None:
        """What runs where, now and then, once something has changed."""
        now = time.monotonic()
        if not self._changed or now - self._shown < SHOWN or len(self.units) < 2:
            return
        self._shown, self._changed = now, False
        running = [unit for unit in self.units.values() if unit.node]
        rows = [("running", "on", "at"), *((u.name, u.node, u.progress) for u in running)]
        waiting = len(self.units) - len(running)
        counts = {"waiting": waiting, **self.ended}
        said = ", ".join(f"{count} {what}" for what, count in counts.items())
        print("\n".join([*format_table(rows), said]), flush=True)


def _say(unit: Unit, words: str) -> None:
    print(f"{unit.name} {words}", flush=True)
